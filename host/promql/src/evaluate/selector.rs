//! Series as they are stored, read once for all steps.

use super::Evaluator;
use super::grid::{Grid, Shifted};
use super::row::{ABSENT, Row, is_present};
use super::window::{Samples, Windows};
use crate::error::Error;
use crate::expression::Selector;
use quarterdeck_model::series::query::Columns;
use quarterdeck_model::time::Timestamp;

impl Evaluator<'_> {
    fn select(&self, selector: &Selector, grid: &Grid, shifted: Shifted, back: i64) -> Result<Vec<Columns>, Error> {
        if grid.steps() == 0 {
            return Ok(Vec::new());
        }
        let from = shifted.apply(grid.first()).saturating_sub(back);
        let to = shifted.apply(grid.last());
        let (from, to) = (Timestamp::from_millis(from), Timestamp::from_millis(to));
        let mut columns = self.querier.select(&selector.matchers, from, to, self.budget)?;
        // The order shows only in instant queries, where it decides between equals.
        if grid.is_instant() {
            columns.sort_by(|one, other| one.labels.cmp(&other.labels));
        }
        Ok(columns)
    }

    /// The newest sample at each step, no older than the lookback, unless the series has ended.
    pub(super) fn select_latest(&mut self, selector: &Selector, grid: &Grid) -> Result<Vec<Row>, Error> {
        let columns = self.select_samples(selector, grid)?;
        self.hold(columns.series.len(), grid)?;
        let mut rows = Vec::with_capacity(columns.series.len());
        for samples in &columns.series {
            let latest = columns.latest(samples, grid, |_, value| value);
            let row = Row { labels: samples.labels.clone(), drop_name: false, values: latest };
            if !row.is_empty() {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// When the newest sample at each step was taken, in seconds.
    pub(super) fn select_times(&mut self, selector: &Selector, grid: &Grid) -> Result<Vec<Row>, Error> {
        let columns = self.select_samples(selector, grid)?;
        self.hold(columns.series.len(), grid)?;
        let mut rows = Vec::with_capacity(columns.series.len());
        for samples in &columns.series {
            let latest = columns.latest(samples, grid, |at, _| at as f64 / 1000.0);
            let row = Row { labels: samples.labels.clone(), drop_name: true, values: latest };
            if !row.is_empty() {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    fn select_samples(&self, selector: &Selector, grid: &Grid) -> Result<Latest, Error> {
        let shifted = Shifted::of(&selector.shift, self.start, self.end);
        let lookback = i64::try_from(self.options.lookback.as_millis()).unwrap_or(i64::MAX);
        let columns = self.select(selector, grid, shifted, lookback)?;
        let series = columns.into_iter().map(Samples::from).collect();
        Ok(Latest { series, shifted, lookback })
    }

    /// The samples of a range before each step.
    pub(super) fn windows(&mut self, selector: &Selector, range: i64, grid: &Grid) -> Result<Windows, Error> {
        let shifted = Shifted::of(&selector.shift, self.start, self.end);
        let columns = self.select(selector, grid, shifted, range)?;
        let series = columns.into_iter().map(Samples::from).map(Samples::without_ends).collect();
        Ok(Windows { series, range, shifted })
    }
}

/// Samples with the staleness markers among them, and how they are looked up.
struct Latest {
    series: Vec<Samples>,
    shifted: Shifted,
    lookback: i64,
}

impl Latest {
    fn latest(&self, samples: &Samples, grid: &Grid, result: impl Fn(i64, f64) -> f64) -> Vec<f64> {
        let mut following = samples.at.iter().copied().zip(samples.values.iter().copied()).peekable();
        let mut newest: Option<(i64, f64)> = None;
        let mut values = Vec::with_capacity(grid.steps());
        for time in grid.times() {
            let time = self.shifted.apply(time);
            while let Some(sample) = following.next_if(|(at, _)| *at <= time) {
                newest = Some(sample);
            }
            let oldest = time.saturating_sub(self.lookback);
            let value = match newest {
                Some((at, value)) if at > oldest && is_present(value) => result(at, value),
                _ => ABSENT,
            };
            values.push(value);
        }
        values
    }
}
