//! From a URL: bounded in size and time, over redirects that don't leave TLS again.

use super::{Component, digest, is_loopback};
use anyhow::{Context, Result, anyhow, bail};
use futures::StreamExt;
use quarterdeck_model::plugin::files::MAX_COMPONENT_BYTES;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(15);
/// For the whole of it.
const WITHIN: Duration = Duration::from_secs(300);
const REDIRECTS: usize = 10;

/// Goes through the proxies of the environment, as other downloads do, unless it stays `here`, on this machine. What it is to bring is `known`:
/// then it does not matter who could change it on the way.
pub(super) fn client(here: bool, known: bool) -> Result<Client> {
    crate::daemon::install_crypto();
    let policy = Policy::custom(move |attempt| {
        let is_plain = attempt.url().scheme() != "https" && !attempt.url().host_str().is_some_and(is_loopback);
        if is_plain && !known {
            attempt.error("it is redirected to where anybody on the way may change it")
        } else if attempt.previous().len() > REDIRECTS {
            attempt.error("it is redirected again and again")
        } else {
            attempt.follow()
        }
    });
    let agent = concat!("quarterdeck/", env!("CARGO_PKG_VERSION"));
    let client = Client::builder().redirect(policy).connect_timeout(CONNECT).timeout(WITHIN).user_agent(agent);
    Ok(if here { client.no_proxy() } else { client }.build()?)
}

pub(super) async fn fetch(source: &str, digest_wanted: Option<&str>) -> Result<Component> {
    let url = Url::parse(source).with_context(|| format!("`{source}` is no URL"))?;
    let host = url.host_str().unwrap_or_default();
    let here = is_loopback(host);
    if url.scheme() == "http" && digest_wanted.is_none() && !here {
        bail!(
            "anybody on the way may change what comes from {source}\nhint: use https, or say what it has to be with --digest"
        );
    }
    let file = url.path_segments().and_then(|mut segments| segments.next_back().map(str::to_owned)).unwrap_or_default();
    let response = client(here, digest_wanted.is_some())?.get(url.clone()).send().await;
    let response = response.map_err(|error| anyhow!("failed to fetch {source}: {}", deepest(&error)))?;
    if !response.status().is_success() {
        bail!("failed to fetch {source}: the server answers {}", response.status());
    }
    let bytes = body(response, source, MAX_COMPONENT_BYTES).await?;
    // A name and a password in a URL are nobody's business later, nor is what a signed address carries behind its `?`.
    let mut origin = url;
    let _ = origin.set_username("");
    let _ = origin.set_password(None);
    origin.set_query(None);
    let digest = digest(&bytes);
    Ok(Component { bytes, digest, file, origin: origin.to_string() })
}

/// The whole body, if it is no larger than that.
pub(super) async fn body(response: Response, source: &str, most: u64) -> Result<Vec<u8>> {
    let too_large = || anyhow!("{source} has more than {most} bytes");
    if response.content_length().is_some_and(|announced| announced > most) {
        return Err(too_large());
    }
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    let mut stream = response.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| anyhow!("failed to fetch {source}: {}", deepest(&error)))?;
        if bytes.len().saturating_add(chunk.len()) > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The cause at the bottom says what went wrong.
pub(super) fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
