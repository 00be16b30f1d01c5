//! Reading the log again when the store is opened: memory is filled with what is in no block.

use super::blocks::Mark;
use super::head::{Found, Head};
use super::pending::Point;
use super::segments::Reader;
use hashbrown::HashTable;

pub(crate) struct Replay<'a> {
    head: &'a mut Head,
    mark: Mark,
    /// Older samples are not kept any more.
    oldest: i64,
    /// What is up to here in the current segment is in blocks.
    moved: i64,
    /// Ids of the current segment, and what they are in memory now. It is asked for every sample.
    ids: HashTable<(u32, u32)>,
    all: Vec<u32>,
}

/// Ids are consecutive numbers, not chosen by anybody: to spread them is enough.
fn hash(id: u32) -> u64 {
    u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<'a> Replay<'a> {
    pub(crate) fn new(head: &'a mut Head, mark: Mark, oldest: i64) -> Self {
        Replay { head, mark, oldest, moved: i64::MIN, ids: HashTable::new(), all: Vec::new() }
    }

    /// Series of which blocks have all go again.
    pub(crate) fn finish(self) {
        self.head.moved(&self.all, true);
    }
}

impl Reader for Replay<'_> {
    fn begin(&mut self, segment: u32) {
        self.ids.clear();
        self.moved = if segment < self.mark.segment { self.mark.up_to } else { i64::MIN };
    }

    fn series(&mut self, id: u32, labels: &[(&str, &str)]) {
        let Found::Id(known) = self.head.resolve_any(labels) else { return };
        self.all.push(known);
        match self.ids.find_mut(hash(id), |(other, _)| *other == id) {
            Some(place) => place.1 = known,
            None => {
                self.ids.insert_unique(hash(id), (id, known), |(id, _)| hash(*id));
            }
        }
    }

    fn point(&mut self, point: Point) {
        if point.at < self.oldest || point.at <= self.moved {
            return;
        }
        if let Some((_, series)) = self.ids.find(hash(point.series), |(id, _)| *id == point.series) {
            self.head.replay(Point { series: *series, ..point });
        }
    }
}
