//! Which group, or which match, a series belongs to.

use crate::expression::Grouping;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::NAME;
use std::sync::Arc;

/// Stands between names and values; no text in UTF-8 has it, but as a `char` it could be: so lengths are written, too.
fn push(key: &mut String, text: &str) {
    key.push_str(text);
    key.push('\u{1f}');
    key.push_str(&text.len().to_string());
    key.push('\u{1f}');
}

/// Equal for series that are one group. A label that is missing equals an empty one.
pub(super) fn key(labels: &Labels, grouping: &Grouping) -> String {
    let mut key = String::new();
    match grouping {
        Grouping::By(names) => {
            for name in names {
                push(&mut key, labels.get(name).unwrap_or_default());
            }
        }
        Grouping::Without(names) => {
            for (name, value) in labels.iter().filter(|(name, value)| !value.is_empty() && is_kept(names, name)) {
                push(&mut key, name);
                push(&mut key, value);
            }
        }
    }
    key
}

/// The labels that a group has in common.
pub(super) fn group_labels(labels: &Labels, grouping: &Grouping) -> Arc<Labels> {
    match grouping {
        Grouping::By(names) => kept(labels, |name| names.iter().any(|listed| listed == name)),
        Grouping::Without(names) => kept(labels, |name| is_kept(names, name)),
    }
}

fn is_kept(names: &[String], name: &str) -> bool {
    name != NAME && !names.iter().any(|listed| listed == name)
}

pub(super) fn kept(labels: &Labels, keep: impl Fn(&str) -> bool) -> Arc<Labels> {
    Arc::new(labels.iter().filter(|(name, value)| !value.is_empty() && keep(name)).collect())
}

/// As people write them: `{__name__="up", job="api"}`.
pub(super) fn display(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}
