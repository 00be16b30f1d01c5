//! What a configuration has against its plugin's schema, in words for whoever wrote it.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use quarterdeck_model::nearest;
use serde_json::Value;

/// How deep references are followed: a schema may refer to itself.
const DEPTH: usize = 16;

/// A choice among words names them: the validator knows only that none of its schemas fits.
pub(super) fn words(error: &ValidationError<'_>) -> String {
    let mut choices = Vec::new();
    match choose(error, &mut choices) {
        Some(()) if !choices.is_empty() => {
            let words = choices.iter().map(|choice| match choice {
                Value::String(text) => format!("`{text}`"),
                other => format!("`{other}`"),
            });
            let words: Vec<String> = words.collect();
            let one_of = if words.len() == 1 { "" } else { "one of " };
            format!("expected {one_of}{}, found {}", words.join(", "), error.instance())
        }
        _ => error.to_string(),
    }
}

/// Collects what would have been taken. `None`: something else than a word would have been, too.
fn choose(error: &ValidationError<'_>, choices: &mut Vec<Value>) -> Option<()> {
    match error.kind() {
        ValidationErrorKind::Constant { expected_value } => choices.push(expected_value.clone()),
        ValidationErrorKind::Enum { options: Value::Array(options) } => choices.extend(options.iter().cloned()),
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            for branch in context {
                let word = branch.iter().find(|error| !matches!(error.kind(), ValidationErrorKind::Type { .. }))?;
                choose(word, choices)?;
            }
        }
        _ => return None,
    }
    Some(())
}

pub(super) fn unknown(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(meant) => format!("unknown key; hint: did you mean `{meant}`?"),
        None if known.is_empty() => "unknown key".to_owned(),
        None => format!("unknown key; hint: known here: {}", known.join(", ")),
    }
}

/// Keys that a table of the configuration may have, as far as the schema says it plainly.
pub(super) fn known_keys<'a>(root: &'a Value, pointer: &str) -> Vec<&'a str> {
    let mut steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    let here = steps.try_fold(root, |schema, step| {
        let schema = plain(root, schema, DEPTH);
        let property = schema.get("properties").and_then(|properties| properties.get(&step));
        property.or_else(|| schema.get("additionalProperties")).or_else(|| schema.get("items"))
    });
    let properties = here.and_then(|schema| plain(root, schema, DEPTH).get("properties")?.as_object());
    properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Without references, and without the `null` of what may be absent.
fn plain<'a>(root: &'a Value, schema: &'a Value, depth: usize) -> &'a Value {
    if depth == 0 {
        return schema;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(target.trim_start_matches('#'));
        return target.map_or(schema, |target| plain(root, target, depth - 1));
    }
    let choices = schema.get("anyOf").and_then(Value::as_array);
    let mut present = choices.into_iter().flatten().filter(|choice| choice.get("type") != Some(&Value::from("null")));
    match (present.next(), present.next()) {
        (Some(only), None) => plain(root, only, depth - 1),
        _ => schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "direction": {"$ref": "#/$defs/Direction"},
                "format": {"enum": ["text", "json"]},
                "amplitude": {"type": "number"},
                "form": {"anyOf": [{"$ref": "#/$defs/Form"}, {"type": "null"}]},
            },
            "additionalProperties": false,
            "$defs": {
                "Direction": {"oneOf": [
                    {"type": "string", "const": "above"},
                    {"description": "lower", "type": "string", "const": "below"},
                ]},
                "Form": {"type": "object", "properties": {"shape": {"type": "string"}}, "additionalProperties": false},
            },
        })
    }

    fn said(config: Value) -> String {
        let schema = schema();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let said: Vec<String> = validator.iter_errors(&config).map(|error| words(&error)).collect();
        said.join("; ")
    }

    #[test]
    fn a_word_that_is_none_of_the_choices_is_answered_with_them() {
        assert_eq!(said(json!({"direction": "beloww"})), "expected one of `above`, `below`, found \"beloww\"");
        assert_eq!(said(json!({"format": "xml"})), "expected one of `text`, `json`, found \"xml\"");
        assert_eq!(said(json!({"direction": "below", "format": "json"})), "");
        assert!(said(json!({"amplitude": "x"})).contains("number"));
    }

    #[test]
    fn a_key_that_is_not_known_is_answered_with_what_was_meant() {
        let schema = schema();
        assert_eq!(unknown("amplitud", &known_keys(&schema, "")), "unknown key; hint: did you mean `amplitude`?");
        let below = known_keys(&schema, "/form");
        assert_eq!(below, ["shape"]);
        assert_eq!(unknown("colour", &below), "unknown key; hint: known here: shape");
        assert_eq!(unknown("colour", &known_keys(&schema, "/amplitude")), "unknown key");
    }
}
