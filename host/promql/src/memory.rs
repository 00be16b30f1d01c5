//! Series in memory: what tests of rules and queries run on, in virtual time.

use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, Columns, Comparison, Matcher, Querier};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::time::Timestamp;
use regex::Regex;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Holds whatever it is given, for as long as it lives. A second sample of one series and time is dropped.
#[derive(Debug, Default)]
pub struct Memory(RwLock<Held>);

#[derive(Debug, Default)]
struct Held {
    series: Vec<Columns>,
    places: HashMap<Arc<Labels>, usize>,
    /// Series by name and value of each of their labels.
    index: HashMap<String, HashMap<String, Vec<usize>>>,
}

impl Memory {
    /// Adds a sample. `labels`: with the name.
    pub fn push(&self, labels: &Arc<Labels>, at: Timestamp, value: f64) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let place = held.place(labels);
        let Some(columns) = held.series.get_mut(place) else { return };
        let at = at.as_millis();
        let index = columns.at.partition_point(|known| *known < at);
        if columns.at.get(index) != Some(&at) {
            columns.at.insert(index, at);
            columns.values.insert(index, value);
        }
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).series.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Held {
    fn place(&mut self, labels: &Arc<Labels>) -> usize {
        if let Some(place) = self.places.get(labels) {
            return *place;
        }
        let place = self.series.len();
        self.series.push(Columns { labels: Arc::clone(labels), at: Vec::new(), values: Vec::new() });
        self.places.insert(Arc::clone(labels), place);
        for (name, value) in labels.iter() {
            let values = self.index.entry(name.to_owned()).or_default();
            values.entry(value.to_owned()).or_default().push(place);
        }
        place
    }

    /// Those that every matcher takes.
    fn fitting(&self, matchers: &[Matcher]) -> Result<Vec<&Columns>, StoreError> {
        let mut tests = Vec::with_capacity(matchers.len());
        let mut fewest: Option<&[usize]> = None;
        for matcher in matchers {
            if matcher.comparison == Comparison::Equal && !matcher.value.is_empty() {
                let found = self.index.get(&matcher.label).and_then(|values| values.get(&matcher.value));
                let found = found.map(Vec::as_slice).unwrap_or_default();
                if fewest.is_none_or(|fewest| found.len() < fewest.len()) {
                    fewest = Some(found);
                }
            }
            tests.push(Test::of(matcher)?);
        }
        let fits = |columns: &&Columns| tests.iter().all(|test| test.fits(&columns.labels));
        Ok(match fewest {
            Some(places) => places.iter().filter_map(|place| self.series.get(*place)).filter(fits).collect(),
            None => self.series.iter().filter(fits).collect(),
        })
    }
}

/// A matcher, made ready.
struct Test<'a> {
    matcher: &'a Matcher,
    pattern: Option<Regex>,
}

impl<'a> Test<'a> {
    fn of(matcher: &'a Matcher) -> Result<Self, StoreError> {
        let pattern = match matcher.comparison {
            Comparison::Equal | Comparison::NotEqual => None,
            Comparison::Matches | Comparison::MatchesNot => {
                let pattern = Regex::new(&format!("^(?s:{})$", matcher.value));
                Some(pattern.map_err(|error| StoreError::Invalid(error.to_string()))?)
            }
        };
        Ok(Test { matcher, pattern })
    }

    fn fits(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.matcher.label).unwrap_or_default();
        let matches = || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(found));
        match self.matcher.comparison {
            Comparison::Equal => found == self.matcher.value,
            Comparison::NotEqual => found != self.matcher.value,
            Comparison::Matches => matches(),
            Comparison::MatchesNot => !matches(),
        }
    }
}

impl Querier for Memory {
    fn select(
        &self,
        matchers: &[Matcher],
        from: Timestamp,
        to: Timestamp,
        budget: &Budget,
    ) -> Result<Vec<Columns>, StoreError> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut selected = Vec::new();
        for columns in held.fitting(matchers)? {
            let first = columns.at.partition_point(|at| *at <= from.as_millis());
            let end = columns.at.partition_point(|at| *at <= to.as_millis()).max(first);
            if let (Some(at @ [_, ..]), Some(values)) = (columns.at.get(first..end), columns.values.get(first..end)) {
                budget.take(at.len())?;
                let labels = Arc::clone(&columns.labels);
                selected.push(Columns { labels, at: at.to_vec(), values: values.to_vec() });
            }
        }
        Ok(selected)
    }

    fn series(
        &self,
        matchers: &[Matcher],
        _: Timestamp,
        _: Timestamp,
        limit: usize,
    ) -> Result<Vec<Arc<Labels>>, StoreError> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let fitting = held.fitting(matchers)?;
        Ok(fitting.into_iter().take(limit).map(|columns| Arc::clone(&columns.labels)).collect())
    }
}
