//! How a rolling window is cut into pieces, so that a month is not read every fifteen seconds: chunks that are over are folded
//! once and kept, twenty-four of them in a row are merged once into a block, and only the two ragged ends are folded anew.
//!
//! Chunks lie on multiples of their length since 1970, whatever the window. All stretches are left-open: `(from, to]`, like the
//! ranges of series.

use quarterdeck_model::{Span, Timestamp};

/// Chunks in a block.
pub const BLOCK: i64 = 24;
/// Samples may come late by this much and still count.
pub const GRACE: Span = Span::from_secs(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stretch {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Stretch {
    pub fn is_empty(self) -> bool {
        self.from >= self.to
    }
}

/// A piece of the window, oldest first in a [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Folded anew each time.
    Ragged(Stretch),
    /// Folded once.
    Chunk(Stretch),
    /// `BLOCK` chunks in a row, merged once.
    Block(Stretch),
}

impl Piece {
    pub fn stretch(self) -> Stretch {
        match self {
            Piece::Ragged(stretch) | Piece::Chunk(stretch) | Piece::Block(stretch) => stretch,
        }
    }
}

/// The length of a chunk for a window: short enough that the ragged ends are cheap, long enough that there are not too many.
pub fn chunk_length(window: Span) -> Span {
    const HOUR: u64 = 3_600_000;
    let hours = window.as_millis() / HOUR;
    Span::from_millis(match hours {
        0..3 => 60_000,
        3..48 => 10 * 60_000,
        48..2400 => HOUR,
        _ => 6 * HOUR,
    })
}

/// The pieces of the window that ends now.
pub fn plan(window: Span, now: Timestamp) -> Vec<Piece> {
    let from = now.minus(window).max(Timestamp::MIN);
    let length = i64::try_from(chunk_length(window).as_millis()).unwrap_or(i64::MAX).max(1);
    let at = Timestamp::from_millis;
    let first = ceil(from.as_millis(), length);
    let last = floor(now.minus(GRACE).as_millis(), length);
    if first >= last {
        return vec![Piece::Ragged(Stretch { from, to: now })];
    }
    let mut pieces = Vec::new();
    let head = Stretch { from, to: at(first) };
    if !head.is_empty() {
        pieces.push(Piece::Ragged(head));
    }
    let block = length.saturating_mul(BLOCK);
    let mut start = first;
    while start < last {
        let whole = start % block == 0 && start.saturating_add(block) <= last;
        let end = start + if whole { block } else { length };
        let stretch = Stretch { from: at(start), to: at(end) };
        pieces.push(if whole { Piece::Block(stretch) } else { Piece::Chunk(stretch) });
        start = end;
    }
    pieces.push(Piece::Ragged(Stretch { from: at(last), to: now }));
    pieces
}

/// The chunks of a block or of any stretch that begins and ends with one.
pub fn chunks_of(stretch: Stretch, length: Span) -> impl Iterator<Item = Stretch> {
    let step = length.as_millis().max(1);
    let count = stretch.to.since(stretch.from).as_millis() / step;
    (0..count).map(move |n| Stretch {
        from: stretch.from.plus(Span::from_millis(n * step)),
        to: stretch.from.plus(Span::from_millis((n + 1) * step)),
    })
}

fn floor(value: i64, step: i64) -> i64 {
    value.div_euclid(step) * step
}

fn ceil(value: i64, step: i64) -> i64 {
    let down = floor(value, step);
    if down == value { value } else { down.saturating_add(step) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_on_from_the_start_of_the_window_to_now() {
        let windows = [60, 300, 3600, 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400].map(Span::from_secs);
        for window in windows {
            for offset in [0, 1, 59_999, 3_600_000, 86_399_999] {
                let now = Timestamp::from_millis(1_763_942_400_000 + offset);
                let pieces = plan(window, now);
                assert_eq!(pieces.first().unwrap().stretch().from, now.minus(window));
                assert_eq!(pieces.last().unwrap().stretch().to, now);
                for (a, b) in pieces.iter().zip(pieces.iter().skip(1)) {
                    assert_eq!(a.stretch().to, b.stretch().from);
                    assert!(!a.stretch().is_empty());
                }
                let whole = pieces.iter().filter(|piece| !matches!(piece, Piece::Ragged(_)));
                assert!(whole.clone().all(|piece| piece.stretch().to <= now.minus(GRACE)));
                assert!(pieces.len() < 130, "{window}: {}", pieces.len());
            }
        }
    }

    #[test]
    fn a_month_is_two_ragged_ends_some_hours_and_days() {
        let now = Timestamp::from_millis(1_763_942_400_000 + 5_000_000);
        let pieces = plan(Span::from_secs(30 * 86_400), now);
        let blocks = pieces.iter().filter(|piece| matches!(piece, Piece::Block(_))).count();
        let ragged = pieces.iter().filter(|piece| matches!(piece, Piece::Ragged(_))).count();
        assert_eq!((blocks, ragged), (29, 2));
    }

    #[test]
    fn a_block_is_made_of_its_chunks() {
        let stretch = Stretch { from: Timestamp::from_millis(0), to: Timestamp::from_millis(24 * 3_600_000) };
        let chunks: Vec<_> = chunks_of(stretch, Span::from_secs(3600)).collect();
        assert_eq!(chunks.len(), 24);
        assert_eq!(chunks.last().unwrap().to, stretch.to);
    }
}
