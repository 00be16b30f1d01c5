//! What is said of an expectation that was not met: as promtool says it.

use super::Pair;
use super::read::{AlertCase, QueryCase};
use quarterdeck_model::Span;
use quarterdeck_model::label::Labels;
use quarterdeck_promql::Number;
use std::fmt::Write;

pub(super) fn alerts(case: &AlertCase, expected: &[Pair], got: &[Pair]) -> String {
    let list = |alerts: &[Pair]| {
        if alerts.is_empty() {
            return "[]".to_owned();
        }
        let mut text = "[".to_owned();
        for (index, (labels, annotations)) in alerts.iter().enumerate() {
            // Writing into a text can't fail.
            let _ = write!(
                text,
                "{}\n            {index}:\n              Labels:{}\n              Annotations:{}",
                if index == 0 { "" } else { "," },
                ordered(labels),
                ordered(annotations)
            );
        }
        text + "\n            ]"
    };
    let time = duration(case.at);
    let (expected, got) = (list(expected), list(got));
    format!("    alertname: {}, time: {time}, \n        exp:{expected}, \n        got:{got}", case.alert)
}

pub(super) fn samples(case: &QueryCase, expected: &[(Labels, f64)], got: &[(Labels, f64)]) -> String {
    let list = |samples: &[(Labels, f64)]| {
        let one = |(labels, value): &(Labels, f64)| format!("{} {}", ordered(labels), exponent(*value));
        let all = samples.iter().map(one).collect::<Vec<_>>().join(", ");
        if all.is_empty() { "nil".to_owned() } else { all }
    };
    let (expected, got) = (list(expected), list(got));
    format!("    expr: {:?}, time: {},\n        exp: {expected}\n        got: {got}", case.query, duration(case.at))
}

/// `5E-01`.
fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return Number(value).to_string();
    }
    let digits = format!("{value:E}");
    let (mantissa, exponent) = digits.split_once('E').unwrap_or((&digits, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{mantissa}E{sign}{exponent:0>2}")
}

/// Durations as Prometheus writes them: `1h30m`.
pub(super) fn duration(span: Span) -> String {
    let mut left = span.as_millis();
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, millis) in [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        // As there: only what is whole is written in years and weeks.
        let whole_only = matches!(unit, "y" | "w" | "d");
        if whole_only && !left.is_multiple_of(millis) {
            continue;
        }
        if left >= millis {
            let _ = write!(text, "{}{unit}", left / millis);
            left %= millis;
        }
    }
    text
}

fn ordered(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}
