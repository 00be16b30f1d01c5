//! What a recording rule makes of what its query found.

use super::group::Rule;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::NAME;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a rule's evaluation came to nothing. Texts that people know from Prometheus are Prometheus's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("vector contains metrics with the same labelset after applying rule labels: {0}")]
    Duplicate(Labels),
    #[error("exceeded limit of {limit} with {found} series")]
    TooMany { limit: u32, found: usize },
}

/// Series by their labels with the name, and their values.
///
/// # Errors
/// [`Failure`]: nothing is recorded then.
pub fn evaluate(
    rule: &Rule,
    limit: u32,
    found: impl IntoIterator<Item = (Arc<Labels>, f64)>,
) -> Result<BTreeMap<Labels, f64>, Failure> {
    let mut series = BTreeMap::new();
    for (labels, value) in found {
        let mut labels = (*labels).clone();
        labels.insert(NAME, &rule.name);
        for (name, value) in rule.labels.iter() {
            labels.insert(name, value);
        }
        if series.contains_key(&labels) {
            return Err(Failure::Duplicate(labels));
        }
        series.insert(labels, value);
    }
    if limit > 0 && series.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
        return Err(Failure::TooMany { limit, found: series.len() });
    }
    Ok(series)
}
