//! The document is whole, and answers are as it says.

use crate::support::{Answer, Deck, START, deck, deck_with};
use http::{Method, StatusCode};
use quarterdeck_api::openapi;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::domain::deployment::{Deployment, ServiceRecord, ServiceSpec};
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::domain::notification::Notification;
use quarterdeck_model::domain::runbook::{Run, RunbookSpec};
use quarterdeck_model::domain::scan::{Finding, Scan};
use quarterdeck_model::domain::slo::SloStatus;
use quarterdeck_model::domain::{Catalog, job::JobSpec};
use quarterdeck_model::{Span, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&openapi()).unwrap());

/// Panics unless the answer is as the document says.
pub(crate) fn check(method: &Method, path: &str, answer: &Answer) {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let route = paths.keys().find(|route| *route == path).or_else(|| paths.keys().find(|route| matches(route, path)));
    let name = if method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
    let operation = route.map(|route| &paths[route][&name]).filter(|operation| !operation.is_null());
    let Some(operation) = operation else {
        // What the document does not list is refused, in the form of every refusal.
        assert!(matches!(answer.status.as_u16(), 401 | 403 | 404 | 405), "{method} {path}: {}", answer.status);
        return fits(&json!({"$ref": "#/components/schemas/Problem"}), &answer.json(), path);
    };
    let responses = &operation["responses"];
    let status = answer.status.as_u16().to_string();
    let response =
        [&responses[&status], &responses["default"]].into_iter().find(|response| !response.is_null()).unwrap();
    if answer.status == StatusCode::NOT_MODIFIED || method == Method::HEAD {
        return;
    }
    let media = answer.header("content-type").split(';').next().unwrap();
    let content = &response["content"][media];
    assert!(!content.is_null(), "{method} {path} {status}: `{media}` is not in {response}");
    if media.ends_with("json") {
        fits(&content["schema"], &answer.json(), path);
    }
}

fn matches(route: &str, path: &str) -> bool {
    let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
    route.len() == path.len()
        && route.iter().zip(&path).all(|(wanted, found)| wanted == found || wanted.starts_with('{'))
}

fn fits(schema: &Value, value: &Value, what: &str) {
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": DOCUMENT["components"],
        "allOf": [schema],
    });
    let validator = jsonschema::validator_for(&whole).unwrap_or_else(|error| panic!("{what}: {error}"));
    let errors: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.insert(reference.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_whole() {
    assert_eq!(DOCUMENT["openapi"], "3.1.0");
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    assert!(found.len() > 30);
    for reference in found {
        assert!(DOCUMENT.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
    let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        jsonschema::meta::validate(
            &json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema]}),
        )
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let mut operations = BTreeSet::new();
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operations.insert(id), "{id} is there twice");
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{id} says nothing");
            assert!(!operation["responses"]["default"].is_null(), "{id} has no errors");
            assert_eq!(operation["security"].is_null(), method == "get", "{id}: what changes anything needs the token");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            for segment in path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')) {
                let declared =
                    parameters.iter().any(|parameter| parameter["in"] == "path" && parameter["name"] == segment);
                assert!(declared, "{id} does not declare {segment}");
            }
        }
    }
    assert!(operations.len() >= 40, "{operations:?}");
}

/// Every operation that reads, with its parameters filled in.
fn readable(fill: impl Fn(&str, &str) -> String) -> Vec<String> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let filled = |(path, item): (&String, &Value)| {
        let operation = item.get("get")?;
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let mut filled = path.clone();
        let mut query = Vec::new();
        for parameter in parameters.iter().filter(|parameter| parameter["required"] == true) {
            let name = parameter["name"].as_str().unwrap();
            match parameter["in"].as_str() {
                Some("path") => filled = filled.replace(&format!("{{{name}}}"), &fill(path, name)),
                _ => query.push(format!("{name}={}", fill(path, name))),
            }
        }
        Some(if query.is_empty() { filled } else { format!("{filled}?{}", query.join("&")) })
    };
    paths.iter().filter(|(path, _)| !path.ends_with("/stream")).filter_map(filled).collect()
}

#[tokio::test]
async fn every_route_that_reads_answers_on_an_empty_store_as_the_document_says() {
    let deck = deck().await;
    for path in readable(|_, _| "nothing".to_owned()) {
        let answer = deck.get(&path).await;
        let expected = if path.contains("/nothing") { 404 } else { 200 };
        assert_eq!(answer.status.as_u16(), expected, "{path}: {}", String::from_utf8_lossy(&answer.body));
        for header in ["content-security-policy", "x-content-type-options", "referrer-policy", "cache-control"] {
            answer.header(header);
        }
    }
}

/// Checks that the value is what a flow would write, and writes it.
async fn put<T: Serialize + DeserializeOwned>(deck: &Deck, collection: &str, id: &str, value: Value) {
    let read: T = serde_json::from_value(value).unwrap_or_else(|error| panic!("{collection}: {error}"));
    deck.put(collection, id, &read).await;
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let runbook: RunbookSpec = serde_json::from_value(runbook()).unwrap();
    catalog.runbooks.insert("health".to_owned(), runbook);
    let service: ServiceSpec = serde_json::from_value(service()).unwrap();
    catalog.services.insert("shop".to_owned(), service);
    catalog
}

fn runbook() -> Value {
    json!({"title": "System health check", "inputs": {"depth": 2}, "steps": [
        {"name": "look", "action": "http/local", "with": {"url": "http://127.0.0.1"}, "on-failure": {"goto": "look"}}
    ]})
}

fn service() -> Value {
    json!({"target": "haproxy/local", "strategy": "canary/default", "config": {"steps": [10, 50]}})
}

#[tokio::test]
async fn documents_of_every_kind_are_shown_as_the_document_says() {
    let deck = deck_with(catalog(), |options| {
        struct Idle;
        #[async_trait::async_trait]
        impl quarterdeck_scheduler::Job for Idle {
            async fn run(&self, _: Timestamp) -> Result<(), String> {
                Ok(())
            }
        }
        options.scheduler.set(JobSpec::every("collect/http-probe/api", Span::from_secs(3600)), Arc::new(Idle)).unwrap();
    })
    .await;
    let now = START.to_string();
    let plugin = json!({"name": "canary", "version": "1.0.0", "digest": "sha256:00"});
    put::<Alert>(&deck, Alert::COLLECTION, "one", json!({
        "fingerprint": "one", "rule": "cpu", "state": "firing", "severity": "high", "labels": {"alertname": "cpu"},
        "summary": "busy", "reason": "97 > 90", "value": 97.0, "active_at": now, "fired_at": now, "resolved_at": null,
        "missing_since": null, "no_data": false, "last_evaluated": now, "plugin": plugin, "runbook": "health"
    })).await;
    put::<Incident>(
        &deck,
        Incident::COLLECTION,
        "one",
        json!({
            "id": "one", "key": "cpu", "title": "cpu", "state": "open", "severity": "high", "opened_at": now,
            "acknowledged_at": null, "acknowledged_by": null, "resolved_at": null, "resolved_by": null,
            "members": [{"fingerprint": "one", "name": "cpu", "severity": "high", "labels": {}, "summary": "busy",
                "active_at": now, "resolved_at": null}],
            "timeline": [{"at": now, "principal": "host", "text": "opened"}], "runbooks": ["health"]
        }),
    )
    .await;
    put::<Scan>(&deck, Scan::COLLECTION, "one", json!({
        "id": "one", "name": "default", "state": "partial", "principal": "host", "started_at": now, "finished_at": now,
        "files": 3, "urls": 0, "skipped": 1, "findings": {"high": 1}, "new_findings": 1, "fixed_findings": 0,
        "rules": [plugin], "errors": ["a"]
    })).await;
    put::<Finding>(&deck, Finding::COLLECTION, "default/secrets/files/one", json!({
        "id": "default/secrets/files/one", "scan": "one", "scan_name": "default", "instance": "secrets/files",
        "rule": "private-key", "title": "A private key", "severity": "critical", "message": "m", "remediation": "r",
        "subject": "a.pem", "line": 1, "column": 1, "cwe": 798, "fingerprint": "f", "state": "open", "first_seen": now,
        "last_seen": now, "plugin": plugin
    })).await;
    let replica = json!({"name": "shop-1", "revision": "r1", "phase": "healthy", "weight": 256, "responses": 10,
        "failures": 0, "message": ""});
    put::<Deployment>(&deck, Deployment::COLLECTION, "one", json!({
        "id": "one", "service": "shop", "spec": service(), "stable": "r1", "candidate": "r2", "state": "succeeded",
        "principal": "operator", "started_at": now, "finished_at": now, "deadline": now, "weight": 100,
        "replicas": [replica], "baseline": [replica], "baseline_at": now,
        "moves": [{"at": now, "decided": {"move": "weight", "percent": 10}, "reason": "first", "plugin": plugin,
            "analysis": {"since": now, "responses": 1, "failures": 0, "stable_responses": 1, "stable_failures": 0}}],
        "in_flight": [{"effect": "eff_1", "step": {"step": "drain", "replica": "shop-1"}, "done": true}],
        "promoted": false, "strategy_state": [1, 2], "next_look": now, "started_replicas": 1, "error": null
    })).await;
    put::<ServiceRecord>(
        &deck,
        ServiceRecord::COLLECTION,
        "shop",
        json!({
            "service": "shop", "stable": "r2", "since": now, "deployment": null
        }),
    )
    .await;
    put::<Run>(&deck, Run::COLLECTION, "one", json!({
        "id": "one", "runbook": "health", "spec": runbook(), "state": "failed", "dry_run": false, "inputs": {"depth": 2},
        "principal": "operator", "cause": null, "started_at": now, "finished_at": now, "deadline": now,
        "steps": [{"name": "look", "action": "http/local", "state": "failed", "effect": "eff_1", "started_at": now,
            "finished_at": now, "attempts": 1, "inputs": {}, "outputs": null, "error": "refused", "plugin": null}],
        "error": "a step failed"
    })).await;
    put::<SloStatus>(&deck, SloStatus::COLLECTION, "one", json!({
        "name": "one", "spec": {"calculator": "availability/default", "select": {"metric": "up"}}, "state": "no-data",
        "attainment": {"adjusted": {"good": 0.0, "total": 0.0, "attained": null}, "raw": {"good": 0.0, "total": 0.0,
            "attained": null}, "met": null, "budget_left": null},
        "from": now, "to": now, "calculated_at": now, "plugin": plugin, "error": null
    })).await;
    put::<Notification>(
        &deck,
        Notification::COLLECTION,
        "one",
        json!({
            "id": "one", "route": "all", "instance": "webhook/ops", "event_type": "incident.opened", "subject": "inc_1",
            "title": "cpu", "state": "delivered", "created_at": now, "finished_at": now, "attempts": 1, "error": null
        }),
    )
    .await;
    deck.put("dead-letters", "one", &json!({"why": "unknown"})).await;
    let pushed = json!([{"name": "up", "labels": {"instance": "a"}, "value": 1.0, "at": now}]);
    assert_eq!(deck.post("/api/v1/metrics", &pushed).await.status, 202);

    let fill = |path: &str, name: &str| {
        let value = match (path, name) {
            (_, "plugin") | ("/api/v1/plugins/{name}", _) => "http-probe",
            ("/api/v1/jobs/{name}", _) => "collect%2Fhttp-probe%2Fapi",
            ("/api/v1/instances/{plugin}/{name}", _) => "api",
            (_, "slug") => "health",
            (_, "metric") => "up",
            _ => "one",
        };
        value.to_owned()
    };
    for path in readable(fill) {
        let answer = deck.get(&path).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        let listed = answer.headers["content-type"] == "application/json" && answer.json()["items"].is_array();
        if listed && path != "/api/v1/events" {
            assert!(!answer.json()["items"].as_array().unwrap().is_empty(), "{path} shows nothing");
        }
    }
    assert_eq!(deck.get("/api/v1/findings?severity=low").await.json()["items"], json!([]));
    assert_eq!(deck.get("/api/v1/status").await.json()["open"]["alerts"], 1);
    let page = String::from_utf8(deck.get("/metrics").await.body).unwrap();
    assert!(
        page.contains("quarterdeck_plugin_failures_total{instance=\"http-probe/api\",code=\"deadline\"} 1\n"),
        "{page}"
    );
    assert!(page.contains(
        "quarterdeck_http_requests_total{method=\"GET\",route=\"/api/v1/alerts/{fingerprint}\",status=\"200\"} 1\n"
    ));
    assert!(page.ends_with("further 1\n"));
}
