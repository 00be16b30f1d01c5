//! Numbers for people.

use super::Value;
use crate::monitoring::rule_files::template::number::general;
use chrono::{DateTime, Utc};

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

pub(super) fn call(name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let act: fn(f64) -> String = match name {
        "humanize" => humanize,
        "humanize1024" => humanize_1024,
        "humanizeDuration" => duration,
        "humanizePercentage" => |value| format!("{}%", general(value * 100.0, 4)),
        "humanizeTimestamp" => timestamp,
        "toTime" => timestamp,
        "toDuration" => duration,
        _ => return None,
    };
    let [value] = arguments else { return None };
    Some(value.to_number().map(|value| Value::Text(act(value))))
}

fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return general(value, 4);
    }
    let (value, prefix) = if value.abs() >= 1.0 { larger(value, 1000.0, &LARGE) } else { smaller(value) };
    format!("{}{prefix}", general(value, 4))
}

fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return general(value, 4);
    }
    let (value, prefix) = larger(value, 1024.0, &BINARY);
    format!("{}{prefix}", general(value, 4))
}

fn larger(mut value: f64, base: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < base {
            break;
        }
        prefix = next;
        value /= base;
    }
    (value, prefix)
}

fn smaller(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in SMALL {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    (value, prefix)
}

fn duration(value: f64) -> String {
    if !value.is_finite() {
        return general(value, 4);
    }
    if value == 0.0 {
        return format!("{}s", general(value, 4));
    }
    if value.abs() < 1.0 {
        let (value, prefix) = smaller(value);
        return format!("{}{prefix}s", general(value, 4));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are wanted; what is too large is the largest")]
    let whole = value as i64;
    let (seconds, minutes, hours, days) = (whole % 60, whole / 60 % 60, whole / 3_600 % 24, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", general(value, 4)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

/// As Go writes a time in UTC.
fn timestamp(value: f64) -> String {
    if !value.is_finite() {
        return general(value, 4);
    }
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds are what Prometheus keeps of it")]
    let millis = (value * 1000.0) as i64;
    let Some(time) = DateTime::<Utc>::from_timestamp_millis(millis) else { return general(value, 4) };
    let text = time.format("%Y-%m-%d %H:%M:%S%.3f").to_string();
    let text = text.trim_end_matches('0').trim_end_matches('.');
    // Zeros of the seconds are no decimals.
    let text = if time.timestamp_subsec_millis() == 0 {
        time.format("%Y-%m-%d %H:%M:%S").to_string()
    } else {
        text.to_owned()
    };
    format!("{text} +0000 UTC")
}
