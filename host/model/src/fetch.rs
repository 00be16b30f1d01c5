//! Fetching a page for an engine, through the same door (grants, addresses, limits) as a plugin's requests.

use async_trait::async_trait;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    pub status: u16,
    /// In the order in which they came; names in lower case.
    pub headers: Vec<(String, String)>,
    /// At most the bytes that were asked for.
    pub body: Vec<u8>,
}

#[async_trait]
pub trait Fetch: Send + Sync + 'static {
    /// A GET without following redirects. `allow` are origins as in [`crate::plugin::Grants::http`]; `origin` is sent as the header
    /// `Origin`, as browsers do with requests of another site's scripts.
    ///
    /// # Errors
    /// What went wrong, for a person.
    async fn get(&self, url: &str, allow: &[String], max_bytes: usize, origin: Option<&str>)
    -> Result<Fetched, String>;
}
