//! Settings of a store.

use crate::faults::Faults;
use quarterdeck_model::Span;
use quarterdeck_model::clock::Clock;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone)]
pub struct Options {
    /// The folder; made if it is missing. One store at a time may have it open.
    pub dir: PathBuf,
    /// With less free space than this on the folder's disk, commits are refused with `DiskFull`.
    pub free_space_floor_bytes: u64,
    pub retention: Retention,
    /// Series that had a sample in the last hours. Samples of new ones beyond it are refused with `TooManySeries`.
    pub max_series: u64,
    /// How much older than the newest one of its series a sample may be. Older ones are refused and counted.
    pub out_of_order: Span,
    pub clock: Arc<dyn Clock>,
    #[doc(hidden)]
    pub faults: Faults,
}

impl Options {
    /// A floor of 256 MiB, the default retention, a million series, ten minutes out of order.
    pub fn new(dir: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Options {
            dir: dir.into(),
            free_space_floor_bytes: 256 << 20,
            retention: Retention::default(),
            max_series: MAX_SERIES,
            out_of_order: OUT_OF_ORDER,
            clock,
            faults: Faults::default(),
        }
    }
}

/// How long history is kept. Documents stay until they are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Age of the oldest event.
    pub events: Span,
    /// Age of the oldest sample.
    pub samples: Span,
    /// Bytes of the log, as encoded; the oldest events go first. What a durable consumer has not read stays, until the log is
    /// twice as large.
    pub log_bytes: u64,
    /// Whether old samples are thinned.
    pub thinning: Option<Thinning>,
}

/// Of samples that are older than `after`, the last one of each step is kept. It is done by the day, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thinning {
    pub after: Span,
    pub step: Span,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            events: Span::from_secs(7 * 86_400),
            samples: Span::from_secs(15 * 86_400),
            log_bytes: 1 << 30,
            thinning: None,
        }
    }
}

/// The series of a whole store, unless set.
pub(crate) const MAX_SERIES: u64 = 1_000_000;
pub(crate) const OUT_OF_ORDER: Span = Span::from_secs(600);
