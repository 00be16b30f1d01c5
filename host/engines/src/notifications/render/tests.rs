use super::*;
use quarterdeck_model::id::IdSource;
use serde_json::json;

fn event(event_type: &str, subject: &str, data: Value) -> Event {
    Event::new(&IdSource::seeded(1), Timestamp::from_millis(1_763_942_400_000), event_type, subject).data(data)
}

fn alert(state: &str) -> Value {
    json!({
        "fingerprint": "f1", "rule": "disk-full", "state": state, "severity": "critical",
        "labels": {"alertname": "disk-full", "mount": "/"}, "summary": "/ is 97.5 % full", "reason": "97.5 > 90",
        "value": 97.5, "active_at": "2025-11-24T00:00:00.000Z", "fired_at": null, "resolved_at": null,
        "missing_since": null, "no_data": false, "last_evaluated": "2025-11-24T00:00:00.000Z", "plugin": null,
        "runbook": "clean-up"
    })
}

#[test]
fn an_alert_says_what_is_wrong_where_and_what_helps() {
    let message = message(&event("alert.firing", "f1", alert("firing")), "http://host:7700");
    assert_eq!(message.title, "[FIRING CRITICAL] / is 97.5 % full");
    assert_eq!(message.url, "http://host:7700/api/v1/alerts/f1");
    assert_eq!(message.severity, quarterdeck_model::Severity::Critical);
    assert_eq!(message.labels.get("mount"), Some("/"));
    assert_eq!(
        message.body,
        "Reason: 97.5 > 90\nValue: 97.5\nLabels: {alertname=\"disk-full\",mount=\"/\"}\n\
         Active since: 2025-11-24T00:00:00.000Z\nRunbook: clean-up\n"
    );
}

#[test]
fn a_resolved_alert_says_so_first() {
    let message = message(&event("alert.resolved", "f1", alert("resolved")), "");
    assert_eq!(message.title, "[RESOLVED] / is 97.5 % full");
}

#[test]
fn data_of_another_shape_still_makes_a_message() {
    for topic in ["alert.firing", "incident.opened", "scan.finished", "run.finished", "slo.breached", "finding.opened"]
    {
        let message = message(&event(topic, "x", json!({"summary": "hello", "n": 3})), "");
        assert_eq!(message.title, format!("[{topic}] hello"));
        assert_eq!(message.body, "n: 3\nsummary: hello\n");
    }
    assert_eq!(message(&event("custom.thing", "x", json!([])), "").title, "[custom.thing] x");
}

#[test]
fn a_title_has_one_bounded_line() {
    let long = "a\nb".repeat(500);
    let message = message(&event("custom.thing", "x", json!({"title": long})), "");
    assert_eq!(message.title.chars().count(), 200);
    assert!(!message.title.contains('\n'));
}

fn said(event_type: &str, subject: &str, data: Value) -> (String, String) {
    let message = message(&event(event_type, subject, data).principal("ann"), "");
    (message.title, message.body)
}

/// As `scans` tells it.
#[test]
fn a_scan_is_told_by_its_name_and_what_was_found() {
    let data = json!({"name": "repository", "state": "succeeded", "files": 12, "urls": 1, "skipped": 0, "errors": 0,
        "findings": {"critical": 1, "low": 2}, "new_findings": 1, "fixed_findings": 4,
        "pages": [{"url": "https://a.test/", "score": 80, "grade": "B+"}]});
    let (title, body) = said("scan.finished", "scan_1", data);
    assert_eq!(title, "[SCAN SUCCEEDED] repository: 3 findings, 1 new, 4 fixed");
    assert_eq!(body, "Scan: scan_1\ncritical: 1\nlow: 2\nLooked at: 12 files, 1 pages\nGrade: B+ https://a.test/\n");
    assert_eq!(said("scan.started", "scan_1", json!({"name": "repository"})).0, "[SCAN STARTED] repository");
}

/// As `runbooks` tells it.
#[test]
fn a_run_is_told_by_its_runbook_and_how_it_ended() {
    let data =
        json!({"runbook": "clean-up", "state": "failed", "cause": "inc_1", "dry_run": false, "error": "`df` failed"});
    let (title, body) = said("run.finished", "run_1", data);
    assert_eq!(title, "[RUN FAILED] clean-up");
    assert_eq!(body, "Run: run_1\nStarted by: ann\nFor: inc_1\nError: `df` failed\n");
    let step = json!({"runbook": "clean-up", "step": "measure", "state": "succeeded", "attempts": 1, "error": null});
    assert_eq!(said("run.step", "run_1", step).0, "[RUN SUCCEEDED] clean-up, step measure");
    let dry = json!({"runbook": "clean-up", "state": "planned", "cause": null, "dry_run": true, "error": null});
    assert_eq!(said("run.finished", "run_1", dry).0, "[DRY RUN PLANNED] clean-up");
}

/// As `deployments` tells it.
#[test]
fn a_deployment_is_told_by_its_service_and_what_happens_to_it() {
    let data = |state: &str, more: Value| {
        let mut data = json!({"service": "web", "stable": "v1", "candidate": "v2", "state": state, "weight": 20});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    let title = |event_type: &str, data: Value| said(event_type, "dep_1", data).0;
    assert_eq!(title("deployment.started", data("progressing", json!({}))), "[DEPLOYMENT STARTED] web v2");
    let moved = json!({"move": {"move": "weight", "percent": 20}, "reason": "all replicas are healthy"});
    assert_eq!(
        title("deployment.moved", data("progressing", moved)),
        "[DEPLOYMENT MOVED] web v2: gets 20 % of the traffic"
    );
    let paused = data("paused", json!({"reason": "look at it"}));
    assert_eq!(title("deployment.paused", paused), "[DEPLOYMENT PAUSED] web v2: look at it");
    assert_eq!(title("deployment.promoted", data("progressing", json!({"by": "ben"}))), "[DEPLOYMENT PROMOTED] web v2");
    let finished =
        event("deployment.finished", "dep_1", data("rolled-back", json!({"error": "12 % of responses failed"})));
    let message = message(&finished, "");
    assert_eq!(message.title, "[DEPLOYMENT ROLLED-BACK] web v2: 12 % of responses failed");
    assert_eq!(message.severity, quarterdeck_model::Severity::High);
    assert_eq!(
        message.body,
        "Deployment: dep_1\nFrom: v1\nTo: v2\nShare of the traffic: 20 %\nError: 12 % of responses failed\nStarted by: host\n"
    );
}
