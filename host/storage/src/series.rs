//! Samples: the last hour in memory, all of them in frames on disk.
//!
//! - `column`: one series in memory; `dictionary`: which series there are; `frames`: samples on disk
//! - `range`: reading over a stretch of time, from both, within bounds
//!
//! A sample is in memory when `append` returns, and in a frame within a second; the writer thread makes the frames.

mod column;
pub(crate) mod dictionary;
pub(crate) mod frames;
pub(crate) mod range;

use crate::disk::Disk;
use column::{Column, Insertion};
use dictionary::Entry;
use quarterdeck_model::series::{Sample, Selector};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Labels, Span, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// How much of the past stays in memory.
const WINDOW: Span = Span::from_secs(3_600);
/// A clock may be a little ahead, not more.
const AHEAD: Span = Span::from_secs(600);
/// How old the note of when a series was last seen may get.
const SEEN: i64 = 86_400_000;
/// Samples that may wait for the writer: more only if the disk hangs.
const WAITING: usize = 500_000;
/// As many make a frame early.
pub(crate) const FLUSH_AT: usize = 50_000;

/// A sample by the id of its series; time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) series: u32,
    pub(crate) at: i64,
    pub(crate) value: f64,
}

/// What the writer is to put.
#[derive(Default)]
pub(crate) struct Pending {
    pub(crate) entries: Vec<Entry>,
    /// How many of them are of series that the disk doesn't know.
    new: u64,
    pub(crate) samples: Vec<Point>,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.entries.is_empty()
    }

    /// Names first: a frame never speaks of a series that nobody knows.
    pub(crate) fn put(&self, disk: &Disk) -> Result<(), StoreError> {
        for entry in &self.entries {
            dictionary::put(disk, entry)?;
        }
        frames::put(disk, &self.samples)
    }
}

/// Samples that were not taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Too far in the future, or with a name or labels that can't be stored.
    pub(crate) hopeless: usize,
    /// Of new series, of which there are enough.
    pub(crate) new: usize,
}

/// What is known of the series of a sample.
enum Resolved {
    Id(u32),
    /// It is new, and one too many.
    TooMany,
    Hopeless,
}

pub(crate) struct Head {
    columns: HashMap<u32, Column>,
    /// Series of a metric by a hash of their labels.
    index: BTreeMap<Arc<str>, HashMap<u64, Vec<u32>>>,
    /// All metrics on disk or in memory.
    names: BTreeSet<Arc<str>>,
    hasher: RandomState,
    next_id: u32,
    /// Series on disk, and those that wait to be written.
    known: u64,
    limit: u64,
    /// Columns hold everything that is newer than this.
    floor: Timestamp,
    pending: Pending,
    /// What the writer is putting right now.
    writing: Option<Arc<Pending>>,
}

impl Head {
    /// Reads the last hour back.
    pub(crate) fn rebuild(disk: &Disk, limit: u64, now: Timestamp) -> Result<Self, StoreError> {
        let mut head = Head {
            columns: HashMap::new(),
            index: BTreeMap::new(),
            names: BTreeSet::new(),
            hasher: RandomState::new(),
            next_id: 1,
            known: 0,
            limit,
            floor: now.minus(WINDOW),
            pending: Pending::default(),
            writing: None,
        };
        let mut known = HashMap::new();
        dictionary::each(disk, |_, entry| {
            head.next_id = head.next_id.max(entry.id.saturating_add(1));
            head.names.insert(Arc::clone(&entry.metric));
            head.known += 1;
            known.insert(entry.id, entry);
        })?;
        frames::each(disk, head.floor, Timestamp::MAX, |point| {
            if !head.columns.contains_key(&point.series) {
                let Some(entry) = known.remove(&point.series) else { return Ok(()) };
                head.add(entry);
            }
            if let Some(column) = head.columns.get_mut(&point.series) {
                column.insert(point.at, point.value);
            }
            Ok(())
        })?;
        Ok(head)
    }

    /// Takes all or none, but for those that it counts as refused.
    pub(crate) fn append(&mut self, disk: &Disk, samples: Vec<Sample>, now: Timestamp) -> Result<Refused, StoreError> {
        if samples.len() > WAITING {
            return Err(StoreError::Invalid(format!(
                "{} samples at once, {WAITING} are the limit; hint: split them",
                samples.len()
            )));
        }
        let waiting = self.pending.samples.len();
        if waiting + samples.len() > WAITING {
            return Err(StoreError::Busy { waiting, limit: WAITING });
        }
        let latest = now.plus(AHEAD);
        let mut refused = Refused::default();
        for sample in samples {
            let resolved = if sample.at > latest { Resolved::Hopeless } else { self.resolve(disk, &sample, now)? };
            let series = match resolved {
                Resolved::Id(series) => series,
                Resolved::TooMany => {
                    refused.new += 1;
                    continue;
                }
                Resolved::Hopeless => {
                    refused.hopeless += 1;
                    continue;
                }
            };
            let at = sample.at.as_millis();
            let Some(column) = self.columns.get_mut(&series) else { continue };
            if column.insert(at, sample.value) == Insertion::Duplicate {
                continue;
            }
            self.pending.samples.push(Point { series, at, value: sample.value });
            if column.seen.saturating_add(SEEN) < now.as_millis() {
                column.seen = now.as_millis();
                let (metric, labels) = (Arc::clone(&column.metric), column.labels.clone());
                self.pending.entries.push(Entry { id: series, seen: column.seen, metric, labels });
            }
        }
        Ok(refused)
    }

    fn resolve(&mut self, disk: &Disk, sample: &Sample, now: Timestamp) -> Result<Resolved, StoreError> {
        if let Some(id) = self.find(&sample.name, &sample.labels) {
            return Ok(Resolved::Id(id));
        }
        if !dictionary::fits(&sample.name, &sample.labels) {
            return Ok(Resolved::Hopeless);
        }
        if let Some(entry) = dictionary::get(disk, &sample.name, &sample.labels)? {
            let same = entry.labels == sample.labels;
            return Ok(if same { Resolved::Id(self.add(entry)) } else { Resolved::Hopeless });
        }
        if self.known >= self.limit {
            return Ok(Resolved::TooMany);
        }
        let metric = self.names.get(sample.name.as_str()).cloned().unwrap_or_else(|| Arc::from(sample.name.as_str()));
        let entry = Entry { id: self.next_id, seen: now.as_millis(), metric, labels: sample.labels.clone() };
        self.next_id = self.next_id.saturating_add(1);
        self.names.insert(Arc::clone(&entry.metric));
        self.pending.entries.push(entry.clone());
        self.pending.new += 1;
        self.known += 1;
        let id = self.add(entry);
        if let Some(column) = self.columns.get_mut(&id) {
            column.complete_from = i64::MIN;
        }
        Ok(Resolved::Id(id))
    }

    fn find(&self, metric: &str, labels: &Labels) -> Option<u32> {
        let ids = self.index.get(metric)?.get(&self.hasher.hash_one(labels))?;
        ids.iter().copied().find(|id| self.columns.get(id).is_some_and(|column| column.labels == *labels))
    }

    fn add(&mut self, entry: Entry) -> u32 {
        let by_labels = self.index.entry(Arc::clone(&entry.metric)).or_default();
        by_labels.entry(self.hasher.hash_one(&entry.labels)).or_default().push(entry.id);
        let column = Column::new(entry.metric, entry.labels, self.floor.as_millis(), entry.seen);
        self.columns.insert(entry.id, column);
        entry.id
    }

    /// Drops what is over an hour old, and series with nothing younger.
    pub(crate) fn forget_old(&mut self, now: Timestamp) {
        let floor = now.minus(WINDOW);
        if floor.since(self.floor) < Span::from_secs(60) {
            return;
        }
        self.floor = floor;
        let (index, hasher) = (&mut self.index, &self.hasher);
        self.columns.retain(|id, column| {
            column.forget(floor.as_millis());
            if column.is_empty()
                && let Some(by_labels) = index.get_mut(&column.metric)
            {
                let hash = hasher.hash_one(&column.labels);
                if let Some(ids) = by_labels.get_mut(&hash) {
                    ids.retain(|other| other != id);
                    if ids.is_empty() {
                        by_labels.remove(&hash);
                    }
                }
                if by_labels.is_empty() {
                    index.remove(&column.metric);
                }
            }
            !column.is_empty()
        });
    }

    pub(crate) fn take_pending(&mut self) -> Arc<Pending> {
        let pending = Arc::new(std::mem::take(&mut self.pending));
        self.writing = Some(Arc::clone(&pending));
        pending
    }

    /// What `take_pending` gave is in frames now.
    pub(crate) fn written(&mut self) {
        self.writing = None;
    }

    /// There was no room for what `take_pending` gave. Its samples are lost; the names go with the next ones, since memory goes
    /// on using the ids that they explain.
    pub(crate) fn not_written(&mut self, pending: &Pending) {
        self.writing = None;
        self.pending.new += pending.new;
        self.pending.entries.splice(..0, pending.entries.iter().cloned());
    }

    pub(crate) fn waiting(&self) -> usize {
        self.pending.samples.len()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.names.iter().map(|name| name.as_ref().to_owned()).collect()
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// After retention: what is left on disk, and what is in memory.
    pub(crate) fn set_known(&mut self, names: BTreeSet<Arc<str>>, on_disk: u64) {
        self.known = on_disk + self.pending.new;
        self.names = names;
        self.names.extend(self.index.keys().cloned());
    }

    fn selected(&self, selector: &Selector) -> impl Iterator<Item = (u32, &Column)> {
        let ids =
            self.index.get(selector.metric.as_str()).into_iter().flat_map(|by_labels| by_labels.values().flatten());
        ids.filter_map(|id| Some((*id, self.columns.get(id)?)))
            .filter(|(_, column)| column.labels.includes(&selector.labels))
    }

    pub(crate) fn latest(&self, selector: &Selector, now: Timestamp, lookback: Span) -> Vec<Sample> {
        let oldest = now.minus(lookback).as_millis();
        let mut samples: Vec<Sample> = self
            .selected(selector)
            .filter_map(|(_, column)| {
                let (at, value) = column.newest(now.as_millis())?;
                (at >= oldest).then(|| Sample {
                    name: column.metric.as_ref().to_owned(),
                    labels: column.labels.clone(),
                    at: Timestamp::from_millis(at),
                    value,
                })
            })
            .collect();
        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
        samples
    }
}
