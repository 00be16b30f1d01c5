//! One series in memory: times and values as two columns.

use quarterdeck_model::Labels;
use std::collections::VecDeque;
use std::sync::Arc;

/// Samples that one series keeps in memory.
const SAMPLES: usize = 400;

pub(crate) struct Column {
    pub(crate) metric: Arc<str>,
    pub(crate) labels: Labels,
    /// Everything behind this time is here.
    pub(crate) complete_from: i64,
    /// What the dictionary says about when it was last seen.
    pub(crate) seen: i64,
    at: VecDeque<i64>,
    values: VecDeque<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Insertion {
    Taken,
    /// There is one of that time.
    Duplicate,
    /// Older than what is kept here: it is on disk only.
    Old,
}

impl Column {
    pub(crate) fn new(metric: Arc<str>, labels: Labels, complete_from: i64, seen: i64) -> Self {
        Column { metric, labels, complete_from, seen, at: VecDeque::new(), values: VecDeque::new() }
    }

    pub(crate) fn insert(&mut self, at: i64, value: f64) -> Insertion {
        if at <= self.complete_from {
            return Insertion::Old;
        }
        if self.at.back().is_none_or(|last| *last < at) {
            self.at.push_back(at);
            self.values.push_back(value);
        } else {
            let Err(place) = self.at.binary_search(&at) else { return Insertion::Duplicate };
            self.at.insert(place, at);
            self.values.insert(place, value);
        }
        if self.at.len() > SAMPLES {
            self.drop_first();
        }
        Insertion::Taken
    }

    fn drop_first(&mut self) {
        self.values.pop_front();
        if let Some(at) = self.at.pop_front() {
            self.complete_from = self.complete_from.max(at);
        }
    }

    /// Drops everything up to `floor`.
    pub(crate) fn forget(&mut self, floor: i64) {
        while self.at.front().is_some_and(|at| *at <= floor) {
            self.drop_first();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The newest one up to `now`.
    pub(crate) fn newest(&self, now: i64) -> Option<(i64, f64)> {
        let place = self.at.partition_point(|at| *at <= now).checked_sub(1)?;
        Some((*self.at.get(place)?, *self.values.get(place)?))
    }

    /// `from` exclusive, `to` inclusive.
    pub(crate) fn between(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, f64)> {
        let start = self.at.partition_point(|at| *at <= from);
        let end = self.at.partition_point(|at| *at <= to).max(start);
        self.at.range(start..end).copied().zip(self.values.range(start..end).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column() -> Column {
        Column::new(Arc::from("m"), Labels::new(), 0, 0)
    }

    #[test]
    fn samples_come_out_in_order_and_once() {
        let mut column = column();
        assert_eq!(column.insert(30, 3.0), Insertion::Taken);
        assert_eq!(column.insert(10, 1.0), Insertion::Taken);
        assert_eq!(column.insert(20, 2.0), Insertion::Taken);
        assert_eq!(column.insert(20, 9.0), Insertion::Duplicate);
        assert_eq!(column.insert(0, 9.0), Insertion::Old);
        assert_eq!(column.between(0, 99).collect::<Vec<_>>(), [(10, 1.0), (20, 2.0), (30, 3.0)]);
        assert_eq!(column.between(10, 20).collect::<Vec<_>>(), [(20, 2.0)]);
        assert_eq!(column.between(20, 10).count(), 0);
        assert_eq!(column.newest(29), Some((20, 2.0)));
        assert_eq!(column.newest(9), None);
    }

    #[test]
    fn memory_is_bounded_and_knows_what_it_lost() {
        let mut column = column();
        for at in 1..=1_000 {
            column.insert(at, 0.0);
        }
        assert_eq!(column.at.len(), SAMPLES);
        assert_eq!(column.complete_from, 600);
        column.forget(900);
        assert_eq!((column.at.len(), column.complete_from), (100, 900));
    }
}
