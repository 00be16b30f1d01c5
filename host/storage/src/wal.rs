//! The write-ahead log: two files, of which one is written to. An acknowledgement waits for one write and one fdatasync here, and for
//! nothing of sled, which rewrites whole pages and hands each write through all of its threads.
//!
//! Frames stand in sled's memory at once, where readers find them. Every now and then sled is synced behind them (`checkpoint`), which
//! frees the file that was written to until then. What a crash kept from sled is read from here. A file is written over from its
//! beginning, record by record, each with the file's generation: what an older one has left behind the last record counts for nothing.
//! Generations begin at random with each start, so that none comes a second time, not even one of which a power cut left nothing but
//! what stands behind a torn record.

use crate::disk::at;
use crate::faults::Faults;
use quarterdeck_model::store::StoreError;
use rand::TryRngCore;
use rand::rngs::OsRng;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Length and checksum.
const HEAD: usize = 8;
/// Generation, serial number, order and space.
const PLACE: usize = 25;
/// A record that says it is larger is none.
const RECORD: usize = 1 << 28;
/// A file that has grown beyond this is cut when it is written over.
const KEPT: u64 = 16 << 20;
/// Files grow by so many bytes at a time, of zeros: what is written over them needs nothing of the file system but its own blocks, and an
/// fdatasync takes half the time.
const STEP: usize = 1 << 20;

/// A frame of the log on its way to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) serial: u64,
    pub(crate) space: u8,
    pub(crate) order: u64,
    pub(crate) frame: Vec<u8>,
}

pub(crate) struct Wal {
    faults: Faults,
    files: [File; 2],
    /// Bytes that were ever written to each.
    lengths: [u64; 2],
    /// Both together, for those who only ask: whoever writes is on the way to the disk.
    size: Arc<AtomicU64>,
    current: usize,
    generation: u64,
    /// Where the next record goes.
    end: u64,
    buffer: Vec<u8>,
}

impl Wal {
    /// Reads what is there, in the order of the serial numbers. Nothing of it may be needed any more when the first record is written.
    pub(crate) fn open(folder: &Path, faults: Faults) -> Result<(Self, Vec<Record>), StoreError> {
        std::fs::create_dir_all(folder).map_err(|e| at(folder, &e))?;
        let mut records = Vec::new();
        let mut open = |name: &str| {
            let path = folder.join(name);
            let file = options().open(&path).map_err(|e| at(&path, &e))?;
            let length = file.metadata().map_err(|e| at(&path, &e))?.len();
            records.extend(read(&path)?);
            Ok::<_, StoreError>((file, length))
        };
        let ((first, first_length), (second, second_length)) = (open("0.log")?, open("1.log")?);
        let (files, lengths) = ([first, second], [first_length, second_length]);
        for folder in [folder, folder.parent().unwrap_or(folder)] {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| at(folder, &e))?;
        }
        records.sort_by_key(|record| record.serial);
        let generation =
            OsRng.try_next_u64().map_err(|e| StoreError::Io(format!("the system gives no randomness: {e}")))?;
        let size = Arc::new(AtomicU64::new(first_length.saturating_add(second_length)));
        let wal = Wal { faults, files, lengths, size, current: 0, generation, end: 0, buffer: Vec::new() };
        Ok((wal, records))
    }

    /// Bytes since the last [`Wal::turn`].
    pub(crate) fn written(&self) -> u64 {
        self.end
    }

    /// Bytes on the disk, also while something is written.
    pub(crate) fn size(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.size)
    }

    /// Returns when they are on the disk.
    pub(crate) fn write(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.buffer.clear();
        for record in records {
            encode(&mut self.buffer, self.generation, record);
        }
        let ([first, second], [first_length, second_length]) = (&self.files, &mut self.lengths);
        let (file, length) = if self.current == 0 { (first, first_length) } else { (second, second_length) };
        let end = self.end + self.buffer.len() as u64;
        grow(file, length, end, &self.size)
            .and_then(|()| file.write_all_at(&self.buffer, self.end))
            .map_err(|e| StoreError::Io(format!("the write-ahead log can't be written: {e}")))?;
        self.end = end;
        if self.buffer.capacity() > 1 << 20 {
            self.buffer = Vec::new();
        }
        if self.faults.at_sync() {
            return Err(StoreError::Io("fdatasync failed (injected)".to_owned()));
        }
        file.sync_data().map_err(|e| StoreError::Io(format!("fdatasync failed: {e}")))
    }

    /// Goes on in the other file, of which nothing may be needed any more.
    pub(crate) fn turn(&mut self) -> Result<(), StoreError> {
        (self.current, self.generation, self.end) = (1 - self.current, self.generation.wrapping_add(1), 0);
        let ([first, second], [first_length, second_length]) = (&self.files, &mut self.lengths);
        let (file, length) = if self.current == 0 { (first, first_length) } else { (second, second_length) };
        if *length > KEPT {
            file.set_len(KEPT).map_err(|e| StoreError::Io(format!("the write-ahead log can't be cut: {e}")))?;
            self.size.fetch_sub(*length - KEPT, Ordering::Relaxed);
            *length = KEPT;
        }
        Ok(())
    }
}

/// Makes room up to `end`, and some more.
fn grow(file: &File, length: &mut u64, end: u64, size: &AtomicU64) -> std::io::Result<()> {
    while *length < end {
        file.write_all_at(&[0; STEP], *length)?;
        *length += STEP as u64;
        size.fetch_add(STEP as u64, Ordering::Relaxed);
    }
    Ok(())
}

fn options() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    options
}

pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join("wal")
}

fn encode(out: &mut Vec<u8>, generation: u64, record: &Record) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    for number in [generation, record.serial, record.order] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(record.space);
    out.extend_from_slice(&record.frame);
    let payload = out.get(start + HEAD..).unwrap_or_default();
    let (length, checksum) = (payload.len() as u32, crc32fast::hash(payload));
    if let Some(head) = out.get_mut(start..start + HEAD) {
        head.copy_from_slice(&[length.to_le_bytes(), checksum.to_le_bytes()].concat());
    }
}

/// The records of one generation, up to the first that is not whole.
fn read(path: &Path) -> Result<Vec<Record>, StoreError> {
    let bytes = std::fs::read(path).map_err(|e| at(path, &e))?;
    let (mut rest, mut records, mut generation) = (bytes.as_slice(), Vec::new(), 0);
    while let Some((of, record, behind)) = decode(rest) {
        if !records.is_empty() && of != generation {
            break;
        }
        generation = of;
        records.push(record);
        rest = behind;
    }
    Ok(records)
}

/// A record, its generation, and what stands behind it.
fn decode(bytes: &[u8]) -> Option<(u64, Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let payload = rest.get(..length).filter(|payload| (PLACE..RECORD).contains(&payload.len()))?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (generation, place) = payload.split_first_chunk::<8>()?;
    let (serial, place) = place.split_first_chunk::<8>()?;
    let (order, place) = place.split_first_chunk::<8>()?;
    let (space, frame) = place.split_first()?;
    let record = Record {
        serial: u64::from_le_bytes(*serial),
        space: *space,
        order: u64::from_le_bytes(*order),
        frame: frame.to_vec(),
    };
    Some((u64::from_le_bytes(*generation), record, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(serial: u64, bytes: usize) -> Record {
        Record { serial, space: b'l', order: serial * 2, frame: vec![serial as u8; bytes] }
    }

    /// What it says, which is what there is.
    fn size(wal: &Wal, folder: &Path) -> u64 {
        let files = ["0.log", "1.log"].map(|name| std::fs::metadata(folder.join(name)).unwrap().len());
        let said = wal.size().load(Ordering::Relaxed);
        assert_eq!(said, files.iter().sum::<u64>());
        said
    }

    fn found(folder: &Path) -> Vec<u64> {
        Wal::open(folder, Faults::default()).unwrap().1.into_iter().map(|record| record.serial).collect()
    }

    #[test]
    fn what_was_written_is_read_from_both_files_and_what_was_written_over_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, before) = Wal::open(folder.path(), Faults::default()).unwrap();
        assert_eq!(before, []);
        let records: Vec<Record> = (1..=20).map(|serial| record(serial, 100)).collect();
        wal.write(&records[..4]).unwrap();
        wal.write(&records[4..6]).unwrap();
        wal.turn().unwrap();
        wal.write(&records[6..7]).unwrap();
        assert_eq!(Wal::open(folder.path(), Faults::default()).unwrap().1, records[..7]);
        // The first file again: its six records are longer than what goes over them.
        wal.turn().unwrap();
        assert_eq!(found(folder.path()), [1, 2, 3, 4, 5, 6, 7], "nothing was written over yet");
        wal.write(&records[7..9]).unwrap();
        assert_eq!(found(folder.path()), [7, 8, 9]);
        // A new start goes on with a generation that neither has.
        let (mut wal, _) = Wal::open(folder.path(), Faults::default()).unwrap();
        wal.write(&[record(10, 1)]).unwrap();
        assert_eq!(found(folder.path()), [7, 10]);
    }

    #[test]
    fn a_record_that_is_not_whole_ends_the_file_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, _) = Wal::open(folder.path(), Faults::default()).unwrap();
        wal.write(&[record(1, 50)]).unwrap();
        let one = wal.written() as usize;
        wal.write(&[record(2, 40)]).unwrap();
        let path = folder.path().join("0.log");
        let whole = std::fs::read(&path).unwrap();
        let whole = &whole[..wal.written() as usize];
        for end in one..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(found(folder.path()), [1], "cut off at {end}");
            let mut turned = whole.to_vec();
            turned[end] ^= 0x10;
            std::fs::write(&path, turned).unwrap();
            assert_eq!(found(folder.path()), [1], "a bit turned at {end}");
        }
    }

    #[test]
    fn what_a_power_cut_left_behind_a_torn_record_never_counts_whatever_is_written_over_that() {
        let folder = tempfile::tempdir().unwrap();
        for serial in [10, 20] {
            let (mut wal, _) = Wal::open(folder.path(), Faults::default()).unwrap();
            wal.write(&[record(serial, 50), record(serial + 1, 50)]).unwrap();
            assert_eq!(found(folder.path()), [serial, serial + 1]);
            // Of the two the second came to the disk, and the first did not.
            let path = folder.path().join("0.log");
            let mut torn = std::fs::read(&path).unwrap();
            torn[HEAD + PLACE] ^= 1;
            std::fs::write(&path, torn).unwrap();
            assert!(found(folder.path()).is_empty());
        }
        let (mut wal, _) = Wal::open(folder.path(), Faults::default()).unwrap();
        wal.write(&[record(30, 50)]).unwrap();
        assert_eq!(found(folder.path()), [30]);
    }

    #[test]
    fn a_file_that_a_storm_made_large_is_cut_when_it_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, _) = Wal::open(folder.path(), Faults::default()).unwrap();
        for serial in 1..=20 {
            wal.write(&[record(serial, 1 << 20)]).unwrap();
        }
        assert!(size(&wal, folder.path()) > 20 << 20);
        wal.turn().unwrap();
        wal.turn().unwrap();
        assert_eq!(size(&wal, folder.path()), KEPT);
        wal.write(&[record(21, 10)]).unwrap();
        assert_eq!(found(folder.path()), [21]);
    }

    #[test]
    fn a_failed_sync_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        let (mut wal, _) = Wal::open(folder.path(), faults.clone()).unwrap();
        faults.fail_next_sync();
        assert!(matches!(wal.write(&[record(1, 1)]), Err(StoreError::Io(_))));
    }
}
