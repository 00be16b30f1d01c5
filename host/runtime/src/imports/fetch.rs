//! Pages for engines, through the same door as a plugin's requests.

use crate::imports::audit::Entry;
use crate::imports::http::{Request, Timeouts};
use crate::imports::{Act, Doors};
use crate::sandbox::Capability;
use ::http::header::ORIGIN;
use ::http::{HeaderMap, HeaderValue, Method};
use async_trait::async_trait;
use futures::StreamExt;
use quarterdeck_model::fetch::{Fetch, Fetched};
use quarterdeck_model::plugin::InstanceName;
use reqwest::{Response, Url};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For all of it, the body included.
const TIMEOUT: Duration = Duration::from_secs(10);

struct Door(Arc<Doors>);

impl Doors {
    /// The port for engines.
    pub fn fetch(self: &Arc<Self>) -> Arc<dyn Fetch> {
        Arc::new(Door(self.clone()))
    }
}

#[async_trait]
impl Fetch for Door {
    async fn get(
        &self,
        url: &str,
        allow: &[String],
        max_bytes: usize,
        origin: Option<&str>,
    ) -> Result<Fetched, String> {
        let url = Url::parse(url).map_err(|error| format!("`{}` is not a URL: {error}", url.escape_debug()))?;
        let target = format!("GET {}{}", url.origin().ascii_serialization(), url.path());
        let (instance, capability) = (InstanceName::from("host/fetch"), Capability::Http);
        let mut act = Act::new(&self.0, Entry { instance, plugin: None, capability, target, outcome: String::new() });
        act.reserve(Instant::now() + TIMEOUT).await?;
        let fetched = tokio::time::timeout(TIMEOUT, get(&self.0, url, allow, max_bytes, origin))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
        act.end(fetched.as_ref().map_or_else(|_| "failed".to_owned(), |fetched| fetched.status.to_string()));
        fetched
    }
}

async fn get(
    doors: &Arc<Doors>,
    url: Url,
    allow: &[String],
    max_bytes: usize,
    origin: Option<&str>,
) -> Result<Fetched, String> {
    let mut headers = HeaderMap::new();
    if let Some(origin) = origin {
        let value =
            HeaderValue::from_str(origin).map_err(|_| format!("`{}` is not an origin", origin.escape_debug()))?;
        headers.insert(ORIGIN, value);
    }
    let request = Request { method: Method::GET, url, headers, body: bytes::Bytes::new() };
    let owner = doors.clone();
    let is_own = move |ip, port| owner.is_own(ip, port);
    let sent = doors.client.send(&doors.runtime, request, allow.to_vec(), Timeouts::default(), is_own);
    read(sent.await.map_err(|failure| failure.to_string())?, max_bytes).await
}

async fn read(response: Response, max_bytes: usize) -> Result<Fetched, String> {
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while body.len() < max_bytes {
        let Some(piece) = pieces.next().await else { break };
        let piece = piece.map_err(|_| "the response broke off".to_owned())?;
        body.extend(piece.iter().take(max_bytes - body.len()));
    }
    Ok(Fetched { status, headers, body })
}
