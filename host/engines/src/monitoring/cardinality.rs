//! How many series an instance makes: a plugin that puts a time or an id into a label would fill the store's for all others.
//!
//! Pure. Series that are not seen any more make room again, so that what comes and goes (containers, deployments) is not refused
//! in the end.

use quarterdeck_model::series::Sample;
use quarterdeck_model::{Span, Timestamp};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// A series that was not seen for this long, twice over at most, counts no more.
const PERIOD: Span = Span::from_secs(86_400);

/// The series of one instance, by a hash: two that share one count as one, which does no harm.
#[derive(Debug, Default)]
pub(super) struct Seen {
    hasher: RandomState,
    since: Timestamp,
    current: HashSet<u64>,
    before: HashSet<u64>,
}

impl Seen {
    /// Takes out samples of new series beyond `limit`. Says why, if there were any.
    pub(super) fn limit(&mut self, samples: &mut Vec<Sample>, limit: u32, now: Timestamp) -> Option<String> {
        let periods = now.since(self.since).as_millis() / PERIOD.as_millis();
        if periods > 0 {
            self.since = now;
            self.before = std::mem::take(&mut self.current);
        }
        if periods > 1 {
            self.before.clear();
        }
        let limit_reached = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut refused = 0;
        samples.retain(|sample| {
            let series = self.hasher.hash_one((&sample.name, &sample.labels));
            let known = self.current.contains(&series) || self.before.remove(&series);
            let fits = known || self.current.len() + self.before.len() < limit_reached;
            if fits {
                self.current.insert(series);
            } else {
                refused += 1;
            }
            fits
        });
        (refused > 0).then(|| {
            format!(
                "{refused} samples are of series beyond the {limit} that an instance may have; hint: collect fewer values of labels, or raise `limits.series`"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Labels;

    fn samples(range: std::ops::Range<u32>) -> Vec<Sample> {
        let sample = |n: u32| Sample {
            name: "m".to_owned(),
            labels: Labels::new().with("n", n.to_string()),
            at: Timestamp::from_millis(0),
            value: 0.0,
        };
        range.map(sample).collect()
    }

    fn check(seen: &mut Seen, range: std::ops::Range<u32>, day: u64, left: usize) {
        let now = Timestamp::from_millis(0).plus(Span::from_secs(86_400 * day));
        let mut samples = samples(range);
        let reason = seen.limit(&mut samples, 10, now);
        assert_eq!(samples.len(), left, "{reason:?}");
    }

    #[test]
    fn series_beyond_the_limit_are_refused_and_known_ones_are_not() {
        let mut seen = Seen::default();
        check(&mut seen, 0..8, 0, 8);
        check(&mut seen, 0..12, 0, 10);
        check(&mut seen, 5..15, 0, 5);
        let reason = seen.limit(&mut samples(90..92), 10, Timestamp::from_millis(0)).unwrap();
        assert!(reason.starts_with("2 samples are of series beyond the 10 ") && reason.contains("`limits.series`"));
    }

    #[test]
    fn series_that_are_gone_make_room_and_those_that_are_seen_stay() {
        let mut seen = Seen::default();
        check(&mut seen, 0..10, 0, 10);
        check(&mut seen, 8..12, 1, 2);
        check(&mut seen, 8..20, 2, 10);
        check(&mut seen, 0..1, 2, 0);
        check(&mut seen, 0..1, 9, 1);
    }
}
