//! How fast counters and gauges change.

use super::Call;
use crate::error::Error;
use crate::evaluate::row::Row;
use crate::evaluate::window::{Window, Windows};
use crate::expression::Node;

impl Call<'_, '_> {
    pub(super) fn rates(&mut self, windows: Windows, range: &Node) -> Result<Vec<Row>, Error> {
        let seconds = windows.range as f64 / 1000.0;
        let rows = match self.function {
            "rate" => self.map_windows(windows, |window| Some(extrapolated(window, true)? / seconds))?,
            "increase" => self.map_windows(windows, |window| extrapolated(window, true))?,
            _ => self.map_windows(windows, |window| extrapolated(window, false))?,
        };
        if self.function != "delta" {
            self.check_names(&rows, range);
        }
        Ok(rows)
    }

    /// A gauge has no rate; whether it is one shows only in its name.
    fn check_names(&mut self, rows: &[Row], range: &Node) {
        let mut last = "";
        for row in rows {
            let name = row.name();
            if name.is_empty()
                || name == last
                || ["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end))
            {
                continue;
            }
            last = name;
            let message =
                format!("metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}");
            self.evaluator.notes.inform(range.position, message);
        }
    }
}

/// The change over the whole window, although the samples don't reach its ends: as far as they come near enough, it is assumed to
/// go on as it did between them.
fn extrapolated(window: &Window<'_>, counter: bool) -> Option<f64> {
    let (first_at, last_at) = (*window.at.first()?, *window.at.last()?);
    let (first, last) = (*window.values.first()?, *window.values.last()?);
    if window.at.len() < 2 {
        return None;
    }
    let mut change = last - first;
    if counter {
        change = window.before_falls().fold(change, |change, before| change + before);
    }
    let sampled = (last_at - first_at) as f64 / 1000.0;
    let spacing = sampled / (window.at.len() - 1) as f64;
    // A gap that is not much wider than those between the samples is one in which a sample would not have been yet. In a wider
    // one the series began or ended, on average in the middle between two samples.
    let near = |gap: f64| if gap < spacing * 1.1 { gap } else { spacing / 2.0 };
    let mut to_start = near((first_at - window.from) as f64 / 1000.0);
    let to_end = near((window.to - last_at) as f64 / 1000.0);
    if counter && change > 0.0 && first >= 0.0 {
        // A counter is never negative: it began at zero at the earliest.
        to_start = to_start.min(sampled * (first / change));
    }
    let factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    Some(change * factor)
}

/// Between the last two samples.
pub(super) fn instant_change(window: &Window<'_>) -> Option<f64> {
    let [.., before, last] = window.values else { return None };
    Some(last - before)
}

/// The same by second, for a counter.
pub(super) fn instant_rate(window: &Window<'_>) -> Option<f64> {
    let ([.., before, last], [.., before_at, last_at]) = (window.values, window.at) else { return None };
    let change = if last < before { *last } else { last - before };
    (last_at > before_at).then(|| change / ((last_at - before_at) as f64 / 1000.0))
}

pub(super) fn resets(window: &Window<'_>) -> Option<f64> {
    Some(window.before_falls().count() as f64)
}

pub(super) fn changes(window: &Window<'_>) -> Option<f64> {
    let pairs = window.values.iter().zip(window.values.iter().skip(1));
    Some(pairs.filter(|(one, next)| one != next && !(one.is_nan() && next.is_nan())).count() as f64)
}
