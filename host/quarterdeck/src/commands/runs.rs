//! A run as people see it: its steps, and what came out of each.

use super::text;
use crate::output::{cell, printable};
use serde_json::Value;

/// Lines of one output; `--json` has them all.
const LINES: usize = 40;

/// A line per step, and what it gave below it. A plan is what a dry run gives.
pub(super) fn lines(run: &Value) -> Vec<String> {
    let steps = run.pointer("/steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if steps.is_empty() {
        return vec!["no steps".to_owned()];
    }
    let wide = |pointer: &str, heading: &str| {
        steps
            .iter()
            .map(|step| printable(text(step, pointer)).chars().count())
            .chain([heading.len()])
            .max()
            .unwrap_or(0)
    };
    let (names, states) = (wide("/name", "STEP"), wide("/state", "STATE"));
    let line = |name: &str, state: &str, error: &str| {
        format!(" {name:<names$}  {state:<states$}  {error}").trim_end().to_owned()
    };
    let mut lines = vec![line("STEP", "STATE", "ERROR")];
    for step in steps {
        let field = |pointer| printable(text(step, pointer));
        lines.push(line(&field("/name"), &field("/state"), &field("/error")));
        outputs(step.get("outputs").unwrap_or(&Value::Null), &mut lines);
    }
    lines
}

/// Short ones first, each in a line of its own; texts with several lines below their name.
fn outputs(outputs: &Value, lines: &mut Vec<String>) {
    let Some(outputs) = outputs.as_object() else {
        if !outputs.is_null() {
            lines.push(format!("     {}", cell(outputs)));
        }
        return;
    };
    let mut long = Vec::new();
    for (name, value) in outputs {
        let several: Vec<String> = match value {
            Value::String(text) => text.trim_end().lines().map(printable).collect(),
            Value::Array(items) if items.iter().any(|item| item.is_object()) => items.iter().map(cell).collect(),
            other => vec![cell(other)],
        };
        match several.as_slice() {
            [] => {}
            [one] if one.is_empty() => {}
            [one] => lines.push(format!("     {}: {one}", printable(name))),
            _ => long.push((name, several)),
        }
    }
    for (name, several) in long {
        lines.push(format!("     {}:", printable(name)));
        lines.extend(several.iter().take(LINES).map(|line| format!("       {line}").trim_end().to_owned()));
        if several.len() > LINES {
            lines.push(format!("       ... and {} more lines; hint: --json", several.len() - LINES));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_step_gave_stands_below_it_and_a_plan_only_where_there_is_one() {
        let run = json!({"steps": [
            {"name": "look", "state": "succeeded", "error": null,
                "outputs": {"stdout": "a\u{1b}[2J\nb\n", "exit_code": 0, "stderr": "", "headers": {}}},
            {"name": "ask", "state": "failed", "error": "answered 500", "outputs": {"status": 500, "body": "oh no\n"}},
            {"name": "check", "state": "succeeded", "outputs": {"series": [{"series": "up", "value": 99.123456}, {"value": 1}]}},
            {"name": "later", "state": "skipped", "outputs": null},
        ]});
        let expected = [
            " STEP   STATE      ERROR",
            " look   succeeded",
            "     exit_code: 0",
            "     stdout:",
            "       a\\u{1b}[2J",
            "       b",
            " ask    failed     answered 500",
            "     body: oh no",
            "     status: 500",
            " check  succeeded",
            "     series:",
            "       series=up value=99.12",
            "       value=1",
            " later  skipped",
        ];
        assert_eq!(lines(&run), expected);
        let planned = json!({"steps": [{"name": "look", "state": "succeeded", "outputs": {"plan": "runs /bin/df"}}]});
        assert_eq!(lines(&planned)[2], "     plan: runs /bin/df");
        let long: String = (0..50).map(|number| format!("{number}\n")).collect();
        let cut = lines(&json!({"steps": [{"name": "a", "state": "succeeded", "outputs": {"stdout": long}}]}));
        assert_eq!(cut.last().unwrap(), "       ... and 10 more lines; hint: --json");
    }
}
