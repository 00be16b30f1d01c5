//! A host in which there is one of everything.

use crate::configuration::Fixed;
use crate::support::{Deck, Kept, START, deck_over};
use http::Method;
use quarterdeck_api::Version;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::domain::deployment::{Deployment, ServiceRecord, ServiceSpec};
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::domain::notification::Notification;
use quarterdeck_model::domain::runbook::{Run, RunbookSpec};
use quarterdeck_model::domain::scan::{Finding, Scan};
use quarterdeck_model::domain::silence::Silence;
use quarterdeck_model::domain::slo::SloStatus;
use quarterdeck_model::domain::{Catalog, job::JobSpec};
use quarterdeck_model::effect::DEAD_LETTERS;
use quarterdeck_model::{Span, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// The host with all documents, a job and a sample. Their ids are `one` where they may be anything.
pub(crate) async fn world() -> Deck {
    // Alerts and silences are read by engines at their start only. What has timers must not be found then: time goes on for those.
    let at_start = [Alert::COLLECTION, Silence::COLLECTION];
    let (alerts, others): (Vec<_>, Vec<_>) = documents().into_iter().partition(|kept| at_start.contains(&kept.0));
    let deck = deck_over(alerts, catalog(), |options| {
        struct Idle;
        #[async_trait::async_trait]
        impl quarterdeck_scheduler::Job for Idle {
            async fn run(&self, _: Timestamp) -> Result<(), String> {
                Ok(())
            }
        }
        options.scheduler.set(JobSpec::every("collect/http-probe/api", Span::from_secs(3600)), Arc::new(Idle)).unwrap();
        options.configuration = Arc::new(Fixed { sound: true, ..Fixed::default() });
    })
    .await;
    for (collection, id, value) in others {
        deck.put(collection, id, &value).await;
    }
    let pushed = json!([{"name": "up", "labels": {"instance": "a"}, "value": 1.0, "at": START.to_string()}]);
    assert_eq!(deck.post("/api/v1/metrics", &pushed).await.status, 202);
    let session = json!({"created_at": START, "used_at": START, "from": "127.0.0.1", "agent": "A browser/1"});
    deck.put("console-sessions", &"0123456789abcdef".repeat(4), &session).await;
    let object = deck.ask(Method::PUT, "/api/v1/configuration/objects/one/one", Some(&json!({"a": 1})), &[]).await;
    assert_eq!(object.status, 201);
    deck
}

/// A parameter that leads to what is there.
pub(crate) fn fill(path: &str, name: &str) -> String {
    let value = match (path, name) {
        ("/api/v1/processes/{plugin}/{name}/{process}/log", name) => match name {
            "plugin" => "haproxy",
            "name" => "web",
            _ => "s1",
        },
        ("/api/v1/shadows/{plugin}", _) => "judge",
        (_, "plugin") | ("/api/v1/plugins/{name}" | "/api/v1/plugins/{name}/versions", _) => "http-probe",
        (_, "file") => "http-probe.wasm",
        ("/api/v1/jobs/{name}", _) => "collect%2Fhttp-probe%2Fapi",
        ("/api/v1/instances/{plugin}/{name}" | "/api/v1/instances/{plugin}/{name}/logs", _) => "api",
        ("/api/v1/services/{name}", _) => "shop",
        (_, "slug") => "health",
        (_, "metric" | "query" | "match[]") => "up",
        (_, "start") => "1789999990",
        (_, "end") => "1790000000",
        (_, "step") => "5s",
        _ => "one",
    };
    value.to_owned()
}

/// The document of this collection under another id, with some members changed.
pub(crate) fn like(collection: &str, id: &str, changes: &Value) -> Value {
    let mut value = documents().into_iter().find(|kept| kept.0 == collection).unwrap().2;
    value["id"] = json!(id);
    for (name, change) in changes.as_object().unwrap() {
        value[name] = change.clone();
    }
    value
}

/// Checks that the value is what a flow would write.
fn kept<T: Serialize + DeserializeOwned>(collection: &'static str, id: &'static str, value: Value) -> Kept {
    let read: T = serde_json::from_value(value).unwrap_or_else(|error| panic!("{collection}: {error}"));
    (collection, id, serde_json::to_value(read).unwrap())
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let rule = json!({"detector": "threshold/default", "select": {"metric": "cpu"}, "every": "1h"});
    catalog.rules.insert("cpu".to_owned(), serde_json::from_value(rule).unwrap());
    let scan = json!({"rules": ["secrets/files"]});
    catalog.scans.insert("default".to_owned(), serde_json::from_value(scan).unwrap());
    let runbook: RunbookSpec = serde_json::from_value(runbook()).unwrap();
    catalog.runbooks.insert("health".to_owned(), runbook);
    let service: ServiceSpec = serde_json::from_value(service()).unwrap();
    catalog.services.insert("shop".to_owned(), service);
    catalog.alerting = serde_json::from_value(alerting()).unwrap();
    let dashboard = json!({"title": "The <host>", "panels": [{"title": "Up", "queries": ["up", "up * 3"]},
        {"title": "Now", "kind": "value", "queries": ["up * 20000"], "unit": "B"}, {"title": "All", "kind": "table", "queries": ["up"]},
        {"title": "Wrong", "queries": ["sum(up))"]}]});
    catalog.dashboards.insert("host".to_owned(), serde_json::from_value(dashboard).unwrap());
    catalog
}

/// With planned work that goes on at no time.
fn alerting() -> Value {
    json!({"route": {"receiver": "ops", "group-by": ["alertname"]}, "receivers": {"ops": {}},
        "time-intervals": {"past": [{"years": ["1999"]}]}, "maintenance": {"move": {"time-intervals": ["past"]}}})
}

fn runbook() -> Value {
    json!({"title": "System health check", "inputs": {"depth": 2}, "steps": [
        {"name": "look", "action": "http/local", "with": {"url": "http://127.0.0.1"}, "on-failure": {"goto": "look"}}
    ]})
}

fn service() -> Value {
    json!({"target": "haproxy/local", "strategy": "canary/default", "config": {"steps": [10, 50]}})
}

fn documents() -> Vec<Kept> {
    let now = START.to_string();
    let plugin = json!({"name": "canary", "version": "1.0.0", "digest": "sha256:00"});
    let replica = json!({"name": "shop-1", "revision": "r1", "phase": "healthy", "weight": 256, "responses": 10,
        "failures": 0, "message": ""});
    vec![
        kept::<Alert>(
            Alert::COLLECTION,
            "one",
            json!({
                "fingerprint": "one", "rule": "cpu", "state": "firing", "severity": "high", "labels": {"alertname": "cpu"},
                "summary": "busy", "reason": "97 > 90", "value": 97.0, "active_at": now, "fired_at": now, "resolved_at": null,
                "missing_since": null, "no_data": false, "last_evaluated": now, "plugin": plugin, "runbook": "health"
            }),
        ),
        kept::<Silence>(
            Silence::COLLECTION,
            "one",
            json!({
                "id": "one", "matchers": ["team=\"db\""], "starts_at": now, "ends_at": START.plus(Span::from_secs(3600)),
                "updated_at": now, "created_by": "ann", "comment": "work"
            }),
        ),
        kept::<Incident>(
            Incident::COLLECTION,
            "one",
            json!({
                "id": "one", "key": "cpu", "title": "cpu", "state": "open", "severity": "high", "opened_at": now,
                "acknowledged_at": null, "acknowledged_by": null, "resolved_at": null, "resolved_by": null,
                "members": [{"fingerprint": "one", "name": "cpu", "severity": "high", "labels": {}, "summary": "busy",
                    "active_at": now, "resolved_at": null}],
                "timeline": [{"at": now, "principal": "host", "text": "opened"}], "runbooks": ["health"]
            }),
        ),
        kept::<Scan>(
            Scan::COLLECTION,
            "one",
            json!({
                "id": "one", "name": "default", "state": "partial", "principal": "host", "started_at": now, "finished_at": now,
                "files": 3, "urls": 0, "skipped": 1, "findings": {"high": 1}, "new_findings": 1, "fixed_findings": 0,
                "rules": [plugin], "errors": ["a"]
            }),
        ),
        kept::<Finding>(
            Finding::COLLECTION,
            "default/secrets/files/one",
            json!({
                "id": "default/secrets/files/one", "scan": "one", "scan_name": "default", "instance": "secrets/files",
                "rule": "private-key", "title": "A private key", "severity": "critical", "message": "m", "remediation": "r",
                "subject": "a.pem", "line": 1, "column": 1, "cwe": 798, "fingerprint": "f", "state": "open", "first_seen": now,
                "last_seen": now, "plugin": plugin
            }),
        ),
        kept::<Deployment>(
            Deployment::COLLECTION,
            "one",
            json!({
                "id": "one", "service": "shop", "spec": service(), "stable": "r1", "candidate": "r2", "state": "succeeded",
                "principal": "operator", "started_at": now, "finished_at": now, "deadline": now, "weight": 100,
                "replicas": [replica], "baseline": [replica], "baseline_at": now,
                "moves": [{"at": now, "decided": {"move": "weight", "percent": 10}, "reason": "first", "plugin": plugin,
                    "analysis": {"since": now, "responses": 1, "failures": 0, "stable_responses": 1, "stable_failures": 0}}],
                "in_flight": [{"effect": "eff_1", "step": {"step": "drain", "replica": "shop-1"}, "done": true}],
                "promoted": false, "strategy_state": [1, 2], "next_look": now, "started_replicas": 1, "error": null
            }),
        ),
        kept::<ServiceRecord>(
            ServiceRecord::COLLECTION,
            "shop",
            json!({
                "service": "shop", "stable": "r2", "since": now, "deployment": null
            }),
        ),
        kept::<Run>(
            Run::COLLECTION,
            "one",
            json!({
                "id": "one", "runbook": "health", "spec": runbook(), "state": "failed", "dry_run": false, "inputs": {"depth": 2},
                "principal": "operator", "cause": null, "started_at": now, "finished_at": now, "deadline": now,
                "steps": [{"name": "look", "action": "http/local", "state": "failed", "effect": "eff_1", "started_at": now,
                    "finished_at": now, "attempts": 1, "inputs": {}, "outputs": null, "error": "refused", "plugin": null}],
                "error": "a step failed"
            }),
        ),
        kept::<SloStatus>(
            SloStatus::COLLECTION,
            "one",
            json!({
                "name": "one", "spec": {"calculator": "availability/default", "select": {"metric": "up"}}, "state": "no-data",
                "attainment": {"adjusted": {"good": 0.0, "total": 0.0, "attained": null}, "raw": {"good": 0.0, "total": 0.0,
                    "attained": null}, "met": null, "budget_left": null},
                "from": now, "to": now, "calculated_at": now, "plugin": plugin, "error": null
            }),
        ),
        kept::<Notification>(
            Notification::COLLECTION,
            "one",
            json!({
                "id": "one", "route": "all", "instance": "webhook/ops", "event_type": "incident.opened", "subject": "inc_1",
                "title": "cpu", "state": "delivered", "created_at": now, "finished_at": now, "attempts": 1, "error": null
            }),
        ),
        kept::<Version>(
            Version::COLLECTION,
            "one",
            json!({"id": "one", "digest": "sha256:0", "applied_at": now, "principal": "operator", "value": {"log": {}}}),
        ),
        (DEAD_LETTERS, "one", json!({"why": "unknown"})),
    ]
}

/// A dead letter that can be taken up again. Nobody is there to carry it out.
pub(crate) fn letter() -> Value {
    let now = START.to_string();
    json!({"kind": "effect", "at": now, "reason": "gone", "attempts": 1, "effect": {
        "id": "eff_1", "owner": "eff_1", "purpose": "notification", "instance": "webhook/gone", "class": "at-least-once",
        "ordering_key": "x", "backoff": {"first": "1s", "cap": "5m", "attempts": 40}, "expires": now,
        "action": {"do": "notify", "message": {"event_type": "custom.a", "subject": "s", "title": "t", "body": "",
            "severity": "high", "labels": {}, "at": now, "url": "", "data": {}}}}})
}
