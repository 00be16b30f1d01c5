//! Series in memory.

use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, Columns, Comparison, Matcher, Querier};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::time::Timestamp;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Store {
    series: BTreeMap<Arc<Labels>, BTreeMap<i64, f64>>,
    /// Series of which samples are native histograms, which the store can't hold.
    pub(crate) histograms: BTreeSet<Arc<Labels>>,
    /// Start timestamps were loaded, which are experimental.
    pub(crate) starts: bool,
}

impl Store {
    pub(crate) fn push(&mut self, labels: &Arc<Labels>, at: i64, value: f64) {
        self.series.entry(Arc::clone(labels)).or_default().insert(at, value);
    }

    /// Whether the selection would have native histograms.
    pub(crate) fn has_histograms(&self, matchers: &[Matcher]) -> bool {
        let tests = compile(matchers).unwrap_or_default();
        self.histograms.iter().any(|labels| tests.iter().all(|(label, test)| test(labels.get(label).unwrap_or(""))))
    }
}

type Test = Box<dyn Fn(&str) -> bool>;

fn compile(matchers: &[Matcher]) -> Result<Vec<(String, Test)>, StoreError> {
    let tests = matchers.iter().map(|matcher| {
        let value = matcher.value.clone();
        let regex = || Regex::new(&format!("^(?s:{value})$")).map_err(|e| StoreError::Invalid(e.to_string()));
        let test: Test = match matcher.comparison {
            Comparison::Equal => Box::new(move |found| found == value),
            Comparison::NotEqual => Box::new(move |found| found != value),
            Comparison::Matches => {
                let regex = regex()?;
                Box::new(move |found| regex.is_match(found))
            }
            Comparison::MatchesNot => {
                let regex = regex()?;
                Box::new(move |found| !regex.is_match(found))
            }
        };
        Ok((matcher.label.clone(), test))
    });
    tests.collect()
}

impl Querier for Store {
    fn select(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
        budget: &Budget,
    ) -> Result<Vec<Columns>, StoreError> {
        let tests = compile(matchers)?;
        let mut found = Vec::new();
        if from >= to {
            return Ok(found);
        }
        for (labels, samples) in &self.series {
            if !tests.iter().all(|(label, test)| test(labels.get(label).unwrap_or(""))) {
                continue;
            }
            let (at, values): (Vec<i64>, Vec<f64>) = samples.range(from.as_millis() + 1..=to.as_millis()).unzip();
            budget.take(at.len())?;
            if !at.is_empty() {
                found.push(Columns { labels: Arc::clone(labels), at, values });
            }
        }
        // Stores give no order: neither may a query need one.
        found.reverse();
        Ok(found)
    }

    fn series(
        &self,
        matchers: &[Matcher],
        _: Timestamp,
        _: Timestamp,
        limit: usize,
    ) -> Result<Vec<Arc<Labels>>, StoreError> {
        let tests = compile(matchers)?;
        let fits = |labels: &&Arc<Labels>| tests.iter().all(|(label, test)| test(labels.get(label).unwrap_or("")));
        Ok(self.series.keys().filter(fits).take(limit).cloned().collect())
    }
}
