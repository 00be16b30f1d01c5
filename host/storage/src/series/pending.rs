//! What waits to be written to the log.

use super::symbols::Symbols;
use crate::codec::{put_bytes, put_uint};

/// A sample by the id of its series; time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) series: u32,
    pub(crate) at: i64,
    pub(crate) value: f64,
}

/// What a definition is of.
pub(crate) const TEXT: u8 = 1;
pub(crate) const SERIES: u8 = 2;

/// For one segment of the log.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) segment: u32,
    /// Encoded: what the ids mean that this segment has not explained yet.
    pub(crate) definitions: Vec<u8>,
    pub(crate) points: Vec<Point>,
}

/// Batches, the last one of the segment that is written to now.
#[derive(Debug)]
pub(crate) struct Pending {
    batches: Vec<Batch>,
    segment: u32,
    points: usize,
}

impl Pending {
    pub(crate) fn new(segment: u32) -> Self {
        Pending { batches: Vec::new(), segment, points: 0 }
    }

    pub(crate) fn segment(&self) -> u32 {
        self.segment
    }

    /// The oldest segment that something waits for.
    pub(crate) fn first(&self) -> Option<u32> {
        self.batches.first().map(|batch| batch.segment)
    }

    /// Points that wait.
    pub(crate) fn points(&self) -> usize {
        self.points
    }

    /// What comes from here on belongs to another segment. Returns its number.
    pub(crate) fn rotate(&mut self) -> u32 {
        self.segment += 1;
        self.segment
    }

    fn current(&mut self) -> &mut Batch {
        let segment = self.segment;
        if self.batches.last().is_none_or(|batch| batch.segment != segment) {
            self.batches.push(Batch { segment, ..Batch::default() });
        }
        // There is one: it was pushed just now.
        let last = self.batches.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "the last of a list that is not empty")]
        &mut self.batches[last]
    }

    /// Texts that the segment does not have yet, and then the series, whose labels are numbers of texts.
    pub(crate) fn define(&mut self, series: u32, labels: &[(u32, u32)], symbols: &mut Symbols) {
        let segment = self.segment;
        let out = &mut self.current().definitions;
        for symbol in labels.iter().flat_map(|(name, value)| [name, value]) {
            if let Some(text) = symbols.define(*symbol, segment) {
                out.push(TEXT);
                put_uint(out, u64::from(*symbol));
                put_bytes(out, text.as_bytes());
            }
        }
        out.push(SERIES);
        put_uint(out, u64::from(series));
        put_uint(out, labels.len() as u64);
        for symbol in labels.iter().flat_map(|(name, value)| [name, value]) {
            put_uint(out, u64::from(*symbol));
        }
    }

    pub(crate) fn push(&mut self, point: Point) {
        self.points += 1;
        self.current().points.push(point);
    }

    pub(crate) fn take(&mut self) -> Vec<Batch> {
        self.points = 0;
        std::mem::take(&mut self.batches)
    }

    /// There was no room for these. Their points are lost; what ids mean goes with the next ones, which use them.
    pub(crate) fn give_back(&mut self, batches: Vec<Batch>) {
        let kept = batches.into_iter().map(|batch| Batch { points: Vec::new(), ..batch });
        self.batches.splice(..0, kept.filter(|batch| !batch.definitions.is_empty()));
    }
}
