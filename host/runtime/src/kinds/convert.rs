//! Conversions that several kinds share.

use crate::bindings::types;
use crate::call::Misfit;
use quarterdeck_model::plugin::{CallError, Outcome};
use quarterdeck_model::{Labels, Severity, Span};
use serde_json::{Map, Value};

/// A token that stands for work under way.
const MAX_TOKEN_BYTES: usize = 4 << 10;

impl From<types::Severity> for Severity {
    fn from(severity: types::Severity) -> Self {
        match severity {
            types::Severity::Critical => Severity::Critical,
            types::Severity::High => Severity::High,
            types::Severity::Medium => Severity::Medium,
            types::Severity::Low => Severity::Low,
            types::Severity::Info => Severity::Info,
        }
    }
}

impl From<Severity> for types::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Critical => types::Severity::Critical,
            Severity::High => types::Severity::High,
            Severity::Medium => types::Severity::Medium,
            Severity::Low => types::Severity::Low,
            Severity::Info => types::Severity::Info,
        }
    }
}

pub(super) fn labels_in(labels: &Labels) -> Vec<types::Label> {
    labels.iter().map(|(name, value)| types::Label { name: name.to_owned(), value: value.to_owned() }).collect()
}

pub(super) fn labels_out(labels: Vec<types::Label>) -> Labels {
    labels.into_iter().map(|label| (label.name, label.value)).collect()
}

pub(super) fn outcome(outcome: types::Outcome) -> Result<Outcome, CallError> {
    match outcome {
        types::Outcome::Done(outputs) if outputs.trim().is_empty() => Ok(Outcome::Done(Value::Object(Map::new()))),
        types::Outcome::Done(outputs) => match serde_json::from_str(&outputs) {
            Ok(Value::Object(outputs)) => Ok(Outcome::Done(Value::Object(outputs))),
            Ok(_) => Err(Misfit::error("its outputs are JSON, but no object")),
            Err(error) => Err(Misfit::error(format!("its outputs are not JSON: {error}"))),
        },
        types::Outcome::Pending((token, _)) if token.len() > MAX_TOKEN_BYTES => {
            Err(Misfit::too_large("its token", token.len(), MAX_TOKEN_BYTES))
        }
        types::Outcome::Pending((token, after)) => Ok(Outcome::Pending { token, after: Span::from_millis(after) }),
    }
}

/// State that is handed back unread at the next call.
pub(super) fn state(state: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, CallError> {
    match state {
        Some(bytes) if bytes.len() > super::MAX_STATE_BYTES => {
            Err(Misfit::too_large("its state", bytes.len(), super::MAX_STATE_BYTES))
        }
        state => Ok(state),
    }
}

pub(super) fn json(value: &Value) -> String {
    value.to_string()
}
