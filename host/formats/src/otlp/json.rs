//! OTLP's JSON: protobuf's, in which whole numbers may be texts, and some floats have to be.

use super::model::Request;
use crate::Error;
use crate::strict::Strict;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Objects in a request, at most: each takes far more memory than the text that it is written in.
const OBJECTS: usize = 500_000;

pub(super) fn read(bytes: &[u8]) -> Result<Request, Error> {
    if memchr::memchr_iter(b'{', bytes).take(OBJECTS + 1).count() > OBJECTS {
        return Err(Error::TooLarge(format!("there are more than {OBJECTS} objects; hint: send less at once")));
    }
    let malformed = |error: serde_json::Error| Error::malformed(format!("the body is not OTLP in JSON: {error}"));
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let request = Request::deserialize(Strict(&mut json)).map_err(malformed)?;
    json.end().map_err(malformed)?;
    Ok(request)
}

/// As it stands, or nothing where it is `null`.
pub(super) fn plain<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

pub(super) fn unsigned<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(from)?;
    if value.is_null() { Ok(0) } else { whole(&value).map_err(D::Error::custom) }
}

pub(super) fn flags<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    u32::try_from(unsigned(from)?).map_err(|_| D::Error::custom("there are more flags than there can be"))
}

pub(super) fn long<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let value = Value::deserialize(from)?;
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    if number.is_none() && !value.is_null() { Err(D::Error::custom(not(&value))) } else { Ok(number) }
}

pub(super) fn unsigneds<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    let values: Vec<Value> = plain(from)?;
    values.iter().map(whole).collect::<Result<_, _>>().map_err(D::Error::custom)
}

pub(super) fn float<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let value = Value::deserialize(from)?;
    let number = floating(&value);
    if number.is_none() && !value.is_null() { Err(D::Error::custom(not(&value))) } else { Ok(number) }
}

pub(super) fn floats<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let values: Vec<Value> = plain(from)?;
    let number = |value: &Value| floating(value).ok_or_else(|| not(value));
    values.iter().map(number).collect::<Result<_, _>>().map_err(D::Error::custom)
}

fn whole(value: &Value) -> Result<u64, String> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).ok_or_else(|| not(value))
}

fn floating(value: &Value) -> Option<f64> {
    let text = || match value.as_str()? {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        other => other.parse().ok(),
    };
    value.as_f64().or_else(text)
}

fn not(value: &Value) -> String {
    format!("{} is not the number that it should be", quoted(value))
}

fn quoted(value: &Value) -> String {
    format!("`{}`", crate::exposition::shortened(&value.to_string()))
}

/// An `AnyValue`, as text.
pub(super) fn anything<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let value = any(&Value::deserialize(from)?).map_err(D::Error::custom)?;
    Ok(text(&value))
}

/// Text as it is, anything else as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `{"arrayValue": {"values": [{"intValue": "1"}]}}` as `[1]`. A kind that is not known here is no value.
fn any(value: &Value) -> Result<Value, String> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let wrong = || format!("{} is not the value of an attribute", quoted(value));
    let said = value.as_object().ok_or_else(wrong)?.iter().filter(|(_, inner)| !inner.is_null());
    let mut found = Value::Null;
    for (kind, inner) in said {
        let read = match kind.as_str() {
            "stringValue" | "bytesValue" => inner.as_str().map(Value::from),
            "boolValue" => inner.as_bool().map(Value::from),
            "intValue" => inner.as_i64().or_else(|| inner.as_str()?.parse().ok()).map(Value::from),
            "doubleValue" => floating(inner).map(|_| inner.clone()),
            "arrayValue" => Some(list(inner, any)?.into()),
            "kvlistValue" => Some(Value::Object(list(inner, entry)?.into_iter().collect::<Map<_, _>>())),
            _ => continue,
        };
        if !found.is_null() {
            return Err(wrong());
        }
        found = read.ok_or_else(wrong)?;
    }
    Ok(found)
}

/// What stands in the `values` of a list or a map.
fn list<T>(inner: &Value, read: impl Fn(&Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    let wrong = || format!("{} is not a list of values", quoted(inner));
    match inner.as_object().ok_or_else(wrong)?.get("values") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(values) => values.as_array().ok_or_else(wrong)?.iter().map(read).collect(),
    }
}

fn entry(entry: &Value) -> Result<(String, Value), String> {
    let wrong = || format!("{} is not an entry with a key and a value", quoted(entry));
    let fields = entry.as_object().ok_or_else(wrong)?;
    let key = match fields.get("key") {
        None | Some(Value::Null) => "",
        Some(key) => key.as_str().ok_or_else(wrong)?,
    };
    Ok((key.to_owned(), fields.get("value").map_or(Ok(Value::Null), any)?))
}
