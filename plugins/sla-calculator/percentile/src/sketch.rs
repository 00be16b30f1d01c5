//! A mergeable quantile sketch with a bounded relative error (after DDSketch, Masson et al., 2019).
//!
//! A value `x > 0` falls in the bucket `ceil(log(x) / log(gamma))` with `gamma = (1 + e) / (1 - e)`; a bucket stands for
//! `2 gamma^i / (gamma + 1)`, which is at most `e * x` away from each value in it. Negative values have buckets of their own by their
//! magnitude, and what is closer to zero than `1e-9` counts as zero. At most 2,048 buckets are kept on each side; beyond that the
//! smallest magnitudes share one, and only figures down there lose the bound. At `e = 0.01` that is 17 orders of
//! magnitude, at `e = 0.005` nearly 9.

use quarterdeck_sdk::serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const CLOSE_TO_ZERO: f64 = 1e-9;
const BUCKETS: usize = 2048;

/// Counts by bucket, and what is exact: count, minimum, maximum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde")]
pub struct Sketch {
    relative_error: f64,
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
    zero: u64,
    min: Option<f64>,
    max: Option<f64>,
}

/// The rank, from 1, of a percentile among so many: the nearest-rank definition.
pub fn rank(percentile: f64, count: u64) -> u64 {
    // Rounded first, since 95 % of 20 is 19 and not a hair more.
    let exact = percentile / 100.0 * count as f64;
    let rank = if (exact - exact.round()).abs() < 1e-9 * exact.max(1.0) { exact.round() } else { exact.ceil() };
    (rank as u64).clamp(1, count.max(1))
}

impl Sketch {
    /// An empty one.
    pub fn new(relative_error: f64) -> Self {
        Sketch { relative_error, positive: BTreeMap::new(), negative: BTreeMap::new(), zero: 0, min: None, max: None }
    }

    /// Whether it was made with that error.
    pub fn fits(&self, relative_error: f64) -> bool {
        self.relative_error == relative_error
    }

    /// How many values were added.
    pub fn count(&self) -> u64 {
        self.positive.values().sum::<u64>() + self.negative.values().sum::<u64>() + self.zero
    }

    /// Adds a value. Infinite ones count as the greatest that there is; what is not a number is left out.
    pub fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        let value = value.clamp(f64::MIN, f64::MAX);
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
        if value.abs() < CLOSE_TO_ZERO {
            self.zero += 1;
            return;
        }
        let bucket = (value.abs().ln() / self.gamma().ln()).ceil() as i32;
        let side = if value > 0.0 { &mut self.positive } else { &mut self.negative };
        *side.entry(bucket).or_insert(0) += 1;
        shrink(side);
    }

    /// Adds everything that another one of the same error holds.
    pub fn merge(&mut self, other: &Sketch) {
        for (side, others) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            for (bucket, count) in others {
                *side.entry(*bucket).or_insert(0) += count;
            }
            shrink(side);
        }
        self.zero += other.zero;
        self.min = self.min.into_iter().chain(other.min).reduce(f64::min);
        self.max = self.max.into_iter().chain(other.max).reduce(f64::max);
    }

    /// About the value of that rank, from 1.
    pub fn at_rank(&self, rank: u64) -> Option<f64> {
        let (min, max) = (self.min?, self.max?);
        let negative = self.negative.iter().rev().map(|(bucket, count)| (-self.value(*bucket), *count));
        let positive = self.positive.iter().map(|(bucket, count)| (self.value(*bucket), *count));
        let mut seen = 0;
        for (value, count) in negative.chain([(0.0, self.zero)]).chain(positive) {
            seen += count;
            if seen >= rank {
                return Some(value.clamp(min, max));
            }
        }
        Some(max)
    }

    fn gamma(&self) -> f64 {
        (1.0 + self.relative_error) / (1.0 - self.relative_error)
    }

    fn value(&self, bucket: i32) -> f64 {
        let gamma = self.gamma();
        2.0 * gamma.powi(bucket) / (gamma + 1.0)
    }
}

/// The smallest magnitudes share a bucket when there are too many.
fn shrink(side: &mut BTreeMap<i32, u64>) {
    while side.len() > BUCKETS {
        let Some((_, count)) = side.pop_first() else { return };
        if let Some(mut entry) = side.first_entry() {
            *entry.get_mut() += count;
        }
    }
}
