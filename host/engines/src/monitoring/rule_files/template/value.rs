//! What is filled in.

use super::number::shortest;
use quarterdeck_model::label::Labels;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A field that there is not.
    Missing,
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    /// Texts by name: one that is missing is an empty text.
    Labels(Labels),
    Map(BTreeMap<String, Value>),
    /// One series of a query's answer.
    Sample {
        labels: Labels,
        value: f64,
    },
    /// What a template sees as `.` at first.
    Scene,
}

impl Value {
    /// What `if` and `with` ask.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Missing => false,
            Value::Bool(value) => *value,
            Value::Whole(value) => *value != 0,
            Value::Number(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Labels(labels) => !labels.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Sample { .. } | Value::Scene => true,
        }
    }

    /// As Go's `%v` writes it.
    pub(super) fn print(&self) -> String {
        match self {
            Value::Missing => "<no value>".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Whole(value) => value.to_string(),
            Value::Number(value) => shortest(*value),
            Value::Text(text) => text.clone(),
            Value::List(items) => format!("[{}]", items.iter().map(Value::print).collect::<Vec<_>>().join(" ")),
            Value::Labels(labels) => print_map(labels.iter().map(|(name, value)| format!("{name}:{value}"))),
            Value::Map(map) => print_map(map.iter().map(|(name, value)| format!("{name}:{}", value.print()))),
            Value::Sample { labels, value } => {
                format!("{{{} {}}}", Value::Labels(labels.clone()).print(), shortest(*value))
            }
            Value::Scene => "<no value>".to_owned(),
        }
    }

    /// As what needs a number takes it: texts are read.
    pub(super) fn to_number(&self) -> Result<f64, String> {
        match self {
            Value::Number(value) => Ok(*value),
            #[expect(clippy::cast_precision_loss, reason = "Go's conversion does the same")]
            Value::Whole(value) => Ok(*value as f64),
            Value::Text(text) => {
                text.parse().map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"))
            }
            other => Err(format!("can't convert {} to float", other.kind())),
        }
    }

    pub(super) fn to_text(&self) -> Result<&str, String> {
        match self {
            Value::Text(text) => Ok(text),
            other => Err(format!("wrong type for value; expected string; got {}", other.kind())),
        }
    }

    /// As Go calls it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Missing => "<nil>",
            Value::Bool(_) => "bool",
            Value::Whole(_) => "int",
            Value::Number(_) => "float64",
            Value::Text(_) => "string",
            Value::List(_) => "list",
            Value::Labels(_) | Value::Map(_) => "map",
            Value::Sample { .. } => "sample",
            Value::Scene => "struct",
        }
    }
}

fn print_map(entries: impl Iterator<Item = String>) -> String {
    format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
}
