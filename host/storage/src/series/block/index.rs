//! The index of a block: its texts, the columns of times, the series with the places of their chunks, and for each label and value
//! the series that have it. It is read as it lies: nothing is unpacked before it is asked for.

use super::Places;
use super::symbols::{self, GROUP, Texts};
use crate::codec::{Input, put_bytes, put_uint};
use crate::series::matching::Postings;
use std::ops::Range;

/// Where a column of times lies, and what it spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) count: u32,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

const COLUMN: usize = 32;

/// Its times by their number, and the length of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) times: u32,
    pub(crate) length: u32,
}

/// A series: labels as numbers of texts, the metric's name first; its chunks lie behind one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) labels: Places,
    pub(crate) start: u64,
    pub(crate) chunks: Vec<Chunk>,
}

/// The series of a block that is being made, sorted by their labels: in few large lists, whose memory goes back when they are done.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) labels: Places,
    pub(crate) chunks: Vec<Chunk>,
    /// Behind the labels and the chunks of each series, and where its chunks start in the file.
    pub(crate) ends: Vec<(u32, u32, u64)>,
}

impl Entries {
    /// Another one, with the chunks that were added since the last.
    pub(crate) fn end(&mut self, labels: &[(u32, u32)], start: u64) {
        self.labels.extend_from_slice(labels);
        self.ends.push((self.labels.len() as u32, self.chunks.len() as u32, start));
    }

    fn iter(&self) -> impl Iterator<Item = (&[(u32, u32)], u64, &[Chunk])> {
        let (mut label, mut chunk) = (0, 0);
        self.ends.iter().map(move |(label_end, chunk_end, start)| {
            let labels = self.labels.get(label..*label_end as usize).unwrap_or_default();
            let chunks = self.chunks.get(chunk..*chunk_end as usize).unwrap_or_default();
            (label, chunk) = (*label_end as usize, *chunk_end as usize);
            (labels, *start, chunks)
        })
    }
}

pub(crate) fn encode<'a>(texts: impl Iterator<Item = &'a str>, columns: &[Column], series: &Entries) -> Vec<u8> {
    let sections = [symbols::encode(texts), encode_columns(columns), encode_series(series), encode_postings(series)];
    let mut bytes = Vec::with_capacity(sections.iter().map(Vec::len).sum::<usize>() + 16);
    sections.iter().for_each(|section| bytes.extend_from_slice(&(section.len() as u32).to_le_bytes()));
    sections.iter().for_each(|section| bytes.extend_from_slice(section));
    bytes
}

fn encode_columns(columns: &[Column]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(columns.len() * COLUMN);
    for Column { offset, length, count, first, last } in columns {
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&last.to_le_bytes());
    }
    bytes
}

/// Each is what its labels have in common with those of the one before, and the rest. Every sixteenth is whole.
fn encode_series(series: &Entries) -> Vec<u8> {
    let (mut places, mut data, mut before) = (Vec::new(), Vec::new(), [].as_slice());
    for (number, (labels, start, chunks)) in series.iter().enumerate() {
        if number % GROUP as usize == 0 {
            places.extend_from_slice(&(data.len() as u32).to_le_bytes());
            places.extend_from_slice(&start.to_le_bytes());
            before = &[];
        }
        let shared = labels.iter().zip(before).take_while(|(a, b)| a == b).count();
        put_uint(&mut data, shared as u64);
        put_uint(&mut data, (labels.len() - shared) as u64);
        for (name, value) in labels.iter().skip(shared) {
            put_uint(&mut data, u64::from(*name));
            put_uint(&mut data, u64::from(*value));
        }
        put_uint(&mut data, chunks.len() as u64);
        for chunk in chunks {
            put_uint(&mut data, u64::from(chunk.times));
            put_uint(&mut data, u64::from(chunk.length));
        }
        before = labels;
    }
    [&(series.ends.len() as u32).to_le_bytes(), &*places, &*data].concat()
}

/// By name: by value: numbers of series. What is not wanted is stepped over by its length.
fn encode_postings(series: &Entries) -> Vec<u8> {
    let mut all: Vec<(u32, u32, u32)> = Vec::with_capacity(series.labels.len());
    for (number, (labels, ..)) in series.iter().enumerate() {
        all.extend(labels.iter().map(|(name, value)| (*name, *value, number as u32)));
    }
    all.sort_unstable();
    let mut bytes = Vec::new();
    for of_name in all.chunk_by(|a, b| a.0 == b.0) {
        let (mut body, mut last, mut values) = (Vec::new(), 0, 0u64);
        for of_value in of_name.chunk_by(|a, b| a.1 == b.1) {
            let (mut numbers, mut before, mut value) = (Vec::new(), 0, 0);
            for (_, text, number) in of_value {
                put_uint(&mut numbers, u64::from(number - before));
                (before, value) = (*number, *text);
            }
            put_uint(&mut body, u64::from(value - last));
            put_bytes(&mut body, &numbers);
            (last, values) = (value, values + 1);
        }
        put_uint(&mut bytes, u64::from(of_name.first().map_or(0, |first| first.0)));
        put_uint(&mut bytes, values);
        put_bytes(&mut bytes, &body);
    }
    bytes
}

/// The index of an open block, as bytes.
pub(crate) struct Index {
    bytes: Vec<u8>,
    sections: [Range<usize>; 4],
}

impl Index {
    pub(crate) fn new(bytes: Vec<u8>) -> Option<Self> {
        let mut input = Input::new(&bytes);
        let mut start = 16;
        let mut sections = [0..0, 0..0, 0..0, 0..0];
        for section in &mut sections {
            let length = u32::from_le_bytes(input.fixed::<4>()?) as usize;
            *section = start..start + length;
            start += length;
        }
        (start == bytes.len()).then_some(Index { bytes, sections })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn section(&self, number: usize) -> &[u8] {
        let range = self.sections.get(number).cloned().unwrap_or_default();
        self.bytes.get(range).unwrap_or_default()
    }

    pub(crate) fn texts(&self) -> Option<Texts<'_>> {
        Texts::new(self.section(0))
    }

    pub(crate) fn column(&self, number: u32) -> Option<Column> {
        let mut input = Input::new(self.section(1).get(number as usize * COLUMN..)?);
        Some(Column {
            offset: u64::from_le_bytes(input.fixed()?),
            length: u32::from_le_bytes(input.fixed()?),
            count: u32::from_le_bytes(input.fixed()?),
            first: i64::from_le_bytes(input.fixed()?),
            last: i64::from_le_bytes(input.fixed()?),
        })
    }

    pub(crate) fn series(&self) -> Option<Walk<'_>> {
        Walk::new(self.section(2))
    }

    pub(crate) fn reader(&self) -> Option<Reader<'_>> {
        Some(Reader { texts: self.texts()?, entries: self.series()?, postings: self.section(3) })
    }
}

/// Walks over the series; forwards it is quick.
pub(crate) struct Walk<'a> {
    count: u32,
    places: &'a [u8],
    data: &'a [u8],
    number: u32,
    entry: Entry,
    rest: Input<'a>,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count);
        let (places, data) = rest.split_at_checked(count.div_ceil(GROUP) as usize * 12)?;
        let rest = Input::new(&[]);
        Some(Walk { count, places, data, number: u32::MAX, entry: Entry::default(), rest })
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    fn start(&mut self, group: u32) -> Option<()> {
        let mut place = Input::new(self.places.get(group as usize * 12..)?);
        let offset = u32::from_le_bytes(place.fixed()?);
        self.rest = Input::new(self.data.get(offset as usize..)?);
        self.entry = Entry { start: u64::from_le_bytes(place.fixed()?), ..Entry::default() };
        self.step()?;
        self.number = group * GROUP;
        Some(())
    }

    fn step(&mut self) -> Option<()> {
        let Entry { labels, start, chunks } = &mut self.entry;
        *start += chunks.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>();
        labels.truncate(usize::try_from(self.rest.uint()?).ok()?);
        for _ in 0..self.rest.uint()? {
            labels.push((u32::try_from(self.rest.uint()?).ok()?, u32::try_from(self.rest.uint()?).ok()?));
        }
        chunks.clear();
        for _ in 0..self.rest.uint()? {
            let times = u32::try_from(self.rest.uint()?).ok()?;
            chunks.push(Chunk { times, length: u32::try_from(self.rest.uint()?).ok()? });
        }
        self.number = self.number.wrapping_add(1);
        Some(())
    }

    pub(crate) fn get(&mut self, number: u32) -> Option<&Entry> {
        if number >= self.count {
            return None;
        }
        let here = self.number != u32::MAX && self.number <= number && self.number / GROUP == number / GROUP;
        if !here {
            self.start(number / GROUP)?;
        }
        while self.number < number {
            self.step()?;
        }
        Some(&self.entry)
    }
}

/// An index that is being asked.
pub(crate) struct Reader<'a> {
    pub(crate) texts: Texts<'a>,
    pub(crate) entries: Walk<'a>,
    postings: &'a [u8],
}

impl<'a> Reader<'a> {
    /// How many values a label has, and what follows on them.
    fn label(&mut self, label: &str) -> Result<Option<(u64, &'a [u8])>, ()> {
        let Some(wanted) = self.texts.find(label)? else { return Ok(None) };
        let mut input = Input::new(self.postings);
        while !input.rest().is_empty() {
            let name = input.uint().ok_or(())?;
            let (values, body) = (input.uint().ok_or(())?, input.bytes().ok_or(())?);
            if name == u64::from(wanted) {
                return Ok(Some((values, body)));
            }
        }
        Ok(None)
    }

    /// Texts of all values of a label.
    pub(crate) fn values_of(&mut self, label: &str) -> Option<Vec<String>> {
        let Some((_, body)) = self.label(label).ok()? else { return Some(Vec::new()) };
        Values::new(body).map(|each| self.texts.get(each?.0).map(str::to_owned)).collect()
    }
}

/// Each value of a label, in order, with the numbers of its series as they are encoded. `None`: it can't be read.
struct Values<'a> {
    input: Input<'a>,
    text: u64,
}

impl<'a> Values<'a> {
    fn new(body: &'a [u8]) -> Self {
        Values { input: Input::new(body), text: 0 }
    }

    fn read(&mut self) -> Option<(u32, &'a [u8])> {
        self.text = self.text.checked_add(self.input.uint()?)?;
        Some((u32::try_from(self.text).ok()?, self.input.bytes()?))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Option<(u32, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.input.rest().is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_none() {
            self.input = Input::new(&[]);
        }
        Some(read)
    }
}

fn numbers(bytes: &[u8], all: &mut Vec<u32>) -> Option<()> {
    let (mut input, mut number) = (Input::new(bytes), 0u64);
    while !input.rest().is_empty() {
        number += input.uint()?;
        all.push(u32::try_from(number).ok()?);
    }
    Some(())
}

impl Postings for Reader<'_> {
    fn of(&mut self, label: &str, value: &str) -> Option<Vec<u32>> {
        let mut found = Vec::new();
        let Some(wanted) = self.texts.find(value).ok()? else { return Some(found) };
        let Some((_, body)) = self.label(label).ok()? else { return Some(found) };
        for each in Values::new(body) {
            let (text, series) = each?;
            if text == wanted {
                numbers(series, &mut found)?;
                break;
            }
        }
        Some(found)
    }

    fn union(&mut self, label: &str, wanted: &dyn Fn(&str) -> bool) -> Option<Vec<u32>> {
        let mut found = Vec::new();
        let Some((_, body)) = self.label(label).ok()? else { return Some(found) };
        for each in Values::new(body) {
            let (text, series) = each?;
            if wanted(self.texts.get(text)?) {
                numbers(series, &mut found)?;
            }
        }
        found.sort_unstable();
        Some(found)
    }

    fn retain(&mut self, ids: &mut Vec<u32>, label: &str, wanted: &dyn Fn(&str) -> bool) -> Option<()> {
        let name = self.texts.find(label).ok()?;
        let mut kept = Vec::with_capacity(ids.len());
        for id in ids.iter() {
            let labels = &self.entries.get(*id)?.labels;
            let value = labels.iter().find(|(label, _)| Some(*label) == name).map(|(_, value)| *value);
            let text = match value {
                Some(value) => self.texts.get(value)?,
                None => "",
            };
            if wanted(text) {
                kept.push(*id);
            }
        }
        *ids = kept;
        Some(())
    }

    fn all(&mut self) -> Option<Vec<u32>> {
        Some((0..self.entries.count()).collect())
    }

    fn values(&mut self, label: &str) -> Option<usize> {
        let values = self.label(label).ok()?.map_or(0, |(values, _)| values);
        usize::try_from(values).ok()
    }
}
