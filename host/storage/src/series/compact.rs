//! Small blocks become larger ones: of one day, and no larger. Blocks that are older than samples are kept go; those that are older than
//! full resolution is kept are thinned.

use super::active::Rows;
use super::block::index::{Index, Reader};
use super::block::packed::Effort;
use super::block::{Block, Chunks, Tail};
use super::{DAY, Store, Upkeep};
use quarterdeck_model::Timestamp;
use quarterdeck_model::store::StoreError;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tracing::info;

/// So many small blocks of a day become one before the day is over.
const MANY: usize = 6;
/// A day is over when nothing of it can come any more that is not very late.
const LATE: i64 = 7_200_000;

/// Does one thing that is due. True: there may be more.
pub(crate) fn compact(store: &Store, now: Timestamp, upkeep: &Upkeep<'_>) -> Result<bool, StoreError> {
    let all = store.blocks.all();
    let oldest = now.minus(store.limits.keep).as_millis();
    let expired: Vec<u64> = all.iter().filter(|block| block.tail.last < oldest).map(|block| block.number).collect();
    if !expired.is_empty() {
        info!(blocks = expired.len(), "dropped old samples");
        store.blocks.publish(Vec::new(), &expired)?;
        return Ok(true);
    }
    let mut days: BTreeMap<i64, Vec<Arc<Block>>> = BTreeMap::new();
    for block in all.iter() {
        days.entry(block.tail.first.div_euclid(DAY)).or_default().push(Arc::clone(block));
    }
    for (day, mut blocks) in days {
        let end = (day + 1) * DAY;
        let over = end + LATE <= store.blocks.mark().up_to;
        let step = store.limits.thin(end, now);
        let coarse = blocks.iter().all(|block| block.tail.step >= step);
        if over && (blocks.len() > 1 || !coarse) {
            merge(store, &blocks, step, upkeep)?;
            return Ok(true);
        }
        blocks.retain(|block| block.tail.level == 0);
        if !over && blocks.len() >= MANY {
            merge(store, &blocks, 0, upkeep)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// One block of several.
fn merge(store: &Store, inputs: &[Arc<Block>], step: u64, upkeep: &Upkeep<'_>) -> Result<(), StoreError> {
    let bytes = inputs.iter().map(|block| block.bytes).sum();
    upkeep.space.check(bytes)?;
    let merged = merge_into(store, inputs, step, upkeep);
    upkeep.space.settled(bytes);
    merged
}

fn merge_into(store: &Store, inputs: &[Arc<Block>], step: u64, upkeep: &Upkeep<'_>) -> Result<(), StoreError> {
    let indexes: Result<Vec<Arc<Index>>, StoreError> = inputs.iter().map(|block| block.index()).collect();
    let indexes = indexes?;
    let texts = Arc::new(union(inputs, &indexes)?);
    let mut sources = Vec::new();
    for (block, index) in inputs.iter().zip(&indexes) {
        sources.push(Source::new(block, index, &texts)?);
    }
    let mut draft = store.blocks.draft(Arc::clone(&texts), Effort::Thorough)?;
    let mut count = 0u32;
    while let Some(labels) = sources.iter().filter_map(|source| source.labels.as_ref()).min().cloned() {
        count += 1;
        if count.is_multiple_of(64) {
            upkeep.go_on()?;
        }
        let mut rows = Rows::default();
        for source in sources.iter_mut().filter(|source| source.labels.as_ref() == Some(&labels)) {
            source.read(&mut rows)?;
        }
        rows.settle();
        thin(&mut rows, step);
        draft.push(&labels, &rows)?;
    }
    let tail = Tail {
        place: inputs.iter().map(|block| block.tail.place).min().unwrap_or(0),
        level: inputs.iter().map(|block| block.tail.level).max().unwrap_or(0) + 1,
        step,
        replaces: inputs.iter().map(|block| block.number).collect(),
        ..Tail::default()
    };
    let replaced = tail.replaces.clone();
    info!(blocks = inputs.len(), series = count, step, "made one block of samples of several");
    store.blocks.publish(vec![(draft, tail)], &replaced)
}

/// Keeps the last sample of each step.
fn thin(rows: &mut Rows, step: u64) {
    let Ok(step) = i64::try_from(step) else { return };
    if step == 0 {
        return;
    }
    let mut kept = Rows::default();
    let mut all = rows.at.iter().zip(&rows.values).peekable();
    while let Some((at, value)) = all.next() {
        if all.peek().is_none_or(|(next, _)| next.div_euclid(step) != at.div_euclid(step)) {
            kept.push(*at, *value);
        }
    }
    *rows = kept;
}

/// All texts of the blocks, sorted.
fn union(inputs: &[Arc<Block>], indexes: &[Arc<Index>]) -> Result<Vec<Arc<str>>, StoreError> {
    let mut all: HashSet<Arc<str>> = HashSet::new();
    for (block, index) in inputs.iter().zip(indexes) {
        let mut texts = index.texts().ok_or_else(|| block.corrupt())?;
        for number in 0..texts.count() {
            let text = texts.get(number).ok_or_else(|| block.corrupt())?;
            if !all.contains(text) {
                all.insert(Arc::from(text));
            }
        }
    }
    let mut all: Vec<Arc<str>> = all.into_iter().collect();
    all.sort_unstable();
    Ok(all)
}

/// A block whose series are read one after the other.
struct Source<'a> {
    block: &'a Block,
    reader: Reader<'a>,
    chunks: Chunks<'a>,
    /// Where each text of the block is among all texts.
    places: Vec<u32>,
    number: u32,
    /// Of the series that is next.
    labels: Option<Vec<(u32, u32)>>,
}

impl<'a> Source<'a> {
    fn new(block: &'a Block, index: &'a Index, texts: &[Arc<str>]) -> Result<Self, StoreError> {
        let mut reader = index.reader().ok_or_else(|| block.corrupt())?;
        let mut places = Vec::with_capacity(reader.texts.count() as usize);
        for number in 0..reader.texts.count() {
            let text = reader.texts.get(number).ok_or_else(|| block.corrupt())?;
            let place = texts.binary_search_by(|other| (**other).cmp(text)).map_err(|_| block.corrupt())?;
            places.push(place as u32);
        }
        let chunks = Chunks::new(block, index);
        let mut source = Source { block, reader, chunks, places, number: 0, labels: None };
        source.look()?;
        Ok(source)
    }

    fn look(&mut self) -> Result<(), StoreError> {
        self.labels = None;
        if self.number < self.reader.entries.count() {
            let entry = self.reader.entries.get(self.number);
            let place = |text: &u32| self.places.get(*text as usize).copied();
            let labels = entry.and_then(|entry| {
                entry.labels.iter().map(|(name, value)| Some((place(name)?, place(value)?))).collect::<Option<Vec<_>>>()
            });
            self.labels = Some(labels.ok_or_else(|| self.block.corrupt())?);
        }
        Ok(())
    }

    /// Adds the samples of the series that is next, and goes on to the one behind it.
    fn read(&mut self, rows: &mut Rows) -> Result<(), StoreError> {
        let entry = self.reader.entries.get(self.number).ok_or_else(|| self.block.corrupt())?;
        self.chunks.read(entry, i64::MIN, i64::MAX, rows)?;
        self.number += 1;
        self.look()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_keeps_its_last_sample() {
        let mut rows = Rows { at: vec![1, 9, 10, 19, 20, 45], values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        thin(&mut rows, 10);
        assert_eq!((rows.at.clone(), rows.values.clone()), (vec![9, 19, 20, 45], vec![2.0, 4.0, 5.0, 6.0]));
        thin(&mut rows, 0);
        assert_eq!(rows.at.len(), 4);
    }
}
