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

#[test]
fn a_deployment_names_service_and_state() {
    let data = json!({"service": "web", "state": "rolled-back", "reason": "12 % of responses failed"});
    let message = message(&event("deployment.finished", "dep_1", data), "");
    assert_eq!(message.title, "[DEPLOYMENT ROLLED-BACK] web");
    assert_eq!(message.severity, quarterdeck_model::Severity::High);
    assert_eq!(message.body, "Deployment: dep_1\nreason: 12 % of responses failed\n");
}
