//! What detectors say of series as samples of their own, made ready to be stored.

use quarterdeck_model::kind::detector::{Derived, Window};
use quarterdeck_model::series::{Sample, check_lengths};

/// The label that tells whose judgement it is.
const RULE: &str = "rule";

/// The samples, with the labels of the series that they are of, and why the first of those that can't be stored can't be.
pub(super) fn samples(rule: &str, window: &Window, derived: &[Derived]) -> (Vec<Sample>, Option<String>) {
    let mut refused = None;
    let samples = derived.iter().filter_map(|derived| {
        let series = window.series.get(derived.series)?;
        let labels = series.labels.clone().with(RULE, rule);
        match check_lengths(&derived.metric, &labels) {
            Ok(()) => Some(Sample { name: derived.metric.clone(), labels, at: window.now, value: derived.value }),
            Err(reason) => {
                refused.get_or_insert(reason);
                None
            }
        }
    });
    (samples.collect(), refused)
}
