//! `absent` and `absent_over_time`: a series where there is none.

use super::Call;
use crate::error::Error;
use crate::evaluate::row::{self, ABSENT, Row};
use crate::evaluate::window::Windows;
use crate::expression::{Kind, Node};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Comparison, Matcher, NAME};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Call<'_, '_> {
    pub(super) fn absent(&mut self) -> Result<Vec<Row>, Error> {
        let rows = self.rows(0)?;
        let labels = expected_labels(self.argument(0)?);
        Ok(self.missing(&rows, labels))
    }

    pub(super) fn absent_over_time(&mut self, windows: Windows, range: &Node) -> Result<Vec<Row>, Error> {
        let rows = self.map_windows(windows, |_| Some(1.0))?;
        Ok(self.missing(&rows, expected_labels(range)))
    }

    fn missing(&self, rows: &[Row], labels: Labels) -> Vec<Row> {
        let present = row::presence(rows, self.grid);
        let values: Vec<f64> = present.iter().map(|present| if *present { ABSENT } else { 1.0 }).collect();
        let row = Row { labels: Arc::new(labels), drop_name: true, values };
        if row.is_empty() { Vec::new() } else { vec![row] }
    }
}

/// What a series would have had, as far as the selector says so: labels that have to equal one value.
fn expected_labels(node: &Node) -> Labels {
    let (Kind::Vector(selector) | Kind::Matrix(selector, _)) = &node.kind else { return Labels::new() };
    let mut labels = Labels::new();
    let mut seen = BTreeSet::new();
    for Matcher { label, comparison, value } in selector.matchers.iter().filter(|matcher| matcher.label != NAME) {
        if *comparison == Comparison::Equal && seen.insert(label) && !value.is_empty() {
            labels.insert(label, value);
        } else {
            labels.0.remove(label);
        }
    }
    labels
}
