//! The OpenAPI document: paths from the handlers, schemas from the types, and what all operations have in common.

use crate::problem::{PROBLEM_JSON, Problem};
use crate::{resources, schema};
use http::Method;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};

pub(crate) struct Document {
    pub(crate) text: String,
    /// Names of the query parameters of each operation.
    parameters: HashMap<(Method, String), BTreeSet<String>>,
}

impl Document {
    /// The query parameters that an operation has; `None` if there is no such operation.
    pub(crate) fn parameters(&self, method: &Method, route: &str) -> Option<&BTreeSet<String>> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.parameters.get(&(method.clone(), route.to_owned()))
    }
}

pub(crate) fn document() -> &'static Document {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(build);
    &DOCUMENT
}

/// What stands at the head of the document.
pub(crate) fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Quarterdeck")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Reading is free on a loopback address; what changes anything needs the token. Every error is a problem document \
             (RFC 9457). Lists are asked for with `limit` and `cursor`. Names with slashes in a path are percent-encoded.",
        ))
        .license(Some(utoipa::openapi::License::new("Apache-2.0")))
        .build();
    OpenApiBuilder::new().info(info).build()
}

fn build() -> Document {
    let (mut paths, schemas) = schema::collect(|| {
        let openapi = resources::all().into_openapi();
        Problem::reference();
        match serde_json::to_value(openapi) {
            Ok(Value::Object(document)) => document,
            _ => Map::new(),
        }
    });
    let mut parameters = HashMap::new();
    for (path, method, operation) in operations(&mut paths) {
        let names = query_parameters(operation);
        complete(&method, operation);
        parameters.insert((method, path), names);
    }
    paths.insert(
        "components".to_owned(),
        json!({
            "schemas": schemas,
            "securitySchemes": {"token": {
                "type": "http", "scheme": "bearer",
                "description": "The token in the file that the daemon names at its start."
            }},
        }),
    );
    Document { text: Value::Object(paths).to_string(), parameters }
}

fn operations(document: &mut Map<String, Value>) -> Vec<(String, Method, &mut Map<String, Value>)> {
    let items = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    items
        .flat_map(|(path, item)| {
            item.as_object_mut().into_iter().flatten().filter_map(move |(method, operation)| {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).ok()?;
                Some((path.clone(), method, operation.as_object_mut()?))
            })
        })
        .collect()
}

fn query_parameters(operation: &Map<String, Value>) -> BTreeSet<String> {
    let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    parameters
        .filter(|parameter| parameter.get("in") == Some(&json!("query")))
        .filter_map(|parameter| parameter.get("name")?.as_str().map(str::to_owned))
        .collect()
}

/// Adds what every operation has: errors, and the token and the idempotency key of what changes anything.
fn complete(method: &Method, operation: &mut Map<String, Value>) {
    if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
        responses.insert(
            "default".to_owned(),
            json!({
                "description": "What went wrong.",
                "content": {PROBLEM_JSON: {"schema": {"$ref": Problem::reference()}}}
            }),
        );
    }
    if method.is_safe() {
        return;
    }
    operation.insert("security".to_owned(), json!([{"token": []}]));
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Sent again with the same key within a day, the request gives the same answer and does nothing.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255}
        }));
    }
}
