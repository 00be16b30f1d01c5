//! Tables for people, JSON for tools. `fit` has what makes a table fit a terminal.

mod fit;

use crate::client::{COUNTED, Listed, Refused};
use comfy_table::{Table, presets};
use serde_json::{Number, Value, json};
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
            print_line(&table(columns, items, fit::terminal()));
        }
    }

    /// The first items of a list, and how many were left out.
    pub(crate) fn listed(self, columns: &[Column], listed: &Listed, empty: &str) {
        self.list(columns, &listed.items, empty);
        if listed.left > 0 {
            let number =
                if listed.left < COUNTED { listed.left.to_string() } else { format!("at least {}", listed.left) };
            remark(&format!("... and {number} more; hint: --limit"));
        }
    }

    /// One thing: its fields below each other, or one JSON object.
    pub(crate) fn one(self, value: &Value) {
        if self.json {
            print_line(&pretty(value));
            return;
        }
        let mut rows = Vec::new();
        flatten("", value, &mut rows);
        let mut rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name, value]).collect();
        fit::to(fit::terminal(), &mut rows);
        let mut table = plain_table();
        table.add_rows(rows);
        print_line(&table.to_string());
    }

    /// A sentence; with `--json` the value that it is about.
    pub(crate) fn say(self, sentence: &str, value: &Value) {
        print_line(&if self.json { pretty(value) } else { printable(sentence) });
    }

    /// What an answer warns of, on standard error; with `--json` it stands in the answer.
    pub(crate) fn warn(self, answer: &Value) {
        let warnings = answer.get("warnings").and_then(Value::as_array).into_iter().flatten();
        for detail in warnings.filter(|_| !self.json).filter_map(|warning| warning.get("detail")?.as_str()) {
            remark(&format!("warning: {detail}"));
        }
    }

    /// Progress of something that takes long: on standard error, only for a person who watches.
    pub(crate) fn progress(self, line: &str) {
        if !self.json && std::io::stderr().is_terminal() {
            remark(line);
        }
    }

    /// Why a command failed, on standard error.
    pub(crate) fn error(self, error: &anyhow::Error) {
        if !self.json {
            let text = format!("error: {error:#}");
            text.lines().for_each(remark);
            return;
        }
        let problem = error.downcast_ref::<Refused>().map(|refused| refused.problem.clone());
        let line = pretty(&json!({"error": format!("{error:#}"), "problem": problem}));
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// A line for people, on standard error.
pub(crate) fn remark(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}

/// A reader who left (`| head`) is no error worth a word.
pub(crate) fn print_line(line: &str) {
    let _ = try_print_line(line);
}

/// For what goes on for ever: it ends when nobody reads any more.
pub(crate) fn try_print_line(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// A hint stands on a line of its own where there is one for it; here there is not. Texts come from plugins and from targets: what a terminal would obey, or what would turn a line around, is shown instead.
pub(crate) fn printable(text: &str) -> String {
    let obeyed = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for c in text.replace("\nhint: ", "; hint: ").chars() {
        if obeyed(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

/// Columns that are empty in all rows are left out. `width`: of the terminal; what is read by a program stays whole.
fn table(columns: &[Column], items: &[Value], width: Option<usize>) -> String {
    let said = |item: &Value, pointer: &str| item.pointer(pointer).map(cell).unwrap_or_default();
    let is_said = |pointer: &str| items.iter().any(|item| !said(item, pointer).is_empty());
    let columns: Vec<&Column> = columns.iter().filter(|(_, pointer)| is_said(pointer)).collect();
    let mut rows = vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect::<Vec<_>>()];
    rows.extend(items.iter().map(|item| columns.iter().map(|(_, pointer)| said(item, pointer)).collect()));
    fit::to(width, &mut rows);
    let mut table = plain_table();
    table.add_rows(rows);
    table.to_string()
}

/// A row per value, named by the path to it.
fn flatten(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let below = |name: &str| if path.is_empty() { printable(name) } else { format!("{path}.{}", printable(name)) };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| flatten(&below(name), value, rows));
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().enumerate().for_each(|(index, value)| flatten(&below(&(index + 1).to_string()), value, rows));
        }
        other => rows.push((path.to_owned(), cell(other))),
    }
}

/// A value in one line: never JSON.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(fields) if fields.is_empty() => String::new(),
        Value::String(text) => printable(text),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(_) => {
            let mut rows = Vec::new();
            flatten("", value, &mut rows);
            let pairs =
                rows.into_iter().filter(|(name, _)| !name.is_empty()).map(|(name, value)| format!("{name}={value}"));
            pairs.collect::<Vec<_>>().join(" ")
        }
        Value::Number(number) => figure(number),
        Value::Bool(_) => value.to_string(),
    }
}

/// Two digits behind the point are enough for people. What is less than a hundredth keeps its first two digits instead.
fn figure(number: &Number) -> String {
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    if value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    let magnitude = value.abs();
    if (0.995..1.0).contains(&magnitude) {
        // A share that is almost all is told from all: the distance keeps its first two digits.
        let digits = (3..9).find(|digits| (1.0 - magnitude) * 10f64.powi(*digits) >= 9.99).unwrap_or(9);
        let text = format!("{value:.*}", usize::try_from(digits).unwrap_or(9));
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    if magnitude >= 0.01 {
        return format!("{value:.2}");
    }
    if magnitude >= 1e-9 {
        let digits = (2..12).find(|digits| magnitude * 10f64.powi(*digits) >= 10.0).unwrap_or(12);
        return format!("{value:.*}", usize::try_from(digits).unwrap_or(12));
    }
    format!("{value:.1e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_per_item_and_leaves_what_is_missing_empty() {
        let text = table(
            &[("NAME", "/name"), ("STATE", "/state")],
            &[json!({"name": "a", "state": "ok"}), json!({"name": "b"})],
            None,
        );
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().nth(1).is_some_and(|line| line.contains('a') && line.contains("ok")));
    }

    #[test]
    fn a_table_has_no_column_that_nothing_stands_in_and_is_as_wide_as_the_terminal() {
        let columns = [("NAME", "/name"), ("ERROR", "/error"), ("SUMMARY", "/summary")];
        let long = "the disk of the database is almost full, and so is that of its replica";
        let items = [json!({"name": "a", "error": null, "summary": long}), json!({"name": "b", "error": ""})];
        let text = table(&columns, &items, Some(40));
        assert!(!text.contains("ERROR") && text.contains('…'), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(table(&columns, &items, None).contains(long), "what a program reads is whole");
    }

    #[test]
    fn a_cell_is_never_json_however_deep_the_value_is() {
        for (value, expected) in [
            (json!({"every": "15s"}), "every=15s"),
            (json!({"a": {"b": [1, 2], "c": null}}), "a.b=1, 2 a.c="),
            (json!([{"name": "x", "ok": true}, {"name": "y"}]), "name=x ok=true, name=y"),
            (json!({}), ""),
            (json!([]), ""),
            (json!([[1], [2, 3]]), "1, 2, 3"),
        ] {
            assert_eq!(cell(&value), expected);
        }
        let mut rows = Vec::new();
        flatten("", &json!({"state": "ok", "checks": [{"name": "store"}], "none": {}}), &mut rows);
        let rows: Vec<_> = rows.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(rows, [("checks.1.name", "store"), ("none", ""), ("state", "ok")]);
    }

    #[test]
    fn figures_are_rounded_in_tables_and_small_ones_are_not_lost() {
        for (value, expected) in [
            (json!(99.999_992_370_605_48), "100.00"),
            (json!(12.345), "12.35"),
            (json!(-0.5), "-0.50"),
            (json!(3.0), "3"),
            (json!(123_456_789_012.0), "123456789012"),
            (json!(7), "7"),
            (json!(0.004_219), "0.0042"),
            (json!(0.000_123_4), "0.00012"),
            (json!(1.5e-12), "1.5e-12"),
            (json!(0.999), "0.999"),
            (json!(0.999_67), "0.99967"),
            (json!(0.9999), "0.9999"),
            (json!(0.98), "0.98"),
        ] {
            assert_eq!(cell(&value), expected);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(cell(&json!("a\u{1b}[2Jb\nc\u{202e}d\u{9b}")), "a\\u{1b}[2Jb\\nc\\u{202e}d\\u{9b}");
        assert_eq!(cell(&json!("it is refused\nhint: grant it")), "it is refused; hint: grant it");
        assert_eq!(cell(&json!({"\u{7}x": "ü\t"})), "\\u{7}x=ü\\t");
    }
}
