//! The JSON Schema of [`Settings`]: what files are checked against, and how what is expected is put into words.

use crate::place::steps;
use crate::settings::Settings;
use quarterdeck_model::domain::alerting::Matcher;
use quarterdeck_model::plugin::publisher::PublisherKey;
use quarterdeck_model::plugin::{GrantedTo, InstanceName};
use quarterdeck_model::{Span, Timestamp};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use std::net::SocketAddr;

const ADDRESS: &str = "socket-address";
const DURATION: &str = "duration-in-words";
const INSTANCE: &str = "instance-name";
const TIME: &str = "date-time";
const KEY: &str = "publisher-key";
const GRANTED_TO: &str = "granted-to";
const MATCHER: &str = "matcher";

pub(crate) fn socket_address(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": ADDRESS, "description": "An address and a port: `127.0.0.1:7700`."})
}

/// The JSON Schema (2020-12) of `quarterdeck.toml`, for editors.
pub fn json_schema() -> Value {
    schemars::schema_for!(Settings).to_value()
}

/// The schema with formats that catch what a pattern cannot, and bounds of numbers.
pub(crate) fn strict() -> Value {
    let mut schema = json_schema();
    for (name, format) in [
        ("Duration", DURATION),
        ("InstanceName", INSTANCE),
        ("Timestamp", TIME),
        ("PublisherKey", KEY),
        ("GrantedTo", GRANTED_TO),
        ("Matcher", MATCHER),
    ] {
        if let Some(definition) = schema.pointer_mut(&format!("/$defs/{name}")) {
            *definition = json!({"type": "string", "format": format});
        }
    }
    bound(&mut schema);
    schema
}

fn bound(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("format") == Some(&json!("uint32")) {
                map.entry("maximum").or_insert(json!(u32::MAX));
            }
            map.values_mut().for_each(bound);
        }
        Value::Array(items) => items.iter_mut().for_each(bound),
        _ => {}
    }
}

/// # Errors
/// Never for our own schema; the message says what a validator has against it.
pub(crate) fn validator(schema: &Value) -> Result<jsonschema::Validator, String> {
    jsonschema::options()
        .should_validate_formats(true)
        .with_format(ADDRESS, |text: &str| text.parse::<SocketAddr>().is_ok())
        .with_format(DURATION, |text: &str| Span::parse(text).is_some())
        .with_format(INSTANCE, |text: &str| InstanceName::from(text).is_valid())
        .with_format(KEY, |text: &str| text.parse::<PublisherKey>().is_ok())
        .with_format(GRANTED_TO, |text: &str| text.parse::<GrantedTo>().is_ok())
        .with_format(MATCHER, |text: &str| text.parse::<Matcher>().is_ok())
        .with_format(TIME, |text: &str| Timestamp::parse(text).is_some())
        .build(schema)
        .map_err(|error| error.to_string())
}

/// The part of the schema that holds at a JSON Pointer. `None`: nothing is known there.
pub(crate) fn at<'a>(root: &'a Value, pointer: &str) -> Option<&'a Value> {
    steps(pointer).try_fold(root, |schema, step| {
        let schema = plain(root, schema);
        let property = schema.get("properties").and_then(|properties| properties.get(&step));
        property.or_else(|| schema.get("additionalProperties")).or_else(|| schema.get("items"))
    })
}

/// Without references and without the `null` of what may be absent.
pub(crate) fn plain<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return root.pointer(target.trim_start_matches('#')).map_or(schema, |target| plain(root, target));
    }
    let choices = schema.get("anyOf").and_then(Value::as_array);
    let mut present = choices.into_iter().flatten().filter(|choice| choice.get("type") != Some(&json!("null")));
    match (present.next(), present.next()) {
        (Some(only), None) => plain(root, only),
        _ => schema,
    }
}

/// Keys that a table may have.
pub(crate) fn known_keys<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a str> {
    let properties = plain(root, schema).get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

pub(crate) fn has_type(root: &Value, schema: &Value, name: &str) -> bool {
    match plain(root, schema).get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => name == "string" && !choices(plain(root, schema)).is_empty(),
    }
}

/// What is expected, in words: "a duration such as `30s`".
pub(crate) fn expected(root: &Value, schema: &Value) -> String {
    let schema = plain(root, schema);
    let words = choices(schema);
    if !words.is_empty() {
        let mut parts = vec![match words.as_slice() {
            [only] => format!("`{only}`"),
            _ => format!("one of {}", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")),
        }];
        parts.extend(tables(schema));
        return parts.join(" or ");
    }
    let tables = tables(schema);
    if !tables.is_empty() {
        let text = is_text(schema).then(|| "text".to_owned());
        return text.into_iter().chain(tables).collect::<Vec<_>>().join(" or ");
    }
    match schema.get("format").and_then(Value::as_str) {
        Some(ADDRESS) => return "an address and a port such as `127.0.0.1:7700`".to_owned(),
        Some(DURATION) => return "a duration such as `30s`".to_owned(),
        Some(INSTANCE) => return "an instance's name such as `http-probe/api`".to_owned(),
        Some(KEY) => return "a publisher's key, `key:` and 64 hexadecimal digits in lower case".to_owned(),
        Some(GRANTED_TO) => {
            return "a content `sha256:<64 hex>`, a publisher's `key:<64 hex>`, or `file:<name>.wasm`".to_owned();
        }
        Some(MATCHER) => return "a matcher such as `team=\"db\"` or `severity=~\"critical|page\"`".to_owned(),
        Some(TIME) => return "a time such as `2025-11-24T10:00:00Z`".to_owned(),
        _ => {}
    }
    if has_type(root, schema, "integer") {
        return match (schema.get("minimum").and_then(Value::as_f64), schema.get("maximum")) {
            (Some(0.0), Some(maximum)) => format!("a whole number from 0 to {maximum}"),
            (Some(0.0), None) => "a whole number of 0 or more".to_owned(),
            _ => "a whole number".to_owned(),
        };
    }
    if has_type(root, schema, "array") {
        let item = schema.get("items").map_or_else(|| "anything".to_owned(), |items| expected(root, items));
        return format!("a list, each item {item}");
    }
    let simple = [("string", "text"), ("number", "a number"), ("boolean", "`true` or `false`"), ("object", "a table")];
    let found = simple.into_iter().find(|(name, _)| has_type(root, schema, name));
    found.map_or("another value", |(_, words)| words).to_owned()
}

/// The words of an enumeration.
fn choices(schema: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut words: Vec<String> =
        schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(text).collect();
    words.extend(schema.get("const").and_then(text));
    for choice in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
        words.extend(choices(choice));
    }
    words
}

/// The choices that are tables of one key.
fn tables(schema: &Value) -> Vec<String> {
    let choices = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let key = |choice: &Value| Some(format!("`{{ {} = ... }}`", choice.get("required")?.get(0)?.as_str()?));
    choices.filter_map(key).collect()
}

/// Whether one of the choices is any text.
fn is_text(schema: &Value) -> bool {
    let choices = schema.get("oneOf").and_then(Value::as_array);
    choices.into_iter().flatten().any(|choice| *choice == json!({"type": "string"}))
}

/// A value as it is shown in a message: short.
pub(crate) fn found(value: &Value) -> String {
    const SHOWN: usize = 40;
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        Value::String(text) if text.chars().count() > SHOWN => {
            format!("{:?} and so on", text.chars().take(SHOWN).collect::<String>())
        }
        scalar => scalar.to_string(),
    }
}
