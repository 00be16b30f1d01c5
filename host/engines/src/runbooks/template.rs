//! Fills `{{inputs.<name>}}`, `{{steps.<step>.<output>}}` and `{{run.id}}`, `{{run.cause}}`, `{{run.principal}}` into the
//! strings of a step's inputs.
//!
//! A string that is one reference and nothing else becomes the value itself, with its JSON type; within a longer string a
//! value is written as text. Behind an output a path may go on into objects and lists: `{{steps.list.items.0.name}}`.

use quarterdeck_model::domain::runbook::Run;
use serde_json::{Map, Value};

/// What to do with a reference that has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Refuse,
    /// It stays as it is written: a dry run has no outputs yet.
    Keep,
}

/// # Errors
/// Names the reference that has no value.
pub(super) fn fill(with: &Map<String, Value>, run: &Run, missing: Missing) -> Result<Value, String> {
    let filled = with.iter().map(|(name, value)| Ok((name.clone(), value_of(value, run, missing)?)));
    filled.collect::<Result<Map<_, _>, String>>().map(Value::Object)
}

fn value_of(value: &Value, run: &Run, missing: Missing) -> Result<Value, String> {
    match value {
        Value::String(text) => text_of(text, run, missing),
        Value::Array(items) => {
            items.iter().map(|item| value_of(item, run, missing)).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        Value::Object(members) => fill(members, run, missing),
        other => Ok(other.clone()),
    }
}

fn text_of(text: &str, run: &Run, missing: Missing) -> Result<Value, String> {
    let whole = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).filter(|inner| !inner.contains("{{"));
    if let Some(reference) = whole {
        return match (look_up(reference.trim(), run), missing) {
            (Some(value), _) => Ok(value),
            (None, Missing::Keep) => Ok(Value::String(text.to_owned())),
            (None, Missing::Refuse) => Err(no_value(reference.trim())),
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
        match (look_up(reference.trim(), run), missing) {
            (Some(Value::String(value)), _) => filled.push_str(&value),
            (Some(value), _) => filled.push_str(&value.to_string()),
            (None, Missing::Keep) => {
                filled.push_str("{{");
                filled.push_str(reference);
                filled.push_str("}}");
            }
            (None, Missing::Refuse) => return Err(no_value(reference.trim())),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(Value::String(filled))
}

fn no_value(reference: &str) -> String {
    format!(
        "`{{{{{reference}}}}}` has no value; hint: write `{{{{inputs.<name>}}}}` or `{{{{steps.<step>.<output>}}}}`, of a step that was done"
    )
}

fn look_up(reference: &str, run: &Run) -> Option<Value> {
    let (scope, path) = reference.split_once('.')?;
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

fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)))
}

fn descend(value: &Value, path: Option<&str>) -> Option<Value> {
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
