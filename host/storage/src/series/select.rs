//! Reading for a query language: the series that every matcher takes, from memory and from blocks.
//!
//! Memory is read first and the list of blocks is taken after that: what moves from one to the other meanwhile is found twice, which
//! counts once, and never missed.

use super::Store;
use super::active::Rows;
use super::block::{Chunks, Labelling};
use super::matching::matching;
use super::pattern::Pattern;
use quarterdeck_model::series::query::{Budget, Columns, Matcher};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Labels, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Series that are read under one lock: some tens of microseconds.
const TOGETHER: usize = 64;

type Found = Vec<(Arc<Labels>, Rows)>;

impl Store {
    pub(crate) fn select(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
        budget: &Budget,
    ) -> Result<Vec<Columns>, StoreError> {
        let patterns = patterns(matchers)?;
        let (from, to) = (from.as_millis(), to.as_millis());
        let in_memory = self.select_in_memory(&patterns, from, to, budget)?;
        let blocks = self.blocks.reaching(from, to);
        if blocks.is_empty() {
            return Ok(in_memory.into_iter().map(columns).collect());
        }
        // The blocks' samples came first, and the first of a time is the one.
        let mut all: HashMap<Arc<Labels>, Rows> = HashMap::new();
        for block in blocks {
            let index = self.blocks.index(&block)?;
            let mut reader = index.reader().ok_or_else(|| block.corrupt())?;
            let numbers = matching(&mut reader, &patterns).ok_or_else(|| block.corrupt())?;
            let (mut chunks, mut labelling) = (Chunks::new(&block, &index), Labelling::default());
            for number in numbers {
                let entry = reader.entries.get(number).ok_or_else(|| block.corrupt())?;
                let mut rows = Rows::default();
                chunks.read(entry, from, to, &mut rows)?;
                budget.take(rows.at.len())?;
                if rows.at.is_empty() {
                    continue;
                }
                let labels = labelling.labels(&mut reader.texts, &entry.labels).ok_or_else(|| block.corrupt())?;
                add(&mut all, Arc::new(labels), rows);
            }
        }
        in_memory.into_iter().for_each(|(labels, rows)| add(&mut all, labels, rows));
        Ok(all.into_iter().map(columns).collect())
    }

    fn select_in_memory(&self, patterns: &[Pattern], from: i64, to: i64, budget: &Budget) -> Result<Found, StoreError> {
        let ids = self.head().matching(patterns);
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(TOGETHER) {
            budget.take(0)?;
            let head = self.head();
            for series in ids.iter().filter_map(|id| head.get(*id)) {
                let mut rows = Rows::default();
                head.read(series, from, to, &mut rows);
                if !rows.at.is_empty() {
                    budget.take(rows.at.len())?;
                    found.push((Arc::new(head.labels(series)), rows));
                }
            }
        }
        Ok(found)
    }

    pub(crate) fn series(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<Arc<Labels>>, StoreError> {
        let patterns = patterns(matchers)?;
        let (from, to) = (from.as_millis(), to.as_millis());
        let mut found: HashSet<Arc<Labels>> = HashSet::new();
        let ids = self.head().matching(&patterns);
        for ids in ids.chunks(TOGETHER) {
            let head = self.head();
            for series in ids.iter().filter_map(|id| head.get(*id)).filter(|series| series.reaches(from, to)) {
                if found.len() >= limit {
                    return Ok(found.into_iter().collect());
                }
                found.insert(Arc::new(head.labels(series)));
            }
        }
        for block in self.blocks.reaching(from, to) {
            let index = self.blocks.index(&block)?;
            let mut reader = index.reader().ok_or_else(|| block.corrupt())?;
            let numbers = matching(&mut reader, &patterns).ok_or_else(|| block.corrupt())?;
            let (chunks, mut labelling) = (Chunks::new(&block, &index), Labelling::default());
            for number in numbers {
                if found.len() >= limit {
                    return Ok(found.into_iter().collect());
                }
                let entry = reader.entries.get(number).ok_or_else(|| block.corrupt())?;
                if chunks.reaches(entry, from, to)? {
                    let labels = labelling.labels(&mut reader.texts, &entry.labels).ok_or_else(|| block.corrupt())?;
                    found.insert(Arc::new(labels));
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}

pub(crate) fn patterns(matchers: &[Matcher]) -> Result<Vec<Pattern>, StoreError> {
    matchers.iter().map(Pattern::new).collect()
}

fn add(all: &mut HashMap<Arc<Labels>, Rows>, labels: Arc<Labels>, mut rows: Rows) {
    let known = all.entry(labels).or_default();
    if known.at.is_empty() {
        *known = rows;
    } else {
        known.at.append(&mut rows.at);
        known.values.append(&mut rows.values);
    }
}

fn columns((labels, mut rows): (Arc<Labels>, Rows)) -> Columns {
    rows.settle();
    Columns { labels, at: rows.at, values: rows.values }
}
