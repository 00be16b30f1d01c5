//! Series by matchers, as a query language asks for them: the name is a label among others, and what may be read is bounded.

use super::SeriesData;
use crate::label::Labels;
use crate::store::StoreError;
use crate::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// The label that holds the metric's name (Prometheus's data model).
pub const NAME: &str = "__name__";

/// Bits of the NaN that says "this series ended here" (Prometheus's staleness marker). Any other NaN is a value.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Whether a value is the staleness marker.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE
}

/// How a label's value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equal,
    NotEqual,
    /// By a regular expression (RE2's syntax) that has to match the whole value; `.` matches a line feed, too.
    Matches,
    MatchesNot,
}

/// What a label has to be. A label that is missing equals an empty one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matcher {
    pub label: String,
    pub comparison: Comparison,
    pub value: String,
}

/// One series over a range, oldest first, as two columns of equal length: milliseconds since 1970, and values, staleness markers
/// among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// With [`NAME`].
    pub labels: Arc<Labels>,
    pub at: Vec<i64>,
    pub values: Vec<f64>,
}

impl From<SeriesData> for Columns {
    fn from(series: SeriesData) -> Self {
        let labels = Arc::new(series.labels.with(NAME, series.name));
        Columns { labels, at: series.at.iter().map(|at| at.as_millis()).collect(), values: series.values }
    }
}

/// What a query may still read, shared by all of its selections; and the means to end it from outside.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    left: AtomicI64,
    stopped: AtomicBool,
}

impl Budget {
    /// At most so many samples.
    pub fn of_samples(limit: usize) -> Self {
        let left = AtomicI64::new(i64::try_from(limit).unwrap_or(i64::MAX));
        Budget { limit, left, stopped: AtomicBool::new(false) }
    }

    /// Takes samples that are about to be held in memory.
    ///
    /// # Errors
    /// [`StoreError::TooManyPoints`] with the first sample too many, [`StoreError::Stopped`] after [`Budget::stop`].
    pub fn take(&self, samples: usize) -> Result<(), StoreError> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(StoreError::Stopped);
        }
        let samples = i64::try_from(samples).unwrap_or(i64::MAX);
        if self.left.fetch_sub(samples, Ordering::Relaxed) < samples {
            return Err(StoreError::TooManyPoints { limit: self.limit });
        }
        Ok(())
    }

    /// Ends the query at its next step: its time is over, or nobody waits for it.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Between two pieces of work.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] after [`Budget::stop`].
    #[inline]
    pub fn check(&self) -> Result<(), StoreError> {
        if self.is_stopped() { Err(StoreError::Stopped) } else { Ok(()) }
    }

    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// Reading for a query language. Everything is of the calling thread: callers put it on one that may block.
pub trait Querier: Send + Sync + 'static {
    /// Samples of the series that every matcher takes, `from` exclusive, `to` inclusive; series without one are left out. In no order.
    ///
    /// # Errors
    /// Those of [`Budget::take`]; [`StoreError::Invalid`] for a regular expression that is none; the store's others.
    fn select(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
        budget: &Budget,
    ) -> Result<Vec<Columns>, StoreError>;

    /// Labels of the series that every matcher takes and that may have samples in the range, at most `limit`.
    ///
    /// # Errors
    /// As [`Querier::select`].
    fn series(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<Arc<Labels>>, StoreError>;
}
