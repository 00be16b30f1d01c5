//! What is different between two versions of a configuration.

use crate::place::push;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    Added,
    Removed,
    Changed,
}

/// One place at which two versions differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// JSON pointer.
    pub pointer: String,
    pub change: Change,
    /// Absent where it was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Absent where it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Every difference, as deep as both have something; what only one of them has is told as a whole. In the order of keys.
pub fn compare(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk("", Some(before), Some(after), &mut found);
    found
}

fn walk(pointer: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                walk(&push(pointer, key), before.get(key), after.get(key), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                walk(&push(pointer, &index.to_string()), before.get(index), after.get(index), found);
            }
        }
        (before, after) if before != after => {
            let change = match (before, after) {
                (None, _) => Change::Added,
                (_, None) => Change::Removed,
                _ => Change::Changed,
            };
            let (before, after) = (before.cloned(), after.cloned());
            found.push(Difference { pointer: pointer.to_owned(), change, before, after });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_told_by_place_as_deep_as_both_have_something() {
        let before =
            json!({"log": {"filter": "info"}, "rules": {"a": {"every": "5s"}}, "list": [1, 2], "same": {"x": 1}});
        let after =
            json!({"log": {"filter": "warn"}, "rules": {"b/c": {"every": "9s"}}, "list": [1], "same": {"x": 1}});
        let shown: Vec<String> = compare(&before, &after)
            .into_iter()
            .map(|d| {
                format!(
                    "{:?} {} {:?} {:?}",
                    d.change,
                    d.pointer,
                    d.before.map(|v| v.to_string()),
                    d.after.map(|v| v.to_string())
                )
            })
            .collect();
        let expected = [
            r#"Removed /list/1 Some("2") None"#,
            r#"Changed /log/filter Some("\"info\"") Some("\"warn\"")"#,
            r#"Removed /rules/a Some("{\"every\":\"5s\"}") None"#,
            r#"Added /rules/b~1c None Some("{\"every\":\"9s\"}")"#,
        ];
        assert_eq!(shown, expected);
        assert!(compare(&before, &before).is_empty());
    }
}
