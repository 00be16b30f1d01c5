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
    pub(super) fn select(
        &self,
        selector: &Selector,
        grid: &Grid,
        shifted: Shifted,
        back: i64,
    ) -> Result<Vec<Columns>, Error> {
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
        self.latest(selector, grid, false, |_, value| value)
    }

    /// When the newest sample at each step was taken, in seconds.
    pub(super) fn select_times(&mut self, selector: &Selector, grid: &Grid) -> Result<Vec<Row>, Error> {
        self.latest(selector, grid, true, |at, _| at as f64 / 1000.0)
    }

    fn latest(
        &mut self,
        selector: &Selector,
        grid: &Grid,
        drop_name: bool,
        result: impl Fn(i64, f64) -> f64,
    ) -> Result<Vec<Row>, Error> {
        let shifted = Shifted::of(&selector.shift, self.start, self.end);
        let lookback = i64::try_from(self.options.lookback.as_millis()).unwrap_or(i64::MAX);
        let columns = self.select(selector, grid, shifted, lookback)?;
        self.hold(columns.len(), grid)?;
        let mut rows = Vec::with_capacity(columns.len());
        // Each series' samples are let go before the next row needs memory.
        for columns in columns {
            self.check()?;
            let values = latest(&columns, grid, shifted, lookback, &result);
            let row = Row { labels: columns.labels, drop_name, values };
            if !row.is_empty() {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// The samples of a range before each step.
    pub(super) fn windows(&mut self, selector: &Selector, range: i64, grid: &Grid) -> Result<Windows, Error> {
        let shifted = Shifted::of(&selector.shift, self.start, self.end);
        let columns = self.select(selector, grid, shifted, range)?;
        let series = columns.into_iter().map(Samples::from).map(Samples::without_ends).collect();
        Ok(Windows { series, range, shifted })
    }
}

/// The newest sample at each step; staleness markers are among them.
fn latest(
    columns: &Columns,
    grid: &Grid,
    shifted: Shifted,
    lookback: i64,
    result: &impl Fn(i64, f64) -> f64,
) -> Vec<f64> {
    let mut following = columns.at.iter().copied().zip(columns.values.iter().copied()).peekable();
    let mut newest: Option<(i64, f64)> = None;
    let mut values = Vec::with_capacity(grid.steps());
    for time in grid.times() {
        let time = shifted.apply(time);
        while let Some(sample) = following.next_if(|(at, _)| *at <= time) {
            newest = Some(sample);
        }
        let oldest = time.saturating_sub(lookback);
        let value = match newest {
            Some((at, value)) if at > oldest && is_present(value) => result(at, value),
            _ => ABSENT,
        };
        values.push(value);
    }
    values
}
