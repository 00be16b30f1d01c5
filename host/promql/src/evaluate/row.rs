//! One series of a result over all steps of a grid.

use super::grid::Grid;
use super::key::kept;
use crate::error::Error;
use crate::value::Point;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{NAME, STALE};
use quarterdeck_model::time::Timestamp;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Stands where a row has no value. The bits of the staleness marker: no sample that is read as a value has them, and since they
/// are a signalling NaN's, no arithmetic gives them.
pub(super) const ABSENT: f64 = f64::from_bits(STALE);

#[inline]
pub(super) fn is_present(value: f64) -> bool {
    value.to_bits() != STALE
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) labels: Arc<Labels>,
    /// The name is dropped at the end of the query, so that `by (__name__)` and the like still see it.
    pub(super) drop_name: bool,
    /// As many as the grid has steps.
    pub(super) values: Vec<f64>,
}

impl Row {
    pub(super) fn unnamed(values: Vec<f64>) -> Self {
        Row { labels: Arc::default(), drop_name: false, values }
    }

    pub(super) fn name(&self) -> &str {
        self.labels.get(NAME).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.values.iter().copied().any(is_present)
    }

    pub(super) fn points(&self, grid: &Grid) -> Vec<Point> {
        let present = grid.times().zip(&self.values).filter(|(_, value)| is_present(**value));
        present.map(|(at, value)| Point { at: Timestamp::from_millis(at), value: *value }).collect()
    }
}

/// Maps each value of each row. The result is something else than the metric: the name goes.
pub(super) fn map(mut rows: Vec<Row>, change: impl Fn(f64) -> f64) -> Vec<Row> {
    for row in &mut rows {
        row.drop_name = true;
        for value in row.values.iter_mut().filter(|value| is_present(**value)) {
            *value = change(*value);
        }
    }
    rows
}

/// The same with a scalar beside it.
pub(super) fn map_with(mut rows: Vec<Row>, scalar: &[f64], change: impl Fn(f64, f64) -> f64) -> Vec<Row> {
    for row in &mut rows {
        row.drop_name = true;
        for (value, scalar) in row.values.iter_mut().zip(scalar).filter(|(value, _)| is_present(**value)) {
            *value = change(*value, *scalar);
        }
    }
    rows
}

/// The name, and the two that say which kind of metric it is: what is computed from a metric is another one.
pub(super) fn describes_metric(label: &str) -> bool {
    matches!(label, NAME | "__type__" | "__unit__")
}

/// Whether any row has a value, for each step.
pub(super) fn presence(rows: &[Row], grid: &Grid) -> Vec<bool> {
    let mut present = vec![false; grid.steps()];
    for row in rows {
        for (present, value) in present.iter_mut().zip(&row.values) {
            *present |= is_present(*value);
        }
    }
    present
}

/// Makes one row of those with the same labels, in the order of the first ones.
///
/// # Errors
/// Two of them have a value at the same step.
pub(super) fn merge(rows: Vec<Row>) -> Result<Vec<Row>, Error> {
    if rows.len() < 2 {
        return Ok(rows);
    }
    let mut places: HashMap<Arc<Labels>, usize> = HashMap::with_capacity(rows.len());
    let mut merged: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        match places.entry(Arc::clone(&row.labels)) {
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(row);
            }
            Entry::Occupied(place) => {
                let Some(kept) = merged.get_mut(*place.get()) else { continue };
                for (kept, value) in kept.values.iter_mut().zip(&row.values).filter(|(_, value)| is_present(**value)) {
                    if is_present(*kept) {
                        return Err(Error::same_labels());
                    }
                    *kept = *value;
                }
            }
        }
    }
    Ok(merged)
}

/// Drops the names that operators and functions wanted dropped.
///
/// # Errors
/// Two series can't be told apart without.
pub(super) fn without_names(mut rows: Vec<Row>) -> Result<Vec<Row>, Error> {
    for row in rows.iter_mut().filter(|row| row.drop_name && row.labels.iter().any(|(name, _)| describes_metric(name)))
    {
        row.labels = kept(&row.labels, |name| !describes_metric(name));
    }
    merge(rows)
}
