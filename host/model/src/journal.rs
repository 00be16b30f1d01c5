//! The port to journals: sequences of entries that nobody acts on, kept in bounds. They are no part of any decision, so they may be
//! lost with the last second before a crash, and nobody waits for the disk.

use crate::store::StoreError;
use crate::time::{Span, Timestamp};
use async_trait::async_trait;

/// An entry, in the words of whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was written; never read backwards from one entry to the next.
    pub at: Timestamp,
    pub bytes: Vec<u8>,
}

/// How much a journal may hold. What is over goes, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub keep: Span,
    pub bytes: u64,
}

/// A part of a journal, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    pub entries: Vec<Entry>,
    /// Read on from here. `None`: that was all.
    pub next: Option<u64>,
}

/// What a journal holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub entries: u64,
    pub bytes: u64,
}

#[async_trait]
pub trait Journals: Send + Sync + 'static {
    /// Adds entries, and lets go of what is over the bounds (without entries, that alone). Returns when readers see them; the
    /// system takes them to the disk in its own time: a power cut may cost the newest, a kill costs none.
    async fn write(&self, journal: &str, entries: Vec<Entry>, bounds: Bounds) -> Result<(), StoreError>;

    /// A part of about that many bytes, from the start (0) or from where the part before ended. Blocks: a thread that may wait for
    /// the disk calls it.
    fn read(&self, journal: &str, from: u64, bytes: usize) -> Result<Stretch, StoreError>;

    fn extent(&self, journal: &str) -> Result<Extent, StoreError>;

    /// The journals that hold anything.
    fn journals(&self) -> Result<Vec<String>, StoreError>;
}
