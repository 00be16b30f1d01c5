//! Series and samples, and the ports to them.
//!
//! - [`ingest`]: in by handles, for callers that send much; [`query`]: by matchers, for a query language

pub mod ingest;
pub mod query;

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

/// Bytes of a metric's name, at most.
pub const METRIC_BYTES: usize = 256;
/// Bytes of a series' labels, at most, each counted with [`LABEL_EXTRA_BYTES`] more.
pub const LABELS_BYTES: usize = 3_552;
pub const LABEL_EXTRA_BYTES: usize = 6;

/// Whether a series of that name can be stored; if not, why.
///
/// # Errors
/// What is too long or missing, for a person.
pub fn check_lengths(metric: &str, labels: &Labels) -> Result<(), String> {
    if metric.is_empty() || metric.contains('\0') {
        return Err(format!("{metric:?} is not a metric's name; hint: at least one character, and no NUL"));
    }
    if metric.len() > METRIC_BYTES {
        let length = metric.len();
        return Err(format!("a metric's name has {length} bytes; hint: {METRIC_BYTES} are the limit"));
    }
    let bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len() + LABEL_EXTRA_BYTES).sum();
    if bytes > LABELS_BYTES {
        return Err(format!(
            "the labels of a series of `{metric}` take {bytes} bytes; hint: {LABELS_BYTES} are the limit, \
             {LABEL_EXTRA_BYTES} more for each label included"
        ));
    }
    Ok(())
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

/// Which part of a range is wanted, and what it may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Only the last sample of each step, counted from the start of the range; every sample without.
    pub step: Option<Span>,
    /// Only series whose labels, as text, come behind this.
    pub after: Option<String>,
    /// Series at most; those without a sample in the range don't count.
    pub series: usize,
    /// Points of all of them together, at most.
    pub points: usize,
}

impl Part {
    /// All of it, whatever it costs.
    pub fn all() -> Self {
        Part { step: None, after: None, series: usize::MAX, points: usize::MAX }
    }
}

/// A part of a range: series in the order of their labels as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartOfRange {
    pub series: Vec<SeriesData>,
    /// `after` of the next part; `None` at the end.
    pub next: Option<String>,
}

/// A sample older than this is not "now" any more (Prometheus's lookback).
pub const LOOKBACK: Span = Span::from_secs(300);

#[async_trait]
pub trait Series: Send + Sync + 'static {
    /// Visible to readers on return, durable within a second. A second sample of one series and time is dropped; so are samples that are
    /// older than the newest of their series by more than the store takes out of order, or over ten minutes in the future.
    ///
    /// # Errors
    /// [`StoreError::Busy`], and [`StoreError::TooManySeries`] after those of known series were taken; the store's others.
    async fn append(&self, samples: Vec<Sample>) -> Result<(), StoreError>;

    /// Returns when every sample appended so far is on the disk: for callers that acknowledge them.
    async fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The newest sample of each selected series that is no older than `lookback`, nor than an hour. A series that has ended has none.
    fn latest(&self, selector: &Selector, now: Timestamp, lookback: Span) -> Vec<Sample>;

    /// `from` exclusive, `to` inclusive, without the markers of an end. Holds all of it in memory: for callers that bound what they ask for.
    fn range(&self, selector: &Selector, from: Timestamp, to: Timestamp) -> Result<Vec<SeriesData>, StoreError>;

    /// The same in bounds: what doesn't belong to the part is not kept while reading.
    ///
    /// # Errors
    /// [`StoreError::TooManyPoints`] as soon as the part has more points than it may.
    fn part_of_range(
        &self,
        selector: &Selector,
        from: Timestamp,
        to: Timestamp,
        part: &Part,
    ) -> Result<PartOfRange, StoreError>;

    /// Names of all metrics, sorted.
    fn names(&self) -> Vec<String>;
}
