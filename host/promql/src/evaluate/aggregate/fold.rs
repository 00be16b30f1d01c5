//! One value of all that a group has at a step.

use crate::error::Error;
use crate::evaluate::grid::Grid;
use crate::evaluate::row::{ABSENT, Row, is_present};
use crate::expression::Aggregation;
use crate::number::{Mean, Sum, quantile};
use quarterdeck_model::series::query::Budget;

/// # Errors
/// Those of [`Budget::check`].
pub(super) fn fold(
    operator: Aggregation,
    rows: &[Row],
    parameter: &[f64],
    grid: &Grid,
    budget: &Budget,
) -> Result<Vec<f64>, Error> {
    budget.check()?;
    Ok(match operator {
        Aggregation::Sum => each(rows, grid, Sum::of, Sum::add, Sum::total),
        Aggregation::Average => each(rows, grid, Mean::of, Mean::add, Mean::mean),
        Aggregation::Count => each(rows, grid, |_| 1.0, |count, _| *count += 1.0, |count| count),
        Aggregation::Group => each(rows, grid, |_| (), |(), _| (), |()| 1.0),
        Aggregation::Max => each(
            rows,
            grid,
            |value| value,
            |most, value| {
                if *most < value || most.is_nan() {
                    *most = value;
                }
            },
            |most| most,
        ),
        Aggregation::Min => each(
            rows,
            grid,
            |value| value,
            |least, value| {
                if *least > value || least.is_nan() {
                    *least = value;
                }
            },
            |least| least,
        ),
        Aggregation::Variance => each(rows, grid, Spread::of, Spread::add, Spread::variance),
        Aggregation::Deviation => each(rows, grid, Spread::of, Spread::add, |spread| spread.variance().sqrt()),
        Aggregation::Quantile => quantiles(rows, parameter, grid, budget)?,
        // These keep elements, and are not folded.
        Aggregation::Top | Aggregation::Bottom | Aggregation::CountValues => vec![ABSENT; grid.steps()],
    })
}

/// All rows through one state for each step.
fn each<S: Clone>(
    rows: &[Row],
    grid: &Grid,
    start: impl Fn(f64) -> S,
    add: impl Fn(&mut S, f64),
    end: impl Fn(S) -> f64,
) -> Vec<f64> {
    let mut states: Vec<Option<S>> = vec![None; grid.steps()];
    for row in rows {
        for (state, value) in states.iter_mut().zip(&row.values).filter(|(_, value)| is_present(**value)) {
            match state {
                Some(state) => add(state, *value),
                None => *state = Some(start(*value)),
            }
        }
    }
    states.into_iter().map(|state| state.map_or(ABSENT, &end)).collect()
}

/// The sum of squared distances from the mean, which moves with each value (Welford).
#[derive(Clone, Copy)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn of(value: f64) -> Self {
        Spread { count: 1.0, mean: value, squares: if value.is_finite() { 0.0 } else { f64::NAN } }
    }

    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }

    fn variance(self) -> f64 {
        self.squares / self.count
    }
}

fn quantiles(rows: &[Row], parameter: &[f64], grid: &Grid, budget: &Budget) -> Result<Vec<f64>, Error> {
    let mut columns: Vec<_> = rows.iter().map(|row| row.values.iter().copied()).collect();
    let mut present = Vec::with_capacity(rows.len());
    let mut results = Vec::with_capacity(grid.steps());
    for wanted in parameter {
        budget.check()?;
        present.clear();
        present.extend(columns.iter_mut().filter_map(Iterator::next).filter(|value| is_present(*value)));
        results.push(if present.is_empty() { ABSENT } else { quantile(*wanted, &mut present) });
    }
    Ok(results)
}
