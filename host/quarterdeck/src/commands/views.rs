//! What matters of one thing to a person; `--json` has the rest.

use super::text;
use crate::output::{cell, printable};
use quarterdeck_model::plugin::{Capability, Grants};
use serde_json::Value;

fn field(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(cell).unwrap_or_default()
}

/// `name  said`, where something is said.
fn say(lines: &mut Vec<String>, name: &str, said: &str) {
    if !said.is_empty() {
        lines.push(format!("  {name:<13} {said}"));
    }
}

/// The first line names it.
fn head(parts: [String; 3]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
}

/// Each in a line below a heading, where there are some.
fn below(lines: &mut Vec<String>, heading: &str, items: impl IntoIterator<Item = String>) {
    let items: Vec<String> = items.into_iter().map(|item| format!("    {item}")).collect();
    if !items.is_empty() {
        lines.push(format!("  {heading}"));
        lines.extend(items);
    }
}

fn printed(lines: Vec<String>) -> Vec<String> {
    lines.iter().map(|line| printable(line)).collect()
}

pub(super) fn plugin(plugin: &Value) -> Vec<String> {
    let mut lines = vec![head([field(plugin, "/name"), field(plugin, "/version"), field(plugin, "/state")])];
    for (name, pointer) in [
        ("does", "/summary"),
        ("kinds", "/kinds"),
        ("reason", "/reason"),
        ("from", "/source"),
        ("content", "/digest"),
        ("signed by", "/publisher/key"),
        ("loaded", "/loaded_at"),
    ] {
        say(&mut lines, name, &field(plugin, pointer));
    }
    let capabilities = plugin.get("capabilities").cloned().unwrap_or_default();
    let capabilities: Vec<Capability> = serde_json::from_value(capabilities).unwrap_or_default();
    below(&mut lines, "asks for", capabilities.iter().map(Capability::words));
    below(&mut lines, "configuration (name, type, default, meaning)", keys(plugin.get("config_schema")));
    printed(lines)
}

/// The keys of a configuration, as `name  type  default  meaning`.
fn keys(schema: Option<&Value>) -> Vec<String> {
    let required: Vec<&str> = schema
        .and_then(|schema| schema.get("required")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
    let rows: Vec<[String; 4]> = properties
        .into_iter()
        .flatten()
        .map(|(name, property)| {
            let default = match property.get("default").filter(|default| !default.is_null()) {
                Some(default) => default.to_string(),
                None if required.contains(&name.as_str()) => "required".to_owned(),
                None => "-".to_owned(),
            };
            [name.clone(), type_of(property, schema), default, text(property, "/description").to_owned()]
        })
        .collect();
    let wide = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).min(24)
    };
    let (names, types, defaults) = (wide(0), wide(1), wide(2));
    rows.iter()
        .map(|[name, kind, default, meaning]| {
            let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("{name:<names$}  {kind:<types$}  {default:<defaults$}  {meaning}").trim_end().to_owned()
        })
        .collect()
}

/// A type of JSON Schema in a word or two.
fn type_of(property: &Value, schema: Option<&Value>) -> String {
    if let Some(name) = property.get("$ref").and_then(Value::as_str) {
        let pointed = schema.and_then(|schema| schema.pointer(name.trim_start_matches('#')));
        return pointed.map_or_else(|| "value".to_owned(), |pointed| type_of(pointed, None));
    }
    let list = |name: &str| property.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !list("enum").is_empty() {
        return list("enum").iter().map(cell).collect::<Vec<_>>().join("|");
    }
    let several: Vec<String> = list("anyOf")
        .iter()
        .chain(list("oneOf"))
        .map(|one| type_of(one, schema))
        .filter(|kind| kind != "null")
        .collect();
    if !several.is_empty() {
        return several.join(" or ");
    }
    match property.get("const").or_else(|| property.get("type")) {
        Some(Value::String(kind)) if kind == "array" => {
            let items = property.get("items").map_or_else(|| "value".to_owned(), |items| type_of(items, schema));
            format!("list of {items}")
        }
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect::<Vec<_>>().join(" or ")
        }
        _ => "value".to_owned(),
    }
}

pub(super) fn instance(instance: &Value) -> Vec<String> {
    let state = field(instance, "/state");
    let plugin = format!("{} {}", field(instance, "/plugin/name"), field(instance, "/plugin/version"));
    let mut lines = vec![head([field(instance, "/name"), state, plugin.trim().to_owned()])];
    say(&mut lines, "reason", &field(instance, "/reason"));
    say(&mut lines, "every", &field(instance, "/spec/every"));
    let (health, message) = (field(instance, "/health/state"), field(instance, "/health/message"));
    if !health.is_empty() {
        say(&mut lines, "its target", &format!("{health}: {message}, since {}", field(instance, "/health/since")));
    }
    let config = instance.pointer("/spec/config").and_then(Value::as_object).into_iter().flatten();
    below(&mut lines, "configured", config.map(|(name, value)| format!("{name} = {}", cell(value))));
    let grants = instance.pointer("/spec/grants").cloned().unwrap_or_default();
    let grants = serde_json::from_value(grants).map(|grants: Grants| grants.words()).unwrap_or_default();
    below(&mut lines, "may", grants);
    let awaiting = instance.get("awaiting").filter(|awaiting| awaiting.is_object());
    if let Some(awaiting) = awaiting {
        let name = field(instance, "/name");
        let what = format!("{} {}", field(awaiting, "/plugin/name"), field(awaiting, "/plugin/version"));
        let missing = super::plugins::missing(awaiting);
        let command = super::plugins::grant_command(&name, &missing);
        say(&mut lines, "waits", &format!("{what} waits for its grants: {command}"));
        below(&mut lines, "lacks", missing.iter().map(Capability::words));
        say(&mut lines, "content", &field(awaiting, "/plugin/digest"));
    }
    let failures = instance.pointer("/usage/failures").and_then(Value::as_object).into_iter().flatten();
    let failed: u64 = failures.filter_map(|(_, count)| count.as_u64()).sum();
    let bytes = instance.pointer("/usage/memory_high_water_bytes").and_then(Value::as_u64).unwrap_or(0);
    say(
        &mut lines,
        "calls",
        &format!(
            "{}, {failed} failed, at most {:.1} MB of memory",
            field(instance, "/usage/calls"),
            bytes as f64 / 1e6
        ),
    );
    say(&mut lines, "last error", &field(instance, "/usage/last_error"));
    printed(lines)
}

pub(super) fn service(service: &Value) -> Vec<String> {
    let mut lines = vec![head([field(service, "/name"), field(service, "/current/stable"), String::new()])];
    for (name, pointer) in [
        ("since", "/current/since"),
        ("deployment", "/current/deployment"),
        ("target", "/spec/target"),
        ("strategy", "/spec/strategy"),
    ] {
        say(&mut lines, name, &field(service, pointer));
    }
    let spec = service.get("spec").and_then(Value::as_object).into_iter().flatten();
    let others =
        spec.filter(|(name, value)| !matches!(name.as_str(), "target" | "strategy") && !cell(value).is_empty());
    below(&mut lines, "configured", others.map(|(name, value)| format!("{name} = {}", cell(value))));
    printed(lines)
}

pub(super) fn runbook(runbook: &Value) -> Vec<String> {
    let mut lines = vec![head([field(runbook, "/slug"), field(runbook, "/spec/title"), String::new()])];
    say(&mut lines, "says", &field(runbook, "/spec/description"));
    let inputs = runbook.pointer("/spec/inputs").and_then(Value::as_object).into_iter().flatten();
    below(&mut lines, "inputs", inputs.map(|(name, input)| format!("{name}  {}", cell(input)).trim_end().to_owned()));
    let list = |pointer: &str| runbook.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    below(&mut lines, "runs by itself on", list("/spec/on").map(cell));
    let step = |(index, step): (usize, &Value)| {
        let with = field(step, "/with");
        let goes_on = if text(step, "/on-failure") == "continue" { "; goes on where it fails" } else { "" };
        format!("{}. {}  {}  {with}{goes_on}", index + 1, field(step, "/name"), field(step, "/action"))
    };
    below(&mut lines, "steps", list("/spec/steps").enumerate().map(step));
    printed(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_keys_of_a_plugin_are_told_by_name_type_default_and_meaning() {
        let shown = plugin(&json!({
            "name": "http-probe", "version": "0.1.0", "state": "active", "kinds": ["collector"], "reason": null,
            "capabilities": [{"name": "http", "optional": false, "reason": "asks the configured URL"}],
            "config_schema": {"required": ["url"], "properties": {
                "url": {"type": "string", "description": "What to ask."},
                "body": {"type": ["string", "null"], "default": null, "description": "Sent as\nthe body."},
                "timeout-ms": {"type": "integer", "default": 5000},
                "expect": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}, {"type": "null"}]}}},
        }));
        assert_eq!(shown[0], "http-probe  0.1.0  active");
        let line =
            |start: &str| shown.iter().find(|line| line.trim_start().starts_with(start)).cloned().unwrap_or_default();
        let words = |start: &str| line(start).split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
        assert_eq!(words("url "), "url string required What to ask.");
        assert_eq!(words("body "), "body string - Sent as the body.");
        assert_eq!(words("timeout-ms"), "timeout-ms integer 5000");
        assert_eq!(words("expect "), "expect integer or list of integer -");
        assert!(
            shown.iter().any(|line| line.contains("http") && line.contains("asks the configured URL")),
            "{shown:?}"
        );
        assert!(!shown.iter().any(|line| line.contains("$schema") || line.contains("reason ")), "{shown:?}");
    }

    #[test]
    fn an_instance_says_what_it_was_given_in_words_and_nothing_that_is_empty() {
        let shown = instance(&json!({
            "name": "http-probe/self", "state": "active", "reason": null, "awaiting": null,
            "plugin": {"name": "http-probe", "version": "0.1.0"},
            "spec": {"every": "5s", "config": {"url": "http://a/"}, "grants": {"http": ["http://a"]}, "limits": {"memory-bytes": 9}},
            "usage": {"calls": 3, "failures": {"trapped": 1}, "memory_high_water_bytes": 1_100_000,
                "last_error": "the plugin trapped: unreachable"},
        }));
        let expected = [
            "http-probe/self  active  http-probe 0.1.0",
            "  every         5s",
            "  configured",
            "    url = http://a/",
            "  may",
            "    http: send HTTP requests to http://a",
            "  calls         3, 1 failed, at most 1.1 MB of memory",
            "  last error    the plugin trapped: unreachable",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_instance_that_waits_says_for_what_and_how_that_is_given() {
        let waiting = |capabilities: Value| {
            let shown = instance(&json!({
                "name": "http-probe/x", "state": "awaiting-grant",
                "awaiting": {"plugin": {"name": "http-probe", "version": "0.1.0", "digest": "sha256:aa"}, "capabilities": capabilities},
            }));
            shown.join("\n")
        };
        let lacks = waiting(json!([{"name": "http", "reason": "asks the URL", "optional": false}]));
        let command = "quarterdeck plugin grant http-probe/x --grants '{\"http\":[\"https://...\"]}'";
        assert!(lacks.contains(command) && lacks.contains("lacks") && lacks.contains("asks the URL"), "{lacks}");
        let named = waiting(json!([]));
        assert!(named.contains("grants: quarterdeck plugin grant http-probe/x") && !named.contains("lacks"), "{named}");
        assert!(!named.contains("--grants"), "{named}");
    }

    #[test]
    fn a_runbook_is_told_by_its_steps() {
        let shown = runbook(
            &json!({"slug": "health", "spec": {"title": "Health", "description": "", "inputs": {}, "on": [],
            "steps": [{"name": "CPU", "action": "metric-check/default", "with": {"metric": "cpu"}, "on-failure": "continue"}]}}),
        );
        let expected =
            ["health  Health", "  steps", "    1. CPU  metric-check/default  metric=cpu; goes on where it fails"];
        assert_eq!(shown, expected);
    }
}
