//! Series that a rule expects. Of each that is not there its detector gets an empty one, so that it can miss what it has never seen; and
//! whatever was said of an expectation ends when it is met, though the series that meets it has labels of its own. Pure.

use super::alerts::{Alerts, identity};
use quarterdeck_model::domain::alert::{AlertState, RuleSpec};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::SeriesData;
use std::collections::HashMap;

/// What a rule expects, by whether it is there.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Expected {
    /// A series without samples for each that is not there.
    pub(super) absent: Vec<SeriesData>,
    /// What is.
    pub(super) met: Vec<Labels>,
}

/// Compares what a rule expects with what was found in its window. A series meets an expectation if it has all of its labels.
pub(super) fn among(spec: &RuleSpec, found: &[SeriesData]) -> Expected {
    let mut expected = Expected::default();
    if spec.expect.is_empty() {
        return expected;
    }
    let mut by_label: HashMap<(&str, &str), Vec<&Labels>> = HashMap::new();
    for series in found.iter().filter(|series| !series.values.is_empty()) {
        for label in series.labels.iter() {
            by_label.entry(label).or_default().push(&series.labels);
        }
    }
    for labels in &spec.expect {
        let candidates = labels.iter().next().and_then(|label| by_label.get(&label));
        if candidates.into_iter().flatten().any(|found| found.includes(labels)) {
            expected.met.push(labels.clone());
        } else {
            expected.absent.push(SeriesData {
                name: spec.select.metric.clone(),
                labels: whole(spec, labels),
                ..SeriesData::default()
            });
        }
    }
    expected
}

/// Of what was expected, what is not any more.
pub(super) fn dropped<'a>(before: impl IntoIterator<Item = &'a Labels>, now: &[Labels]) -> Vec<Labels> {
    before.into_iter().filter(|labels| !now.contains(labels)).cloned().collect()
}

/// Whether an alert of that expectation fires.
pub(super) fn fires(rule: &str, spec: &RuleSpec, labels: &Labels, alerts: &Alerts) -> bool {
    let fingerprint = identity(rule, spec, &whole(spec, labels)).fingerprint();
    alerts.get(&fingerprint).is_some_and(|alert| alert.state == AlertState::Firing)
}

/// The labels of the empty series: those that it was expected with, and those that the rule selects by.
pub(super) fn whole(spec: &RuleSpec, labels: &Labels) -> Labels {
    let pairs = spec.select.labels.iter().chain(labels.iter());
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Timestamp;
    use serde_json::json;

    fn spec(expect: serde_json::Value) -> RuleSpec {
        let select = json!({"metric": "up", "labels": {"job": "shop"}});
        serde_json::from_value(json!({"detector": "absence/x", "select": select, "expect": expect})).unwrap()
    }

    fn series(pairs: &[(&str, &str)], values: &[f64]) -> SeriesData {
        let at = vec![Timestamp::from_millis(0); values.len()];
        SeriesData { name: "up".into(), labels: pairs.iter().copied().collect(), at, values: values.to_vec() }
    }

    #[test]
    fn what_is_not_there_is_an_empty_series_with_the_labels_that_are_selected_by() {
        let spec = spec(json!([{"host": "a"}, {"host": "b", "zone": "eu"}, {"host": "c"}]));
        let found = [
            series(&[("host", "a"), ("job", "shop"), ("port", "1")], &[1.0]),
            series(&[("host", "b"), ("job", "shop"), ("zone", "us")], &[1.0]),
            series(&[("host", "c"), ("job", "shop")], &[]),
        ];
        let Expected { absent, met } = among(&spec, &found);
        assert_eq!(met, [Labels::new().with("host", "a")]);
        assert_eq!(
            absent,
            [
                series(&[("host", "b"), ("job", "shop"), ("zone", "eu")], &[]),
                series(&[("host", "c"), ("job", "shop")], &[]),
            ]
        );
        assert_eq!(among(&self::spec(json!([])), &found), Expected::default());
    }

    #[test]
    fn what_is_expected_no_more_is_what_has_left_the_list() {
        let (a, b) = (Labels::new().with("host", "a"), Labels::new().with("host", "b"));
        assert_eq!(dropped([&a, &b], std::slice::from_ref(&b)), [a]);
    }
}
