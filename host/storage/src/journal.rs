//! Journals: rings of blocks of entries, a ring for each name. Beside the log, not in it: nobody acts on them, so they have no sync
//! of their own, and a block that a crash cut off is passed over.
//!
//! A block holds what was appended at once, up to [`BLOCK_BYTES`] unless a single entry is larger. The place of a ring (where it goes
//! on, what it holds) is written behind its blocks.

use crate::codec::{Input, put_bytes, put_int, put_uint};
use crate::disk::{Disk, failure};
use crate::keys::{self, VALUE_BYTES};
use quarterdeck_model::Timestamp;
use quarterdeck_model::journal::{Bounds, Entry, Extent, Stretch};
use quarterdeck_model::store::StoreError;
use sled::IVec;

/// A block is closed when it has so many bytes.
const BLOCK_BYTES: usize = 56 << 10;
/// Blocks that one call removes at most, so that commits don't wait long. The next call goes on.
const REMOVED: usize = 512;

/// Where a ring goes on, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ring {
    next: u64,
    bytes: u64,
    entries: u64,
}

/// What stands in front of a block.
struct Header {
    /// Of its newest entry.
    at: Timestamp,
    entries: u64,
}

struct Block {
    order: u64,
    parts: u16,
    bytes: Vec<u8>,
}

impl Block {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn open(&self) -> Option<(Header, Input<'_>)> {
        let mut input = Input::new(&self.bytes);
        let _parts: [u8; 2] = input.fixed()?;
        let at = Timestamp::from_millis(input.int()?);
        Some((Header { at, entries: input.uint()? }, input))
    }

    fn entries(&self) -> Option<Vec<Entry>> {
        let (header, mut input) = self.open()?;
        (0..header.entries)
            .map(|_| Some(Entry { at: Timestamp::from_millis(input.int()?), bytes: input.bytes()?.to_vec() }))
            .collect()
    }
}

/// Puts the entries behind those that are there, and removes what is over the bounds.
pub(crate) fn append(
    disk: &Disk,
    journal: &str,
    entries: &[Entry],
    bounds: Bounds,
    now: Timestamp,
) -> Result<(), StoreError> {
    let before = ring(disk, journal)?;
    let mut ring = before;
    let mut rest = entries;
    while !rest.is_empty() {
        let mut bytes = 0;
        let taken = rest.iter().take_while(|entry| {
            let is_first = bytes == 0;
            bytes += entry.bytes.len() + 16;
            is_first || bytes <= BLOCK_BYTES
        });
        let (block, behind) = rest.split_at_checked(taken.count()).unwrap_or((rest, &[]));
        ring.bytes += put(disk, journal, ring.next, block)?;
        ring.next += 1;
        ring.entries += block.len() as u64;
        rest = behind;
    }
    trim(disk, journal, &mut ring, bounds, now)?;
    if ring != before { put_ring(disk, journal, ring) } else { Ok(()) }
}

/// Returns the bytes of the block.
fn put(disk: &Disk, journal: &str, order: u64, entries: &[Entry]) -> Result<u64, StoreError> {
    let mut bytes = vec![0, 0];
    put_int(&mut bytes, entries.last().map_or(0, |entry| entry.at.as_millis()));
    put_uint(&mut bytes, entries.len() as u64);
    for entry in entries {
        put_int(&mut bytes, entry.at.as_millis());
        put_bytes(&mut bytes, &entry.bytes);
    }
    let parts = u16::try_from(bytes.len().div_ceil(VALUE_BYTES))
        .map_err(|_| StoreError::Invalid("an entry of a journal is too large".to_owned()))?;
    if let Some(place) = bytes.first_chunk_mut::<2>() {
        *place = parts.to_be_bytes();
    }
    for (part, chunk) in (0..parts).zip(bytes.chunks(VALUE_BYTES)) {
        disk.put(keys::journal_part(journal, order, part), chunk.to_vec())?;
    }
    Ok(bytes.len() as u64)
}

fn trim(disk: &Disk, journal: &str, ring: &mut Ring, bounds: Bounds, now: Timestamp) -> Result<(), StoreError> {
    let oldest = now.minus(bounds.keep);
    let mut blocks = Blocks::from(disk, journal, 0);
    for _ in 0..REMOVED {
        let Some(block) = blocks.next()? else {
            // Whatever was counted and is not there any more.
            *ring = Ring { next: ring.next, ..Ring::default() };
            return Ok(());
        };
        let header = block.open().map(|(header, _)| header);
        if ring.bytes <= bounds.bytes && header.as_ref().is_some_and(|header| header.at >= oldest) {
            return Ok(());
        }
        for part in 0..block.parts {
            disk.remove(&keys::journal_part(journal, block.order, part))?;
        }
        ring.bytes = ring.bytes.saturating_sub(block.size());
        ring.entries = ring.entries.saturating_sub(header.map_or(0, |header| header.entries));
    }
    Ok(())
}

fn ring(disk: &Disk, journal: &str) -> Result<Ring, StoreError> {
    let Some(value) = disk.get(&keys::journal_ring(journal))? else { return Ok(Ring::default()) };
    let mut input = Input::new(&value);
    let mut read = || Some(Ring { next: input.uint()?, bytes: input.uint()?, entries: input.uint()? });
    read().ok_or_else(|| StoreError::Corrupt(format!("the place of the journal `{journal}`")))
}

fn put_ring(disk: &Disk, journal: &str, ring: Ring) -> Result<(), StoreError> {
    let mut bytes = Vec::with_capacity(24);
    [ring.next, ring.bytes, ring.entries].into_iter().for_each(|number| put_uint(&mut bytes, number));
    disk.put(keys::journal_ring(journal), bytes)
}

pub(crate) fn extent(disk: &Disk, journal: &str) -> Result<Extent, StoreError> {
    let Ring { bytes, entries, .. } = ring(disk, journal)?;
    Ok(Extent { entries, bytes })
}

pub(crate) fn names(disk: &Disk) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for entry in disk.tree.scan_prefix([keys::JOURNAL_RING]) {
        let (key, _) = entry.map_err(failure)?;
        let name = keys::name_of_ring(&key).ok_or_else(|| StoreError::Corrupt("the name of a journal".to_owned()))?;
        if extent(disk, name)?.entries > 0 {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

pub(crate) fn read(disk: &Disk, journal: &str, from: u64, bytes: usize) -> Result<Stretch, StoreError> {
    let mut blocks = Blocks::from(disk, journal, from);
    let mut stretch = Stretch::default();
    let mut taken = 0;
    while let Some(block) = blocks.next()? {
        let entries = block.entries();
        stretch.entries.extend(entries.ok_or_else(|| StoreError::Corrupt(format!("the journal `{journal}`")))?);
        taken += block.bytes.len();
        if taken >= bytes {
            stretch.next = Some(block.order + 1);
            break;
        }
    }
    Ok(stretch)
}

/// The whole blocks of a journal, in order.
struct Blocks {
    entries: sled::Iter,
    pushed_back: Option<(IVec, IVec)>,
}

impl Blocks {
    fn from(disk: &Disk, journal: &str, order: u64) -> Self {
        let range = keys::journal_part(journal, order, 0)..=keys::journal_part(journal, u64::MAX, u16::MAX);
        Blocks { entries: disk.tree.range(range), pushed_back: None }
    }

    fn entry(&mut self) -> Result<Option<(IVec, IVec)>, StoreError> {
        match self.pushed_back.take() {
            Some(entry) => Ok(Some(entry)),
            None => self.entries.next().transpose().map_err(failure),
        }
    }

    fn next(&mut self) -> Result<Option<Block>, StoreError> {
        'blocks: loop {
            let Some((key, value)) = self.entry()? else { return Ok(None) };
            let Some((order, 0)) = keys::parse_journal_part(&key) else { continue };
            let parts = value.first_chunk::<2>().map_or(0, |parts| u16::from_be_bytes(*parts));
            let mut bytes = value.to_vec();
            for part in 1..parts {
                match self.entry()? {
                    Some((key, value)) if keys::parse_journal_part(&key) == Some((order, part)) => {
                        bytes.extend_from_slice(&value);
                    }
                    other => {
                        self.pushed_back = other;
                        continue 'blocks;
                    }
                }
            }
            return Ok(Some(Block { order, parts, bytes }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Span;
    use quarterdeck_model::clock::ManualClock;
    use std::sync::Arc;

    const ROOMY: Bounds = Bounds { keep: Span::from_secs(3600), bytes: 1 << 30 };

    fn disk(folder: &tempfile::TempDir) -> Disk {
        let clock = Arc::new(ManualClock::at(Timestamp::MIN));
        Disk::open(&crate::Options::new(folder.path(), clock)).unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::MIN.plus(Span::from_secs(seconds))
    }

    fn entry(seconds: u64, bytes: usize) -> Entry {
        Entry { at: at(seconds), bytes: vec![u8::try_from(seconds % 251).unwrap(); bytes] }
    }

    fn all(disk: &Disk, journal: &str) -> Vec<Entry> {
        let (mut found, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let stretch = read(disk, journal, from, 4_000).unwrap();
            found.extend(stretch.entries);
            next = stretch.next;
        }
        found
    }

    #[test]
    fn what_was_appended_is_read_in_order_in_parts_of_any_size() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(&folder);
        let sizes = [0, 1, 100, 5_000, 200_000, 3, 60_000, 60_000, 7];
        let entries: Vec<Entry> = sizes.iter().zip(0..).map(|(size, second)| entry(second, *size)).collect();
        append(&disk, "a/b", &entries[..6], ROOMY, at(9)).unwrap();
        append(&disk, "a/b", &entries[6..], ROOMY, at(9)).unwrap();
        append(&disk, "a/c", &entries[..1], ROOMY, at(9)).unwrap();
        assert_eq!(all(&disk, "a/b"), entries);
        assert_eq!(names(&disk).unwrap(), ["a/b", "a/c"]);
        let extent = extent(&disk, "a/b").unwrap();
        assert_eq!(extent.entries, 9);
        assert!(extent.bytes >= sizes.iter().sum::<usize>() as u64, "{extent:?}");
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much_or_it_is_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(&folder);
        let small = Bounds { bytes: 10_000, ..ROOMY };
        for second in 0..50 {
            append(&disk, "j", &[entry(second, 1_000)], small, at(second)).unwrap();
            assert!(extent(&disk, "j").unwrap().bytes <= 10_000);
        }
        let kept = all(&disk, "j");
        assert_eq!((kept.len(), kept[0].at, kept[8].at), (9, at(41), at(49)));
        append(&disk, "j", &[], Bounds { keep: Span::from_secs(3), ..small }, at(50)).unwrap();
        assert_eq!(all(&disk, "j").iter().map(|entry| entry.at).collect::<Vec<_>>(), [at(47), at(48), at(49)]);
        append(&disk, "j", &[], Bounds { keep: Span::from_secs(3), ..small }, at(90)).unwrap();
        assert_eq!((all(&disk, "j"), extent(&disk, "j").unwrap()), (Vec::new(), Extent::default()));
        assert!(names(&disk).unwrap().is_empty());
        append(&disk, "j", &[entry(91, 5)], small, at(91)).unwrap();
        assert_eq!(all(&disk, "j"), [entry(91, 5)], "it goes on behind what is gone");
    }

    #[test]
    fn a_block_that_a_crash_cut_off_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let disk = disk(&folder);
        for second in 0..3 {
            append(&disk, "j", &[entry(second, 10_000)], ROOMY, at(second)).unwrap();
        }
        disk.remove(&keys::journal_part("j", 1, 2)).unwrap();
        assert_eq!(all(&disk, "j"), [entry(0, 10_000), entry(2, 10_000)]);
        // The place of the ring was lost with the block: the next one is written over what is left of it.
        put_ring(&disk, "j", Ring { next: 2, bytes: 20_000, entries: 2 }).unwrap();
        append(&disk, "j", &[entry(5, 10)], ROOMY, at(5)).unwrap();
        assert_eq!(all(&disk, "j"), [entry(0, 10_000), entry(5, 10)]);
    }
}
