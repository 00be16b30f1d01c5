//! Makes a block: the chunks of one series behind those of another, the columns of times that they share, the index, and a tail that says
//! where all of it is. It has another name until it is whole and on the disk.

use super::index::{self, Chunk, Column, Entries};
use super::packed::{Effort, encode_times, encode_values};
use super::{Tail, Texts, VERSION};
use crate::series::active::Rows;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

/// What a chunk spans, in milliseconds, aligned to the epoch: two hours.
const CHUNK_SPAN: i64 = 7_200_000;
/// Samples of a chunk, at most.
const CHUNK: usize = 1_024;
/// Times in the columns that are remembered, at most. Then all are forgotten: those that come again are written once more.
const REMEMBERED: usize = 1_000_000;

pub(crate) struct Writer {
    out: BufWriter<File>,
    offset: u64,
    texts: Texts,
    effort: Effort,
    series: Entries,
    columns: Vec<Column>,
    /// What the columns hold; written behind all chunks.
    times: Vec<u8>,
    known: HashMap<Vec<i64>, u32>,
    remembered: usize,
    samples: u64,
}

impl Writer {
    /// `texts`: all that labels may be made of, sorted. Those that no series has are left out.
    pub(crate) fn new(path: &Path, texts: Texts, effort: Effort) -> std::io::Result<Self> {
        let file = File::options().create(true).truncate(true).write(true).open(path)?;
        Ok(Writer {
            out: BufWriter::with_capacity(1 << 18, file),
            offset: 0,
            texts,
            effort,
            series: Entries::default(),
            columns: Vec::new(),
            times: Vec::new(),
            known: HashMap::new(),
            remembered: 0,
            samples: 0,
        })
    }

    /// Series come in the order of their labels; rows are in order, each time once. Without any the series is left out.
    pub(crate) fn push(&mut self, labels: &[(u32, u32)], rows: &Rows) -> std::io::Result<()> {
        let (offset, mut start) = (self.offset, 0);
        for window in rows.at.chunk_by(|a, b| a.div_euclid(CHUNK_SPAN) == b.div_euclid(CHUNK_SPAN)) {
            for at in window.chunks(CHUNK) {
                let values = rows.values.get(start..start + at.len()).unwrap_or_default();
                start += at.len();
                let chunk = self.chunk(at, values)?;
                self.series.chunks.push(chunk);
            }
        }
        if !rows.at.is_empty() {
            self.samples += rows.at.len() as u64;
            self.series.end(labels, offset);
        }
        Ok(())
    }

    fn chunk(&mut self, at: &[i64], values: &[f64]) -> std::io::Result<Chunk> {
        let times = self.column(at);
        let mut bytes = encode_values(values, self.effort);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        self.out.write_all(&bytes)?;
        self.offset += bytes.len() as u64;
        Ok(Chunk { times, length: bytes.len() as u32 })
    }

    fn column(&mut self, at: &[i64]) -> u32 {
        if let Some(known) = self.known.get(at) {
            return *known;
        }
        if self.remembered > REMEMBERED {
            self.known = HashMap::new();
            self.remembered = 0;
        }
        let (first, last) = (at.first().copied().unwrap_or(0), at.last().copied().unwrap_or(0));
        let mut bytes = encode_times(at);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let number = self.columns.len() as u32;
        let (offset, length) = (self.times.len() as u64, bytes.len() as u32);
        self.columns.push(Column { offset, length, count: at.len() as u32, first, last });
        self.times.extend(bytes);
        self.known.insert(at.to_vec(), number);
        self.remembered += at.len();
        number
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.series.ends.is_empty()
    }

    /// Returns when all of it is on the disk.
    pub(crate) fn finish(mut self, mut tail: Tail) -> std::io::Result<()> {
        self.out.write_all(&self.times)?;
        for column in &mut self.columns {
            column.offset += self.offset;
        }
        self.offset += self.times.len() as u64;
        self.known = HashMap::new();
        let texts = self.used_texts();
        let index = index::encode(texts.iter().map(|text| &**text), &self.columns, &self.series);
        tail.index_offset = self.offset;
        tail.index_length = index.len() as u64;
        tail.index_checksum = crc32fast::hash(&index);
        tail.first = self.columns.iter().map(|column| column.first).min().unwrap_or(0);
        tail.last = self.columns.iter().map(|column| column.last).max().unwrap_or(0);
        tail.series = self.series.ends.len() as u64;
        tail.samples = self.samples;
        self.out.write_all(&index)?;
        let bytes = tail.encode();
        self.out.write_all(&bytes)?;
        self.out.write_all(&crc32fast::hash(&bytes).to_le_bytes())?;
        self.out.write_all(&(bytes.len() as u32).to_le_bytes())?;
        self.out.write_all(&VERSION)?;
        self.out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    }

    /// The texts that some series has; labels are of these from here on.
    fn used_texts(&mut self) -> Vec<Arc<str>> {
        let mut places = vec![u32::MAX; self.texts.len()];
        for (name, value) in &self.series.labels {
            for text in [name, value] {
                if let Some(place) = places.get_mut(*text as usize) {
                    *place = 0;
                }
            }
        }
        let mut used = Vec::new();
        for (place, text) in places.iter_mut().zip(self.texts.iter()).filter(|(place, _)| **place == 0) {
            *place = used.len() as u32;
            used.push(Arc::clone(text));
        }
        let place = |text: u32| places.get(text as usize).copied().unwrap_or(u32::MAX);
        self.series.labels.iter_mut().for_each(|(name, value)| (*name, *value) = (place(*name), place(*value)));
        used
    }
}
