//! Aggregations whose results are elements, or one for each value.

use crate::error::Error;
use crate::evaluate::grid::Grid;
use crate::evaluate::key::{group_labels, key};
use crate::evaluate::row::{self, ABSENT, Row, is_present};
use crate::expression::Grouping;
use crate::number::Number;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::Budget;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

/// The greatest (or least) `k` elements of each group at each step. `NaN` is farther from both ends than any number.
pub(super) fn extremes(
    groups: Vec<Vec<Row>>,
    k: &[f64],
    top: bool,
    grid: &Grid,
    budget: &Budget,
) -> Result<Vec<Row>, Error> {
    if !k.iter().any(|k| *k >= 1.0 || k.is_nan()) {
        return Ok(Vec::new());
    }
    if k.iter().any(|k| k.is_nan()) {
        return Err(Error::evaluation("Parameter value is NaN"));
    }
    for k in k {
        if *k >= i64::MAX as f64 {
            return Err(Error::evaluation(format!("Scalar value {} overflows int64", Number(*k))));
        }
        if *k <= i64::MIN as f64 {
            return Err(Error::evaluation(format!("Scalar value {} underflows int64", Number(*k))));
        }
    }
    let mut kept = Vec::new();
    for mut rows in groups {
        // Of equals the first by labels is kept, at each step and in each query.
        rows.sort_by(|one, other| one.labels.cmp(&other.labels));
        let mut ranked: Vec<(usize, f64)> = Vec::with_capacity(rows.len());
        for (step, k) in k.iter().enumerate() {
            budget.check()?;
            let k = if *k < 1.0 { 0 } else { *k as usize };
            ranked.clear();
            let values = rows.iter().map(|row| row.values.get(step).copied().unwrap_or(ABSENT));
            ranked.extend(values.enumerate().filter(|(_, value)| is_present(*value)));
            if ranked.len() > k {
                ranked.sort_by(|(_, one), (_, other)| ranking(*one, *other, top));
                for (index, _) in ranked.iter().skip(k) {
                    if let Some(value) = rows.get_mut(*index).and_then(|row| row.values.get_mut(step)) {
                        *value = ABSENT;
                    }
                }
            }
        }
        rows.retain(|row| !row.is_empty());
        if grid.is_instant() {
            let value = |row: &Row| row.values.first().copied().unwrap_or(ABSENT);
            rows.sort_by(|one, other| ranking(value(one), value(other), top));
        }
        kept.append(&mut rows);
    }
    Ok(kept)
}

/// From the best to the worst.
pub(crate) fn ranking(one: f64, other: f64, descending: bool) -> Ordering {
    match (one.is_nan(), other.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ if descending => other.partial_cmp(&one).unwrap_or(Ordering::Equal),
        _ => one.partial_cmp(&other).unwrap_or(Ordering::Equal),
    }
}

/// How many elements of each group have which value; the value becomes a label.
pub(super) fn count_values(
    rows: Vec<Row>,
    grouping: &Grouping,
    label: &str,
    grid: &Grid,
    budget: &Budget,
) -> Result<Vec<Row>, Error> {
    if label.is_empty() {
        return Err(Error::evaluation(format!("invalid label name {label:?}")));
    }
    let grouping = match grouping {
        Grouping::By(names) => Grouping::By(names.iter().cloned().chain([label.to_owned()]).collect()),
        Grouping::Without(names) => Grouping::Without(names.clone()),
    };
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut counted: Vec<Row> = Vec::new();
    for row in rows {
        budget.check()?;
        // Consecutive steps have the same value as a rule.
        let mut last: Option<(u64, usize)> = None;
        for (step, value) in row.values.iter().enumerate().filter(|(_, value)| is_present(**value)) {
            let place = match last {
                Some((bits, place)) if bits == value.to_bits() => place,
                _ => {
                    let labels = Labels::clone(&row.labels).with(label, Number(*value).to_string());
                    let place = *places.entry(key(&labels, &grouping)).or_insert(counted.len());
                    if place == counted.len() {
                        budget.take(grid.steps())?;
                        let labels: Arc<Labels> = group_labels(&labels, &grouping);
                        counted.push(Row { labels, drop_name: false, values: vec![ABSENT; grid.steps()] });
                    }
                    place
                }
            };
            last = Some((value.to_bits(), place));
            if let Some(count) = counted.get_mut(place).and_then(|row| row.values.get_mut(step)) {
                *count = if is_present(*count) { *count + 1.0 } else { 1.0 };
            }
        }
    }
    row::merge(counted)
}
