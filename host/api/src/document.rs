//! The OpenAPI document: paths from the handlers, schemas from the types, and what all operations have in common.

use crate::problem::{PROBLEM_JSON, Problem};
use crate::{alertmanager, otlp, prometheus, resources, samples, schema};
use http::Method;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};

pub(crate) struct Document {
    pub(crate) text: String,
    /// Names of the query parameters of each operation.
    parameters: HashMap<(Method, String), BTreeSet<String>>,
    /// Operations whose body is a component.
    bytes: HashSet<(Method, String)>,
}

impl Document {
    /// The query parameters that an operation has; `None` if there is no such operation.
    pub(crate) fn parameters(&self, method: &Method, route: &str) -> Option<&BTreeSet<String>> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.parameters.get(&(method.clone(), route.to_owned()))
    }

    /// Whether what is sent there is no JSON.
    pub(crate) fn takes_bytes(&self, method: &Method, route: &str) -> bool {
        self.bytes.contains(&(method.clone(), route.to_owned()))
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
            "Reading is free at this machine, by a loopback name; what changes anything needs the token, and so does reading from elsewhere, \
             or what programs printed. Every error is a problem document \
             (RFC 9457), but for those under `/prometheus`, `/alertmanager` and `/otlp`, where answers and errors are those of what they are named after. What is no HTTP that can be read (400), or has too long a line (414) or head (431), never gets as far, and is \
             answered with an empty body. Lists are asked for with `limit` and `cursor`. Names with slashes in a path are percent-encoded.",
        ))
        .license(Some(utoipa::openapi::License::new("Apache-2.0")))
        .build();
    OpenApiBuilder::new().info(info).build()
}

fn build() -> Document {
    let (mut paths, schemas) = schema::collect(|| {
        let openapi = resources::all().into_openapi();
        Problem::reference();
        prometheus::Failure::reference();
        alertmanager::Failure::reference();
        otlp::Failure::reference();
        match serde_json::to_value(openapi) {
            Ok(Value::Object(document)) => document,
            _ => Map::new(),
        }
    });
    let (mut parameters, mut bytes) = (HashMap::new(), HashSet::new());
    for (path, method, operation) in operations(&mut paths) {
        let names = query_parameters(operation);
        if prometheus::reads(&path) {
            prometheus::complete(operation);
            // Asking by a form is no change.
            complete(&Method::GET, operation, &schemas);
        } else {
            if prometheus::has(&path) {
                prometheus::failures(operation);
            }
            if otlp::has(&path) {
                otlp::failures(operation);
            }
            if alertmanager::has(&path) {
                alertmanager::complete(&method, operation);
            }
            complete(&method, operation, &schemas);
            if samples::is_one(&path) {
                samples::complete(operation);
            }
        }
        let content = operation.get("requestBody").and_then(|body| body.get("content"));
        if content.is_some_and(|content| content.get("application/octet-stream").is_some()) {
            bytes.insert((method.clone(), path.clone()));
        }
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
    Document { text: Value::Object(paths).to_string(), parameters, bytes }
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

/// Adds what operations have in common, so that no handler has to say it: problems, the token, idempotency keys, and the headers and
/// statuses that go with ETags.
fn complete(method: &Method, operation: &mut Map<String, Value>, schemas: &Map<String, Value>) {
    let given = |name: &str| header_parameter(operation, name).is_some();
    let shown = method.is_safe() && given("If-None-Match");
    let (changed, must) = (given("If-Match"), header_parameter(operation, "If-Match") == Some(true));
    if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
        let refuse = |responses: &mut Map<String, Value>, status: &str, why: &str| {
            responses.entry(status).or_insert_with(|| json!({"description": why}));
        };
        refuse(responses, "default", "What went wrong.");
        refuse(responses, "401", "The token is needed, or is not this host's.");
        if !method.is_safe() {
            refuse(
                responses,
                "409",
                "It does not fit the present state, or the key's first request is still under way.",
            );
        }
        if changed {
            refuse(responses, "412", "It has changed since it was seen, or there is one where none is to be.");
        }
        if must {
            refuse(responses, "428", "It must be said which revision was seen.");
        }
        if shown {
            responses.insert("304".to_owned(), json!({"description": "The client has it already."}));
        }
        for (status, response) in responses.iter_mut() {
            describe(method, status, response, shown || changed);
        }
    }
    if let Some(body) = operation.get_mut("requestBody").and_then(Value::as_object_mut) {
        let required = !may_be_left_out(body, schemas);
        body.entry("required").or_insert(json!(required));
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

/// Whether the header must be sent; `None` where the operation does not know it.
fn header_parameter(operation: &Map<String, Value>, name: &str) -> Option<bool> {
    let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    parameters
        .filter(|parameter| {
            parameter.get("in") == Some(&json!("header")) && parameter.get("name") == Some(&json!(name))
        })
        .map(|parameter| parameter.get("required") == Some(&json!(true)))
        .next()
}

/// A body may be left out if nothing in it is needed.
fn may_be_left_out(body: &Map<String, Value>, schemas: &Map<String, Value>) -> bool {
    let reference = body.get("content").and_then(|content| content.pointer("/application~1json/schema/$ref"));
    let name = reference.and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next());
    let schema = name.and_then(|name| schemas.get(name));
    schema.is_some_and(|schema| {
        schema.get("type") == Some(&json!("object"))
            && schema.get("required").and_then(Value::as_array).is_none_or(Vec::is_empty)
    })
}

/// The headers of a response, and the body of a refusal.
fn describe(method: &Method, status: &str, response: &mut Value, tagged: bool) {
    let Some(response) = response.as_object_mut() else { return };
    let mut headers = match response.remove("headers") {
        Some(Value::Object(headers)) => headers,
        _ => Map::new(),
    };
    // What a handler declares it always sends.
    headers.values_mut().filter_map(Value::as_object_mut).for_each(|header| {
        header.insert("required".to_owned(), json!(true));
    });
    let located = headers.contains_key("Location");
    let mut add = |name: &str, required: bool, description: &str, schema: Value| {
        headers.insert(name.to_owned(), json!({"description": description, "required": required, "schema": schema}));
    };
    let text = || json!({"type": "string", "minLength": 1});
    let succeeds = status.starts_with('2');
    // What is only accepted has no document to show yet.
    let shown = succeeds && status != "202";
    if status == "304" || (shown && (tagged || located) && response.contains_key("content")) {
        let tag = json!({"type": "string", "pattern": "^\"[0-9]+\"$"});
        add("ETag", true, "The document's revision: for `If-Match` and `If-None-Match`.", tag);
    }
    if succeeds && !method.is_safe() {
        add(
            "Idempotency-Replayed",
            false,
            "It is the answer to the first request with this key.",
            json!({"const": "true"}),
        );
    }
    if status == "401" {
        add("WWW-Authenticate", true, "The scheme, `Bearer`.", text());
    }
    if matches!(status, "409" | "429" | "default") {
        let seconds = json!({"type": "integer", "minimum": 1});
        add("Retry-After", status == "429", "Seconds until it is worth another try.", seconds);
    }
    if !headers.is_empty() {
        response.insert("headers".to_owned(), Value::Object(headers));
    }
    if status == "default" || status.starts_with('4') {
        response.entry("content").or_insert_with(|| json!({PROBLEM_JSON: {"schema": {"$ref": Problem::reference()}}}));
    }
}
