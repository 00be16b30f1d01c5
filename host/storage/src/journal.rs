//! Journals: rings of entries that nobody acts on. Each has a folder of files that are only appended to and go as a whole, the oldest
//! first; no sync is made for them, and sled knows nothing of them: what a call costs with a journal is about what its copy costs.
//!
//! - `ring`: the files of one journal
//!
//! A folder has a number for a name, and the journal's name in a file.

mod ring;

use crate::disk::{Disk, at, failure};
use crate::keys;
use quarterdeck_model::Timestamp;
use quarterdeck_model::journal::{Batch, Bounds, Extent, Stretch};
use quarterdeck_model::store::StoreError;
use ring::Ring;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const NAME: &str = "name";

/// An entry takes no more than this beside its bytes.
pub(crate) const ENTRY_BYTES: usize = 16;

pub(crate) struct Journals {
    folder: PathBuf,
    rings: Mutex<BTreeMap<String, Arc<Mutex<Ring>>>>,
}

impl Journals {
    /// Looks at what is there. What a crash left of a last block is cut off; what is damaged before it is left out, and said.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, StoreError> {
        std::fs::create_dir_all(&folder).map_err(|error| at(&folder, &error))?;
        let mut rings = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).map_err(|error| at(&folder, &error))? {
            let path = entry.map_err(|error| at(&folder, &error))?.path();
            match std::fs::read_to_string(path.join(NAME)) {
                Ok(name) if keys::check_journal(&name).is_ok() => {
                    rings.insert(name, Arc::new(Mutex::new(Ring::open(path)?)));
                }
                // Made a moment before a crash, and never written to.
                _ => tracing::warn!(path = %path.display(), "a folder that is no journal is left alone"),
            }
        }
        Ok(Journals { folder, rings: Mutex::new(rings) })
    }

    /// Puts the entries behind those that are there, and removes what is over the bounds.
    pub(crate) fn append(
        &self,
        journal: &str,
        entries: &Batch,
        bounds: Bounds,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ring = match self.ring(journal) {
            Some(ring) => ring,
            None if entries.is_empty() => return Ok(()),
            None => self.add(journal)?,
        };
        let mut ring = lock(&ring);
        ring.append(entries, bounds)?;
        ring.trim(bounds, now)
    }

    pub(crate) fn read(&self, journal: &str, from: u64, bytes: usize) -> Result<Stretch, StoreError> {
        let Some(ring) = self.ring(journal) else { return Ok(Stretch::default()) };
        // Files are read without the lock: they only grow.
        let files = lock(&ring).files();
        files.read(from, bytes)
    }

    pub(crate) fn extent(&self, journal: &str) -> Extent {
        self.ring(journal).map(|ring| lock(&ring).extent()).unwrap_or_default()
    }

    /// Of those that hold anything.
    pub(crate) fn names(&self) -> Vec<String> {
        let rings = lock(&self.rings);
        let holding = rings.iter().filter(|(_, ring)| lock(ring).extent().entries > 0);
        holding.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.rings).values().map(|ring| lock(ring).extent().bytes).sum()
    }

    fn ring(&self, journal: &str) -> Option<Arc<Mutex<Ring>>> {
        lock(&self.rings).get(journal).cloned()
    }

    fn add(&self, journal: &str) -> Result<Arc<Mutex<Ring>>, StoreError> {
        let mut rings = lock(&self.rings);
        if let Some(ring) = rings.get(journal) {
            return Ok(Arc::clone(ring));
        }
        let path = (1u32..)
            .map(|number| self.folder.join(number.to_string()))
            .find(|path| !path.exists())
            .ok_or_else(|| StoreError::Invalid("there are too many journals".to_owned()))?;
        std::fs::create_dir(&path).map_err(|error| at(&path, &error))?;
        std::fs::write(path.join(NAME), journal).map_err(|error| at(&path, &error))?;
        let ring = Arc::new(Mutex::new(Ring::open(path)?));
        rings.insert(journal.to_owned(), Arc::clone(&ring));
        Ok(ring)
    }
}

/// Older versions had them in sled. Nobody acts on them, so they are not carried over.
pub(crate) fn remove_those_in_sled(disk: &Disk) -> Result<(), StoreError> {
    for key in [keys::JOURNAL, keys::JOURNAL_RING].into_iter().flat_map(|space| disk.tree.scan_prefix([space]).keys()) {
        disk.remove(&key.map_err(failure)?)?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Span;
    use quarterdeck_model::journal::Entry;

    const ROOMY: Bounds = Bounds { keep: Span::from_secs(3600), bytes: 1 << 30 };

    fn open(folder: &tempfile::TempDir) -> Journals {
        Journals::open(folder.path().join("journals")).unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::MIN.plus(Span::from_secs(seconds))
    }

    fn entry(seconds: u64, bytes: usize) -> Entry {
        Entry { at: at(seconds), bytes: vec![u8::try_from(seconds % 251).unwrap(); bytes] }
    }

    fn append(journals: &Journals, journal: &str, entries: &[Entry], bounds: Bounds, now: Timestamp) {
        journals.append(journal, &entries.iter().collect(), bounds, now).unwrap();
    }

    fn all(journals: &Journals, journal: &str) -> Vec<Entry> {
        let (mut found, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let stretch = journals.read(journal, from, 4_000).unwrap();
            found.extend(stretch.entries);
            next = stretch.next;
        }
        found
    }

    #[test]
    fn what_was_appended_is_read_in_order_in_parts_of_any_size_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let sizes = [0, 1, 100, 5_000, 200_000, 3, 60_000, 60_000, 7];
        let entries: Vec<Entry> = sizes.iter().zip(0..).map(|(size, second)| entry(second, *size)).collect();
        let journals = open(&folder);
        append(&journals, "a/b", &entries[..6], ROOMY, at(9));
        append(&journals, "a/b", &entries[6..], ROOMY, at(9));
        append(&journals, "a/c", &entries[..1], ROOMY, at(9));
        for journals in [journals, open(&folder)] {
            assert_eq!(all(&journals, "a/b"), entries);
            assert_eq!(journals.names(), ["a/b", "a/c"]);
            let extent = journals.extent("a/b");
            assert_eq!(extent.entries, 9);
            assert!(extent.bytes >= sizes.iter().sum::<usize>() as u64, "{extent:?}");
        }
        let journals = open(&folder);
        append(&journals, "a/b", &entries[..1], ROOMY, at(9));
        assert_eq!(all(&journals, "a/b"), [&entries[..], &entries[..1]].concat());
        assert_eq!((all(&journals, "none"), journals.extent("none")), (Vec::new(), Extent::default()));
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much_or_it_is_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let journals = open(&folder);
        let small = Bounds { bytes: 100_000, ..ROOMY };
        for second in 0..500 {
            append(&journals, "j", &[entry(second, 1_000)], small, at(second));
            assert!(journals.extent("j").bytes <= 100_000);
        }
        let kept = all(&journals, "j");
        assert!(kept.len() >= 80, "no more goes than has to: {}", kept.len());
        let expected: Vec<Entry> = (0..500).map(|second| entry(second, 1_000)).collect();
        assert_eq!(kept, expected[500 - kept.len()..]);
        let young = Bounds { keep: Span::from_secs(40), ..small };
        append(&journals, "j", &[], young, at(500));
        let kept = all(&journals, "j");
        assert!((40..60).contains(&kept.len()), "{}", kept.len());
        append(&journals, "j", &[], young, at(600));
        assert_eq!((all(&journals, "j"), journals.extent("j")), (Vec::new(), Extent::default()));
        assert!(journals.names().is_empty());
        append(&journals, "j", &[entry(601, 5)], small, at(601));
        assert_eq!(all(&journals, "j"), [entry(601, 5)], "it goes on behind what is gone");
        append(&journals, "j", &[entry(602, 200_000)], small, at(602));
        assert_eq!(all(&journals, "j"), [], "what is larger than all that may be kept is not kept");
    }

    #[test]
    fn a_reader_goes_on_where_it_was_although_what_it_read_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let journals = open(&folder);
        let bounds = Bounds { bytes: 100_000, ..ROOMY };
        for second in 0..80 {
            append(&journals, "j", &[entry(second, 1_000)], bounds, at(second));
        }
        let first = journals.read("j", 0, 10_000).unwrap();
        assert_eq!(first.entries[0], entry(0, 1_000));
        for second in 80..150 {
            append(&journals, "j", &[entry(second, 1_000)], bounds, at(second));
        }
        let rest = journals.read("j", first.next.unwrap(), usize::MAX).unwrap();
        let oldest = all(&journals, "j").len();
        assert_eq!(rest.entries.len(), oldest, "all that is left");
        assert_eq!(rest.entries.last(), Some(&entry(149, 1_000)));
    }

    #[test]
    fn what_older_versions_kept_elsewhere_goes() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(quarterdeck_model::clock::ManualClock::at(Timestamp::MIN));
        let disk = Disk::open(&crate::Options::new(folder.path(), clock)).unwrap();
        let keys = [b"jthreshold/a\0".to_vec(), b"rthreshold/a".to_vec()];
        keys.iter().for_each(|key| disk.put(key.clone(), vec![1]).unwrap());
        remove_those_in_sled(&disk).unwrap();
        assert!(keys.iter().all(|key| disk.get(key).unwrap().is_none()));
        assert!(!disk.tree.is_empty(), "everything else stays");
    }

    #[test]
    fn a_torn_block_is_cut_off_wherever_it_ends_and_writing_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let journals = open(&folder);
        append(&journals, "j", &[entry(1, 100)], ROOMY, at(1));
        let path = folder.path().join("journals/1/0000000001.log");
        let one = std::fs::metadata(&path).unwrap().len();
        append(&journals, "j", &[entry(2, 100), entry(3, 7)], ROOMY, at(3));
        let whole = std::fs::read(&path).unwrap();
        for end in one..whole.len() as u64 {
            std::fs::write(&path, &whole[..end as usize]).unwrap();
            let journals = open(&folder);
            assert_eq!(all(&journals, "j"), [entry(1, 100)], "{end}");
            append(&journals, "j", &[entry(4, 9)], ROOMY, at(4));
            assert_eq!(all(&journals, "j"), [entry(1, 100), entry(4, 9)], "{end}");
        }
        for place in one..whole.len() as u64 {
            let mut bytes = whole.clone();
            bytes[place as usize] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(all(&open(&folder), "j"), [entry(1, 100)], "{place}");
        }
    }

    /// Five blocks of one entry each, and where they begin in the file; and where it ends.
    fn five(folder: &tempfile::TempDir) -> (std::path::PathBuf, Vec<u8>, Vec<usize>) {
        let journals = open(folder);
        let path = folder.path().join("journals/1/0000000001.log");
        let mut places = vec![0];
        for second in 1..=5 {
            append(&journals, "j", &[entry(second, 100)], ROOMY, at(second));
            places.push(usize::try_from(std::fs::metadata(&path).unwrap().len()).unwrap());
        }
        let whole = std::fs::read(&path).unwrap();
        (path, whole, places)
    }

    fn without(damaged: &[u64]) -> Vec<Entry> {
        (1..=5).filter(|second| !damaged.contains(second)).map(|second| entry(second, 100)).collect()
    }

    #[test]
    fn what_stands_behind_a_damaged_block_is_kept_whichever_of_its_bytes_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let (path, whole, places) = five(&folder);
        for block in 0..4 {
            for place in places[block]..places[block + 1] {
                for flip in [0x01, 0x80] {
                    let mut bytes = whole.clone();
                    bytes[place] ^= flip;
                    std::fs::write(&path, &bytes).unwrap();
                    // Begun by the appends below where a time is so wrong that the file seems to be old.
                    let _ = std::fs::remove_file(path.with_file_name("0000000002.log"));
                    let journals = open(&folder);
                    let expected = without(&[block as u64 + 1]);
                    assert_eq!(all(&journals, "j"), expected, "{place}");
                    append(&journals, "j", &[entry(6, 9)], ROOMY, at(6));
                    let more = [expected, vec![entry(6, 9)]].concat();
                    assert_eq!(all(&journals, "j"), more, "{place}");
                    assert_eq!(all(&open(&folder), "j"), more, "{place}, after another start");
                }
            }
        }
    }

    #[test]
    fn a_page_that_never_reached_the_disk_costs_the_blocks_that_it_touches() {
        let folder = tempfile::tempdir().unwrap();
        let (path, whole, places) = five(&folder);
        for (from, until, damaged) in [
            (places[1], places[2], vec![2]),
            (places[1] + 40, places[3] + 40, vec![2, 3, 4]),
            (0, places[2] - 1, vec![1, 2]),
            (places[3] + 1, places[5], vec![4, 5]),
            (0, places[5], vec![1, 2, 3, 4, 5]),
        ] {
            let mut bytes = whole.clone();
            bytes[from..until].fill(0);
            std::fs::write(&path, &bytes).unwrap();
            for journals in [open(&folder), open(&folder)] {
                assert_eq!(all(&journals, "j"), without(&damaged), "{from}..{until}");
                assert_eq!(journals.extent("j").entries, 5 - damaged.len() as u64, "{from}..{until}");
            }
        }
    }

    #[test]
    fn what_is_damaged_while_the_host_runs_is_left_out_by_readers() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut bytes, places) = five(&folder);
        let journals = open(&folder);
        bytes[places[1]..places[2]].fill(0xff);
        std::fs::write(&path, &bytes).unwrap();
        for _ in 0..2 {
            assert_eq!(all(&journals, "j"), without(&[2]));
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "readers change nothing");
        // Nobody is told to begin there; whoever does gets what stands behind it.
        let inside = 1 << 32 | (places[3] as u64 + 5);
        assert_eq!(journals.read("j", inside, usize::MAX).unwrap().entries, [entry(5, 100)]);
    }

    #[test]
    fn entries_that_look_like_heads_end_the_search_and_not_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _, _) = five(&folder);
        // Where its head was, everything after it seems to begin a block of a megabyte.
        let mut bytes = vec![0xff; 28];
        let at = at(3).as_millis();
        let head = [1_u32 << 20, 0, 1].map(u32::to_le_bytes).concat();
        let head = [head, at.to_le_bytes().to_vec(), at.to_le_bytes().to_vec()].concat();
        let mut entry = Vec::new();
        crate::codec::put_int(&mut entry, at);
        while bytes.len() < 2 << 20 {
            bytes.extend([head.as_slice(), &entry].concat());
        }
        std::fs::write(&path, &bytes).unwrap();
        let journals = open(&folder);
        assert_eq!((all(&journals, "j"), journals.extent("j")), (Vec::new(), Extent::default()));
    }
}
