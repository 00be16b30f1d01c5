//! Is this series abnormal?

use crate::plugin::{CallResult, InstanceName};
use crate::series::SeriesData;
use crate::severity::Severity;
use crate::time::Timestamp;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub now: Timestamp,
    pub from: Timestamp,
    pub series: Vec<SeriesData>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Index into the window's series.
    pub series: usize,
    pub severity: Severity,
    pub value: f64,
    pub expected: Option<f64>,
    pub reason: String,
}

/// A sample that the detector derives from a series of the window, at the time of the evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Derived {
    /// Index into the window's series.
    pub series: usize,
    pub metric: String,
    pub value: f64,
}

/// Samples that a detector may derive from one series.
pub const DERIVED_OF_A_SERIES: usize = 8;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub signals: Vec<Signal>,
    pub state: Option<Vec<u8>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived: Vec<Derived>,
}

#[async_trait]
pub trait Detector: Send + Sync + 'static {
    /// `config` is the rule's, laid over the instance's (key by key).
    async fn evaluate(
        &self,
        instance: &InstanceName,
        config: &Map<String, Value>,
        window: &Window,
        state: Option<&[u8]>,
    ) -> CallResult<Verdict>;
}
