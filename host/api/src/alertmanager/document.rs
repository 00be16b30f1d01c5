//! How operations here differ in the OpenAPI document from those of the API itself: failures are texts.

use super::Failure;
use http::Method;
use serde_json::{Map, Value, json};

pub(crate) fn complete(method: &Method, operation: &mut Map<String, Value>) {
    let content = || json!({"application/json": {"schema": {"$ref": Failure::reference()}}});
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    let mut add = |status: &str, why: &str| {
        responses.insert(status.to_owned(), json!({"description": why, "content": content()}));
    };
    add("default", "What went wrong.");
    add("401", "The token is needed, or is not this host's.");
    if !method.is_safe() {
        add("409", "The idempotency key's first request is still under way.");
    }
}
