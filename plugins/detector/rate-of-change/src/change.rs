//! How much a series changed over a length of time.

use quarterdeck_sdk::detector::Series;

/// What became of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Change {
    /// In the series' own unit.
    pub(crate) absolute: f64,
    /// As a share of what it was before; none if that was 0.
    pub(crate) relative: Option<f64>,
    /// What is compared: the newest figure, or what a counter gained.
    pub(crate) value: f64,
    /// What it is compared with.
    pub(crate) before: f64,
}

/// The samples that are numbers, and not of the future, in the order of their times; of those of one time, the last.
fn samples(series: &Series, now_ms: i64) -> Vec<(i64, f64)> {
    let pairs = series.at_ms.iter().copied().zip(series.value.iter().copied());
    let mut samples: Vec<(i64, f64)> = pairs.filter(|(at, value)| *at <= now_ms && value.is_finite()).collect();
    samples.sort_by_key(|(at, _)| *at);
    samples.reverse();
    samples.dedup_by_key(|(at, _)| *at);
    samples.reverse();
    samples
}

/// The newest sample at or before a time.
fn at(samples: &[(i64, f64)], time: i64) -> Option<f64> {
    samples.iter().rev().find(|(at, _)| *at <= time).map(|(_, value)| *value)
}

/// The newest figure against the one that was there `over_ms` before it. None where the window does not go back so far.
pub(crate) fn of_gauge(series: &Series, now_ms: i64, over_ms: i64) -> Option<Change> {
    let samples = samples(series, now_ms);
    let (newest, value) = *samples.last()?;
    let before = at(&samples, newest.saturating_sub(over_ms))?;
    Some(compare(value - before, value, before))
}

/// What a counter gained in the last `over_ms`, and against what it gained in the `over_ms` before, where the window goes back so far.
/// A figure below the one before it is a counter that began anew at 0, as in Prometheus's `increase`; nothing is extrapolated.
pub(crate) fn of_counter(series: &Series, now_ms: i64, over_ms: i64) -> Option<Change> {
    let mut samples = samples(series, now_ms);
    let mut total = 0.0;
    let mut last: Option<f64> = None;
    for (_, value) in &mut samples {
        if let Some(last) = last {
            let gained = if *value < last { *value } else { *value - last };
            // A counter below 0 is none, and one at the end of the range has nowhere to go.
            total = (total + gained.max(0.0)).min(f64::MAX);
        }
        last = Some(*value);
        *value = total;
    }
    let (newest, end) = *samples.last()?;
    let middle = at(&samples, newest.saturating_sub(over_ms))?;
    let gained = end - middle;
    let begin = at(&samples, newest.saturating_sub(over_ms.saturating_mul(2)));
    Some(match begin {
        Some(begin) => Change { absolute: gained, ..compare(gained - (middle - begin), gained, middle - begin) },
        None => Change { absolute: gained, relative: None, value: gained, before: 0.0 },
    })
}

fn compare(difference: f64, value: f64, before: f64) -> Change {
    let relative = Some(difference / before.abs()).filter(|share| share.is_finite());
    Change { absolute: difference.clamp(f64::MIN, f64::MAX), relative, value, before }
}
