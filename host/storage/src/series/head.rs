//! The newest hours of all series, in memory.

use super::active::{Active, Insertion, Rows, Symbolic};
use super::index::{Index, Indexed};
use super::matching::matching;
use super::pattern::Pattern;
use super::pending::{Batch, Pending, Point};
use super::slab::Slab;
use super::symbols::Symbols;
use super::times::Pool;
use hashbrown::HashTable;
use quarterdeck_model::Labels;
use quarterdeck_model::series::query::NAME;
use quarterdeck_model::series::{LABEL_EXTRA_BYTES, LABELS_BYTES, METRIC_BYTES};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;

pub(crate) struct Head {
    symbols: Symbols,
    slab: Slab,
    by_labels: HashTable<u32>,
    index: Index,
    hasher: RandomState,
    pool: Pool,
    pub(crate) pending: Pending,
    limit: u64,
    /// How much older than its newest one a sample of a series may be, in milliseconds.
    out_of_order: i64,
}

/// Series with their labels, in two large lists whose memory goes back when they are done.
#[derive(Default)]
pub(crate) struct Survey {
    pub(crate) labels: Vec<(u32, u32)>,
    /// Ids, and where their labels are.
    pub(crate) series: Vec<(u32, Range<usize>)>,
}

impl Survey {
    pub(crate) fn labels(&self, of: &Range<usize>) -> &[(u32, u32)] {
        self.labels.get(of.clone()).unwrap_or_default()
    }
}

/// What is known of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Id(u32),
    /// It is new, and one too many.
    TooMany,
    Hopeless,
}

/// Which times are taken, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) oldest: i64,
    pub(crate) newest: i64,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Taken,
    Duplicate,
    TooOld,
    TooNew,
    /// There is no such series.
    Gone,
}

impl Head {
    pub(crate) fn new(limit: u64, out_of_order: i64) -> Self {
        Head {
            symbols: Symbols::default(),
            slab: Slab::default(),
            by_labels: HashTable::new(),
            index: Index::default(),
            hasher: RandomState::new(),
            pool: Pool::default(),
            pending: Pending::new(0),
            limit,
            out_of_order,
        }
    }

    /// Series in memory.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Active> {
        self.slab.get(id)
    }

    /// The series of these labels, if it is here. They are as [`check`] wants them.
    pub(crate) fn find(&self, pairs: &[(&str, &str)]) -> Option<u32> {
        let same = |id: &u32| {
            let labels = self.slab.get(*id).map(|series| &*series.labels).unwrap_or_default();
            labels.len() == pairs.len()
                && labels.iter().zip(pairs).all(|((name, value), (wanted_name, wanted_value))| {
                    self.symbols.text(*name) == *wanted_name && self.symbols.text(*value) == *wanted_value
                })
        };
        self.by_labels.find(self.hasher.hash_one(pairs), same).copied()
    }

    /// The same, and it is made if it is not here.
    pub(crate) fn resolve(&mut self, pairs: &[(&str, &str)]) -> Found {
        if let Some(id) = self.find(pairs) {
            return Found::Id(id);
        }
        if !check(pairs) {
            return Found::Hopeless;
        }
        if self.slab.len() as u64 >= self.limit {
            return Found::TooMany;
        }
        self.add(pairs)
    }

    /// The same, however many there are.
    pub(crate) fn resolve_any(&mut self, pairs: &[(&str, &str)]) -> Found {
        self.find(pairs).map_or_else(|| self.add(pairs), Found::Id)
    }

    fn add(&mut self, pairs: &[(&str, &str)]) -> Found {
        let Some(id) = self.slab.next() else { return Found::TooMany };
        let labels: Symbolic =
            pairs.iter().map(|(name, value)| (self.symbols.take(name), self.symbols.take(value))).collect();
        self.index.add(id, &labels);
        let hash = self.hasher.hash_one(pairs);
        self.slab.add(Active::new(labels, hash));
        let slab = &self.slab;
        self.by_labels.insert_unique(hash, id, |id| slab.get(*id).map_or(0, |series| series.hash));
        Found::Id(id)
    }

    /// Takes a sample, and notes it for the log.
    pub(crate) fn insert(&mut self, point: Point, bounds: Bounds) -> Outcome {
        let Point { series: id, at, value } = point;
        if at > bounds.newest {
            return Outcome::TooNew;
        }
        if at < bounds.oldest {
            return Outcome::TooOld;
        }
        let Some(series) = self.slab.get_mut(id) else { return Outcome::Gone };
        match series.insert(at, value, self.out_of_order, &mut self.pool) {
            Insertion::Duplicate => return Outcome::Duplicate,
            Insertion::TooOld => return Outcome::TooOld,
            Insertion::Taken => {}
        }
        if series.defined_in != self.pending.segment() {
            series.defined_in = self.pending.segment();
            self.pending.define(id, &series.labels, &mut self.symbols);
        }
        self.pending.push(point);
        Outcome::Taken
    }

    /// Takes a sample of the log again.
    pub(crate) fn replay(&mut self, Point { series, at, value }: Point) {
        if let Some(series) = self.slab.get_mut(series) {
            // It was taken once, so it is no older than it may be.
            series.insert(at, value, i64::MAX, &mut self.pool);
        }
    }

    /// Adds the samples of a series in a range, in no order.
    pub(crate) fn read(&self, series: &Active, from: i64, to: i64, rows: &mut Rows) {
        series.read(&self.pool.arena, from, to, rows);
    }

    /// Its newest sample up to `now`, if it is no older than `oldest`.
    pub(crate) fn latest(&self, series: &Active, oldest: i64, now: i64) -> Option<(i64, f64)> {
        series.latest(&self.pool.arena, oldest, now)
    }

    pub(crate) fn matching(&self, patterns: &[Pattern]) -> Vec<u32> {
        let mut index = Indexed { index: &self.index, symbols: &self.symbols, slab: &self.slab };
        matching(&mut index, patterns).unwrap_or_default()
    }

    pub(crate) fn labels(&self, series: &Active) -> Labels {
        series.labels.iter().map(|(name, value)| (self.symbols.text(*name), self.symbols.text(*value))).collect()
    }

    /// Names of metrics, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let values = self.symbols.find(NAME).map(|name| self.index.values(name));
        values.into_iter().flatten().map(|value| self.symbols.text(value))
    }

    /// All texts by their symbol, and all series with their labels.
    pub(crate) fn survey(&self) -> (Vec<Arc<str>>, Survey) {
        let mut survey = Survey::default();
        for id in self.slab.ids() {
            if let Some(series) = self.slab.get(id) {
                let start = survey.labels.len();
                survey.labels.extend_from_slice(&series.labels);
                survey.series.push((id, start..survey.labels.len()));
            }
        }
        (self.symbols.all(), survey)
    }

    /// Adds what a series has up to a time, which is then on its way to a block.
    pub(crate) fn move_out(&mut self, id: u32, up_to: i64, rows: &mut Rows) {
        if let Some(series) = self.slab.get_mut(id) {
            series.move_out(up_to, &mut self.pool, rows);
        }
    }

    /// What was on its way is there, or it stays. Series that have nothing any more go.
    pub(crate) fn moved(&mut self, ids: &[u32], arrived: bool) {
        self.pool.forget();
        let (mut gone, mut labels) = (HashSet::new(), HashSet::new());
        for id in ids {
            let Some(series) = self.slab.get_mut(*id) else { continue };
            series.moved(arrived);
            if series.is_empty() && arrived {
                gone.insert(*id);
                labels.extend(series.labels.iter().copied());
            }
        }
        if gone.is_empty() {
            return;
        }
        self.index.remove(&gone, &labels);
        for id in gone {
            let Some(series) = self.slab.remove(id) else { continue };
            if let Ok(entry) = self.by_labels.find_entry(series.hash, |other| *other == id) {
                entry.remove();
            }
            for (name, value) in &series.labels {
                self.symbols.release(*name);
                self.symbols.release(*value);
            }
        }
    }

    pub(crate) fn take_pending(&mut self) -> Vec<Batch> {
        self.pending.take()
    }
}

/// Whether such a series can be stored: sorted by the labels' names, each once, none empty, one of them the metric's name.
fn check(pairs: &[(&str, &str)]) -> bool {
    let metric = pairs.iter().find(|(name, _)| *name == NAME).map_or("", |(_, value)| value);
    let others = pairs.iter().filter(|(name, _)| *name != NAME);
    let bytes: usize = others.map(|(name, value)| name.len() + value.len() + LABEL_EXTRA_BYTES).sum();
    !metric.is_empty()
        && metric.len() <= METRIC_BYTES
        && bytes <= LABELS_BYTES
        && pairs.is_sorted_by(|(a, _), (b, _)| a < b)
        && pairs.iter().all(|(name, value)| !name.is_empty() && !value.is_empty())
}

/// The labels of a sample with its metric's name, as [`check`] wants them: into a list that is used again.
pub(crate) fn pairs<'a>(metric: &'a str, labels: &'a Labels, pairs: &mut Vec<(&'a str, &'a str)>) {
    pairs.clear();
    pairs.extend(labels.iter().filter(|(name, value)| !value.is_empty() && *name != NAME));
    let place = pairs.partition_point(|(name, _)| *name < NAME);
    pairs.insert(place, (NAME, metric));
}
