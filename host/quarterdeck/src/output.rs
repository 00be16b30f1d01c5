//! Tables for people, JSON for tools.

use comfy_table::{Table, presets};
use serde_json::Value;
use std::io::{IsTerminal, Write};

/// A column: its heading, and the JSON Pointer of its cells.
pub(crate) type Column = (&'static str, &'static str);

#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// A list: a table, or one JSON array.
    pub(crate) fn list(self, columns: &[Column], items: &[Value], empty: &str) {
        if self.json {
            print_line(&pretty(&Value::Array(items.to_vec())));
        } else if items.is_empty() {
            print_line(empty);
        } else {
            print_line(&table(columns, items));
        }
    }

    /// One thing: its fields below each other, or one JSON object.
    pub(crate) fn one(self, value: &Value) {
        if self.json {
            print_line(&pretty(value));
            return;
        }
        let mut table = plain_table();
        for (name, value) in value.as_object().into_iter().flatten() {
            table.add_row([name.clone(), cell(value)]);
        }
        print_line(&table.to_string());
    }

    /// A sentence; with `--json` the value that it is about.
    pub(crate) fn say(self, sentence: &str, value: &Value) {
        print_line(&if self.json { pretty(value) } else { sentence.to_owned() });
    }

    /// Progress of something that takes long: on standard error, only for a person who watches.
    pub(crate) fn progress(self, line: &str) {
        if !self.json && std::io::stderr().is_terminal() {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

/// A reader who left (`| head`) is no error worth a word.
pub(crate) fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

fn table(columns: &[Column], items: &[Value]) -> String {
    let mut table = plain_table();
    table.set_header(columns.iter().map(|(title, _)| *title));
    for item in items {
        table.add_row(columns.iter().map(|(_, pointer)| item.pointer(pointer).map(cell).unwrap_or_default()));
    }
    table.to_string()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(cell).collect::<Vec<_>>().join(", ")
        }
        Value::Object(fields) if fields.values().all(|value| !value.is_object() && !value.is_array()) => {
            fields.iter().map(|(name, value)| format!("{name}={}", cell(value))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_has_a_row_per_item_and_leaves_what_is_missing_empty() {
        let text = table(
            &[("NAME", "/name"), ("STATE", "/state")],
            &[json!({"name": "a", "state": "ok"}), json!({"name": "b"})],
        );
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().nth(1).is_some_and(|line| line.contains('a') && line.contains("ok")));
    }
}
