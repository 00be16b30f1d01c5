//! OTLP's JSON: protobuf's, in which whole numbers may be texts, and some floats have to be.

use super::model::Request;
use crate::Error;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Objects in a request, at most: each takes far more memory than the text that it is written in.
const OBJECTS: usize = 500_000;

pub(super) fn read(bytes: &[u8]) -> Result<Request, Error> {
    if memchr::memchr_iter(b'{', bytes).take(OBJECTS + 1).count() > OBJECTS {
        return Err(Error::TooLarge(format!("there are more than {OBJECTS} objects; hint: send less at once")));
    }
    serde_json::from_slice(bytes).map_err(|error| Error::malformed(format!("the body is not OTLP in JSON: {error}")))
}

pub(super) fn unsigned<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    whole(&Value::deserialize(from)?).map_err(D::Error::custom)
}

pub(super) fn long<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let value = Value::deserialize(from)?;
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    if number.is_none() && !value.is_null() { Err(D::Error::custom(not(&value))) } else { Ok(number) }
}

pub(super) fn unsigneds<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    let values = Vec::<Value>::deserialize(from)?;
    values.iter().map(whole).collect::<Result<_, _>>().map_err(D::Error::custom)
}

pub(super) fn float<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let value = Value::deserialize(from)?;
    let number = floating(&value);
    if number.is_none() && !value.is_null() { Err(D::Error::custom(not(&value))) } else { Ok(number) }
}

pub(super) fn floats<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let values = Vec::<Value>::deserialize(from)?;
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
    format!("`{}` is not the number that it should be", crate::exposition::shortened(&value.to_string()))
}

/// An `AnyValue`, as text.
pub(super) fn anything<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(text(&plain(&Value::deserialize(from)?)))
}

/// Text as it is, anything else as JSON.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `{"arrayValue": {"values": [{"intValue": "1"}]}}` as `[1]`.
fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else { return Value::Null };
    let list = |key: &str| inner.get(key).and_then(Value::as_array).into_iter().flatten();
    match kind.as_str() {
        "intValue" => inner.as_str().and_then(|text| text.parse::<i64>().ok()).map_or(inner.clone(), Value::from),
        "arrayValue" => Value::Array(list("values").map(plain).collect()),
        "kvlistValue" => {
            let entry = |entry: &Value| Some((entry.get("key")?.as_str()?.to_owned(), plain(entry.get("value")?)));
            Value::Object(list("values").filter_map(entry).collect::<Map<_, _>>())
        }
        _ => inner.clone(),
    }
}
