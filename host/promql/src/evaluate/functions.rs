//! Functions by name. Which arguments they take was checked when the query was read.
//!
//! - [`math`]: one number to another
//! - [`dates`]: parts of a moment
//! - [`over_time`], [`rate`], [`trend`]: of windows
//! - [`histogram`]: of buckets
//! - [`labels`]: `label_replace`, `label_join`
//! - [`order`], [`absent`]

mod absent;
mod dates;
mod histogram;
mod labels;
mod math;
mod order;
mod over_time;
mod rate;
mod trend;

use super::grid::Grid;
use super::row::{self, Row, is_present};
use super::window::{Window, Windows};
use super::{Evaluator, Operand};
use crate::error::Error;
use crate::expression::{Kind, Node};

/// Every function that we have, in the order of the alphabet.
pub const NAMES: &[&str] = &[
    "abs",
    "absent",
    "absent_over_time",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "avg_over_time",
    "ceil",
    "changes",
    "clamp",
    "clamp_max",
    "clamp_min",
    "cos",
    "cosh",
    "count_over_time",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "delta",
    "deriv",
    "exp",
    "first_over_time",
    "floor",
    "histogram_avg",
    "histogram_count",
    "histogram_fraction",
    "histogram_quantile",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
    "hour",
    "idelta",
    "increase",
    "irate",
    "label_join",
    "label_replace",
    "last_over_time",
    "ln",
    "log10",
    "log2",
    "max_over_time",
    "min_over_time",
    "minute",
    "month",
    "pi",
    "predict_linear",
    "present_over_time",
    "quantile_over_time",
    "rad",
    "rate",
    "resets",
    "round",
    "scalar",
    "sgn",
    "sin",
    "sinh",
    "sort",
    "sort_desc",
    "sqrt",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
    "tan",
    "tanh",
    "time",
    "timestamp",
    "vector",
    "year",
];

pub(crate) fn find(name: &str) -> Option<&'static str> {
    NAMES.iter().copied().find(|known| *known == name)
}

/// Which arguments have to be texts, by position.
pub(crate) fn texts(function: &str) -> &'static [usize] {
    match function {
        "label_replace" => &[1, 2, 3, 4],
        "label_join" => &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        _ => &[],
    }
}

pub(super) fn call(
    evaluator: &mut Evaluator<'_>,
    node: &Node,
    function: &'static str,
    arguments: &[Node],
    grid: &Grid,
) -> Result<Operand, Error> {
    let mut call = Call { evaluator, node, function, arguments, grid };
    if let Some(range) = arguments.iter().find(|argument| matches!(argument.kind, Kind::Matrix(..) | Kind::Subquery(_)))
    {
        return call.of_windows(range).map(Operand::Rows);
    }
    if let Some(change) = math::find(function) {
        return Ok(Operand::Rows(row::map(call.rows(0)?, change)));
    }
    if let Some(part) = dates::find(function) {
        return call.of_moments(part).map(Operand::Rows);
    }
    match function {
        "time" => {
            call.evaluator.hold(1, grid)?;
            return Ok(Operand::Scalar(grid.times().map(|time| time as f64 / 1000.0).collect()));
        }
        "pi" => {
            call.evaluator.hold(1, grid)?;
            return Ok(Operand::Scalar(vec![std::f64::consts::PI; grid.steps()]));
        }
        "scalar" => return call.only_value().map(Operand::Scalar),
        _ => {}
    }
    Ok(Operand::Rows(match function {
        "vector" => vec![Row::unnamed(call.scalar(0)?)],
        "timestamp" => call.timestamp()?,
        "round" => {
            let nearest = if arguments.len() > 1 { call.scalar(1)? } else { vec![1.0; grid.steps()] };
            row::map_with(call.rows(0)?, &nearest, math::round)
        }
        "clamp" | "clamp_min" | "clamp_max" => call.clamp()?,
        "sort" | "sort_desc" => call.sorted()?,
        "absent" => call.absent()?,
        "label_replace" => call.label_replace()?,
        "label_join" => call.label_join()?,
        "histogram_quantile" => call.histogram_quantile()?,
        "histogram_fraction" => call.histogram_fraction()?,
        // Of native histograms: classic ones have a series for each of these.
        "histogram_count" | "histogram_sum" | "histogram_avg" | "histogram_stddev" | "histogram_stdvar" => {
            call.rows(0)?;
            Vec::new()
        }
        _ => return Err(Error::evaluation(format!("function `{function}` does not take these arguments"))),
    }))
}

/// One call over a grid.
struct Call<'a, 'e> {
    evaluator: &'a mut Evaluator<'e>,
    node: &'a Node,
    function: &'static str,
    arguments: &'a [Node],
    grid: &'a Grid,
}

impl Call<'_, '_> {
    fn argument(&self, index: usize) -> Result<&Node, Error> {
        self.arguments
            .get(index)
            .ok_or_else(|| Error::evaluation(format!("function `{}` needs {} arguments", self.function, index + 1)))
    }

    fn position(&self, index: usize) -> usize {
        self.arguments.get(index).unwrap_or(self.node).position
    }

    fn operand(&mut self, index: usize) -> Result<Operand, Error> {
        match self.arguments.get(index) {
            Some(argument) => self.evaluator.eval(argument, self.grid),
            None => self.argument(index).map(|_| Operand::Rows(Vec::new())),
        }
    }

    fn rows(&mut self, index: usize) -> Result<Vec<Row>, Error> {
        Ok(self.operand(index)?.into_rows())
    }

    fn scalar(&mut self, index: usize) -> Result<Vec<f64>, Error> {
        Ok(self.operand(index)?.into_scalar())
    }

    fn text(&self, index: usize) -> Result<&str, Error> {
        match &self.argument(index)?.kind {
            Kind::Text(text) => Ok(text),
            _ => Err(Error::evaluation(format!("argument {} of `{}` has to be text", index + 1, self.function))),
        }
    }

    /// The value of the only element at each step; `NaN` for none, and for several.
    fn only_value(&mut self) -> Result<Vec<f64>, Error> {
        let rows = self.rows(0)?;
        self.evaluator.hold(1, self.grid)?;
        let mut found: Vec<(usize, f64)> = vec![(0, f64::NAN); self.grid.steps()];
        for row in &rows {
            for ((count, only), value) in found.iter_mut().zip(&row.values).filter(|(_, value)| is_present(**value)) {
                *count += 1;
                *only = if *count == 1 { *value } else { f64::NAN };
            }
        }
        Ok(found.into_iter().map(|(_, value)| value).collect())
    }

    /// Of a selector, when its samples were taken; of anything else, when it was evaluated.
    fn timestamp(&mut self) -> Result<Vec<Row>, Error> {
        if let Kind::Vector(selector) = &self.argument(0)?.kind {
            let selector = selector.clone();
            return self.evaluator.select_times(&selector, self.grid);
        }
        let times: Vec<f64> = self.grid.times().map(|time| time as f64 / 1000.0).collect();
        Ok(row::map_with(self.rows(0)?, &times, |_, time| time))
    }

    fn clamp(&mut self) -> Result<Vec<Row>, Error> {
        let steps = self.grid.steps();
        let (least, most) = match self.function {
            "clamp" => (self.scalar(1)?, self.scalar(2)?),
            "clamp_min" => (self.scalar(1)?, vec![f64::INFINITY; steps]),
            _ => (vec![f64::NEG_INFINITY; steps], self.scalar(1)?),
        };
        let mut rows = self.rows(0)?;
        for row in &mut rows {
            row.drop_name = true;
            for ((value, least), most) in row.values.iter_mut().zip(&least).zip(&most) {
                if is_present(*value) {
                    *value = math::clamp(*value, *least, *most);
                }
            }
        }
        rows.retain(|row| !row.is_empty());
        Ok(rows)
    }

    fn of_windows(&mut self, range: &Node) -> Result<Vec<Row>, Error> {
        let windows = match &range.kind {
            Kind::Matrix(selector, range) => self.evaluator.windows(selector, *range, self.grid)?,
            Kind::Subquery(subquery) => self.evaluator.subquery(subquery, self.grid)?,
            _ => return Err(Error::evaluation("a range vector is expected")),
        };
        match self.function {
            "rate" | "increase" | "delta" => self.rates(windows, range),
            "quantile_over_time" => self.quantile_over_time(windows),
            "predict_linear" => {
                let ahead = self.scalar(1)?;
                self.map_windows(windows, |window| {
                    trend::predict(window, ahead.get(window.step).copied().unwrap_or(f64::NAN))
                })
            }
            "absent_over_time" => self.absent_over_time(windows, range),
            function => match over_time::find(function) {
                Some(judge) => self.map_windows(windows, judge),
                None => Err(Error::evaluation(format!("function `{function}` does not take a range vector"))),
            },
        }
    }

    fn map_windows(&mut self, windows: Windows, judge: impl Fn(&Window<'_>) -> Option<f64>) -> Result<Vec<Row>, Error> {
        // These give back a sample, so it is still of the metric.
        let keeps_name = matches!(self.function, "first_over_time" | "last_over_time");
        windows.map(self.grid, self.evaluator.budget, keeps_name, judge)
    }
}
