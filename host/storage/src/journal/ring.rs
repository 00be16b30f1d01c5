//! The files of one journal: blocks of entries, each with its length and a checksum in front.
//!
//! - `mend`: files that are not as they were written

mod mend;

use super::{ENTRY_BYTES, at};
use crate::codec::{Input, put_int, put_uint};
use quarterdeck_model::Timestamp;
use quarterdeck_model::journal::{Batch, Bounds, Entry, Extent, Stretch};
use quarterdeck_model::store::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A block is closed when it has so many bytes, unless a single entry has more.
const BLOCK_BYTES: usize = 56 << 10;
/// Length, checksum, number of entries, time of the first and of the newest entry.
const HEAD: usize = 28;
/// A file is closed when it holds this part of what may be kept, or spans this part of the time: that much goes at once.
const PART: u64 = 16;
const FILE_BYTES: std::ops::RangeInclusive<u64> = (4 << 10)..=(8 << 20);

pub(super) struct Ring {
    folder: PathBuf,
    files: BTreeMap<u32, Known>,
    /// The newest one, once something was written to it.
    open: Option<File>,
    /// Numbers are not used twice, so that readers don't take one file for another.
    last: u32,
    damaged: Arc<Damaged>,
}

/// Files of which it was said that they are damaged: once is enough, however often they are read.
#[derive(Default)]
struct Damaged(Mutex<BTreeSet<u32>>);

impl Damaged {
    fn is_new(&self, file: u32) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(file)
    }
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    bytes: u64,
    entries: u64,
    first: Timestamp,
    newest: Timestamp,
}

/// The files as they were at a time.
pub(super) struct Files {
    folder: PathBuf,
    files: BTreeMap<u32, Known>,
    damaged: Arc<Damaged>,
}

/// What stands in front of a block.
#[derive(Clone, Copy, Debug)]
struct Head {
    length: u32,
    checksum: u32,
    entries: u32,
    first: Timestamp,
    newest: Timestamp,
}

impl Head {
    fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        let numbers = [self.length.to_le_bytes(), self.checksum.to_le_bytes(), self.entries.to_le_bytes()];
        let times = [self.first, self.newest].map(|time| time.as_millis().to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(numbers.as_flattened().iter().chain(times.as_flattened())) {
            *to = *from;
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; HEAD]) -> Option<Self> {
        let mut input = Input::new(bytes);
        let mut number = || input.fixed().map(u32::from_le_bytes);
        let (length, checksum, entries) = (number()?, number()?, number()?);
        let mut time = || input.fixed().map(|bytes| Timestamp::from_millis(i64::from_le_bytes(bytes)));
        Some(Head { length, checksum, entries, first: time()?, newest: time()? })
    }

    fn read(file: &File, place: u64) -> std::io::Result<Self> {
        let mut bytes = [0; HEAD];
        file.read_exact_at(&mut bytes, place)?;
        Head::from_bytes(&bytes).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }

    /// An entry has a byte of its time, and one of its length.
    fn is_possible(&self) -> bool {
        u64::from(self.entries) * 2 <= u64::from(self.length)
    }

    /// Where the block ends.
    fn end(&self, place: u64) -> u64 {
        place + HEAD as u64 + u64::from(self.length)
    }
}

/// A block that is being filled, room for its head included.
struct Block {
    bytes: Vec<u8>,
    entries: u32,
    first: Timestamp,
    newest: Timestamp,
}

impl Block {
    fn new(bytes: usize) -> Self {
        let mut block = Block {
            bytes: Vec::with_capacity(HEAD + bytes + ENTRY_BYTES),
            entries: 0,
            first: Timestamp::MIN,
            newest: Timestamp::MIN,
        };
        block.clear();
        block
    }

    fn clear(&mut self) {
        self.entries = 0;
        self.bytes.clear();
        self.bytes.resize(HEAD, 0);
    }

    fn has_room_for(&self, entry: &[u8]) -> bool {
        self.entries == 0 || self.bytes.len() + entry.len() + ENTRY_BYTES <= HEAD + BLOCK_BYTES
    }

    fn push(&mut self, at: Timestamp, entry: &[u8]) {
        if self.entries == 0 {
            self.first = at;
        }
        self.newest = at;
        self.entries += 1;
        put_int(&mut self.bytes, at.as_millis());
        put_uint(&mut self.bytes, entry.len() as u64);
        self.bytes.extend_from_slice(entry);
    }

    /// Puts the head in front.
    fn close(&mut self) -> Result<Head, StoreError> {
        let (place, bytes) = self
            .bytes
            .split_first_chunk_mut::<HEAD>()
            .ok_or_else(|| StoreError::Invalid("a block of a journal has no head".to_owned()))?;
        let length = u32::try_from(bytes.len())
            .map_err(|_| StoreError::Invalid("an entry of a journal is too large".to_owned()))?;
        let mut head = Head { length, checksum: 0, entries: self.entries, first: self.first, newest: self.newest };
        head.checksum = checksum(&head, bytes);
        *place = head.to_bytes();
        Ok(head)
    }
}

impl Known {
    fn add(&mut self, head: &Head) {
        if self.entries == 0 {
            self.first = head.first;
        }
        self.newest = head.newest;
        self.entries += u64::from(head.entries);
        self.bytes = head.end(self.bytes);
    }
}

impl Ring {
    /// Reads the heads of all blocks, and the last block.
    pub(super) fn open(folder: PathBuf) -> Result<Self, StoreError> {
        let mut ring = Ring { files: BTreeMap::new(), open: None, last: 0, folder, damaged: Arc::default() };
        let listed = std::fs::read_dir(&ring.folder).map_err(|error| at(&ring.folder, &error))?;
        for entry in listed {
            let name = entry.map_err(|error| at(&ring.folder, &error))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u32>().ok());
            if let Some(number) = number {
                let path = path(&ring.folder, number);
                ring.files.insert(number, look(&path).map_err(|error| at(&path, &error))?);
                ring.last = ring.last.max(number);
            }
        }
        Ok(ring)
    }

    pub(super) fn files(&self) -> Files {
        Files { folder: self.folder.clone(), files: self.files.clone(), damaged: Arc::clone(&self.damaged) }
    }

    pub(super) fn extent(&self) -> Extent {
        let sum = |of: fn(&Known) -> u64| self.files.values().map(of).sum();
        Extent { entries: sum(|known| known.entries), bytes: sum(|known| known.bytes) }
    }

    pub(super) fn append(&mut self, entries: &Batch, bounds: Bounds) -> Result<(), StoreError> {
        let mut block = Block::new((entries.size() + entries.len() * ENTRY_BYTES).min(BLOCK_BYTES));
        for (at, bytes) in entries.iter() {
            if !block.has_room_for(bytes) {
                self.put(&mut block, bounds)?;
            }
            block.push(at, bytes);
        }
        self.put(&mut block, bounds)
    }

    /// Writes the block, and empties it.
    fn put(&mut self, block: &mut Block, bounds: Bounds) -> Result<(), StoreError> {
        if block.entries == 0 {
            return Ok(());
        }
        let head = block.close()?;
        if self.is_over(bounds, head.newest) {
            self.open = None;
            self.last += 1;
        }
        let path = path(&self.folder, self.last);
        let mut file = match self.open.take() {
            Some(file) => file,
            None => File::options().create(true).append(true).open(&path).map_err(|error| at(&path, &error))?,
        };
        let known = self.files.entry(self.last).or_default();
        if let Err(error) = file.write_all(&block.bytes) {
            // Half of a block would hide what comes behind it.
            if file.set_len(known.bytes).is_err() {
                self.last += 1;
            }
            return Err(at(&path, &error));
        }
        known.add(&head);
        self.open = Some(file);
        block.clear();
        Ok(())
    }

    /// Whether the next block belongs into a new file.
    fn is_over(&self, bounds: Bounds, now: Timestamp) -> bool {
        let Some(newest) = self.files.get(&self.last) else { return true };
        let bytes = (bounds.bytes / PART).clamp(*FILE_BYTES.start(), *FILE_BYTES.end());
        let span = bounds.keep.as_millis() / PART;
        newest.bytes >= bytes || newest.first.plus(quarterdeck_model::Span::from_millis(span)) < now
    }

    pub(super) fn trim(&mut self, bounds: Bounds, now: Timestamp) -> Result<(), StoreError> {
        let oldest = now.minus(bounds.keep);
        let mut bytes = self.extent().bytes;
        while let Some((number, known)) = self.files.first_key_value().map(|(number, known)| (*number, *known)) {
            if bytes <= bounds.bytes && known.newest >= oldest {
                return Ok(());
            }
            if number == self.last {
                self.open = None;
            }
            let path = path(&self.folder, number);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(&path, &error)),
                _ => self.files.remove(&number),
            };
            bytes = bytes.saturating_sub(known.bytes);
        }
        Ok(())
    }
}

impl Files {
    /// Whole blocks, from a place on, until they have about that many bytes. What is damaged is left out.
    pub(super) fn read(&self, from: u64, bytes: usize) -> Result<Stretch, StoreError> {
        let (from_file, from_place) = ((from >> 32) as u32, from & u64::from(u32::MAX));
        let mut stretch = Stretch::default();
        let mut taken = 0;
        for (number, known) in self.files.range(from_file..) {
            let path = path(&self.folder, *number);
            let file = match File::open(&path) {
                // It went meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                file => file.map_err(|error| at(&path, &error))?,
            };
            let mut place = if *number == from_file { from_place } else { 0 };
            while place < known.bytes {
                if taken >= bytes {
                    stretch.next = Some(u64::from(*number) << 32 | place);
                    return Ok(stretch);
                }
                if let Some((entries, end)) = entries(&file, place, known.bytes).map_err(|error| at(&path, &error))? {
                    stretch.entries.extend(entries);
                    taken += usize::try_from(end - place).unwrap_or(usize::MAX);
                    place = end;
                    continue;
                }
                let behind = mend::behind(&file, place, known.bytes).map_err(|error| at(&path, &error))?;
                let until = behind.unwrap_or(known.bytes);
                // Where the reader was told to begin there need be no block.
                let is_told = place != 0 && (*number, place) == (from_file, from_place);
                if !is_told && self.damaged.is_new(*number) {
                    tracing::warn!(path = %path.display(), from = place, until, "left out what is damaged in a journal");
                }
                place = until;
            }
        }
        Ok(stretch)
    }
}

fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:010}.log"))
}

/// What a file holds; what was not written to its end is cut off.
fn look(path: &Path) -> std::io::Result<Known> {
    let file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    match walk(&file, length)? {
        Some(known) => Ok(known),
        None => mend::mend(path, &file, length),
    }
}

/// By the heads alone, which is quick. Nothing, if they don't lead to its end, or its last block is not as it was written: the others
/// were whole when something was put behind them.
fn walk(file: &File, length: u64) -> std::io::Result<Option<Known>> {
    let (mut known, mut last) = (Known::default(), None);
    while known.bytes < length {
        if known.bytes + HEAD as u64 > length {
            return Ok(None);
        }
        let head = Head::read(file, known.bytes)?;
        if head.end(known.bytes) > length || !head.is_possible() {
            return Ok(None);
        }
        last = Some((known.bytes, head));
        known.add(&head);
    }
    let is_whole = match last {
        Some((place, head)) => block(file, place, &head)?.is_some(),
        None => true,
    };
    Ok(is_whole.then_some(known))
}

/// What the block there holds, and where it ends. Nothing, if there is none that is whole.
fn entries(file: &File, place: u64, length: u64) -> std::io::Result<Option<(Vec<Entry>, u64)>> {
    if place + HEAD as u64 > length {
        return Ok(None);
    }
    let head = Head::read(file, place)?;
    let end = head.end(place);
    if end > length {
        return Ok(None);
    }
    let entries = block(file, place, &head)?.and_then(|block| decode(&block, head.entries));
    Ok(entries.map(|entries| (entries, end)))
}

/// Nothing if it is not as it was written.
fn block(file: &File, place: u64, head: &Head) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; head.length as usize];
    file.read_exact_at(&mut bytes, place + HEAD as u64)?;
    Ok((checksum(head, &bytes) == head.checksum).then_some(bytes))
}

/// Of the block and of what its head says.
fn checksum(head: &Head, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&Head { checksum: 0, ..*head }.to_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn decode(block: &[u8], entries: u32) -> Option<Vec<Entry>> {
    let mut input = Input::new(block);
    (0..entries)
        .map(|_| Some(Entry { at: Timestamp::from_millis(input.int()?), bytes: input.bytes()?.to_vec() }))
        .collect()
}
