//! Checks answers against the OpenAPI document that the daemon itself serves.

use serde_json::{Value, json};

pub(crate) struct Contract(Value);

impl Contract {
    pub(crate) fn new(document: Value) -> Self {
        assert_eq!(document["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
        Contract(document)
    }

    /// Panics when the document does not list the route, the status, or when the body does not fit its schema.
    pub(crate) fn check(&self, method: &str, path: &str, status: u16, content_type: &str, body: &[u8]) {
        let path = path.split('?').next().unwrap();
        let paths = self.0["paths"].as_object().unwrap();
        // A literal path wins over one with parameters.
        let route =
            paths.keys().find(|route| *route == path).or_else(|| paths.keys().find(|route| matches(route, path)));
        let Some(route) = route else {
            assert!(
                matches!(status, 403..=405),
                "{method} {path} answers {status}, and is not in the OpenAPI document"
            );
            return;
        };
        let operation = &self.0["paths"][route][method.to_lowercase()];
        if operation.is_null() {
            assert_eq!(status, 405, "{method} {path} is not in the OpenAPI document");
            return;
        }
        let responses = &operation["responses"];
        let response = [status.to_string(), format!("{}XX", status / 100), "default".to_owned()]
            .iter()
            .map(|key| &responses[key.as_str()])
            .find(|response| !response.is_null())
            .unwrap_or_else(|| panic!("{method} {path}: status {status} is not in the OpenAPI document"));
        let response = match response["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.trim_start_matches('#')).unwrap(),
            None => response,
        };
        let media = content_type.split(';').next().unwrap().trim();
        let Some(content) = response["content"].as_object() else { return };
        let Some(described) = content.get(media) else {
            panic!(
                "{method} {path} {status}: `{media}` is not in the OpenAPI document, which lists {:?}",
                content.keys()
            );
        };
        if !media.ends_with("json") {
            return;
        }
        let value: Value =
            serde_json::from_slice(body).unwrap_or_else(|error| panic!("{method} {path}: not JSON: {error}"));
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "components": self.0["components"],
            "allOf": [described["schema"]],
        });
        let validator =
            jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{method} {path}: bad schema: {error}"));
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{method} {path} {status} does not fit its schema: {errors:#?}\n{value:#}");
    }
}

/// `{name}` stands for one segment, `{name*}` or a last `{*name}` for any number of them.
fn matches(route: &str, path: &str) -> bool {
    let (mut route, mut path) = (route.split('/'), path.split('/'));
    loop {
        match (route.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(_)) if wanted.starts_with("{*") || wanted.ends_with("*}") => return true,
            (Some(wanted), Some(found)) if wanted == found || wanted.starts_with('{') => {}
            _ => return false,
        }
    }
}
