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

/// Entries that are written together, behind one another in one piece of memory: where many are written, an allocation for each would
/// cost more than its copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    bytes: Vec<u8>,
    /// When each was written, and where its bytes end.
    ends: Vec<(Timestamp, usize)>,
}

impl Batch {
    /// A time before that of the entry in front counts as that one.
    pub fn push(&mut self, at: Timestamp, bytes: &[u8]) {
        let at = self.ends.last().map_or(at, |(before, _)| at.max(*before));
        self.bytes.extend_from_slice(bytes);
        self.ends.push((at, self.bytes.len()));
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all entries.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Memory that it takes.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<(Timestamp, usize)>()
    }

    /// In the order in which they were put in.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, &[u8])> {
        let mut begin = 0;
        self.ends.iter().map(move |(at, end)| {
            let bytes = self.bytes.get(begin..*end).unwrap_or_default();
            begin = *end;
            (*at, bytes)
        })
    }
}

impl<'a> FromIterator<&'a Entry> for Batch {
    fn from_iter<I: IntoIterator<Item = &'a Entry>>(entries: I) -> Self {
        let mut batch = Batch::default();
        entries.into_iter().for_each(|entry| batch.push(entry.at, &entry.bytes));
        batch
    }
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
    async fn write(&self, journal: &str, entries: Batch, bounds: Bounds) -> Result<(), StoreError>;

    /// A part of about that many bytes, from the start (0) or from where the part before ended. Blocks: a thread that may wait for
    /// the disk calls it.
    fn read(&self, journal: &str, from: u64, bytes: usize) -> Result<Stretch, StoreError>;

    fn extent(&self, journal: &str) -> Result<Extent, StoreError>;

    /// The journals that hold anything.
    fn journals(&self) -> Result<Vec<String>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_put_in_and_time_does_not_run_backwards_in_it() {
        let mut batch = Batch::default();
        assert!(batch.is_empty() && batch.memory() == 0);
        let at = Timestamp::from_millis;
        for (millis, bytes) in [(5, "one"), (7, ""), (6, "three"), (8, "four")] {
            batch.push(at(millis), bytes.as_bytes());
        }
        let entries: Vec<(Timestamp, &[u8])> = batch.iter().collect();
        assert_eq!(entries, [(at(5), &b"one"[..]), (at(7), b""), (at(7), b"three"), (at(8), b"four")]);
        assert_eq!((batch.len(), batch.size()), (4, 12));
        assert!(batch.memory() >= batch.size());
        let entries: Vec<Entry> = batch.iter().map(|(at, bytes)| Entry { at, bytes: bytes.to_vec() }).collect();
        assert_eq!(entries.iter().collect::<Batch>(), batch);
    }
}
