//! Series and samples, and the port to them.

use crate::label::Labels;
use crate::store::StoreError;
use crate::time::{Span, Timestamp};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub at: Timestamp,
    pub value: f64,
}

/// Which series: by exact name, and labels that must all match exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    pub metric: String,
    #[serde(default)]
    pub labels: Labels,
}

/// One series over a range, oldest first, as two columns of equal length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesData {
    pub name: String,
    pub labels: Labels,
    pub at: Vec<Timestamp>,
    pub values: Vec<f64>,
}

/// A sample older than this is not "now" any more (Prometheus's lookback).
pub const LOOKBACK: Span = Span::from_secs(300);

#[async_trait]
pub trait Series: Send + Sync + 'static {
    /// Visible to readers on return, durable within a second. A second sample of one series and time is dropped.
    ///
    /// # Errors
    /// [`StoreError::Busy`], and [`StoreError::TooManySeries`] after those of known series were taken; the store's others.
    async fn append(&self, samples: Vec<Sample>) -> Result<(), StoreError>;

    /// Returns when every sample appended so far is on the disk: for callers that acknowledge them.
    async fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The newest sample of each selected series that is no older than `lookback`.
    fn latest(&self, selector: &Selector, now: Timestamp, lookback: Span) -> Vec<Sample>;

    /// `from` exclusive, `to` inclusive.
    fn range(&self, selector: &Selector, from: Timestamp, to: Timestamp) -> Result<Vec<SeriesData>, StoreError>;

    /// Names of all metrics, sorted.
    fn names(&self) -> Vec<String>;
}
