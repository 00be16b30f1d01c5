//! The figures of an objective, as people say them: a share in percent, a percentile in the unit of its metric.

use super::SloSpec;
use serde_json::Value;

/// A share is told from its target, but not with more digits than these.
const MOST_DIGITS: usize = 6;

/// What an objective's figures are of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures<'a> {
    /// Its metric, where it is about a percentile of its values; otherwise its figures are shares.
    metric: Option<&'a str>,
    target: Option<f64>,
}

impl<'a> Figures<'a> {
    pub fn of(spec: &'a SloSpec) -> Self {
        Figures::new(&spec.select.metric, spec.config.get("percentile"), spec.config.get("target"))
    }

    /// `percentile` and `target`: of the settings of its calculator.
    pub fn new(metric: &'a str, percentile: Option<&Value>, target: Option<&Value>) -> Self {
        Figures { metric: percentile.map(|_| metric), target: target.and_then(Value::as_f64) }
    }

    /// Whether what is attained is a value of the metric, and not a share.
    pub fn is_measured(&self) -> bool {
        self.metric.is_some()
    }

    /// What is attained. A share has as many digits as tell it from the target.
    pub fn attained(&self, value: f64) -> String {
        match self.metric {
            Some(metric) => measured(value, metric),
            None => share(value, self.target),
        }
    }

    /// What is to be attained, if the objective says it itself.
    pub fn target(&self) -> Option<String> {
        let target = self.target?;
        Some(match self.metric {
            Some(metric) => measured(target, metric),
            None => in_short(&share(target, None)),
        })
    }
}

/// In percent, with as many digits as tell it from the other one.
fn share(value: f64, other: Option<f64>) -> String {
    let written = |value: f64, digits: usize| format!("{:.digits$} %", value * 100.0);
    let same = |digits: &usize| other.is_some_and(|other| written(other, *digits) == written(value, *digits));
    let rounded_up = |digits: &usize| value < 1.0 && written(value, *digits) == written(1.0, *digits);
    let is_other = other.is_some_and(|other| (other - value).abs() < 1e-12);
    let digits = (2..MOST_DIGITS).find(|digits| (is_other || !same(digits)) && !rounded_up(digits));
    written(value, digits.unwrap_or(MOST_DIGITS))
}

/// Without zeros at the end: `99.9 %`.
fn in_short(percent: &str) -> String {
    format!("{} %", without_zeros(percent.trim_end_matches(" %")))
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// A value in the unit that its metric is named after.
fn measured(value: f64, metric: &str) -> String {
    let metric = ["_bucket", "_sum", "_total"].into_iter().fold(metric, |metric, end| metric.trim_end_matches(end));
    let unit = metric.rsplit('_').next().unwrap_or_default();
    let short = |value: f64| {
        let digits = if value.abs() >= 100.0 {
            0
        } else if value.abs() >= 0.01 {
            2
        } else {
            4
        };
        without_zeros(&format!("{value:.digits$}")).to_owned()
    };
    match unit {
        "seconds" if value.abs() < 1e-3 => format!("{} µs", short(value * 1e6)),
        "seconds" if value.abs() < 1.0 => format!("{} ms", short(value * 1e3)),
        "seconds" => format!("{} s", short(value)),
        "milliseconds" | "ms" => format!("{} ms", short(value)),
        "percent" => format!("{} %", short(value)),
        "bytes" if value.abs() >= 1e9 => format!("{} GB", short(value / 1e9)),
        "bytes" if value.abs() >= 1e6 => format!("{} MB", short(value / 1e6)),
        "bytes" => format!("{} bytes", short(value)),
        _ => short(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(figures: Figures<'_>, attained: f64, said: &str, target: &str) {
        assert_eq!((figures.attained(attained).as_str(), figures.target().as_deref()), (said, Some(target)));
    }

    #[test]
    fn what_is_attained_can_be_told_from_its_target() {
        for (attained, target, said, aim) in [
            (0.99666, 0.999, "99.67 %", "99.9 %"),
            (0.998_999, 0.999, "99.8999 %", "99.9 %"),
            (0.999_999, 0.95, "99.9999 %", "95 %"),
            (1.0, 0.999, "100.00 %", "99.9 %"),
            (0.999, 0.999, "99.90 %", "99.9 %"),
        ] {
            check(Figures::new("up", None, Some(&json!(target))), attained, said, aim);
        }
    }

    #[test]
    fn a_percentile_has_the_unit_of_its_metric() {
        for (metric, attained, target, said, aim) in [
            ("probe_duration_seconds", 0.0023, 0.05, "2.3 ms", "50 ms"),
            ("probe_duration_seconds", 1.25, 2.0, "1.25 s", "2 s"),
            ("response_bytes", 2_500_000.0, 3e9, "2.5 MB", "3 GB"),
            ("queue_length", 12.0, 100.0, "12", "100"),
        ] {
            check(Figures::new(metric, Some(&json!(95)), Some(&json!(target))), attained, said, aim);
        }
    }
}
