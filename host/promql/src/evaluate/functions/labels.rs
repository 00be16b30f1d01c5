//! `label_replace` and `label_join`: of series, whatever their values.

use super::Call;
use crate::error::Error;
use crate::evaluate::row::{self, Row};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::NAME;
use regex::RegexBuilder;
use std::sync::Arc;

impl Call<'_, '_> {
    pub(super) fn label_replace(&mut self) -> Result<Vec<Row>, Error> {
        let target = self.label_name(1, "destination")?.to_owned();
        let replacement = self.text(2)?.to_owned();
        let source = self.text(3)?.to_owned();
        let expression = self.text(4)?;
        let regex = RegexBuilder::new(&format!("^(?s:{expression})$")).size_limit(1 << 20).build();
        let regex = regex
            .map_err(|_| Error::evaluation(format!("invalid regular expression in label_replace(): {expression}")))?;
        let mut rows = self.rows(0)?;
        for row in &mut rows {
            let mut written = String::new();
            match regex.captures(row.labels.get(&source).unwrap_or_default()) {
                Some(captures) => captures.expand(&replacement, &mut written),
                None => continue,
            }
            set(row, &target, written);
        }
        row::merge(rows)
    }

    pub(super) fn label_join(&mut self) -> Result<Vec<Row>, Error> {
        let target = self.label_name(1, "destination")?.to_owned();
        let separator = self.text(2)?.to_owned();
        let mut sources = Vec::with_capacity(self.arguments.len());
        for index in 3..self.arguments.len() {
            sources.push(self.label_name(index, "source")?.to_owned());
        }
        let mut rows = self.rows(0)?;
        for row in &mut rows {
            let values: Vec<&str> = sources.iter().map(|name| row.labels.get(name).unwrap_or_default()).collect();
            let joined = values.join(&separator);
            set(row, &target, joined);
        }
        row::merge(rows)
    }

    fn label_name(&self, index: usize, role: &str) -> Result<&str, Error> {
        let name = self.text(index)?;
        if name.is_empty() {
            let function = self.function;
            return Err(Error::evaluation(format!("invalid {role} label name in {function}(): {name}")));
        }
        Ok(name)
    }
}

/// A label without a value is none. A name that is set on purpose stays.
fn set(row: &mut Row, label: &str, value: String) {
    let mut labels = Labels::clone(&row.labels);
    if value.is_empty() {
        labels.0.remove(label);
    } else {
        labels.insert(label, value);
    }
    row.labels = Arc::new(labels);
    row.drop_name &= label != NAME;
}
