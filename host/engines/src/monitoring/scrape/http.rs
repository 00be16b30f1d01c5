//! Targets over HTTP, by reqwest.

use super::outside::{Answer, Ask, Targets};
use async_trait::async_trait;
use quarterdeck_formats::compressed;
use quarterdeck_formats::exposition::Format;
use quarterdeck_model::domain::scrape::TlsConfig;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const USER_AGENT: &str = concat!("quarterdeck/", env!("CARGO_PKG_VERSION"));
/// Longer than most intervals, so that a connection is used again.
const IDLE: Duration = Duration::from_secs(120);
/// More clients than this are of configurations that are gone.
const CLIENTS: usize = 256;

/// What a client is made for: certificates that were changed need another one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    tls: TlsConfig,
    written: Vec<Option<SystemTime>>,
    follow_redirects: bool,
}

pub(super) struct Http {
    clients: Mutex<HashMap<Kind, reqwest::Client>>,
}

impl Default for Http {
    fn default() -> Self {
        // Whoever was first has set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Http { clients: Mutex::default() }
    }
}

#[async_trait]
impl Targets for Http {
    async fn ask(&self, ask: &Ask) -> Result<Answer, String> {
        let answer = tokio::time::timeout(ask.within.as_duration(), self.get(ask)).await;
        answer.unwrap_or_else(|_| Err(format!("the target did not answer within {}", ask.within)))
    }
}

impl Http {
    async fn get(&self, ask: &Ask) -> Result<Answer, String> {
        let client = self.client(ask).await?;
        let within = ask.within.as_secs_f64().to_string();
        let mut request = client
            .get(&ask.url)
            .header(ACCEPT, Format::ACCEPT)
            .header(ACCEPT_ENCODING, "gzip")
            .header("X-Prometheus-Scrape-Timeout-Seconds", within);
        if let Some(basic) = &ask.basic_auth {
            request = request.basic_auth(&basic.username, Some(secret(&basic.password_file).await?));
        }
        if let Some(authorization) = &ask.authorization {
            let scheme = authorization.scheme.as_deref().unwrap_or("Bearer");
            let value = format!("{scheme} {}", secret(&authorization.credentials_file).await?);
            let mut value = HeaderValue::from_str(&value).map_err(|_| "the credentials can't be sent in a header")?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let response = request.send().await.map_err(|error| described(&error))?;
        if !response.status().is_success() {
            return Err(format!("the target answered with {}", response.status()));
        }
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (content_type, encoding) = (text(CONTENT_TYPE), text(CONTENT_ENCODING));
        let body = body(response, ask.limit).await?;
        let body = match encoding.as_deref() {
            None | Some("" | "identity") => body,
            Some("gzip" | "x-gzip") => {
                compressed::gzip(&body, ask.limit).map_err(|error| limited(&error.to_string()))?
            }
            Some(other) => return Err(format!("the page is encoded as `{other}`, which was not asked for")),
        };
        Ok(Answer { body, content_type })
    }

    async fn client(&self, ask: &Ask) -> Result<reqwest::Client, String> {
        let TlsConfig { ca_file, cert_file, key_file, insecure_skip_verify } = &ask.tls;
        let mut written = Vec::new();
        for file in [ca_file, cert_file, key_file].into_iter().flatten() {
            written.push(tokio::fs::metadata(file).await.and_then(|metadata| metadata.modified()).ok());
        }
        let kind = Kind { tls: ask.tls.clone(), written, follow_redirects: ask.follow_redirects };
        if let Some(client) = self.clients.lock().unwrap_or_else(PoisonError::into_inner).get(&kind) {
            return Ok(client.clone());
        }
        let redirects = match ask.follow_redirects {
            true => reqwest::redirect::Policy::limited(10),
            false => reqwest::redirect::Policy::none(),
        };
        let mut builder = reqwest::Client::builder()
            .redirect(redirects)
            .referer(false)
            .no_proxy()
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(2)
            .http1_only()
            .user_agent(USER_AGENT);
        if let Some(file) = ca_file {
            let certificates = reqwest::Certificate::from_pem_bundle(&bytes(file).await?);
            builder = builder.tls_certs_only(certificates.map_err(|error| unusable(file, &error))?);
        }
        if let (Some(certificate), Some(key)) = (cert_file, key_file) {
            let mut pem = bytes(certificate).await?;
            pem.push(b'\n');
            pem.extend(bytes(key).await?);
            builder =
                builder.identity(reqwest::Identity::from_pem(&pem).map_err(|error| unusable(certificate, &error))?);
        }
        if *insecure_skip_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        let client = builder.build().map_err(|error| described(&error))?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        Ok(clients.entry(kind).or_insert(client).clone())
    }
}

async fn body(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, String> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > limit {
        return Err(limited(&format!("the page has {announced} bytes, more than {limit}")));
    }
    let mut body = Vec::with_capacity(announced.min(1 << 20));
    while let Some(chunk) = response.chunk().await.map_err(|error| described(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(limited(&format!("the page has more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn limited(why: &str) -> String {
    format!("{why}; hint: raise `body_size_limit`")
}

async fn bytes(file: &Path) -> Result<Vec<u8>, String> {
    let file: PathBuf = file.to_owned();
    tokio::fs::read(&file).await.map_err(|error| format!("failed to read {}: {error}", file.display()))
}

/// What a file holds, without the line end at its end.
async fn secret(file: &Path) -> Result<String, String> {
    let text = String::from_utf8(bytes(file).await?).map_err(|_| format!("{} is not text", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn unusable(file: &Path, error: &reqwest::Error) -> String {
    format!("{} can't be used: {}", file.display(), described(error))
}

/// The whole chain, without the URL, which stands beside it anyhow and may hold secrets.
fn described(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        parts.push(cause.to_string());
        source = cause.source();
    }
    if parts.is_empty() { "the request failed".to_owned() } else { parts.join(": ") }
}

#[cfg(test)]
mod tests;
