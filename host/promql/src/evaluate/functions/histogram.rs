//! Classic histograms: a series for each bucket, with its upper bound in the label `le`, and counts that include those of the lower
//! buckets.

use super::Call;
use crate::error::Error;
use crate::evaluate::key::kept;
use crate::evaluate::row::{ABSENT, Row, is_present};
use crate::notes::of_metric;
use crate::number::{self, almost_equal};
use quarterdeck_model::label::Labels;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

const BOUND: &str = "le";

/// The buckets of one histogram over all steps, by bound.
struct Histogram {
    labels: Arc<Labels>,
    buckets: Vec<(f64, Vec<f64>)>,
}

/// At one step.
#[derive(Clone, Copy)]
struct Bucket {
    bound: f64,
    count: f64,
}

impl Call<'_, '_> {
    pub(super) fn histogram_quantile(&mut self) -> Result<Vec<Row>, Error> {
        let quantiles = self.scalar(0)?;
        let position = self.position(0);
        quantiles.iter().for_each(|quantile| self.evaluator.notes.check_quantile(position, *quantile));
        let histograms = self.histograms(1)?;
        let position = self.position(1);
        let mut forced = Vec::new();
        let rows = self.of_histograms(&histograms, |step, histogram, buckets| {
            let wanted = quantiles.get(step).copied().unwrap_or(f64::NAN);
            let (value, was_forced) = quantile(wanted, buckets);
            if was_forced {
                forced.push(histogram.name());
            }
            value
        })?;
        for name in forced {
            let message =
                format!("input to histogram_quantile needed to be fixed for monotonicity{}", of_metric(&name));
            self.evaluator.notes.inform(position, message);
        }
        Ok(rows)
    }

    pub(super) fn histogram_fraction(&mut self) -> Result<Vec<Row>, Error> {
        let (lower, upper) = (self.scalar(0)?, self.scalar(1)?);
        let histograms = self.histograms(2)?;
        self.of_histograms(&histograms, |step, _, buckets| match (lower.get(step), upper.get(step)) {
            (Some(lower), Some(upper)) => fraction(*lower, *upper, buckets),
            _ => f64::NAN,
        })
    }

    fn histograms(&mut self, index: usize) -> Result<Vec<Histogram>, Error> {
        let position = self.position(index);
        let mut places: HashMap<Arc<Labels>, usize> = HashMap::new();
        let mut histograms: Vec<Histogram> = Vec::new();
        for row in self.rows(index)? {
            let bound = row.labels.get(BOUND).unwrap_or_default();
            let Some(bound) = number::parse(bound) else {
                let metric = of_metric(row.name());
                let message = format!("bucket label \"le\" is missing or has a malformed value of {bound:?}{metric}");
                self.evaluator.notes.warn(position, message);
                continue;
            };
            let labels = kept(&row.labels, |name| name != BOUND);
            let place = *places.entry(Arc::clone(&labels)).or_insert(histograms.len());
            if place == histograms.len() {
                histograms.push(Histogram { labels, buckets: Vec::new() });
            }
            if let Some(histogram) = histograms.get_mut(place) {
                histogram.buckets.push((bound, row.values));
            }
        }
        for histogram in &mut histograms {
            histogram.buckets.sort_by(|(one, _), (other, _)| number::nan_first(one, other));
        }
        Ok(histograms)
    }

    fn of_histograms(
        &self,
        histograms: &[Histogram],
        mut judge: impl FnMut(usize, &Histogram, &mut Vec<Bucket>) -> f64,
    ) -> Result<Vec<Row>, Error> {
        self.evaluator.hold(histograms.len(), self.grid)?;
        let mut rows = Vec::with_capacity(histograms.len());
        let mut buckets = Vec::new();
        for histogram in histograms {
            let mut columns: Vec<_> =
                histogram.buckets.iter().map(|(bound, counts)| (*bound, counts.iter().copied())).collect();
            let mut values = Vec::with_capacity(self.grid.steps());
            for step in 0..self.grid.steps() {
                self.evaluator.check()?;
                buckets.clear();
                for (bound, counts) in &mut columns {
                    match counts.next() {
                        Some(count) if is_present(count) => add_bucket(&mut buckets, *bound, count),
                        _ => {}
                    }
                }
                values.push(if buckets.is_empty() { ABSENT } else { judge(step, histogram, &mut buckets) });
            }
            rows.push(Row { labels: Arc::clone(&histogram.labels), drop_name: true, values });
        }
        Ok(rows)
    }
}

impl Histogram {
    fn name(&self) -> String {
        self.labels.get(quarterdeck_model::series::query::NAME).unwrap_or_default().to_owned()
    }
}

/// Bounds may be written in several ways (`1`, `1.0`): those are one bucket.
fn add_bucket(buckets: &mut Vec<Bucket>, bound: f64, count: f64) {
    match buckets.last_mut() {
        Some(last) if last.bound == bound => last.count += count,
        _ => buckets.push(Bucket { bound, count }),
    }
}

fn has_infinite_bucket(buckets: &[Bucket]) -> bool {
    buckets.last().is_some_and(|last| last.bound == f64::INFINITY)
}

/// The value, and whether counts had to be raised so that none is less than that of a lower bucket. Values are taken for spread
/// evenly in their bucket; those of the lowest one begin at zero, if its bound is above.
fn quantile(quantile: f64, buckets: &mut [Bucket]) -> (f64, bool) {
    if quantile.is_nan() {
        return (f64::NAN, false);
    }
    if quantile < 0.0 {
        return (f64::NEG_INFINITY, false);
    }
    if quantile > 1.0 {
        return (f64::INFINITY, false);
    }
    if !has_infinite_bucket(buckets) {
        return (f64::NAN, false);
    }
    let forced = make_monotonic(buckets);
    let [lower @ .., infinite] = &*buckets else { return (f64::NAN, forced) };
    let Some(highest) = lower.last() else { return (f64::NAN, forced) };
    if infinite.count == 0.0 {
        return (f64::NAN, forced);
    }
    let rank = quantile * infinite.count;
    let index = lower.partition_point(|bucket| bucket.count.partial_cmp(&rank).is_none_or(Ordering::is_lt));
    let Some(bucket) = lower.get(index) else { return (highest.bound, forced) };
    let below = index.checked_sub(1).and_then(|index| lower.get(index));
    if below.is_none() && bucket.bound <= 0.0 {
        return (bucket.bound, forced);
    }
    let below = below.copied().unwrap_or(Bucket { bound: 0.0, count: 0.0 });
    let part = (rank - below.count) / (bucket.count - below.count);
    (below.bound + (bucket.bound - below.bound) * part, forced)
}

/// Differences that arithmetic explains are evened out silently.
fn make_monotonic(buckets: &mut [Bucket]) -> bool {
    const TOLERANCE: f64 = 1e-12;
    let mut forced = false;
    let mut before = buckets.first().map_or(0.0, |bucket| bucket.count);
    for bucket in buckets.iter_mut().skip(1) {
        if bucket.count == before {
            continue;
        }
        if almost_equal(before, bucket.count, TOLERANCE) {
            bucket.count = before;
        } else if bucket.count < before {
            bucket.count = before;
            forced = true;
        } else {
            before = bucket.count;
        }
    }
    forced
}

/// Which part of the observations lies between two values.
fn fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let all = buckets.last().map_or(0.0, |last| last.count);
    if !has_infinite_bucket(buckets) || all == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let share = |value: f64| rank(value, buckets);
    (share(upper).min(all) - share(lower).min(all)) / all
}

/// How many observations are no greater than the value, as far as the buckets tell.
fn rank(value: f64, buckets: &[Bucket]) -> f64 {
    let starts_at_zero = buckets.first().is_some_and(|first| first.bound > 0.0);
    let mut below = Bucket { bound: if starts_at_zero { 0.0 } else { f64::NEG_INFINITY }, count: 0.0 };
    for bucket in buckets {
        if value <= below.bound {
            return below.count;
        }
        if value < bucket.bound {
            if below.bound == f64::NEG_INFINITY {
                return bucket.count;
            }
            let part = (value - below.bound) / (bucket.bound - below.bound);
            return below.count + (bucket.count - below.count) * part;
        }
        below = *bucket;
    }
    below.count
}
