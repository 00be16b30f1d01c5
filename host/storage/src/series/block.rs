//! A block: a file that never changes, with the samples of a stretch of time, packed, and an index of its own.
//!
//! - `writer`: makes one; `packed`: values and times in bytes; `index`, `symbols`: which series there are, and where
//!
//! ```text
//! chunks of series | columns of times | index | tail | checksum and length of the tail | version
//! ```

pub(crate) mod index;
pub(crate) mod packed;
mod symbols;
pub(crate) mod writer;

use super::active::Rows;
use crate::codec::{Input, put_int, put_uint};
use crate::disk::at;
use index::{Column, Index};
use quarterdeck_model::Labels;
use quarterdeck_model::series::query::NAME;
use quarterdeck_model::store::StoreError;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub(crate) const VERSION: [u8; 8] = *b"qdblock1";
/// Checksum, length, version.
const END: u64 = 16;

/// All that labels may be made of, sorted.
pub(crate) type Texts = Arc<Vec<Arc<str>>>;
/// Labels as places of such texts, the metric's name first.
pub(crate) type Places = Vec<(u32, u32)>;

/// What a block says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) index_offset: u64,
    pub(crate) index_length: u64,
    pub(crate) index_checksum: u32,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) series: u64,
    pub(crate) samples: u64,
    /// Of two samples of one time, that of the block with the lower place is the one.
    pub(crate) place: u64,
    /// How often its samples were written into a larger block.
    pub(crate) level: u64,
    /// It has one sample of each such step, in milliseconds. 0: all of them.
    pub(crate) step: u64,
    /// Numbers of the blocks whose samples are in it: they go.
    pub(crate) replaces: Vec<u64>,
}

impl Tail {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let checksum = u64::from(self.index_checksum);
        [self.index_offset, self.index_length, checksum].iter().for_each(|number| put_uint(&mut bytes, *number));
        [self.first, self.last].iter().for_each(|number| put_int(&mut bytes, *number));
        [self.series, self.samples, self.place, self.level, self.step]
            .iter()
            .chain(&self.replaces)
            .for_each(|number| put_uint(&mut bytes, *number));
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input::new(bytes);
        let mut tail = Tail {
            index_offset: input.uint()?,
            index_length: input.uint()?,
            index_checksum: u32::try_from(input.uint()?).ok()?,
            first: input.int()?,
            last: input.int()?,
            series: input.uint()?,
            samples: input.uint()?,
            place: input.uint()?,
            level: input.uint()?,
            step: input.uint()?,
            replaces: Vec::new(),
        };
        while !input.rest().is_empty() {
            tail.replaces.push(input.uint()?);
        }
        Some(tail)
    }
}

pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) tail: Tail,
    pub(crate) bytes: u64,
    /// Of metrics.
    pub(crate) names: Vec<String>,
    path: PathBuf,
    file: File,
    /// The index, as long as somebody holds it.
    index: Mutex<Weak<Index>>,
}

impl Block {
    pub(crate) fn open(path: &Path, number: u64) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|e| at(path, &e))?;
        let bytes = file.metadata().map_err(|e| at(path, &e))?.len();
        let tail = read_tail(&file, bytes).map_err(|e| at(path, &e))?;
        let index = Mutex::new(Weak::new());
        let mut block =
            Block { number, tail: Tail::default(), bytes, names: Vec::new(), path: path.to_owned(), file, index };
        block.tail = tail.ok_or_else(|| block.corrupt())?;
        let index = block.index()?;
        let names = index.reader().and_then(|mut reader| reader.values_of(NAME));
        block.names = names.ok_or_else(|| block.corrupt())?;
        Ok(block)
    }

    pub(crate) fn corrupt(&self) -> StoreError {
        StoreError::Corrupt(format!(
            "the block of samples `{}`; hint: moved away, the daemon starts without its samples",
            self.path.display()
        ))
    }

    pub(crate) fn reaches(&self, from: i64, to: i64) -> bool {
        self.tail.last > from && self.tail.first <= to
    }

    /// The index, checked. It is read again when nobody has held it for a while.
    pub(crate) fn index(&self) -> Result<Arc<Index>, StoreError> {
        let mut known = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = known.upgrade() {
            return Ok(index);
        }
        let bytes = self.read(self.tail.index_offset, self.tail.index_length)?;
        if crc32fast::hash(&bytes) != self.tail.index_checksum {
            return Err(self.corrupt());
        }
        let index = Arc::new(Index::new(bytes).ok_or_else(|| self.corrupt())?);
        *known = Arc::downgrade(&index);
        Ok(index)
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        if offset.checked_add(length).is_none_or(|end| end > self.bytes) {
            return Err(self.corrupt());
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, offset).map_err(|e| at(&self.path, &e))?;
        Ok(bytes)
    }

    /// The same, without the checksum behind it, which was right.
    fn checked<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], StoreError> {
        let (bytes, checksum) = bytes.split_last_chunk::<4>().ok_or_else(|| self.corrupt())?;
        let right = crc32fast::hash(bytes) == u32::from_le_bytes(*checksum);
        if right { Ok(bytes) } else { Err(self.corrupt()) }
    }

    /// Removes the file. Whoever reads it goes on.
    pub(crate) fn remove(&self) -> Result<(), StoreError> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(&self.path, &error)),
            _ => Ok(()),
        }
    }
}

fn read_tail(file: &File, bytes: u64) -> std::io::Result<Option<Tail>> {
    let Some(end) = bytes.checked_sub(END) else { return Ok(None) };
    let mut last = [0; END as usize];
    file.read_exact_at(&mut last, end)?;
    let mut input = Input::new(&last);
    let checksum = input.fixed().map(u32::from_le_bytes).unwrap_or_default();
    let length = input.fixed().map(u32::from_le_bytes).unwrap_or_default();
    let Some(start) = end.checked_sub(u64::from(length)).filter(|_| input.rest() == VERSION) else { return Ok(None) };
    let mut tail = vec![0; length as usize];
    file.read_exact_at(&mut tail, start)?;
    Ok((crc32fast::hash(&tail) == checksum).then(|| Tail::decode(&tail)).flatten())
}

/// Reads chunks of a block. Columns of times are unpacked once.
pub(crate) struct Chunks<'a> {
    block: &'a Block,
    index: &'a Index,
    times: HashMap<u32, Vec<i64>>,
    unpacked: usize,
}

/// Times that are kept unpacked, at most.
const UNPACKED: usize = 1_000_000;

impl<'a> Chunks<'a> {
    pub(crate) fn new(block: &'a Block, index: &'a Index) -> Self {
        Chunks { block, index, times: HashMap::new(), unpacked: 0 }
    }

    fn column(&self, number: u32) -> Result<Column, StoreError> {
        self.index.column(number).ok_or_else(|| self.block.corrupt())
    }

    /// Whether the series may have samples in the range.
    pub(crate) fn reaches(&self, entry: &index::Entry, from: i64, to: i64) -> Result<bool, StoreError> {
        for chunk in &entry.chunks {
            let column = self.column(chunk.times)?;
            if column.last > from && column.first <= to {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds the samples of a series in a range, in order.
    pub(crate) fn read(&mut self, entry: &index::Entry, from: i64, to: i64, rows: &mut Rows) -> Result<(), StoreError> {
        // The chunks that are wanted lie together: one read.
        let (mut offset, mut wanted, mut start, mut end) = (entry.start, Vec::new(), None, 0);
        for chunk in &entry.chunks {
            let column = self.column(chunk.times)?;
            let next = offset + u64::from(chunk.length);
            if column.last > from && column.first <= to {
                start.get_or_insert(offset);
                end = next;
                wanted.push((offset, *chunk, column));
            }
            offset = next;
        }
        let Some(start) = start else { return Ok(()) };
        let bytes = self.block.read(start, end - start)?;
        for (offset, chunk, column) in wanted {
            let place = (offset - start) as usize;
            let chunk_bytes = bytes.get(place..place + chunk.length as usize).unwrap_or_default();
            let before = rows.at.len();
            self.times(chunk.times, column, &mut rows.at)?;
            let read = packed::decode_values(self.block.checked(chunk_bytes)?, column.count as usize, &mut rows.values);
            read.filter(|()| rows.at.len() == rows.values.len()).ok_or_else(|| self.block.corrupt())?;
            rows.trim(before, from, to);
        }
        Ok(())
    }

    fn times(&mut self, number: u32, column: Column, at: &mut Vec<i64>) -> Result<(), StoreError> {
        if let Some(times) = self.times.get(&number) {
            at.extend_from_slice(times);
            return Ok(());
        }
        let bytes = self.block.read(column.offset, u64::from(column.length))?;
        let mut times = Vec::with_capacity(column.count as usize);
        packed::decode_times(self.block.checked(&bytes)?, column.first, column.count as usize, &mut times)
            .ok_or_else(|| self.block.corrupt())?;
        at.extend_from_slice(&times);
        if self.unpacked > UNPACKED {
            self.times.clear();
            self.unpacked = 0;
        }
        self.unpacked += times.len();
        self.times.insert(number, times);
        Ok(())
    }
}

/// Makes labels of the places of texts. Most texts are of many series: they are looked up once.
#[derive(Default)]
pub(crate) struct Labelling {
    known: HashMap<u32, String>,
}

/// Texts that are remembered, at most. Then all are forgotten.
const TEXTS: usize = 4_096;

impl Labelling {
    pub(crate) fn labels(&mut self, texts: &mut symbols::Texts<'_>, labels: &[(u32, u32)]) -> Option<Labels> {
        if self.known.len() > TEXTS {
            self.known.clear();
        }
        let mut text = |number: u32| match self.known.entry(number) {
            Entry::Occupied(known) => Some(known.get().clone()),
            Entry::Vacant(place) => Some(place.insert(texts.get(number)?.to_owned()).clone()),
        };
        labels.iter().map(|(name, value)| Some((text(*name)?, text(*value)?))).collect()
    }
}
