//! Runs the cases of a file, each over what was loaded before it.

use crate::script::{Case, Command, Expected, Load, Message, When, parse};
use crate::store::Store;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::NAME;
use quarterdeck_model::time::{Span, Timestamp};
use quarterdeck_promql::notation::Item;
use quarterdeck_promql::{Answer, Budget, Error, Expression, Options, Point, Times, Value, evaluate};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) enum Verdict {
    Passed,
    /// What it needs that we don't have.
    LeftOut(String),
    Failed(String),
}

pub(crate) struct Judged {
    pub(crate) line: usize,
    pub(crate) query: String,
    pub(crate) verdict: Verdict,
}

pub(crate) fn run(text: &str) -> Vec<Judged> {
    let mut store = Store::default();
    let mut judged = Vec::new();
    for command in parse(text).unwrap_or_else(|e| panic!("{e}")) {
        match command {
            Command::Clear => store = Store::default(),
            Command::Load(load) => fill(&mut store, &load),
            Command::Eval(case) => {
                let verdict = match check(&store, &case) {
                    Ok(()) => Verdict::Passed,
                    Err(reason) => excuse(&store, &case).map_or(Verdict::Failed(reason), Verdict::LeftOut),
                };
                judged.push(Judged { line: case.line, query: case.query, verdict });
            }
        }
    }
    judged
}

fn fill(store: &mut Store, load: &Load) {
    store.starts |= load.with_starts;
    for (labels, items) in &load.series {
        for (index, item) in items.iter().enumerate() {
            match item {
                Item::Value(value) => store.push(labels, load.step * i64::try_from(index).unwrap(), *value),
                Item::Histogram => {
                    store.histograms.insert(Arc::clone(labels));
                }
                Item::Omitted => {}
            }
        }
        if let Some(name) = labels.get(NAME).and_then(|name| name.strip_suffix("_bucket")).filter(|_| load.with_native)
        {
            let mut native = Labels::clone(labels).with(NAME, name);
            native.0.remove("le");
            store.histograms.insert(Arc::new(native));
        }
    }
}

/// What we don't have, and would need: nothing else excuses a failure.
fn excuse(store: &Store, case: &Case) -> Option<String> {
    let experimental = ["info", "limitk", "limit_ratio", "anchored", "smoothed", "fill", "fill_left", "fill_right"];
    let words: Vec<&str> = case.query.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    if let Some(word) = experimental.iter().find(|word| words.contains(word)) {
        return Some(format!("experimental: {word}"));
    }
    if store.starts {
        return Some("experimental: start timestamps".to_owned());
    }
    // Operators that cut native histograms.
    if case.query.contains("</") || case.query.contains(">/") {
        return Some("native histograms".to_owned());
    }
    match Expression::parse(&case.query) {
        Err(Error::Parse(message)) => {
            let name = message.split('`').nth(1).filter(|_| message.contains("experimental"));
            name.map(|name| format!("experimental: {name}"))
        }
        Ok(expression) => {
            let needs = expression.selectors().iter().any(|matchers| store.has_histograms(matchers));
            (needs || case.expected.histograms).then(|| "native histograms".to_owned())
        }
        Err(_) => None,
    }
}

fn ask(store: &Store, query: &str, times: Times) -> Result<Answer, Error> {
    let expression = Expression::parse(query)?;
    evaluate(&expression, times, store, &Budget::of_samples(50_000_000), &Options::default())
}

pub(crate) fn instant(store: &Store, query: &str, at: i64) -> Result<Answer, Error> {
    ask(store, query, Times::at(Timestamp::from_millis(at)))
}

pub(crate) fn range(store: &Store, query: &str, start: i64, end: i64, step: i64) -> Result<Answer, Error> {
    let (start, end) = (Timestamp::from_millis(start), Timestamp::from_millis(end));
    ask(store, query, Times::Range { start, end, step: Span::from_millis(u64::try_from(step).unwrap()) })
}

fn check(store: &Store, case: &Case) -> Result<(), String> {
    let answer = match case.when {
        When::Instant(at) => instant(store, &case.query, at),
        When::Range { start, end, step } => range(store, &case.query, start, end, step),
    };
    let answer = match (answer, &case.expected.fail) {
        (Err(error), Some(message)) => {
            let error = match error {
                Error::Parse(message) => message,
                error => error.to_string(),
            };
            return if message.fits(&error) { Ok(()) } else { Err(format!("another error: {error}")) };
        }
        (Ok(_), Some(_)) => return Err("no error".to_owned()),
        (answer, None) => answer.map_err(|e| e.to_string())?,
    };
    check_notes("warning", &answer.warnings, &case.expected.warn, case.expected.no_warn)?;
    check_notes("info", &answer.infos, &case.expected.info, case.expected.no_info)?;
    compare(&answer.value, &case.expected, case.when)?;
    match case.when {
        When::Instant(at) => check_middle(store, case, at).map_err(|e| format!("in the middle of a range: {e}")),
        When::Range { .. } => Ok(()),
    }
}

/// An instant query gives the same as one step of a range query.
fn check_middle(store: &Store, case: &Case, at: i64) -> Result<(), String> {
    let expected = &case.expected;
    if expected.ordered || expected.range_vector.is_some() || expected.text.is_some() {
        return Ok(());
    }
    let contextual = ["start()", "end()", "range()", "step()"];
    if contextual.iter().any(|call| case.query.contains(call)) {
        return Ok(());
    }
    let answer = range(store, &case.query, at - 60_000, at + 60_000, 60_000).map_err(|e| e.to_string())?;
    let Value::Matrix(series) = answer.value else { return Err("not a matrix".to_owned()) };
    let middle = series.into_iter().filter_map(|series| {
        let point = series.points.iter().find(|point| point.at.as_millis() == at).copied()?;
        Some((series.labels, point.value))
    });
    let middle: Vec<(Arc<Labels>, f64)> = middle.collect();
    match expected.scalar {
        Some(wanted) => middle.first().map_or(Err("no value".to_owned()), |(_, value)| same(*value, wanted)),
        None => compare_vector(&middle, expected),
    }
}

fn check_notes(kind: &str, notes: &[String], expected: &[Message], none: bool) -> Result<(), String> {
    if none && !notes.is_empty() {
        return Err(format!("unexpected {kind}: {notes:?}"));
    }
    if expected.is_empty() {
        return Ok(());
    }
    let missing = expected.iter().any(|message| !notes.iter().any(|note| message.fits(note)));
    let surplus = notes.iter().any(|note| !expected.iter().any(|message| message.fits(note)));
    if missing || surplus { Err(format!("not the expected {kind}: {notes:?}")) } else { Ok(()) }
}

fn compare(value: &Value, expected: &Expected, when: When) -> Result<(), String> {
    match value {
        Value::Scalar { value, .. } => same(*value, expected.scalar.ok_or("a scalar")?),
        Value::Text { value, .. } if expected.text.as_ref() == Some(value) => Ok(()),
        Value::Text { value, .. } => Err(format!("text {value:?}")),
        Value::Vector(samples) => {
            let pairs: Vec<_> = samples.iter().map(|sample| (sample.labels.clone(), sample.point.value)).collect();
            compare_vector(&pairs, expected)
        }
        Value::Matrix(series) => {
            if series.windows(2).any(|pair| matches!(pair, [one, next] if one.labels >= next.labels)) {
                return Err("not sorted".to_owned());
            }
            let found: BTreeMap<_, _> = series.iter().map(|s| (s.labels.clone(), s.points.clone())).collect();
            compare_matrix(&found, expected, when)
        }
    }
}

fn compare_vector(found: &[(Arc<Labels>, f64)], expected: &Expected) -> Result<(), String> {
    if expected.scalar.is_some() {
        return Err(format!("a vector: {found:?}"));
    }
    for (position, (labels, value)) in found.iter().enumerate() {
        let (wanted_position, items) =
            expected.series.get(labels).ok_or_else(|| format!("unexpected {labels} {value}"))?;
        if expected.ordered && position != *wanted_position {
            return Err(format!("{labels} is at {position}"));
        }
        match items.first() {
            Some(Item::Value(wanted)) => same(*value, *wanted).map_err(|e| format!("{labels} {e}"))?,
            _ => return Err(format!("{labels} {value} is no histogram")),
        }
    }
    match expected.series.keys().find(|labels| !found.iter().any(|(found, _)| found == *labels)) {
        Some(missing) => Err(format!("no {missing}")),
        None => Ok(()),
    }
}

fn compare_matrix(found: &BTreeMap<Arc<Labels>, Vec<Point>>, expected: &Expected, when: When) -> Result<(), String> {
    let (start, step) = match (when, expected.range_vector) {
        (_, Some((start, _, step))) | (When::Range { start, step, .. }, None) => (start, step),
        (When::Instant(_), None) => return Err("a matrix".to_owned()),
    };
    for (labels, points) in found {
        let (_, items) = expected.series.get(labels).ok_or_else(|| format!("unexpected {labels} {points:?}"))?;
        let wanted: Vec<(i64, f64)> = (items.iter().enumerate())
            .filter_map(|(index, item)| match item {
                Item::Value(value) => Some((start + step * i64::try_from(index).unwrap(), *value)),
                _ => None,
            })
            .collect();
        if wanted.len() != points.len() || items.contains(&Item::Histogram) {
            return Err(format!("{labels} has {points:?}, not {wanted:?}"));
        }
        for (point, (at, value)) in points.iter().zip(wanted) {
            if point.at.as_millis() != at {
                return Err(format!("{labels} has {point:?}, not {at}"));
            }
            same(point.value, value).map_err(|e| format!("{labels} at {at}: {e}"))?;
        }
    }
    match expected.series.keys().find(|labels| !found.contains_key(*labels)) {
        Some(missing) => Err(format!("no {missing}")),
        None => Ok(()),
    }
}

/// Equal within a millionth.
pub(crate) fn same(found: f64, wanted: f64) -> Result<(), String> {
    let size = found.abs() + wanted.abs();
    let near = (found - wanted).abs() / size.min(f64::MAX) < 1e-6;
    let equal = found == wanted || (found.is_nan() && wanted.is_nan());
    if equal || (near && found != 0.0 && wanted != 0.0) { Ok(()) } else { Err(format!("{found}, not {wanted}")) }
}
