//! What is true of this target now?

use crate::label::Labels;
use crate::plugin::{CallResult, InstanceName};
use crate::time::Timestamp;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    Gauge,
    Counter,
    Histogram,
    Summary,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Family {
    pub name: String,
    pub metric_type: MetricType,
    pub help: String,
    /// `labels`, `values` and, unless empty, `at` have equal length.
    pub labels: Vec<Labels>,
    pub values: Vec<f64>,
    pub at: Vec<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    Ok,
    Degraded,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    pub state: Condition,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collection {
    pub families: Vec<Family>,
    pub health: Health,
}

#[async_trait]
pub trait Collector: Send + Sync + 'static {
    async fn collect(&self, instance: &InstanceName, now: Timestamp) -> CallResult<Collection>;
}
