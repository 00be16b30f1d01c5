//! Which incident does this alert belong to, and how severe is it?

use crate::label::Labels;
use crate::plugin::{CallResult, InstanceName};
use crate::severity::Severity;
use crate::time::Timestamp;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertSummary {
    pub fingerprint: String,
    pub name: String,
    pub severity: Severity,
    pub labels: Labels,
    pub summary: String,
    pub active_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIncident {
    pub id: String,
    pub key: String,
    pub severity: Severity,
    pub opened_at: Timestamp,
    pub alerts: Vec<AlertSummary>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "placement", rename_all = "kebab-case")]
pub enum Placement {
    Join { incident: String, severity: Severity },
    Open { key: String, title: String, severity: Severity },
    Ignore { reason: String },
}

#[async_trait]
pub trait Correlator: Send + Sync + 'static {
    async fn correlate(
        &self,
        instance: &InstanceName,
        alert: &AlertSummary,
        open: &[OpenIncident],
        now: Timestamp,
    ) -> CallResult<Placement>;
}
