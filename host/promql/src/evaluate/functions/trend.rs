//! Straight lines through samples.

use crate::evaluate::window::Window;
use crate::number::Sum;

/// Least squares: slope by second, and the value at `origin`.
fn line(window: &Window<'_>, origin: i64) -> Option<(f64, f64)> {
    let first = *window.values.first()?;
    if window.values.len() < 2 {
        return None;
    }
    if window.values.iter().all(|value| *value == first) {
        // Arithmetic would leave traces of a slope.
        return Some(if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) });
    }
    let [mut sum_x, mut sum_y, mut sum_xy, mut sum_xx] = [Sum::default(); 4];
    for (at, y) in window.at.iter().zip(window.values) {
        let x = (at - origin) as f64 / 1000.0;
        sum_x.add(x);
        sum_y.add(*y);
        sum_xy.add(x * y);
        sum_xx.add(x * x);
    }
    let [sum_x, sum_y, sum_xy, sum_xx] = [sum_x, sum_y, sum_xy, sum_xx].map(|sum| sum.sum + sum.lost);
    let count = window.values.len() as f64;
    let slope = (sum_xy - sum_x * sum_y / count) / (sum_xx - sum_x * sum_x / count);
    Some((slope, sum_y / count - slope * sum_x / count))
}

pub(super) fn slope(window: &Window<'_>) -> Option<f64> {
    // An origin near the samples loses fewer digits.
    line(window, *window.at.first()?).map(|(slope, _)| slope)
}

/// The line's value so many seconds after the step.
pub(super) fn predict(window: &Window<'_>, ahead: f64) -> Option<f64> {
    line(window, window.time).map(|(slope, now)| slope * ahead + now)
}
