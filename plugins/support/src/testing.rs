//! Messages for the tests of plugins, and a host that answers with one status.

use quarterdeck_sdk::http::{self, Request, Response};
use quarterdeck_sdk::notifier::Message;
use quarterdeck_sdk::serde_json::{Value, json};
use quarterdeck_sdk::testing::FakeHost;
use quarterdeck_sdk::{Labels, Severity};
use std::cell::RefCell;
use std::rc::Rc;

/// An alert that fires.
pub fn firing() -> Message {
    Message {
        event_type: "alert.firing".into(),
        subject: "00f1".into(),
        title: "[FIRING CRITICAL] The CPU is 97 % busy".into(),
        body: "Reason: above 95\nValue: 97\n".into(),
        severity: Severity::Critical,
        labels: Labels::new().with("alertname", "cpu-high").with("instance", "a<b>&c"),
        at_ms: 1_767_323_045_678,
        url: "http://quarterdeck/api/v1/alerts/00f1".into(),
        data: r#"{"fingerprint":"00f1","rule":"cpu-high","value":97,"active_at":"2026-01-02T03:00:00Z"}"#.into(),
    }
}

/// A group with an alert that fires and one that does so only with `status` `firing`.
pub fn group_json(status: &str) -> Value {
    let alert = |instance: &str, status: &str| {
        json!({
            "status": status,
            "labels": {"alertname": "DiskFull", "instance": instance, "severity": "high"},
            "annotations": {"summary": format!("the disk of {instance} is full")},
            "startsAt": "2026-01-02T03:00:00Z",
            "endsAt": if status == "firing" { "0001-01-01T00:00:00Z" } else { "2026-01-02T04:00:00Z" },
            "generatorURL": "http://quarterdeck/graph",
            "fingerprint": instance,
        })
    };
    json!({
        "receiver": "ops",
        "status": status,
        "alerts": [alert("a", status), alert("b", "resolved")],
        "groupLabels": {"alertname": "DiskFull"},
        "commonLabels": {"alertname": "DiskFull", "severity": "high"},
        "commonAnnotations": {},
        "externalURL": "http://quarterdeck",
        "groupKey": "{}:{alertname=\"DiskFull\"}",
        "truncatedAlerts": 0,
        "version": "4",
    })
}

/// A group's message: `alerts.firing` or `alerts.resolved`.
pub fn group(event_type: &str) -> Message {
    let status = event_type.rsplit('.').next().unwrap_or_default();
    Message {
        event_type: event_type.into(),
        subject: "{}:{alertname=\"DiskFull\"}".into(),
        title: "DiskFull".into(),
        body: String::new(),
        severity: Severity::High,
        labels: Labels::new().with("alertname", "DiskFull"),
        at_ms: 1_767_323_045_678,
        url: "http://quarterdeck/alerts".into(),
        data: group_json(status).to_string(),
    }
}

/// What was sent to a host of [`answering`].
pub type Seen = Rc<RefCell<Vec<Request>>>;

/// A host that answers every request so, and what it was sent.
pub fn answering(status: u16, headers: &[(&str, &str)], body: &str) -> (FakeHost, Seen) {
    let seen = Seen::default();
    let (kept, body) = (Rc::clone(&seen), body.as_bytes().to_vec());
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let host = FakeHost {
        http: Some(Box::new(move |request| {
            kept.borrow_mut().push(request.clone());
            Ok(Response { status, headers: headers.clone(), body: body.clone(), truncated: false })
        })),
        ..FakeHost::default()
    };
    (host, seen)
}

/// A host whose requests fail so.
pub fn failing(error: http::Error) -> FakeHost {
    FakeHost { http: Some(Box::new(move |_| Err(error.clone()))), ..FakeHost::default() }
}

/// The first request's body as JSON.
///
/// # Panics
/// There is none, or it is no JSON.
#[expect(clippy::expect_used, reason = "only tests call it")]
pub fn sent_json(seen: &Seen) -> Value {
    let seen = seen.borrow();
    let request = seen.first().expect("a request was sent");
    quarterdeck_sdk::serde_json::from_slice(&request.body).expect("its body is JSON")
}

/// The first request's header.
pub fn sent_header(seen: &Seen, name: &str) -> Option<String> {
    let seen = seen.borrow();
    let headers = &seen.first()?.headers;
    headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
}
