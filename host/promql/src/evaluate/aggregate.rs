//! Aggregations: rows into groups, groups into rows.
//!
//! - [`fold`]: those that make one value of many
//! - [`rank`]: those that keep some of the elements, and `count_values`

mod fold;
mod rank;

pub(super) use rank::ranking;

use super::Evaluator;
use super::grid::Grid;
use super::key::{group_labels, key};
use super::row::{self, Row};
use crate::error::Error;
use crate::expression::{Aggregate, Aggregation, Kind, Shape};
use std::collections::HashMap;

impl Evaluator<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, grid: &Grid) -> Result<Vec<Row>, Error> {
        let parameter = match &aggregate.parameter {
            Some(parameter) if parameter.shape() == Shape::Scalar => self.eval(parameter, grid)?.into_scalar(),
            _ => Vec::new(),
        };
        let rows = self.eval(&aggregate.inner, grid)?.into_rows();
        self.check()?;
        match aggregate.operator {
            Aggregation::Top | Aggregation::Bottom => {
                let top = aggregate.operator == Aggregation::Top;
                rank::extremes(groups(rows, aggregate), &parameter, top, grid, self.budget)
            }
            Aggregation::CountValues => {
                let label = match aggregate.parameter.as_ref().map(|parameter| &parameter.kind) {
                    Some(Kind::Text(label)) => label.as_str(),
                    _ => "",
                };
                rank::count_values(rows, &aggregate.grouping, label, grid, self.budget)
            }
            operator => {
                if operator == Aggregation::Quantile {
                    let position = aggregate.parameter.as_ref().map_or(0, |parameter| parameter.position);
                    for quantile in &parameter {
                        self.notes.check_quantile(position, *quantile);
                    }
                }
                let groups = groups(rows, aggregate);
                self.hold(groups.len(), grid)?;
                let mut folded = Vec::with_capacity(groups.len());
                for rows in &groups {
                    let Some(first) = rows.first() else { continue };
                    let labels = group_labels(&first.labels, &aggregate.grouping);
                    let drop_name = rows.iter().any(|row| row.drop_name);
                    let values = fold::fold(operator, rows, &parameter, grid, self.budget)?;
                    folded.push(Row { labels, drop_name, values });
                }
                row::merge(folded)
            }
        }
    }
}

/// In the order of their first rows.
fn groups(rows: Vec<Row>, aggregate: &Aggregate) -> Vec<Vec<Row>> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        let place = *places.entry(key(&row.labels, &aggregate.grouping)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}
