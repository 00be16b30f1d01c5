//! Windows that move over the samples of a series, one for each step.

use super::grid::{Grid, Shifted};
use super::row::{ABSENT, Row, is_present};
use crate::error::Error;
use crate::value::{Point, Series, Value};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, Columns, NAME};
use quarterdeck_model::time::Timestamp;
use std::sync::Arc;

/// Samples of one series, oldest first.
pub(super) struct Samples {
    pub(super) labels: Arc<Labels>,
    pub(super) drop_name: bool,
    pub(super) at: Vec<i64>,
    pub(super) values: Vec<f64>,
}

impl From<Columns> for Samples {
    fn from(columns: Columns) -> Self {
        Samples { labels: columns.labels, drop_name: false, at: columns.at, values: columns.values }
    }
}

impl Samples {
    fn falls(&self) -> Vec<usize> {
        let pairs = self.values.iter().zip(self.values.iter().skip(1));
        pairs.enumerate().filter(|(_, (one, next))| next < one).map(|(index, _)| index + 1).collect()
    }

    /// Without staleness markers, which are no samples of a window.
    pub(super) fn without_ends(mut self) -> Self {
        if !self.values.iter().all(|value| is_present(*value)) {
            let mut present = self.values.iter().map(|value| is_present(*value));
            self.at.retain(|_| present.next().unwrap_or(false));
            self.values.retain(|value| is_present(*value));
        }
        self
    }
}

/// The series of a range vector, and which part of them each step sees: `range` milliseconds, the first moment exclusive.
pub(super) struct Windows {
    pub(super) series: Vec<Samples>,
    pub(super) range: i64,
    pub(super) shifted: Shifted,
}

/// What one step sees of one series: never empty.
pub(super) struct Window<'a> {
    pub(super) at: &'a [i64],
    pub(super) values: &'a [f64],
    /// The moments between which it lies; the first is outside.
    pub(super) from: i64,
    pub(super) to: i64,
    /// When the step is, which is not the window's end under `offset` and `@`.
    pub(super) time: i64,
    pub(super) step: usize,
    /// Where the series falls, of the window and beyond: indices of the lower samples, counted as `first` is.
    falls: &'a [usize],
    /// The index of the window's first sample.
    first: usize,
}

impl Window<'_> {
    /// The samples before a fall inside of the window: what a counter had when it was reset.
    pub(super) fn before_falls(&self) -> impl Iterator<Item = f64> {
        let begin = self.falls.partition_point(|index| *index <= self.first);
        let behind = self.falls.get(begin..).unwrap_or_default();
        let inside = behind.iter().map_while(|index| self.values.get(index.checked_sub(self.first + 1)?));
        inside.copied().take(behind.partition_point(|index| *index < self.first + self.values.len()))
    }
}

impl Windows {
    /// A value for each window that `judge` has one for. Series without any are left out.
    ///
    /// # Errors
    /// Those of [`Budget::take`].
    pub(super) fn map(
        self,
        grid: &Grid,
        budget: &Budget,
        keeps_name: bool,
        judge: impl Fn(&Window<'_>) -> Option<f64>,
    ) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::with_capacity(self.series.len());
        // Each series' samples are let go before the next row needs memory.
        for samples in self.series {
            budget.take(grid.steps())?;
            let values = map_one(&samples, self.range, self.shifted, grid, budget, &judge)?;
            let row = Row { labels: samples.labels, drop_name: samples.drop_name || !keeps_name, values };
            if !row.is_empty() {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// The samples themselves, for an instant query.
    ///
    /// # Errors
    /// Series can't be told apart once their names are dropped.
    pub(super) fn into_series(self, grid: &Grid) -> Result<Value, Error> {
        let to = self.shifted.apply(grid.first());
        let from = to.saturating_sub(self.range);
        let mut all: Vec<Series> = Vec::with_capacity(self.series.len());
        for samples in &self.series {
            let pairs = samples.at.iter().zip(&samples.values).filter(|(at, _)| **at > from && **at <= to);
            let points: Vec<Point> =
                pairs.map(|(at, value)| Point { at: Timestamp::from_millis(*at), value: *value }).collect();
            let mut labels = samples.labels.clone();
            if samples.drop_name {
                Arc::make_mut(&mut labels).0.remove(NAME);
            }
            if !points.is_empty() {
                all.push(Series { labels, points });
            }
        }
        all.sort_by(|one, other| one.labels.cmp(&other.labels));
        if all.iter().zip(all.iter().skip(1)).any(|(one, next)| one.labels == next.labels) {
            return Err(Error::same_labels());
        }
        Ok(Value::Matrix(all))
    }
}

/// The first index from `index` on that lies behind `moment`.
#[inline]
fn advance(at: &[i64], index: usize, moment: i64) -> usize {
    let behind = at.get(index..).unwrap_or_default();
    index + behind.iter().take_while(|at| **at <= moment).count()
}

fn map_one(
    samples: &Samples,
    range: i64,
    shifted: Shifted,
    grid: &Grid,
    budget: &Budget,
    judge: &impl Fn(&Window<'_>) -> Option<f64>,
) -> Result<Vec<f64>, Error> {
    let falls = samples.falls();
    let (mut low, mut high) = (0, 0);
    let mut values = Vec::with_capacity(grid.steps());
    for (step, time) in grid.times().enumerate() {
        let to = shifted.apply(time);
        let from = to.saturating_sub(range);
        high = advance(&samples.at, high, to);
        low = advance(&samples.at, low, from);
        let value = match (samples.at.get(low..high), samples.values.get(low..high)) {
            (Some(at), Some(values)) if !at.is_empty() => {
                budget.check()?;
                judge(&Window { at, values, from, to, time, step, falls: &falls, first: low })
            }
            _ => None,
        };
        values.push(value.unwrap_or(ABSENT));
    }
    Ok(values)
}
