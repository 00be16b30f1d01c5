//! A question that is answered after minutes.

use super::Client;
use anyhow::Result;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// The daemon ends a replay after ten minutes, and may have to compile before.
const PATIENCE: Duration = Duration::from_secs(900);

impl Client {
    /// Sends a component to be asked about the past.
    pub(crate) async fn replay(&self, path: &str, query: &[(&str, String)], component: Vec<u8>) -> Result<Value> {
        let request = self.request(Method::POST, path, query).timeout(PATIENCE);
        self.answered(false, request.header("Content-Type", "application/octet-stream").body(component)).await
    }
}
