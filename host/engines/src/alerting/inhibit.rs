//! Which alerts keep others from being told. Pure.
//!
//! - An alert is inhibited while another one fires that the rule's source matchers match, if the target matchers match the alert, and
//!   both have the same values of the rule's `equal` labels.
//! - A missing label equals an empty one.
//! - An alert that matches both sides of a rule is not inhibited by one of which that is true as well, and so not by itself.
//!
//! Sources are found by their values of the `equal` labels, so that a look at one alert does not go through all others.

use super::key::Key;
use quarterdeck_model::domain::alerting::{InhibitRule, all_match};
use quarterdeck_model::label::Labels;
use std::collections::{BTreeMap, HashMap};

#[derive(Clone, Debug, Default)]
pub struct Inhibitor {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    spec: InhibitRule,
    /// Alerts that fire and match the source side, and whether they match the target side too.
    sources: HashMap<Vec<String>, BTreeMap<Key, bool>>,
}

impl Rule {
    fn values(&self, labels: &Labels) -> Vec<String> {
        self.spec.equal.iter().map(|name| labels.get(name).unwrap_or_default().to_owned()).collect()
    }
}

/// An alert that keeps another one from being told, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inhibited {
    pub by: Key,
    /// Index of the rule.
    pub rule: usize,
}

impl Inhibitor {
    pub fn new(rules: &[InhibitRule]) -> Self {
        let rules = rules.iter().map(|spec| Rule { spec: spec.clone(), sources: HashMap::new() });
        Inhibitor { rules: rules.collect() }
    }

    /// It fires, or goes on.
    pub fn fires(&mut self, key: Key, labels: &Labels) {
        for rule in &mut self.rules {
            if all_match(&rule.spec.source_matchers, labels) {
                let both = all_match(&rule.spec.target_matchers, labels);
                let values = rule.values(labels);
                rule.sources.entry(values).or_default().insert(key, both);
            }
        }
    }

    /// It is over.
    pub fn ends(&mut self, key: Key, labels: &Labels) {
        for rule in &mut self.rules {
            let values = rule.values(labels);
            if let Some(sources) = rule.sources.get_mut(&values) {
                sources.remove(&key);
                if sources.is_empty() {
                    rule.sources.remove(&values);
                }
            }
        }
    }

    pub fn inhibited(&self, labels: &Labels) -> Option<Inhibited> {
        self.rules.iter().enumerate().find_map(|(index, rule)| {
            if rule.sources.is_empty() || !all_match(&rule.spec.target_matchers, labels) {
                return None;
            }
            let is_source = all_match(&rule.spec.source_matchers, labels);
            let sources = rule.sources.get(&rule.values(labels))?;
            let by = sources.iter().find(|(_, both)| !(is_source && **both)).map(|(key, _)| *key)?;
            Some(Inhibited { by, rule: index })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    fn inhibitor(equal: &[&str]) -> Inhibitor {
        let rule = json!({"source-matchers": ["severity=critical"], "target-matchers": ["severity=~\"warning|critical\"", "kind!=\"x\""],
            "equal": equal});
        Inhibitor::new(&[serde_json::from_value(rule).unwrap()])
    }

    fn check(equal: &[&str], source: &[(&str, &str)], target: &[(&str, &str)], expected: bool) {
        let mut inhibitor = inhibitor(equal);
        let (source, target) = (labels(source), labels(target));
        assert_eq!(inhibitor.inhibited(&target), None, "nothing fires yet");
        inhibitor.fires(Key::of("source"), &source);
        assert_eq!(inhibitor.inhibited(&target).is_some(), expected, "{source} {target}");
        inhibitor.ends(Key::of("source"), &source);
        assert_eq!(inhibitor.inhibited(&target), None, "the source is over");
    }

    #[test]
    fn an_alert_is_inhibited_by_a_source_with_the_same_values() {
        let critical = [("severity", "critical"), ("cluster", "a")];
        check(&["cluster"], &critical, &[("severity", "warning"), ("cluster", "a")], true);
        check(&["cluster"], &critical, &[("severity", "warning"), ("cluster", "b")], false);
        check(&["cluster"], &critical, &[("severity", "info"), ("cluster", "a")], false);
        check(&[], &critical, &[("severity", "warning"), ("cluster", "b")], true);
    }

    #[test]
    fn a_missing_label_equals_an_empty_one() {
        check(&["zone"], &[("severity", "critical")], &[("severity", "warning"), ("zone", "")], true);
        check(&["zone"], &[("severity", "critical")], &[("severity", "warning")], true);
        check(&["zone"], &[("severity", "critical"), ("zone", "a")], &[("severity", "warning")], false);
    }

    #[test]
    fn an_alert_on_both_sides_is_not_inhibited_by_another_on_both_sides() {
        check(&[], &[("severity", "critical"), ("n", "1")], &[("severity", "critical"), ("n", "2")], false);
        // One that is a source alone inhibits it.
        check(&[], &[("severity", "critical"), ("kind", "x")], &[("severity", "critical"), ("n", "2")], true);
        // Nor by itself.
        let mut inhibitor = inhibitor(&[]);
        let own = labels(&[("severity", "critical")]);
        inhibitor.fires(Key::of("own"), &own);
        assert_eq!(inhibitor.inhibited(&own), None);
    }
    #[test]
    fn a_side_without_matchers_is_every_alert() {
        let inhibited = |rule: serde_json::Value, source: &[(&str, &str)], target: &[(&str, &str)]| {
            let mut inhibitor = Inhibitor::new(&[serde_json::from_value(rule).unwrap()]);
            inhibitor.fires(Key::of("source"), &labels(source));
            inhibitor.inhibited(&labels(target)).is_some()
        };
        let (down, other) = ([("alertname", "down")], [("alertname", "other")]);
        assert!(inhibited(json!({"source-matchers": ["alertname=down"]}), &down, &other));
        assert!(!inhibited(json!({"source-matchers": ["alertname=down"]}), &other, &down));
        assert!(inhibited(json!({"target-matchers": ["alertname=down"]}), &other, &down));
        // All are on both sides.
        assert!(!inhibited(json!({}), &down, &other));
    }
}
