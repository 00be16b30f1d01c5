//! How operations here differ in the OpenAPI document from those of the API itself.

use super::Failure;
use serde_json::{Map, Value, json};

/// Failures in Prometheus's form.
pub(crate) fn failures(operation: &mut Map<String, Value>) {
    let content = || json!({"application/json": {"schema": {"$ref": Failure::reference()}}});
    if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
        responses.insert("default".to_owned(), json!({"description": "What went wrong.", "content": content()}));
        let token = json!({"description": "The token is needed, or is not this host's.", "content": content()});
        responses.insert("401".to_owned(), token);
        if let Some(response) = responses.get_mut("429").and_then(Value::as_object_mut) {
            response.insert("content".to_owned(), content());
        }
    }
}

/// Failures in Prometheus's form; and a form that may be left out, since the URL may hold the same parameters.
pub(crate) fn complete(operation: &mut Map<String, Value>) {
    failures(operation);
    if let Some(body) = operation.get_mut("requestBody").and_then(Value::as_object_mut) {
        body.insert("required".to_owned(), json!(false));
    }
}
