//! The formats in which samples come from elsewhere: Prometheus's text exposition and OpenMetrics, remote write, OTLP metrics.
//!
//! Everything here reads bytes that somebody else wrote, so nothing is believed: sizes are bounded before memory is taken for them,
//! and whatever is wrong is an [`Error`] in words. What is read of a request is a [`Batch`]; a page is read line by line, without an
//! allocation for a sample.
//!
//! Not here: I/O, limits of who may send how much, the store.
//!
//! Layout
//! - `exposition`: pages that are scraped; `exposition/number`, `exposition/series`: parts of a line
//! - `batch`: series with samples, in few allocations
//! - `compressed`: snappy and gzip, bounded
//! - `wire`: protobuf's encoding, read where it stands
//! - `remote_write`: remote write 1.0
//! - `otlp`: metrics of OpenTelemetry, as protobuf and JSON; `otlp/translate`: to Prometheus's names
//! - `strict`: JSON whose objects are objects
//!
//! ```
//! use quarterdeck_formats::exposition::{Format, Item, Page};
//! let mut page = Page::new("up{job=\"node\"} 1\n", Format::Text);
//! let Ok(Some(Item::Sample(sample))) = page.next() else { panic!("a sample") };
//! assert_eq!((sample.series, sample.value), ("up{job=\"node\"}", 1.0));
//! ```

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

mod batch;
pub mod compressed;
pub mod exposition;
pub mod otlp;
pub mod remote_write;
pub mod strict;
mod wire;

pub use batch::{Batch, Metadata, Sample, Series};

/// Prometheus's NaN: what any other one becomes, so that no payload of another meaning is stored.
pub const NAN: u64 = 0x7ff8_0000_0000_0001;
/// Prometheus's marker of a series' end (`quarterdeck_model::series::query::STALE`): the one payload that is kept.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// A value as it may be stored.
#[inline]
pub fn canonical(value: f64) -> f64 {
    if value.is_nan() && value.to_bits() != STALE { f64::from_bits(NAN) } else { value }
}

/// What is wrong with something that was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not what it should be.
    #[error("{0}")]
    Malformed(String),
    /// It is more than is taken at once.
    #[error("{0}")]
    TooLarge(String),
}

impl Error {
    pub(crate) fn malformed(why: impl Into<String>) -> Self {
        Error::Malformed(why.into())
    }
}

/// Whether Prometheus's data model has it as the name of a metric.
pub fn is_metric_name(name: &str) -> bool {
    is_name(name, true)
}

/// Whether Prometheus's data model has it as the name of a label.
pub fn is_label_name(name: &str) -> bool {
    is_name(name, false)
}

fn is_name(name: &str, colons: bool) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (colons && byte == b':');
    name.bytes().next().is_some_and(first) && name.bytes().all(|byte| first(byte) || byte.is_ascii_digit())
}
