//! What was attained?

use crate::plugin::{CallResult, InstanceName};
use crate::time::Timestamp;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Samples of one part of a period, oldest first, as two columns of equal length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlaWindow {
    pub from: Timestamp,
    pub to: Timestamp,
    pub at: Vec<Timestamp>,
    pub values: Vec<f64>,
    /// Half-open: from inclusive, to exclusive.
    pub exclusions: Vec<(Timestamp, Timestamp)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    pub good: f64,
    pub total: f64,
    /// `None`: no data.
    pub attained: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attainment {
    pub adjusted: Figure,
    pub raw: Figure,
    /// `None`: no data, which is never "met".
    pub met: Option<bool>,
    pub budget_left: Option<f64>,
}

/// `config` is the objective's, laid over the instance's (key by key). Clocks inside the sandbox show the end of the window that is
/// folded, and else `now`.
#[async_trait]
pub trait SlaCalculator: Send + Sync + 'static {
    async fn fold(
        &self,
        instance: &InstanceName,
        config: &Map<String, Value>,
        window: &SlaWindow,
        partial: Option<&[u8]>,
    ) -> CallResult<Vec<u8>>;

    async fn merge(
        &self,
        instance: &InstanceName,
        config: &Map<String, Value>,
        a: &[u8],
        b: &[u8],
        now: Timestamp,
    ) -> CallResult<Vec<u8>>;

    async fn finish(
        &self,
        instance: &InstanceName,
        config: &Map<String, Value>,
        partial: &[u8],
        now: Timestamp,
    ) -> CallResult<Attainment>;
}
