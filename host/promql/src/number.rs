//! Numbers as Prometheus writes and reads them, and sums that don't lose small terms.

use std::fmt;

/// Writes a number as Prometheus's API does: shortest digits that read back the same, never an exponent, `NaN`, `+Inf`, `-Inf`.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value => write!(f, "{value}"),
        }
    }
}

/// Reads what may stand in a label such as `le`: decimal numbers, with an exponent or without, infinities and `NaN` in any case.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let starts_well = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let word = ["inf", "infinity", "nan"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    if starts_well || word { text.parse().ok() } else { None }
}

/// A sum after Kahan and Neumaier: what a large term swallows of a small one is kept beside it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) sum: f64,
    pub(crate) lost: f64,
}

impl Sum {
    pub(crate) fn of(value: f64) -> Self {
        Sum { sum: value, lost: 0.0 }
    }

    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        let next = self.sum + value;
        if next.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - next) + value;
        } else {
            self.lost += (value - next) + self.sum;
        }
        self.sum = next;
    }

    pub(crate) fn total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }
}

/// A mean that does not overflow where the values don't: it changes to an incremental one when the sum would.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    sum: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    pub(crate) fn of(value: f64) -> Self {
        Mean { sum: Sum::of(value), count: 1.0, incremental: false }
    }

    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut next = self.sum;
            next.add(value);
            if !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            self.incremental = true;
            self.scale(1.0 / (self.count - 1.0));
        }
        self.scale((self.count - 1.0) / self.count);
        self.sum.add(value / self.count);
    }

    fn scale(&mut self, factor: f64) {
        self.sum.sum *= factor;
        self.sum.lost *= factor;
    }

    pub(crate) fn mean(self) -> f64 {
        if self.incremental {
            self.sum.sum + self.sum.lost
        } else {
            self.sum.sum / self.count + self.sum.lost / self.count
        }
    }
}

/// The greater one; `NaN` if either is (other than `f64::max`).
pub(crate) fn greater(one: f64, other: f64) -> f64 {
    if one.is_nan() || other.is_nan() { f64::NAN } else { one.max(other) }
}

/// The lesser one; `NaN` if either is (other than `f64::min`).
pub(crate) fn lesser(one: f64, other: f64) -> f64 {
    if one.is_nan() || other.is_nan() { f64::NAN } else { one.min(other) }
}

/// Orders ascending, `NaN` before all others.
pub(crate) fn nan_first(one: &f64, other: &f64) -> std::cmp::Ordering {
    one.partial_cmp(other).unwrap_or_else(|| other.is_nan().cmp(&one.is_nan()))
}

/// The quantile of values (in any order, sorted here), between neighbours by weight.
pub(crate) fn quantile(quantile: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(nan_first);
    let rank = quantile * (values.len() - 1) as f64;
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => lower * (1.0 - weight) + upper * weight,
        _ => f64::NAN,
    }
}

/// Equal but for what arithmetic on floating points loses, relative to their size.
pub(crate) fn almost_equal(one: f64, other: f64, tolerance: f64) -> bool {
    if one == other || (one.is_nan() && other.is_nan()) {
        return true;
    }
    let size = one.abs() + other.abs();
    let difference = (one - other).abs();
    if one == 0.0 || other == 0.0 || size < f64::MIN_POSITIVE {
        return difference < tolerance * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < tolerance
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_exponents_and_read_back_the_same() {
        for (value, text) in [
            (0.1, "0.1"),
            (-0.0, "-0"),
            (3.0, "3"),
            (1e21, "1000000000000000000000"),
            (1.5e-7, "0.00000015"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(Number(value).to_string(), text);
            let read = parse(text).unwrap();
            assert!(read == value || (read.is_nan() && value.is_nan()), "{text}");
        }
        assert_eq!(parse("Hello"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_small_term_survives_a_large_one_in_a_sum() {
        let mut sum = Sum::of(1.0);
        for value in [1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.total(), 2.0);
    }

    #[test]
    fn a_mean_of_large_values_does_not_overflow() {
        let mut mean = Mean::of(f64::MAX);
        mean.add(f64::MAX);
        mean.add(f64::MAX);
        assert!(almost_equal(mean.mean(), f64::MAX, 1e-9), "{}", mean.mean());
    }

    #[test]
    fn a_quantile_lies_between_its_neighbours_and_takes_nan_for_the_smallest() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0, 4.0]), 2.5);
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
        assert_eq!(quantile(1.0, &mut [1.0, f64::NAN]), 1.0);
    }
}
