//! Tell this recipient.

use crate::label::Labels;
use crate::plugin::{ActResult, InstanceName, Outcome};
use crate::severity::Severity;
use crate::time::Timestamp;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub event_type: String,
    pub subject: String,
    pub title: String,
    pub body: String,
    pub severity: Severity,
    pub labels: Labels,
    pub at: Timestamp,
    pub url: String,
    pub data: Value,
}

#[async_trait]
pub trait Notifier: Send + Sync + 'static {
    async fn notify(&self, instance: &InstanceName, message: &Message, key: &str) -> ActResult<Outcome>;

    async fn poll(&self, instance: &InstanceName, token: &str) -> ActResult<Outcome>;
}
