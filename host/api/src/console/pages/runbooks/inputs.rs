//! The inputs of a runbook as fields of a form: what each takes follows from its default.

use crate::console::form::Form;
use crate::console::widgets::{self, clip, text};
use crate::extract::Params;
use crate::problem::Problem;
use maud::{Markup, html};
use quarterdeck_model::domain::runbook::{RunbookSpec, is_required};
use serde_json::Value;
use std::collections::BTreeMap;

/// In front of an input's name, in forms and in links to a form that is filled in already.
pub(in crate::console::pages) const PREFIX: &str = "input.";

/// A form as somebody filled it in.
#[derive(Default)]
pub(super) struct Filled {
    texts: BTreeMap<String, String>,
    pub(super) cause: String,
    pub(super) dry_run: bool,
    /// By input.
    pub(super) mistakes: BTreeMap<String, String>,
}

impl Filled {
    pub(super) fn of_query(spec: &RunbookSpec, params: &Params) -> Result<Self, Problem> {
        let mut filled = Filled::default();
        for name in spec.inputs.keys() {
            if let Some(given) = params.text(&format!("{PREFIX}{name}"))? {
                filled.texts.insert(name.clone(), given.to_owned());
            }
        }
        filled.cause = params.text("cause")?.unwrap_or_default().to_owned();
        filled.dry_run = params.text("dry_run")? == Some("true");
        Ok(filled)
    }

    pub(super) fn of_form(spec: &RunbookSpec, form: &Form) -> Self {
        let given = form.fields().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, value)));
        let texts = given.filter(|(name, _)| spec.inputs.contains_key(*name));
        Filled {
            // A browser ends lines as mail does.
            texts: texts.map(|(name, value)| (name.to_owned(), value.replace("\r\n", "\n"))).collect(),
            cause: form.text("cause").unwrap_or_default().to_owned(),
            dry_run: form.text("dry_run") == Some("true"),
            mistakes: BTreeMap::new(),
        }
    }

    /// The inputs for a run; else the form again, with what is wrong with each field.
    pub(super) fn values(&self, spec: &RunbookSpec) -> Result<BTreeMap<String, Value>, Filled> {
        let (mut values, mut mistakes) = (BTreeMap::new(), BTreeMap::new());
        for (name, default) in &spec.inputs {
            match read(default, self.texts.get(name).map(String::as_str)) {
                Ok(Some(value)) => drop(values.insert(name.clone(), value)),
                Ok(None) => {}
                Err(mistake) => drop(mistakes.insert(name.clone(), mistake)),
            }
        }
        if mistakes.is_empty() {
            return Ok(values);
        }
        Err(Filled { texts: self.texts.clone(), cause: self.cause.clone(), dry_run: self.dry_run, mistakes })
    }
}

fn is_needed(default: &Value) -> bool {
    default.is_null() || is_required(default)
}

/// What was typed, as the type that the default has. `None`: the default itself.
fn read(default: &Value, typed: Option<&str>) -> Result<Option<Value>, String> {
    let Some(typed) = typed else {
        return if is_needed(default) { Err("it has no default, so it must be given".to_owned()) } else { Ok(None) };
    };
    let trimmed = typed.trim();
    if trimmed.is_empty() && is_needed(default) {
        return Err("it has no default, so it must be given".to_owned());
    }
    let json = || serde_json::from_str::<Value>(trimmed);
    match default {
        _ if is_needed(default) => Ok(Some(json().unwrap_or_else(|_| Value::String(typed.to_owned())))),
        Value::String(_) => Ok(Some(Value::String(typed.to_owned()))),
        _ if trimmed.is_empty() => Ok(None),
        Value::Bool(_) => {
            json().ok().filter(Value::is_boolean).map(Some).ok_or_else(|| "it is `true` or `false`".to_owned())
        }
        Value::Number(_) => {
            json().ok().filter(Value::is_number).map(Some).ok_or_else(|| format!("`{trimmed}` is not a number"))
        }
        Value::Array(_) => match json() {
            Ok(value) if value.is_array() => Ok(Some(value)),
            Ok(_) => Err("it must be a list, in JSON: `[\"a\", \"b\"]`".to_owned()),
            Err(error) => Err(format!("it is not JSON: {error}")),
        },
        _ => match json() {
            Ok(value) if value.is_object() => Ok(Some(value)),
            Ok(_) => Err("it must be an object, in JSON: `{\"a\": 1}`".to_owned()),
            Err(error) => Err(format!("it is not JSON: {error}")),
        },
    }
}

/// A value as it stands in a field, and in a link to a form.
pub(in crate::console::pages) fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => serde_json::to_string_pretty(value).unwrap_or_default(),
        _ => value.to_string(),
    }
}

fn kind(default: &Value) -> &'static str {
    match default {
        _ if is_needed(default) => "needed; JSON, or else a text",
        Value::Bool(_) => "yes or no",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list, in JSON",
        _ => "an object, in JSON",
    }
}

/// One input of the form.
pub(super) struct Input<'a> {
    pub(super) index: usize,
    pub(super) name: &'a str,
    pub(super) default: &'a Value,
}

impl Input<'_> {
    pub(super) fn field(&self, filled: &Filled) -> Markup {
        let (default, field) = (self.default, format!("{PREFIX}{}", self.name));
        let usual = if is_needed(default) { String::new() } else { as_text(default) };
        let value = filled.texts.get(self.name).unwrap_or(&usual);
        let mistake = filled.mistakes.get(self.name);
        let (about, wrong) = (format!("about-input-{}", self.index), mistake.is_some().then_some("true"));
        html! {
            div.input {
                label.field {
                    span { (clip(self.name)) }
                    @match default {
                        Value::Bool(_) => {
                            select name=(field) aria-invalid=[wrong] aria-describedby=(about) {
                                option value="true" selected[value == "true"] { "true" }
                                option value="false" selected[value != "true"] { "false" }
                            }
                        }
                        Value::Number(_) => {
                            input type="text" inputmode="decimal" name=(field) value=(value) autocomplete="off" aria-invalid=[wrong] aria-describedby=(about);
                        }
                        Value::String(usual) if !usual.contains('\n') => {
                            input type="text" name=(field) value=(value) autocomplete="off" aria-invalid=[wrong] aria-describedby=(about);
                        }
                        _ if is_needed(default) => {
                            input type="text" name=(field) value=(value) autocomplete="off" required aria-invalid=[wrong] aria-describedby=(about);
                        }
                        // What follows the tag at once, a line's end too, would be dropped without the one in front.
                        _ => textarea name=(field) rows="5" spellcheck="false" aria-invalid=[wrong] aria-describedby=(about) { "\n" (value) }
                    }
                }
                small id=(about) {
                    @if let Some(mistake) = mistake { span.mistake { (text(mistake)) } " " }
                    span.muted { (kind(default)) }
                    @if !is_needed(default) && *value != usual { span.muted { "; unless given: " (clip(&usual)) } }
                }
            }
        }
    }
}

/// What it takes, for somebody who can't start it.
pub(super) fn table(spec: &RunbookSpec) -> Markup {
    let rows = spec.inputs.iter().map(|(name, default)| {
        let usual = if is_needed(default) {
            html! { span.none { "–" } }
        } else {
            clip(&as_text(default))
        };
        vec![html! { code { (clip(name)) } }, html! { (kind(default)) }, usual]
    });
    widgets::table("Inputs", &["Input", "Takes", "Unless given"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_typed_becomes_what_the_default_is() {
        for (default, typed, read_as) in [
            (json!(2), Some("3"), Ok(Some(json!(3)))),
            (json!(2), Some(" "), Ok(None)),
            (json!(2.5), Some("1e3"), Ok(Some(json!(1000.0)))),
            (json!("a"), Some("3"), Ok(Some(json!("3")))),
            (json!("a"), Some(""), Ok(Some(json!("")))),
            (json!("a"), None, Ok(None)),
            (json!(true), Some("false"), Ok(Some(json!(false)))),
            (json!([1]), Some("[2, 3]"), Ok(Some(json!([2, 3])))),
            (json!({"a": 1}), Some("{}"), Ok(Some(json!({})))),
            (Value::Null, Some("5"), Ok(Some(json!(5)))),
            (Value::Null, Some("web-1 "), Ok(Some(json!("web-1 ")))),
            (Value::Null, Some("  "), Err(())),
            (json!({"required": true}), None, Err(())),
            (json!(2), Some("two"), Err(())),
            (json!(true), Some("1"), Err(())),
            (json!([1]), Some("{}"), Err(())),
            (json!({"a": 1}), Some("{"), Err(())),
        ] {
            assert_eq!(read(&default, typed).map_err(drop), read_as, "{default} {typed:?}");
        }
    }
}
