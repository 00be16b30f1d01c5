//! What `check` calls each kind with: what is usual, what is empty, and what is out of shape. Every input is one that the host
//! may hand in; a component answers or refuses it, and never traps over it.

use quarterdeck_model::plugin::{Grants, Kind, ProgramGrant};
use serde_json::{Map, Value, json};

/// The time of every sample: the same call twice is the same input.
const NOW: &str = "2026-01-01T00:00:00Z";

/// One input of a function.
pub(super) struct Sample {
    pub(super) function: &'static str,
    pub(super) what: &'static str,
    pub(super) input: Value,
}

fn sample(function: &'static str, what: &'static str, input: Value) -> Sample {
    Sample { function, what, input }
}

/// All inputs of a kind.
pub(super) fn of(kind: Kind) -> Vec<Sample> {
    let long = "x".repeat(100_000);
    match kind {
        Kind::Collector => vec![sample("collect", "the usual call", json!({"now": NOW}))],
        Kind::Detector => {
            let evaluate = |what, series: Value| sample("evaluate", what, json!({"now": NOW, "series": series}));
            vec![
                evaluate("steady values", json!([{"labels": {"a": "1"}, "values": [1.0, 1.0, 1.0, 1.0]}])),
                evaluate("a jump", json!([{"labels": {"a": "1"}, "values": [1.0, 1.0, 1.0, 1e9]}])),
                evaluate("no series", json!([])),
                evaluate("a series without samples", json!([{"values": []}])),
                evaluate("values at the ends of the range", json!([{"values": [f64::MAX, f64::MIN, 0.0, -0.0]}])),
                evaluate("a label of 100,000 letters", json!([{"labels": {"a": long}, "values": [1.0]}])),
                sample(
                    "evaluate",
                    "a state that is none of its own",
                    json!({"now": NOW, "series": [{"values": [1.0]}], "state": "bm90IGFueSBzdGF0ZQ=="}),
                ),
            ]
        }
        Kind::ScannerRule => {
            let file = |path: &str, content: &str| json!({"path": path, "content": content});
            let scan = |what, subjects: Value| sample("scan", what, json!({"now": NOW, "subjects": subjects}));
            vec![
                sample("interests", "its interests", json!({})),
                scan("a file", json!([file("a/b.txt", "password = \"hunter2\"\n")])),
                scan("an empty file", json!([file("empty", "")])),
                scan("one line of 100,000 letters", json!([file("long", &long)])),
                scan("control characters", json!([file("odd\u{202e}", "\u{0}\u{1b}[31m\r\n\t")])),
                scan("a response", json!([{"url": "http://example.com/", "headers": [["x", "y"]], "body": "<p>"}])),
                scan("nothing", json!([])),
            ]
        }
        Kind::Correlator => {
            let alert = |name: &str| json!({"fingerprint": "f1", "name": name, "severity": "high", "active_at": NOW});
            let incident = json!({"id": "inc_1", "key": "k", "severity": "low", "opened_at": NOW, "alerts": []});
            let correlate = |what, alert: Value, open: Value| {
                sample("correlate", what, json!({"now": NOW, "alert": alert, "open": open}))
            };
            vec![
                correlate("the first alert", alert("down"), json!([])),
                correlate("an alert beside an open incident", alert("down"), json!([incident])),
                correlate("a name of 100,000 letters", alert(&long), json!([])),
                correlate("an empty name", alert(""), json!([])),
            ]
        }
        Kind::Notifier => {
            let message =
                |title: &str| json!({"message": {"event_type": "incident.opened", "title": title, "at": NOW}});
            vec![
                sample("notify", "a message", message("It is down")),
                sample("notify", "a title of 100,000 letters", message(&long)),
                sample("notify", "an empty message", json!({"message": {"at": NOW}})),
                sample("notifier.poll", "a token that is none of its own", json!({"token": "unknown"})),
            ]
        }
        Kind::DeploymentStrategy => {
            let plan = json!({"service": "web", "stable": "r1", "candidate": "r2", "replicas": 2, "started_at": NOW});
            let replica = json!({"name": "web-1", "revision": "r2", "phase": "healthy", "weight": 0, "responses": 0,
                "failures": 0, "message": ""});
            let analysis = |responses: u64, failures: u64| {
                json!({"since": NOW, "responses": responses, "failures": failures,
                "stable_responses": 100, "stable_failures": 0})
            };
            let decide = |what, replicas: Value, analysis: Value| {
                sample("decide", what, json!({"now": NOW, "plan": plan, "replicas": replicas, "analysis": analysis}))
            };
            vec![
                decide("the beginning", json!([]), analysis(0, 0)),
                decide("a healthy candidate", json!([replica]), analysis(1000, 0)),
                decide("a candidate that only fails", json!([replica]), analysis(1000, 1000)),
                decide("more failures than responses", json!([replica]), analysis(1, u64::MAX)),
                sample("decide", "a state that is none of its own", json!({"now": NOW, "plan": plan, "state": "AAAA"})),
            ]
        }
        Kind::DeploymentTarget => vec![
            sample("observe", "a service that is not there", json!({"service": "none"})),
            sample("apply", "the stop of what never ran", json!({"step": {"step": "stop", "replica": "none"}})),
        ],
        Kind::RunbookAction => vec![
            sample("plan", "a plan without inputs", json!({})),
            sample("plan", "inputs that are none of its own", json!({"inputs": {"no-such-input": [1]}})),
            sample("run", "inputs that are none of its own", json!({"inputs": {"no-such-input": [1]}})),
            sample("poll", "a token that is none of its own", json!({"token": "unknown"})),
        ],
        Kind::SlaCalculator => {
            let calculate =
                |what, values: Value| sample("calculate", what, json!({"window": {"to": NOW, "values": values}}));
            vec![
                calculate("good and bad samples", json!([1.0, 1.0, 0.0, 1.0])),
                calculate("no samples", json!([])),
                calculate("values at the ends of the range", json!([f64::MAX, f64::MIN])),
                sample("finish", "a partial that is none of its own", json!({"partial": "AAAA"})),
                sample("merge", "partials that are none of its own", json!({"a": "AAAA", "b": "/////w=="})),
            ]
        }
    }
}

/// Grants that satisfy every question for one and reach nothing: whatever the component tries fails.
pub(super) fn grants_for_nothing() -> Grants {
    let program = || ProgramGrant {
        program: "/quarterdeck/no/such/program".to_owned(),
        arguments: Vec::new(),
        environment: Vec::new(),
    };
    Grants {
        http: vec!["https://quarterdeck.invalid".to_owned()],
        kv: true,
        metrics: true,
        events: vec!["quarterdeck-check.".to_owned()],
        system: true,
        exec: vec![program()],
        tcp: vec!["quarterdeck.invalid:1".to_owned()],
        process: vec![program()],
        secret: vec!["quarterdeck-check".to_owned()],
        reveal: vec!["quarterdeck-check".to_owned()],
        files: vec!["/quarterdeck/no/such/file".to_owned()],
        append: vec!["/quarterdeck/no/such/folder/".to_owned()],
    }
}

/// A configuration that fits a schema, as far as the schema tells: what is required, at its default, its example, or the simplest
/// value of its type.
pub(super) fn config(schema: &Value) -> Map<String, Value> {
    match simplest(schema, schema, 0) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Schemas that refer to themselves end here.
const DEEPEST: usize = 16;

fn simplest(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    for given in ["default", "const"] {
        if let Some(value) = schema.get(given) {
            return value.clone();
        }
    }
    for list in ["examples", "enum"] {
        if let Some(value) = schema.get(list).and_then(|values| values.get(0)) {
            return value.clone();
        }
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or(Value::Null, |target| simplest(target, root, depth + 1));
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(choice).and_then(|choices| choices.get(0)) {
            return simplest(first, root, depth + 1);
        }
    }
    let kind = schema.get("type").and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    match kind {
        Some("string") => json!(text(schema)),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(false),
        Some("array") => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(8);
            let item = schema.get("items").map(|item| simplest(item, root, depth + 1));
            Value::Array((0..least).filter_map(|_| item.clone()).collect())
        }
        Some("null") => Value::Null,
        _ => {
            let properties = schema.get("properties");
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let fields = required.filter_map(Value::as_str).map(|name| {
                let property = properties.and_then(|properties| properties.get(name));
                (name.to_owned(), property.map_or(Value::Null, |property| simplest(property, root, depth + 1)))
            });
            Value::Object(fields.collect())
        }
    }
}

fn text(schema: &Value) -> &'static str {
    let says = |word: &str| {
        ["format", "description"].iter().filter_map(|key| schema.get(key)?.as_str()).any(|text| text.contains(word))
    };
    if says("uri") || says("URL") || says("http") { "https://quarterdeck.invalid/" } else { "example" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simplest_configuration_fits_its_schema() {
        let schema = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["url", "count", "mode", "nested", "list", "choice"],
            "properties": {
                "url": {"type": "string", "format": "uri"},
                "count": {"type": "integer", "minimum": 3},
                "mode": {"enum": ["a", "b"]},
                "nested": {"$ref": "#/$defs/nested"},
                "list": {"type": "array", "minItems": 2, "items": {"type": "boolean"}},
                "choice": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "optional": {"type": "string"},
            },
            "$defs": {"nested": {"type": "object", "required": ["n"], "properties": {"n": {"type": "number", "default": 0.5}}}},
        });
        let config = Value::Object(config(&schema));
        assert!(jsonschema::is_valid(&schema, &config), "{config}");
        assert_eq!(config["count"], 3);
        assert_eq!(config["nested"]["n"], 0.5);
        assert_eq!(config.get("optional"), None);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"$ref": "#"});
        assert_eq!(config(&schema), Map::new());
    }
}
