//! `and`, `or`, `unless`: which series there are, whatever their values.

use super::grid::Grid;
use super::key::key;
use super::row::{self, ABSENT, Row, is_present};
use crate::error::Error;
use crate::expression::{Binary, Operator};
use std::collections::HashMap;

pub(super) fn combine(binary: &Binary, left: Vec<Row>, right: Vec<Row>, grid: &Grid) -> Result<Vec<Row>, Error> {
    match binary.operator {
        Operator::And => Ok(filtered(binary, left, &right, grid, true)),
        Operator::Unless => Ok(filtered(binary, left, &right, grid, false)),
        _ => {
            let added = filtered(binary, right, &left, grid, false);
            // A series may be of the left at one step, and of the right at another.
            row::merge(left.into_iter().chain(added).collect())
        }
    }
}

/// The elements of `rows` that have a match in `others` at the same step (or none).
fn filtered(binary: &Binary, mut rows: Vec<Row>, others: &[Row], grid: &Grid, wanted: bool) -> Vec<Row> {
    let mut matches: HashMap<String, Vec<bool>> = HashMap::new();
    for other in others {
        let present = matches.entry(key(&other.labels, &binary.matching)).or_insert_with(|| vec![false; grid.steps()]);
        for (present, value) in present.iter_mut().zip(&other.values) {
            *present |= is_present(*value);
        }
    }
    rows.retain_mut(|row| {
        let Some(present) = matches.get(&key(&row.labels, &binary.matching)) else { return !wanted };
        for (value, _) in row.values.iter_mut().zip(present).filter(|(_, present)| **present != wanted) {
            *value = ABSENT;
        }
        !row.is_empty()
    });
    rows
}
