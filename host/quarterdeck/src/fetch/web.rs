//! From a URL: bounded in size and time, over redirects that don't leave TLS again.

use super::{Component, digest, is_loopback};
use crate::output::remark;
use anyhow::{Context, Result, anyhow, bail};
use futures::StreamExt;
use quarterdeck_model::plugin::files::MAX_COMPONENT_BYTES;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use std::borrow::Cow;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(15);
/// For the whole of it.
const WITHIN: Duration = Duration::from_secs(300);
const REDIRECTS: usize = 10;
/// Parameters of a URL that say what is meant, and to nobody who asks. What others hold may be a key to it, whatever they are called.
const HARMLESS: [&str; 12] =
    ["arch", "branch", "download", "file", "filename", "format", "name", "path", "raw", "ref", "tag", "version"];
/// A longer value says more than which file is meant.
const LONGEST_VALUE: usize = 64;

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
    let (origin, is_whole) = origin(url);
    if !is_whole {
        remark(&format!(
            "warning: what stands behind the `?` may be a key, and is not kept: another host may not find it at {origin}; hint: install it \
             there by hand, and `plugin install --locked` takes what is in place"
        ));
    }
    let digest = digest(&bytes);
    Ok(Component { bytes, digest, file, origin: origin.to_string() })
}

/// What may be written down of where a component comes from, for the history and the lock: everything may read those. A name and a password
/// are nobody's business later, nor is what a signed address carries behind its `?`. A query is kept if all of it is known to be harmless, and
/// else not at all: half of one leads to something else. False: it was not.
fn origin(mut url: Url) -> (Url, bool) {
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    let is_harmless =
        |(name, value): (Cow<'_, str>, Cow<'_, str>)| HARMLESS.contains(&&*name) && value.len() <= LONGEST_VALUE;
    let is_whole = url.query_pairs().all(is_harmless);
    if !is_whole || url.query() == Some("") {
        url.set_query(None);
    }
    (url, is_whole)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_kept_if_all_of_it_says_which_file_is_meant() {
        let long = format!("https://a/b.wasm?version={}", "1".repeat(LONGEST_VALUE + 1));
        for (source, kept, whole) in [
            ("https://a/b.wasm", "https://a/b.wasm", true),
            ("https://a/b.wasm?", "https://a/b.wasm", true),
            ("https://ann:secret@a/b.wasm#part", "https://a/b.wasm", true),
            ("https://a/get?file=b.wasm&version=1.2.0", "https://a/get?file=b.wasm&version=1.2.0", true),
            ("https://a/get?file=b.wasm&X-Amz-Signature=00ff", "https://a/get", false),
            ("https://a/b.wasm?token=abc", "https://a/b.wasm", false),
            ("https://a/b.wasm?0123456789abcdef", "https://a/b.wasm", false),
            (long.as_str(), "https://a/b.wasm", false),
        ] {
            let (origin, is_whole) = origin(Url::parse(source).unwrap());
            assert_eq!((origin.as_str(), is_whole), (kept, whole), "{source}");
        }
    }
}
