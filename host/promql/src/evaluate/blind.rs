//! Whether there is nothing to judge: of what an expression needs, no series has a sample.
//!
//! A query that finds nothing may say that all is well, or that nobody measures any more. `up == 0` needs `up`; `a / b` needs both;
//! `a or b` needs one of them, `a unless b` the first, and `absent(a)` none.

use super::grid::Grid;
use super::{Evaluator, Options, Times};
use crate::error::Error;
use crate::expression::{Expression, Kind, Node, Operator, Selector};
use crate::notes::Notes;
use quarterdeck_model::series::query::{Budget, Querier};
use quarterdeck_model::time::Timestamp;

/// Looks for the series that an instant query at this time would need, and at no more.
///
/// # Errors
/// [`Error::Store`].
pub fn is_blind(
    expression: &Expression,
    at: Timestamp,
    querier: &dyn Querier,
    budget: &Budget,
    options: &Options,
) -> Result<bool, Error> {
    let grid = Grid::of(Times::at(at), options.points)?;
    let (start, end) = (at.as_millis(), at.as_millis());
    let mut evaluator = Evaluator { querier, budget, options, start, end, notes: Notes::of(expression.text()) };
    evaluator.blind(&expression.root, &grid, 0)
}

impl Evaluator<'_> {
    /// `reach`: how much further back the subqueries around it look, in milliseconds.
    fn blind(&mut self, node: &Node, grid: &Grid, reach: i64) -> Result<bool, Error> {
        self.check()?;
        match &node.kind {
            Kind::Number(_) | Kind::Text(_) => Ok(false),
            Kind::Vector(selector) if reach == 0 => Ok(self.select_latest(selector, grid)?.is_empty()),
            Kind::Vector(selector) => {
                let lookback = i64::try_from(self.options.lookback.as_millis()).unwrap_or(i64::MAX);
                self.none_within(selector, reach.saturating_add(lookback), grid)
            }
            Kind::Matrix(selector, range) => self.none_within(selector, range.saturating_add(reach), grid),
            Kind::Subquery(subquery) => {
                let further = subquery.range.saturating_add(subquery.shift.offset.max(0));
                self.blind(&subquery.inner, grid, reach.saturating_add(further))
            }
            Kind::Call { function: "absent" | "absent_over_time", .. } => Ok(false),
            Kind::Call { arguments, .. } => {
                for argument in arguments {
                    if self.blind(argument, grid, reach)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Kind::Aggregate(aggregate) => self.blind(&aggregate.inner, grid, reach),
            Kind::Minus(inner) => self.blind(inner, grid, reach),
            Kind::Binary(binary) => {
                let left = self.blind(&binary.left, grid, reach)?;
                match binary.operator {
                    Operator::Unless => Ok(left),
                    Operator::Or => Ok(left && self.blind(&binary.right, grid, reach)?),
                    _ => Ok(left || self.blind(&binary.right, grid, reach)?),
                }
            }
        }
    }

    fn none_within(&mut self, selector: &Selector, range: i64, grid: &Grid) -> Result<bool, Error> {
        Ok(self.windows(selector, range, grid)?.series.iter().all(|series| series.values.is_empty()))
    }
}
