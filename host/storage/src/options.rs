//! Settings of a store.

use quarterdeck_model::Span;
use quarterdeck_model::clock::Clock;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone)]
pub struct Options {
    /// The folder; made if it is missing. One store at a time may have it open.
    pub dir: PathBuf,
    /// With less free space than this on the folder's disk, commits are refused with `DiskFull`.
    pub free_space_floor_bytes: u64,
    pub retention: Retention,
    pub clock: Arc<dyn Clock>,
    #[doc(hidden)]
    pub faults: Faults,
}

impl Options {
    /// A floor of 256 MiB, and the default retention.
    pub fn new(dir: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Options {
            dir: dir.into(),
            free_space_floor_bytes: 256 << 20,
            retention: Retention::default(),
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
    /// Bytes of the log, as encoded; the oldest events go first.
    pub log_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { events: Span::from_secs(7 * 86_400), samples: Span::from_secs(15 * 86_400), log_bytes: 1 << 30 }
    }
}

/// Faults that a test injects.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Faults {
    next_sync: Arc<AtomicBool>,
}

impl Faults {
    /// The next fdatasync fails as if the disk were broken.
    pub fn fail_next_sync(&self) {
        self.next_sync.store(true, Ordering::SeqCst);
    }

    pub(crate) fn take_sync(&self) -> bool {
        self.next_sync.swap(false, Ordering::SeqCst)
    }
}
