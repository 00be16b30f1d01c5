//! A query over a grid of steps.
//!
//! - `grid`: the steps
//! - `row`: one series of a result over all steps
//! - `selector`, `window`, `subquery`: where samples come from
//! - `binary`, `matching`, `sets`: operators
//! - `aggregate`, `functions`
//! - `blind`: whether there is anything to evaluate

mod aggregate;
mod binary;
mod blind;
pub(crate) mod functions;
mod grid;
mod key;
mod matching;
mod row;
mod selector;
mod sets;
mod subquery;
mod window;

pub use blind::{Presence, Recording, Recordings, is_blind};
pub use functions::NAMES as FUNCTIONS;

use crate::error::Error;
use crate::expression::{Expression, Kind, Node};
use crate::notes::Notes;
use crate::value::{Point, Sample, Series, Value};
use grid::Grid;
use quarterdeck_model::series::LOOKBACK;
use quarterdeck_model::series::query::{Budget, Querier};
use quarterdeck_model::time::{Span, Timestamp};
use row::Row;

/// How queries are evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A sample that is this old, or older, is not "now" any more.
    pub lookback: Span,
    /// The step of a subquery that names none. Prometheus takes its global evaluation interval, whatever that of a group is: 1 m, unless
    /// it is set.
    pub subquery_step: Span,
    /// Points of a series in the answer, at most.
    pub points: usize,
}

impl Default for Options {
    /// Prometheus's.
    fn default() -> Self {
        Options { lookback: LOOKBACK, subquery_step: Span::from_secs(60), points: 11_000 }
    }
}

/// When a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// An instant query.
    Instant(Timestamp),
    /// A range query: at `start`, and each `step` behind it until `end`.
    Range { start: Timestamp, end: Timestamp, step: Span },
}

impl Times {
    pub fn at(time: Timestamp) -> Self {
        Times::Instant(time)
    }
}

/// What a query evaluates to, and what is to be said about it. The texts begin with `PromQL warning: ` and `PromQL info: `, and end
/// with line and column of the expression that they are about.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub value: Value,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

/// Evaluates on the calling thread, until `budget` ends it.
///
/// # Errors
/// [`Error::Evaluation`] and [`Error::Store`]; [`Error::Parse`] for a query that has no value over a range (a range vector, text), and
/// for a range of more than [`Options::points`] steps.
pub fn evaluate(
    expression: &Expression,
    times: Times,
    querier: &dyn Querier,
    budget: &Budget,
    options: &Options,
) -> Result<Answer, Error> {
    let grid = Grid::of(times, options.points)?;
    let (start, end) = match times {
        Times::Instant(at) => (at, at),
        Times::Range { start, end, .. } => (start, end),
    };
    let mut evaluator = Evaluator {
        querier,
        budget,
        options,
        start: start.as_millis(),
        end: end.as_millis(),
        notes: Notes::of(expression.text()),
    };
    let value = match times {
        Times::Instant(at) => evaluator.instant(&expression.root, at, &grid)?,
        Times::Range { .. } => evaluator.range(expression, &grid)?,
    };
    let (warnings, infos) = evaluator.notes.into_texts();
    Ok(Answer { value, warnings, infos })
}

struct Evaluator<'a> {
    querier: &'a dyn Querier,
    budget: &'a Budget,
    options: &'a Options,
    /// Of the whole query, in milliseconds: what `@ start()` and `@ end()` mean.
    start: i64,
    end: i64,
    notes: Notes,
}

/// What an expression is over a grid.
enum Operand {
    /// A value for each step.
    Scalar(Vec<f64>),
    Rows(Vec<Row>),
}

impl Operand {
    /// A vector's rows; none for a scalar, which types keep from coming here.
    fn into_rows(self) -> Vec<Row> {
        match self {
            Operand::Rows(rows) => rows,
            Operand::Scalar(_) => Vec::new(),
        }
    }

    fn into_scalar(self) -> Vec<f64> {
        match self {
            Operand::Scalar(values) => values,
            Operand::Rows(_) => Vec::new(),
        }
    }
}

impl Evaluator<'_> {
    /// Between two pieces of work: whether anybody still waits.
    fn check(&self) -> Result<(), Error> {
        Ok(self.budget.check()?)
    }

    /// Before memory is taken for so many rows over a grid.
    fn hold(&self, rows: usize, grid: &Grid) -> Result<(), Error> {
        Ok(self.budget.take(rows.saturating_mul(grid.steps()))?)
    }

    fn instant(&mut self, root: &Node, at: Timestamp, grid: &Grid) -> Result<Value, Error> {
        match &root.kind {
            Kind::Text(value) => return Ok(Value::Text { at, value: value.clone() }),
            Kind::Matrix(selector, range) => {
                let windows = self.windows(selector, *range, grid)?;
                return windows.into_series(grid);
            }
            Kind::Subquery(subquery) => {
                let windows = self.subquery(subquery, grid)?;
                return windows.into_series(grid);
            }
            _ => {}
        }
        match self.eval(root, grid)? {
            Operand::Scalar(values) => Ok(Value::Scalar { at, value: values.first().copied().unwrap_or(f64::NAN) }),
            Operand::Rows(rows) => {
                let rows = row::without_names(rows)?;
                let samples = rows.into_iter().filter_map(|row| {
                    let value = row.values.first().copied().filter(|value| row::is_present(*value))?;
                    Some(Sample { labels: row.labels, point: Point { at, value } })
                });
                Ok(Value::Vector(samples.collect()))
            }
        }
    }

    fn range(&mut self, expression: &Expression, grid: &Grid) -> Result<Value, Error> {
        let root = &expression.root;
        if matches!(root.kind, Kind::Text(_) | Kind::Matrix(..) | Kind::Subquery(_)) {
            let found = expression.type_name();
            let message = format!("a range query must be a scalar or an instant vector, this is a {found}");
            return Err(Error::Parse(message));
        }
        let mut rows = match self.eval(root, grid)? {
            Operand::Scalar(values) => vec![Row::unnamed(values)],
            Operand::Rows(rows) => row::without_names(rows)?,
        };
        rows.sort_by(|one, other| one.labels.cmp(&other.labels));
        let series = rows.into_iter().map(|row| Series { points: row.points(grid), labels: row.labels });
        Ok(Value::Matrix(series.filter(|series| !series.points.is_empty()).collect()))
    }

    fn eval(&mut self, node: &Node, grid: &Grid) -> Result<Operand, Error> {
        self.check()?;
        match &node.kind {
            Kind::Number(value) => {
                self.hold(1, grid)?;
                Ok(Operand::Scalar(vec![*value; grid.steps()]))
            }
            Kind::Vector(selector) => Ok(Operand::Rows(self.select_latest(selector, grid)?)),
            Kind::Call { function, arguments } => functions::call(self, node, function, arguments, grid),
            Kind::Aggregate(aggregate) => Ok(Operand::Rows(self.aggregate(aggregate, grid)?)),
            Kind::Minus(inner) => Ok(match self.eval(inner, grid)? {
                Operand::Scalar(values) => Operand::Scalar(values.iter().map(|value| -value).collect()),
                Operand::Rows(rows) => Operand::Rows(row::map(rows, |value| -value)),
            }),
            Kind::Binary(binary) => {
                let left = self.eval(&binary.left, grid)?;
                let right = self.eval(&binary.right, grid)?;
                self.binary(binary, left, right, grid)
            }
            Kind::Text(_) | Kind::Matrix(..) | Kind::Subquery(_) => {
                Err(Error::Parse("text and range vectors are arguments of functions only".to_owned()))
            }
        }
    }
}
