//! Checks answers against the OpenAPI document, and notes what was checked. The tests of the API include this file as well.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Headers that mean something: one that the document does not mention is as wrong as one that is missing.
const MEANT: [&str; 5] = ["ETag", "Location", "Retry-After", "WWW-Authenticate", "Idempotency-Replayed"];
/// Statuses that an operation has to list by themselves: clients decide by them.
const BY_NAME: [u16; 5] = [401, 409, 412, 428, 429];

pub(crate) struct Contract {
    document: Value,
    exercised: Mutex<BTreeSet<(String, u16)>>,
}

impl Contract {
    pub(crate) fn new(document: Value) -> Self {
        assert_eq!(document["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
        Contract { document, exercised: Mutex::default() }
    }

    /// Panics when the document does not list the route, the status or a header, or when the body does not fit its schema. Without
    /// a body only the head is looked at.
    pub(crate) fn check(
        &self,
        method: &str,
        path: &str,
        status: u16,
        header: impl Fn(&str) -> Option<String>,
        body: Option<&[u8]>,
    ) {
        let path = path.split('?').next().unwrap();
        let media = header("content-type").unwrap_or_default();
        let media = media.split(';').next().unwrap().trim();
        let Some(operation) = self.operation(method, path) else {
            // What the document does not list is refused, in the form of every refusal.
            assert!(
                matches!(status, 401 | 403..=405),
                "{method} {path} answers {status}, and is not in the OpenAPI document"
            );
            if let Some(body) = body {
                self.fits(&json!({"$ref": "#/components/schemas/Problem"}), &parse(body, path), path);
            }
            return;
        };
        let what = format!("{method} {path} {status}");
        let responses = &operation["responses"];
        let response = match &responses[status.to_string()] {
            Value::Null if status >= 400 && !BY_NAME.contains(&status) => &responses["default"],
            response => response,
        };
        assert!(!response.is_null(), "{what}: the status is not in the OpenAPI document");
        self.check_headers(response, header, &what);
        let id = operation["operationId"].as_str().unwrap().to_owned();
        self.exercised.lock().unwrap_or_else(PoisonError::into_inner).insert((id, status));
        let Some(content) = response["content"].as_object() else {
            return assert!(body.is_none_or(<[u8]>::is_empty), "{what}: there should be no body");
        };
        let described = content.get(media);
        let described = described.unwrap_or_else(|| panic!("{what}: `{media}` is not in {:?}", content.keys()));
        if let Some(body) = body.filter(|_| media.ends_with("json")) {
            self.fits(&described["schema"], &parse(body, &what), &what);
        }
    }

    /// What the document lists and no answer was checked for, of the statuses that `wanted` asks for.
    #[allow(dead_code, reason = "asked by the tests of the API, which see every operation in one process")]
    pub(crate) fn missing(&self, wanted: impl Fn(u16) -> bool) -> BTreeSet<(String, u16)> {
        let items =
            self.document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
        let listed = items.flat_map(|operation| {
            let id = operation["operationId"].as_str().unwrap();
            let statuses = operation["responses"].as_object().unwrap().keys();
            statuses.filter_map(|status| status.parse::<u16>().ok()).map(|status| (id.to_owned(), status))
        });
        let listed: BTreeSet<_> = listed.filter(|(_, status)| wanted(*status)).collect();
        &listed - &self.exercised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let paths = self.document["paths"].as_object().unwrap();
        // A literal path wins over one with parameters.
        let route =
            paths.keys().find(|route| *route == path).or_else(|| paths.keys().find(|route| matches(route, path)))?;
        let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
        Some(&paths[route][&method]).filter(|operation| !operation.is_null())
    }

    fn check_headers(&self, response: &Value, header: impl Fn(&str) -> Option<String>, what: &str) {
        let none = serde_json::Map::new();
        let declared = response["headers"].as_object().unwrap_or(&none);
        for (name, described) in declared {
            match header(name) {
                Some(value) => {
                    let number = described["schema"]["type"] == "integer";
                    let value = if number { json!(value.parse::<i64>().unwrap()) } else { json!(value) };
                    self.fits(&described["schema"], &value, &format!("{what}: {name}"));
                }
                None => assert!(described["required"] != true, "{what}: the header {name} is missing"),
            }
        }
        for name in MEANT.iter().filter(|name| header(name).is_some()) {
            assert!(declared.contains_key(*name), "{what}: the header {name} is not in the OpenAPI document");
        }
    }

    fn fits(&self, schema: &Value, value: &Value, what: &str) {
        let whole = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "components": self.document["components"],
            "allOf": [schema],
        });
        let validator = jsonschema::validator_for(&whole).unwrap_or_else(|error| panic!("{what}: bad schema: {error}"));
        let errors: Vec<String> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{what} does not fit its schema: {errors:#?}\n{value:#}");
    }
}

fn parse(body: &[u8], what: &str) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("{what}: not JSON: {error}"))
}

/// `{name}` stands for one segment.
fn matches(route: &str, path: &str) -> bool {
    let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
    route.len() == path.len()
        && route.iter().zip(&path).all(|(wanted, found)| wanted == found || wanted.starts_with('{'))
}
