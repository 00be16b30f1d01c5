//! What a source has sent lately: how much, and of which series. Pure.

use quarterdeck_model::series::ingest::Pairs;
use quarterdeck_model::{Span, Timestamp};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// A series that was not seen for this long, twice over at most, counts no more.
const PERIOD: Span = Span::from_secs(86_400);

/// Series by a hash: two that share one count as one, which does no harm.
#[derive(Debug, Default)]
pub(super) struct Source {
    hasher: RandomState,
    since: Timestamp,
    current: HashSet<u64>,
    before: HashSet<u64>,
    /// Samples that it may send at once; below nothing where it has sent more than it may.
    credit: f64,
    credited: Option<Timestamp>,
}

impl Source {
    /// Takes samples out of the credit of a second. A request is taken as a whole as long as there is any, so that a large one is
    /// not refused for ever; what it takes too much has to be waited for by the next.
    ///
    /// # Errors
    /// When to try again.
    pub(super) fn admit(&mut self, samples: usize, rate: u64, now: Timestamp) -> Result<(), Span> {
        if rate == 0 {
            self.credited = None;
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below what a float has exactly")]
        let (rate, samples) = (rate as f64, samples as f64);
        let passed = self.credited.map_or(1.0, |before| now.since(before).as_secs_f64());
        self.credit = if self.credited.is_none() { rate } else { (self.credit + passed * rate).min(rate) };
        self.credited = Some(now);
        if self.credit <= 0.0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a span of some seconds")]
            let millis = ((1.0 - self.credit) / rate * 1000.0).ceil().clamp(1.0, 3_600_000.0) as u64;
            return Err(Span::from_millis(millis));
        }
        self.credit -= samples;
        Ok(())
    }

    /// Whether a series is known, or there is room for it among `limit`.
    pub(super) fn knows(&mut self, labels: Pairs<'_>, limit: usize, now: Timestamp) -> bool {
        let periods = now.since(self.since).as_millis() / PERIOD.as_millis();
        if periods > 0 {
            self.since = now;
            self.before = std::mem::take(&mut self.current);
            if periods > 1 {
                self.before.clear();
            }
        }
        let series = self.hasher.hash_one(labels);
        let fits = self.current.contains(&series)
            || self.before.remove(&series)
            || self.current.len() + self.before.len() < limit;
        if fits {
            self.current.insert(series);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_series_go_on_where_new_ones_are_refused() {
        let mut source = Source::default();
        let at = |day: u64| Timestamp::from_millis(0).plus(Span::from_secs(86_400 * day));
        let mut knows = |number: usize, day: u64| {
            let number = number.to_string();
            source.knows(&[("__name__", "m"), ("n", number.as_str())], 3, at(day))
        };
        assert_eq!([0, 1, 2, 3].map(|number| knows(number, 100)), [true, true, true, false]);
        assert!(knows(1, 101));
        assert_eq!([4, 1].map(|number| knows(number, 101)), [false, true]);
        // Two are not seen any more: there is room for two.
        assert_eq!([4, 5, 6, 1].map(|number| knows(number, 102)), [true, true, false, true]);
    }

    #[test]
    fn what_is_sent_too_fast_has_to_wait_for_as_long_as_it_says() {
        let mut source = Source::default();
        let start = Timestamp::from_millis(1_000_000);
        assert_eq!(source.admit(250, 100, start), Ok(()));
        let after = source.admit(1, 100, start).unwrap_err();
        assert!(after >= Span::from_millis(1_500) && after < Span::from_millis(1_600), "{after}");
        assert!(source.admit(1, 100, start.plus(Span::from_millis(1_400))).is_err());
        assert_eq!(source.admit(1, 100, start.plus(after)), Ok(()));
        // Silence does not add up.
        let later = start.plus(Span::from_secs(1_000));
        assert_eq!(source.admit(100, 100, later), Ok(()));
        assert!(source.admit(1, 100, later).is_err());
        assert_eq!(source.admit(1_000_000, 0, later), Ok(()));
    }
}
