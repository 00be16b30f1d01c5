//! Relabelling: steps that change a set of labels, or drop it. Prometheus's semantics.

use crate::monitoring::rule_files::Mistake;
use md5::{Digest, Md5};
use quarterdeck_model::domain::scrape::{Relabel, RelabelAction};
use regex::Regex;
use std::collections::BTreeMap;

/// Labels by name. An empty value is as if the label were missing.
pub(super) type Set = BTreeMap<String, String>;

/// A step made ready.
#[derive(Clone, Debug)]
pub(super) struct Step {
    source: Vec<String>,
    separator: String,
    target: String,
    regex: Regex,
    modulus: u64,
    replacement: String,
    action: RelabelAction,
}

impl Step {
    /// # Errors
    /// What is wrong, and at which key.
    pub(super) fn read(spec: &Relabel) -> Result<Self, Mistake> {
        let at = |key: &str, message: String| Mistake { pointer: format!("/{key}"), message };
        let pattern = spec.regex.as_deref().unwrap_or("(.*)");
        let regex = Regex::new(&format!("^(?s:{pattern})$"))
            .map_err(|error| at("regex", format!("expected a regular expression: {error}")))?;
        let target = spec.target_label.clone().unwrap_or_default();
        use RelabelAction as Action;
        let action = spec.action;
        let needs_target = matches!(
            action,
            Action::Replace
                | Action::HashMod
                | Action::Lowercase
                | Action::Uppercase
                | Action::KeepEqual
                | Action::DropEqual
        );
        if needs_target && target.is_empty() {
            return Err(at("target_label", "missing; this action needs the label that it is about".to_owned()));
        }
        let literal = !target.contains('$') || action != Action::Replace;
        if needs_target && literal && !quarterdeck_formats::is_label_name(&target) {
            return Err(at("target_label", format!("`{target}` is not a label's name")));
        }
        let modulus = spec.modulus.unwrap_or(0);
        if action == Action::HashMod && modulus == 0 {
            return Err(at("modulus", "missing; expected a whole number of 1 or more".to_owned()));
        }
        if matches!(action, Action::LabelDrop | Action::LabelKeep) && !spec.source_labels.is_empty() {
            return Err(at("source_labels", "this action looks at the names of all labels; leave it out".to_owned()));
        }
        Ok(Step {
            source: spec.source_labels.clone(),
            separator: spec.separator.clone().unwrap_or_else(|| ";".to_owned()),
            target,
            regex,
            modulus,
            replacement: spec.replacement.clone().unwrap_or_else(|| "$1".to_owned()),
            action,
        })
    }

    /// Whether the set is kept.
    fn apply(&self, labels: &mut Set) -> bool {
        let values = self.source.iter().map(|name| labels.get(name).map_or("", String::as_str));
        let value = values.collect::<Vec<_>>().join(&self.separator);
        match self.action {
            RelabelAction::Keep => return self.regex.is_match(&value),
            RelabelAction::Drop => return !self.regex.is_match(&value),
            RelabelAction::KeepEqual => return labels.get(&self.target).map_or("", String::as_str) == value,
            RelabelAction::DropEqual => return labels.get(&self.target).map_or("", String::as_str) != value,
            RelabelAction::Replace => self.replace(&value, labels),
            RelabelAction::HashMod => {
                let hash: [u8; 16] = Md5::digest(value.as_bytes()).into();
                let last = hash.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                set(labels, &self.target, last.checked_rem(self.modulus).unwrap_or(0).to_string());
            }
            RelabelAction::Lowercase => set(labels, &self.target, value.to_lowercase()),
            RelabelAction::Uppercase => set(labels, &self.target, value.to_uppercase()),
            RelabelAction::LabelMap => {
                let renamed: Vec<(String, String)> = labels
                    .iter()
                    .filter(|(name, _)| self.regex.is_match(name))
                    .map(|(name, value)| {
                        (self.regex.replace_all(name, self.replacement.as_str()).into_owned(), value.clone())
                    })
                    .collect();
                for (name, value) in renamed {
                    set(labels, &name, value);
                }
            }
            RelabelAction::LabelDrop => labels.retain(|name, _| !self.regex.is_match(name)),
            RelabelAction::LabelKeep => labels.retain(|name, _| self.regex.is_match(name)),
        }
        true
    }

    fn replace(&self, value: &str, labels: &mut Set) {
        let Some(found) = self.regex.captures(value) else { return };
        let expand = |template: &str| {
            let mut text = String::new();
            found.expand(template, &mut text);
            text
        };
        let target = expand(&self.target);
        if quarterdeck_formats::is_label_name(&target) {
            set(labels, &target, expand(&self.replacement));
        }
    }
}

fn set(labels: &mut Set, name: &str, value: String) {
    if value.is_empty() {
        labels.remove(name);
    } else {
        labels.insert(name.to_owned(), value);
    }
}

/// Whether the set is kept.
pub(super) fn apply(steps: &[Step], labels: &mut Set) -> bool {
    steps.iter().all(|step| step.apply(labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn step(spec: Value) -> Result<Step, Mistake> {
        Step::read(&serde_json::from_value(spec).unwrap())
    }

    /// `after`: none where the set is dropped.
    #[track_caller]
    fn check(spec: Value, after: Option<&[(&str, &str)]>) {
        let set_of = |pairs: &[(&str, &str)]| -> Set {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut labels = set_of(&[("a", "foo"), ("b", "Bar"), ("c", "foo"), ("__meta_x", "y\nz")]);
        let kept = apply(&[step(spec).unwrap()], &mut labels);
        assert_eq!(kept.then_some(labels), after.map(set_of));
    }

    const REST: [(&str, &str); 4] = [("a", "foo"), ("b", "Bar"), ("c", "foo"), ("__meta_x", "y\nz")];

    fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let rest = REST.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name)).copied();
        rest.chain(more.iter().copied()).filter(|(_, value)| !value.is_empty()).collect()
    }

    #[test]
    fn each_action_does_what_it_does_in_prometheus() {
        let replaced = json!({"source_labels": ["a", "b"], "regex": "f(.*);(.*)r", "target_label": "d", "replacement": "ch${1}-$2"});
        check(replaced, Some(&with(&[("d", "choo-Ba")])));
        // What does not match as a whole changes nothing.
        check(json!({"source_labels": ["a"], "regex": "f", "target_label": "d"}), Some(&REST));
        check(
            json!({"source_labels": ["__meta_x"], "regex": "y.z", "target_label": "d", "replacement": "all"}),
            Some(&with(&[("d", "all")])),
        );
        // What becomes empty is taken away.
        check(json!({"source_labels": ["nothing"], "target_label": "a"}), Some(&with(&[("a", "")])));
        check(
            json!({"source_labels": ["a"], "regex": "(f).*", "target_label": "${1}_x", "replacement": "1"}),
            Some(&with(&[("f_x", "1")])),
        );
        check(json!({"source_labels": ["a"], "regex": "(f).*", "target_label": "${1}-x"}), Some(&REST));
        check(json!({"source_labels": ["a"], "regex": "foo", "action": "keep"}), Some(&REST));
        check(json!({"source_labels": ["a"], "regex": "bar", "action": "keep"}), None);
        check(json!({"source_labels": ["a", "c"], "separator": "", "regex": "foofoo", "action": "drop"}), None);
        check(json!({"source_labels": ["a"], "target_label": "c", "action": "keepequal"}), Some(&REST));
        check(json!({"source_labels": ["a"], "target_label": "b", "action": "keepequal"}), None);
        check(json!({"source_labels": ["a"], "target_label": "c", "action": "dropequal"}), None);
        check(
            json!({"source_labels": ["b"], "target_label": "b", "action": "lowercase"}),
            Some(&with(&[("b", "bar")])),
        );
        check(
            json!({"source_labels": ["b"], "target_label": "d", "action": "uppercase"}),
            Some(&with(&[("d", "BAR")])),
        );
        check(json!({"regex": "__meta_(.+)", "action": "labelmap"}), Some(&with(&[("x", "y\nz")])));
        check(json!({"regex": "a|b|__.*", "action": "labeldrop"}), Some(&[("c", "foo")]));
        check(json!({"regex": "a|b", "action": "labelkeep"}), Some(&[("a", "foo"), ("b", "Bar")]));
        // The case of Prometheus's own tests: the last eight bytes of the digest of `baz`, modulo 1000.
        let baz = json!({"replacement": "baz", "target_label": "c"});
        let mut labels = Set::new();
        let hashed = json!({"source_labels": ["c"], "target_label": "d", "action": "hashmod", "modulus": 1000});
        assert!(apply(&[step(baz).unwrap(), step(hashed).unwrap()], &mut labels));
        assert_eq!(labels.get("d").map(String::as_str), Some("976"));
    }

    #[test]
    fn a_step_that_can_not_work_is_refused_at_its_key() {
        for (spec, pointer) in [
            (json!({"regex": "("}), "/regex"),
            (json!({"source_labels": ["a"]}), "/target_label"),
            (json!({"action": "lowercase", "target_label": "a-b"}), "/target_label"),
            (json!({"action": "hashmod", "target_label": "a"}), "/modulus"),
            (json!({"action": "labeldrop", "source_labels": ["a"]}), "/source_labels"),
        ] {
            assert_eq!(step(spec.clone()).unwrap_err().pointer, pointer, "{spec}");
        }
    }
}
