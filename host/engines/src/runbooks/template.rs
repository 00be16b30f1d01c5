//! Fills `{{inputs.<name>}}`, `{{steps.<step>.<output>}}` and `{{run.id}}`, `{{run.cause}}`, `{{run.principal}}` into the
//! strings of a step's inputs; and `{{data.<path>}}` and `{{event.id}}`, `.type`, `.subject`, `.time`, `.principal` into what a trigger
//! hands to the run that it starts.
//!
//! A string that is one reference and nothing else becomes the value itself, with its JSON type; within a longer string a
//! value is written as text. Behind an output a path may go on into objects and lists: `{{steps.list.items.0.name}}`.

use quarterdeck_model::domain::runbook::Run;
use quarterdeck_model::event::Event;
use serde_json::{Map, Value};

/// What to do with a reference that has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Refuse,
    /// It stays as it is written: a dry run has no outputs yet.
    Keep,
}

/// Where the values are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'a> {
    Run(&'a Run),
    Event(&'a Event),
}

/// # Errors
/// Names the reference that has no value.
pub(super) fn fill(with: &Map<String, Value>, scope: Scope<'_>, missing: Missing) -> Result<Value, String> {
    let filled = with.iter().map(|(name, value)| Ok((name.clone(), value_of(value, scope, missing)?)));
    filled.collect::<Result<Map<_, _>, String>>().map(Value::Object)
}

fn value_of(value: &Value, scope: Scope<'_>, missing: Missing) -> Result<Value, String> {
    match value {
        Value::String(text) => text_of(text, scope, missing),
        Value::Array(items) => {
            items.iter().map(|item| value_of(item, scope, missing)).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        Value::Object(members) => fill(members, scope, missing),
        other => Ok(other.clone()),
    }
}

fn text_of(text: &str, scope: Scope<'_>, missing: Missing) -> Result<Value, String> {
    let whole = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).filter(|inner| !inner.contains("{{"));
    if let Some(reference) = whole {
        return match (scope.look_up(reference.trim()), missing) {
            (Some(value), _) => Ok(value),
            (None, Missing::Keep) => Ok(Value::String(text.to_owned())),
            (None, Missing::Refuse) => Err(scope.no_value(reference.trim())),
        };
    }
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        filled.push_str(before);
        let Some((reference, after)) = behind.split_once("}}") else {
            // Never closed: it is not a reference.
            filled.push_str("{{");
            rest = behind;
            break;
        };
        match (scope.look_up(reference.trim()), missing) {
            (Some(Value::String(value)), _) => filled.push_str(&value),
            (Some(value), _) => filled.push_str(&value.to_string()),
            (None, Missing::Keep) => {
                filled.push_str("{{");
                filled.push_str(reference);
                filled.push_str("}}");
            }
            (None, Missing::Refuse) => return Err(scope.no_value(reference.trim())),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(Value::String(filled))
}

impl Scope<'_> {
    fn no_value(self, reference: &str) -> String {
        let hint = match self {
            Scope::Run(_) => "write `{{inputs.<name>}}` or `{{steps.<step>.<output>}}`, of a step that was done",
            Scope::Event(_) => "write `{{data.<path>}}`, of what the event holds, or `{{event.subject}}`",
        };
        format!("`{{{{{reference}}}}}` has no value; hint: {hint}")
    }

    fn look_up(self, reference: &str) -> Option<Value> {
        let (scope, path) = reference.split_once('.')?;
        match self {
            Scope::Run(run) => of_run(run, scope, path),
            Scope::Event(event) => of_event(event, scope, path),
        }
    }
}

fn of_run(run: &Run, scope: &str, path: &str) -> Option<Value> {
    match scope {
        "inputs" => {
            let (name, path) = split(path);
            descend(run.inputs.get(name)?, path)
        }
        "steps" => {
            let (step, path) = split(path);
            let record = run.steps.iter().find(|record| record.name == step)?;
            descend(&record.outputs, Some(path?))
        }
        "run" => match path {
            "id" => Some(Value::String(run.id.to_string())),
            "cause" => Some(Value::String(run.cause.clone().unwrap_or_default())),
            "principal" => Some(Value::String(run.principal.clone())),
            _ => None,
        },
        _ => None,
    }
}

fn of_event(event: &Event, scope: &str, path: &str) -> Option<Value> {
    let text = |text: &str| Some(Value::String(text.to_owned()));
    match (scope, path) {
        ("data", path) => descend(&event.data, Some(path)),
        ("event", "id") => text(event.id.as_str()),
        ("event", "type") => text(&event.event_type),
        ("event", "subject") => text(&event.subject),
        ("event", "time") => text(&event.time.to_string()),
        ("event", "principal") => text(&event.principal),
        _ => None,
    }
}

fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)))
}

/// What stands at a path of names and places in lists.
pub(super) fn descend(value: &Value, path: Option<&str>) -> Option<Value> {
    let Some(path) = path else { return Some(value.clone()) };
    let mut value = value;
    for part in path.split('.') {
        value = match value {
            Value::Object(members) => members.get(part)?,
            Value::Array(items) => items.get(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value.clone())
}
