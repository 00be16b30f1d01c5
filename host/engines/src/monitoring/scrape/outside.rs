//! The ports to what is outside: pages of targets, and names.

use super::dns::Dns;
use super::http::Http;
use async_trait::async_trait;
use quarterdeck_model::Span;
use quarterdeck_model::domain::scrape::{Authorization, BasicAuth, Record, TlsConfig};
use std::sync::Arc;

/// A page that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub url: String,
    pub within: Span,
    /// Bytes of the page, uncompressed, at most.
    pub limit: usize,
    pub follow_redirects: bool,
    pub basic_auth: Option<BasicAuth>,
    pub authorization: Option<Authorization>,
    pub tls: TlsConfig,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub body: Vec<u8>,
    pub content_type: Option<String>,
}

/// How targets are asked.
#[async_trait]
pub trait Targets: Send + Sync + 'static {
    /// # Errors
    /// Why there is no page, for a person.
    async fn ask(&self, ask: &Ask) -> Result<Answer, String>;
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// An address, or the name that a record of type SRV holds.
    pub host: String,
    /// Of a record of type SRV.
    pub port: Option<u16>,
}

/// How names are looked up.
#[async_trait]
pub trait Names: Send + Sync + 'static {
    /// # Errors
    /// Why the name leads nowhere, for a person.
    async fn look_up(&self, name: &str, record: Record) -> Result<Vec<Found>, String>;
}

/// Everything outside that scraping needs.
#[derive(Clone)]
pub struct Outside {
    pub targets: Arc<dyn Targets>,
    pub names: Arc<dyn Names>,
}

impl Outside {
    /// The network.
    pub fn network() -> Self {
        Outside { targets: Arc::new(Http::default()), names: Arc::new(Dns::default()) }
    }
}
