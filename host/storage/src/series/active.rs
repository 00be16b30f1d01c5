//! One series in memory: the newest samples as they come, those of the half hours before in sealed chunks, and what came late.
//!
//! A chunk never reaches over a half hour, so that what is moved to the disk are whole chunks, and the series of one source
//! share their times.

use super::arena::Arena;
use super::open::Open;
use super::times::{Pool, Times};
use super::values;
use std::sync::Arc;

/// What a chunk may span, in milliseconds; aligned to the epoch.
pub(crate) const WINDOW: i64 = 1_800_000;
/// Samples of a chunk, at most.
const CHUNK: u32 = 480;
/// Late samples that wait in plain columns, at most.
const LATE: usize = 128;

/// Labels as symbols, in the order of their names; the metric's name is one of them.
pub(crate) type Symbolic = Box<[(u32, u32)]>;

pub(crate) struct Active {
    pub(crate) labels: Symbolic,
    pub(crate) hash: u64,
    /// The newest segment of the log that says what this series is.
    pub(crate) defined_in: u32,
    newest: i64,
    open: Open,
    sealed: Vec<Sealed>,
    late: Vec<(i64, f64)>,
}

struct Sealed {
    times: Arc<Times>,
    values: Box<[u8]>,
    /// It is on its way into a block.
    moving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Insertion {
    Taken,
    /// There is one of that time.
    Duplicate,
    TooOld,
}

/// Times and values, of equal length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) at: Vec<i64>,
    pub(crate) values: Vec<f64>,
}

impl Rows {
    /// Keeps those of the range among the ones from `start` on, which are in order. `from` exclusive, `to` inclusive.
    pub(crate) fn trim(&mut self, start: usize, from: i64, to: i64) {
        let new = self.at.get(start..).unwrap_or_default();
        let first = new.partition_point(|at| *at <= from);
        let end = new.partition_point(|at| *at <= to).max(first);
        self.at.truncate(start + end);
        self.values.truncate(start + end);
        if first > 0 {
            self.at.drain(start..start + first);
            self.values.drain(start..start + first);
        }
    }

    /// In order and each time once: the first that was added.
    pub(crate) fn settle(&mut self) {
        if self.at.is_sorted_by(|a, b| a < b) {
            return;
        }
        let mut pairs: Vec<(i64, f64)> = self.at.iter().copied().zip(self.values.iter().copied()).collect();
        pairs.sort_by_key(|(at, _)| *at);
        pairs.dedup_by_key(|(at, _)| *at);
        (self.at, self.values) = pairs.into_iter().unzip();
    }

    pub(crate) fn push(&mut self, at: i64, value: f64) {
        self.at.push(at);
        self.values.push(value);
    }
}

impl Active {
    pub(crate) fn new(labels: Symbolic, hash: u64) -> Self {
        Active {
            labels,
            hash,
            defined_in: 0,
            newest: i64::MIN,
            open: Open::default(),
            sealed: Vec::new(),
            late: Vec::new(),
        }
    }

    /// `window`: how much older than the newest one a sample may be.
    pub(crate) fn insert(&mut self, at: i64, value: f64, window: i64, pool: &mut Pool) -> Insertion {
        if at > self.newest {
            let other = |open: &Open| open.first().div_euclid(WINDOW) != at.div_euclid(WINDOW) || open.count() >= CHUNK;
            if !self.open.is_empty() && other(&self.open) {
                self.seal_open(pool);
            }
            self.open.push(at, value, &mut pool.arena);
            self.newest = at;
            return Insertion::Taken;
        }
        if at == self.newest {
            return Insertion::Duplicate;
        }
        if at < self.newest.saturating_sub(window) {
            return Insertion::TooOld;
        }
        if self.has(at, &pool.arena) {
            return Insertion::Duplicate;
        }
        let Err(place) = self.late.binary_search_by_key(&at, |(at, _)| *at) else { return Insertion::Duplicate };
        self.late.insert(place, (at, value));
        if self.late.len() >= LATE {
            self.seal_late(i64::MAX, pool);
        }
        Insertion::Taken
    }

    /// Whether there is a sample of that time, but for the late ones that wait.
    fn has(&self, at: i64, arena: &Arena) -> bool {
        let mut rows = Rows::default();
        if !self.open.is_empty() && at >= self.open.first() {
            self.open.read(arena, &mut rows.at, &mut rows.values);
        }
        for chunk in &self.sealed {
            if at >= chunk.times.first && at <= chunk.times.last {
                chunk.times.read(&mut rows.at);
            }
        }
        rows.at.contains(&at)
    }

    fn seal_open(&mut self, pool: &mut Pool) {
        let mut rows = Rows::default();
        self.open.read(&pool.arena, &mut rows.at, &mut rows.values);
        self.open.clear(&mut pool.arena);
        self.seal(&rows, pool);
    }

    fn seal(&mut self, rows: &Rows, pool: &mut Pool) {
        let times = pool.share(Times::new(&rows.at));
        if self.sealed.len() == self.sealed.capacity() {
            self.sealed.reserve_exact(2);
        }
        // Copied, not shrunk: what shrinking leaves of each list is too small for anything.
        let values = Box::from(values::encode(&rows.values).as_slice());
        self.sealed.push(Sealed { times, values, moving: false });
    }

    /// Late samples up to a time become chunks of their own.
    fn seal_late(&mut self, up_to: i64, pool: &mut Pool) {
        let end = self.late.partition_point(|(at, _)| *at <= up_to);
        let late: Vec<(i64, f64)> = self.late.drain(..end).collect();
        for window in late.chunk_by(|(a, _), (b, _)| a.div_euclid(WINDOW) == b.div_euclid(WINDOW)) {
            let (at, values) = window.iter().copied().unzip();
            self.seal(&Rows { at, values }, pool);
        }
        if self.late.is_empty() {
            self.late = Vec::new();
        }
    }

    /// Adds the samples of a range, each kind in its order: in time first, then late ones.
    pub(crate) fn read(&self, arena: &Arena, from: i64, to: i64, rows: &mut Rows) {
        let chunks = self.sealed.iter().map(|chunk| &chunk.times);
        let sealed: u32 = chunks.filter(|times| times.last > from && times.first <= to).map(|times| times.count).sum();
        let most = (sealed + self.open.count()) as usize + self.late.len();
        rows.at.reserve(most);
        rows.values.reserve(most);
        for chunk in &self.sealed {
            if chunk.times.last > from && chunk.times.first <= to {
                chunk.read(from, to, rows);
            }
        }
        if !self.open.is_empty() && self.open.last() > from && self.open.first() <= to {
            let start = rows.at.len();
            self.open.read(arena, &mut rows.at, &mut rows.values);
            rows.trim(start, from, to);
        }
        let late = self.late.iter().filter(|(at, _)| *at > from && *at <= to);
        late.for_each(|(at, value)| rows.push(*at, *value));
    }

    /// Whether there may be a sample in the range.
    pub(crate) fn reaches(&self, from: i64, to: i64) -> bool {
        let within = |first: i64, last: i64| last > from && first <= to;
        self.sealed.iter().any(|chunk| within(chunk.times.first, chunk.times.last))
            || (!self.open.is_empty() && within(self.open.first(), self.open.last()))
            || self.late.iter().any(|(at, _)| within(*at, *at))
    }

    /// The newest one up to `now`, if it is no older than `oldest`.
    pub(crate) fn latest(&self, arena: &Arena, oldest: i64, now: i64) -> Option<(i64, f64)> {
        if !self.open.is_empty() && self.open.last() <= now {
            return (self.open.last() >= oldest).then(|| (self.open.last(), self.open.newest()));
        }
        let mut rows = Rows::default();
        self.read(arena, oldest.saturating_sub(1), now, &mut rows);
        rows.settle();
        rows.at.last().copied().zip(rows.values.last().copied())
    }

    /// Adds everything up to a time, which is the end of a window, and marks it as on its way.
    pub(crate) fn move_out(&mut self, up_to: i64, pool: &mut Pool, rows: &mut Rows) {
        if !self.open.is_empty() && self.open.first() <= up_to {
            self.seal_open(pool);
        }
        self.seal_late(up_to, pool);
        for chunk in &mut self.sealed {
            if chunk.times.last <= up_to {
                chunk.moving = true;
                chunk.read(i64::MIN, i64::MAX, rows);
            }
        }
    }

    /// What was on its way is there, or it stays here.
    pub(crate) fn moved(&mut self, arrived: bool) {
        if arrived {
            self.sealed.retain(|chunk| !chunk.moving);
        }
        self.sealed.iter_mut().for_each(|chunk| chunk.moving = false);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.sealed.is_empty() && self.late.is_empty()
    }
}

impl Sealed {
    fn read(&self, from: i64, to: i64, rows: &mut Rows) {
        let start = rows.at.len();
        let read = self.times.read(&mut rows.at);
        let read = read.and_then(|()| values::decode(&self.values, self.times.count as usize, &mut rows.values));
        if read.is_none() {
            // These bytes never left memory: it can't be.
            rows.at.truncate(start);
            rows.values.truncate(start);
        }
        rows.trim(start, from, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::testing::{Random, same_bits};
    use std::collections::BTreeMap;

    /// Puts samples in and reads them again, against a map.
    #[test]
    fn samples_in_any_order_within_the_window_come_back_in_order_and_the_first_of_a_time_stays() {
        let mut random = Random::new(5);
        for round in 0..150 {
            let (mut series, mut pool) = (Active::new(Box::default(), 0), Pool::default());
            let (mut expected, mut newest) = (BTreeMap::new(), 0);
            let window = [0, 600_000, 7_200_000][round % 3];
            let mut at = 1_700_000_000_000;
            for value in random.values(1_200) {
                at += random.below(30_000) as i64;
                let late = if random.below(4) == 0 { random.below(1 + window as u64 * 5 / 4) as i64 } else { 0 };
                let at = at - late;
                let insertion = series.insert(at, value, window, &mut pool);
                let known = expected.contains_key(&at);
                let old = at < newest - window;
                let wanted = match (known, old) {
                    (_, true) => Insertion::TooOld,
                    (true, false) => Insertion::Duplicate,
                    (false, false) => Insertion::Taken,
                };
                assert_eq!(insertion, wanted, "{at} {newest}");
                if insertion == Insertion::Taken {
                    expected.insert(at, value);
                }
                newest = newest.max(at);
            }
            let check = |series: &Active, arena: &Arena, expected: &BTreeMap<i64, f64>, from: i64, to: i64| {
                let mut rows = Rows::default();
                series.read(arena, from, to, &mut rows);
                rows.settle();
                let within: Vec<(i64, f64)> = expected.range(from + 1..=to).map(|(at, value)| (*at, *value)).collect();
                assert_eq!(rows.at, within.iter().map(|(at, _)| *at).collect::<Vec<_>>());
                same_bits(&rows.values, &within.iter().map(|(_, value)| *value).collect::<Vec<_>>());
                assert!(within.is_empty() || series.reaches(from, to));
                let latest = series.latest(arena, from + 1, to);
                assert_eq!(
                    latest.map(|(at, value)| (at, value.to_bits())),
                    within.last().map(|(at, v)| (*at, v.to_bits()))
                );
            };
            check(&series, &pool.arena, &expected, 0, i64::MAX);
            for _ in 0..5 {
                let from = 1_700_000_000_000 + random.below(20_000_000) as i64;
                check(&series, &pool.arena, &expected, from, from + random.below(9_000_000) as i64);
            }
            // A part moves away: once in vain, then for good.
            let up_to = (newest - window - random.below(7_200_000) as i64).div_euclid(WINDOW) * WINDOW - 1;
            let older: Vec<i64> = expected.range(..=up_to).map(|(at, _)| *at).collect();
            for arrived in [false, true] {
                let mut rows = Rows::default();
                series.move_out(up_to, &mut pool, &mut rows);
                rows.settle();
                assert_eq!(rows.at, older);
                check(&series, &pool.arena, &expected, 0, i64::MAX);
                series.moved(arrived);
                check(
                    &series,
                    &pool.arena,
                    if arrived {
                        expected.retain(|at, _| *at > up_to);
                        &expected
                    } else {
                        &expected
                    },
                    0,
                    i64::MAX,
                );
            }
            assert_eq!(series.is_empty(), expected.is_empty());
        }
    }
}
