//! Aggregations over the samples of a window.

use super::{Call, rate, trend};
use crate::error::Error;
use crate::evaluate::row::Row;
use crate::evaluate::window::{Window, Windows};
use crate::number::{Mean, Sum, quantile};

type Judge = fn(&Window<'_>) -> Option<f64>;

/// Functions of a window alone.
pub(super) fn find(name: &str) -> Option<Judge> {
    Some(match name {
        "avg_over_time" => average,
        "changes" => rate::changes,
        "count_over_time" => |window| Some(window.values.len() as f64),
        "deriv" => trend::slope,
        "first_over_time" => |window| window.values.first().copied(),
        "idelta" => rate::instant_change,
        "irate" => rate::instant_rate,
        "last_over_time" => |window| window.values.last().copied(),
        "max_over_time" => most,
        "min_over_time" => least,
        "present_over_time" => |_| Some(1.0),
        "resets" => rate::resets,
        "stddev_over_time" => |window| variance(window).map(f64::sqrt),
        "stdvar_over_time" => variance,
        "sum_over_time" => sum,
        _ => return None,
    })
}

fn sum(window: &Window<'_>) -> Option<f64> {
    let mut sum = Sum::default();
    window.values.iter().for_each(|value| sum.add(*value));
    Some(sum.total())
}

fn average(window: &Window<'_>) -> Option<f64> {
    let mut values = window.values.iter();
    let mut mean = Mean::of(*values.next()?);
    values.for_each(|value| mean.add(*value));
    Some(mean.mean())
}

/// `NaN` only if there is nothing else.
fn most(window: &Window<'_>) -> Option<f64> {
    let better = |most: f64, value: f64| if value > most || most.is_nan() { value } else { most };
    window.values.iter().copied().reduce(better)
}

fn least(window: &Window<'_>) -> Option<f64> {
    let better = |least: f64, value: f64| if value < least || least.is_nan() { value } else { least };
    window.values.iter().copied().reduce(better)
}

fn variance(window: &Window<'_>) -> Option<f64> {
    let mut count = 0.0;
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    for value in window.values {
        count += 1.0;
        let distance = value - (mean.sum + mean.lost);
        mean.add(distance / count);
        squares.add(distance * (value - (mean.sum + mean.lost)));
    }
    Some((squares.sum + squares.lost) / count)
}

impl Call<'_, '_> {
    pub(super) fn quantile_over_time(&mut self, windows: Windows) -> Result<Vec<Row>, Error> {
        let wanted = self.scalar(0)?;
        let rows = self.map_windows(windows, |window| {
            let wanted = wanted.get(window.step).copied().unwrap_or(f64::NAN);
            Some(quantile(wanted, &mut window.values.to_vec()))
        })?;
        if !rows.is_empty() {
            let position = self.position(0);
            wanted.iter().for_each(|wanted| self.evaluator.notes.check_quantile(position, *wanted));
        }
        Ok(rows)
    }
}
