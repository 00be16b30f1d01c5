//! An expression's values over a grid of its own, as the samples of a range vector.

use super::grid::{Grid, Shifted};
use super::row::{self, Row, is_present};
use super::window::{Samples, Windows};
use super::{Evaluator, Operand};
use crate::error::Error;
use crate::expression::Subquery;

impl Evaluator<'_> {
    /// Evaluates it once, for the windows of all steps.
    pub(super) fn subquery(&mut self, subquery: &Subquery, outer: &Grid) -> Result<Windows, Error> {
        let shifted = Shifted::of(&subquery.shift, self.start, self.end);
        let default = i64::try_from(self.options.subquery_step.as_millis()).unwrap_or(i64::MAX);
        let step = subquery.step.unwrap_or(default).max(1);
        let before = shifted.apply(outer.first()).saturating_sub(subquery.range);
        // Steps are multiples of their length, whenever the query is asked. The first is the first one inside the window.
        let first = before.div_euclid(step).saturating_add(1).saturating_mul(step);
        let last = if outer.steps() == 0 { first.saturating_sub(1) } else { shifted.apply(outer.last()) };
        let grid = Grid::between(first, last, step);
        self.hold(1, &grid)?;
        let rows = match self.eval(&subquery.inner, &grid)? {
            Operand::Scalar(values) => vec![Row::unnamed(values)],
            Operand::Rows(rows) => row::merge(rows)?,
        };
        let series = rows.into_iter().map(|row| samples(row, &grid)).collect();
        Ok(Windows { series, range: subquery.range, shifted })
    }
}

fn samples(row: Row, grid: &Grid) -> Samples {
    let present = grid.times().zip(&row.values).filter(|(_, value)| is_present(**value));
    let (at, values) = present.unzip();
    Samples { labels: row.labels, drop_name: row.drop_name, at, values }
}
