//! The tree against the schema.

use crate::place::push;
use crate::problem::{Problem, nearest};
use crate::schema;
use crate::scrape_file;
use crate::tree::Node;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

pub(crate) fn check(root: &Node, strict: &Value, problems: &mut Vec<Problem>) {
    let validator = match schema::validator(strict) {
        Ok(validator) => validator,
        Err(message) => {
            problems.push(Problem { place: None, pointer: String::new(), message, hint: None });
            return;
        }
    };
    let value = root.to_value();
    for error in validator.iter_errors(&value) {
        let pointer = error.instance_path().as_str().to_owned();
        let node = root.around(&pointer);
        let here = schema::at(strict, &pointer).unwrap_or(&Value::Null);
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = schema::known_keys(strict, here);
                problems.extend(unexpected.iter().map(|key| unknown(node, &pointer, key, &known)));
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                let inner = push(&pointer, key);
                let expected = schema::at(strict, &inner).map(|schema| schema::expected(strict, schema));
                let message = format!("missing; expected {}", expected.unwrap_or_else(|| "a value".to_owned()));
                problems.push(Problem::at(&node.key, &inner, message));
            }
            _ => {
                let message =
                    format!("expected {}, found {}", schema::expected(strict, here), schema::found(error.instance()));
                problems.push(Problem::at(&node.place, &pointer, message));
            }
        }
    }
}

fn unknown(table: &Node, pointer: &str, key: &str, known: &[&str]) -> Problem {
    let place = table.get(key).map_or(&table.place, |node| &node.key);
    if let Some(hint) = scrape_file::unsupported(pointer, key) {
        return Problem::at(place, &push(pointer, key), "it is not supported here").hint(hint);
    }
    let problem = Problem::at(place, &push(pointer, key), "unknown key");
    match nearest(key, known.iter().copied()) {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem.hint(format!("known here: {}", known.join(", "))),
    }
}
