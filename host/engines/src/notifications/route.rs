//! Which routes an event takes. All that match; an instance that several of them name is told once.

use crate::alerting::silence::Silences;
use quarterdeck_model::domain::notification::{Notification, RouteSpec};
use quarterdeck_model::event::{Event, EventFilter};
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::{Severity, Timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Events that are never told to anyone, whatever a route says. That a message was given up on is told, to others than its recipient;
/// that this did not arrive either is not.
pub fn is_silent(event: &Event) -> bool {
    if event.event_type == Notification::FAILED {
        return event.data.get("event_type").and_then(Value::as_str) == Some(Notification::FAILED);
    }
    !RouteSpec::may_tell(&event.event_type)
}

/// Whether an event is about one alert: those are what silences are for.
pub fn is_of_an_alert(event: &Event) -> bool {
    event.event_type.starts_with("alert.")
}

/// Whether somebody does not want to hear of it now. What is held back is not told later.
pub fn is_silenced(event: &Event, silences: &Silences, now: Timestamp) -> bool {
    is_of_an_alert(event) && !silences.silencing(&labels(event), now).is_empty()
}

/// Who can't be told of it: whoever did not take the message.
fn deaf(event: &Event) -> Option<&str> {
    let failed = event.event_type == Notification::FAILED;
    event.data.get("instance").and_then(Value::as_str).filter(|_| failed)
}

/// `(route, notifier instance)`, in the order of the routes' names.
pub fn matching<'a>(routes: &'a BTreeMap<String, RouteSpec>, event: &Event) -> Vec<(&'a str, &'a InstanceName)> {
    // Most events are for nobody: what they say is looked at where a route takes events of their type.
    // An empty list is a route that nobody finished, not one for everything.
    let wants = |route: &RouteSpec| !route.events.is_empty() && EventFilter::types(route.events.clone()).matches(event);
    let wanting: Vec<_> = routes.iter().filter(|(_, route)| wants(route)).collect();
    if wanting.is_empty() || is_silent(event) {
        return Vec::new();
    }
    let (severity, labels) = (severity(event), labels(event));
    let mut told: BTreeSet<&str> = deaf(event).into_iter().collect();
    let mut matching = Vec::new();
    for (name, route) in wanting {
        if severity <= route.minimum_severity && labels.includes(&route.labels) {
            let fresh = route.notify.iter().filter(|instance| told.insert(instance.as_str()));
            matching.extend(fresh.map(|instance| (name.as_str(), instance)));
        }
    }
    matching
}

/// The event's severity: its data's, or what its type implies.
pub fn severity(event: &Event) -> Severity {
    let field = event.data.get("severity");
    if let Some(severity) = field.and_then(|value| serde_json::from_value(value.clone()).ok()) {
        return severity;
    }
    let state = event.data.get("state").and_then(Value::as_str).unwrap_or_default();
    match event.event_type.as_str() {
        "slo.breached" => Severity::High,
        // It waits for a person, and nobody is served worse by it.
        "deployment.paused" => Severity::Medium,
        "health.changed" => match state {
            "failed" => Severity::High,
            "degraded" => Severity::Medium,
            _ => Severity::Info,
        },
        _ if state.contains("failed") || state.contains("rolled-back") => Severity::High,
        _ => Severity::Info,
    }
}

/// The event's labels; `subject` stands for what it is about.
pub fn labels(event: &Event) -> Labels {
    let field = event.data.get("labels");
    field.and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Timestamp;
    use quarterdeck_model::id::IdSource;
    use serde_json::json;

    fn event(event_type: &str, data: Value) -> Event {
        Event::new(&IdSource::seeded(1), Timestamp::from_millis(0), event_type, "s").data(data)
    }

    fn check(route: Value, event: &Event, expected: bool) {
        let routes = [("r".to_owned(), serde_json::from_value(route.clone()).unwrap())].into();
        assert_eq!(!matching(&routes, event).is_empty(), expected, "{route} {}", event.event_type);
    }

    #[test]
    fn a_route_takes_events_by_type_severity_and_labels() {
        let firing = event("alert.firing", json!({"severity": "medium", "labels": {"team": "a"}}));
        check(json!({"events": ["alert"], "notify": ["log/x"]}), &firing, true);
        check(json!({"events": ["alert."], "notify": ["log/x"]}), &firing, true);
        check(json!({"events": ["alert.resolved"], "notify": ["log/x"]}), &firing, false);
        check(json!({"events": [], "notify": ["log/x"]}), &firing, false);
        check(json!({"events": ["alert"], "notify": ["log/x"], "minimum-severity": "medium"}), &firing, true);
        check(json!({"events": ["alert"], "notify": ["log/x"], "minimum-severity": "high"}), &firing, false);
        check(json!({"events": ["alert"], "notify": ["log/x"], "labels": {"team": "a"}}), &firing, true);
        check(json!({"events": ["alert"], "notify": ["log/x"], "labels": {"team": "b"}}), &firing, false);
        check(json!({"events": ["alert"], "notify": ["log/x"], "labels": {"zone": ""}}), &firing, true);
    }

    #[test]
    fn what_a_silence_matches_is_not_told_of_an_alert_while_it_is_active_and_other_events_are() {
        let silence = serde_json::from_value(json!({
            "id": "s", "matchers": ["alertname=\"cpu-high\""], "created_by": "a", "comment": "",
            "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-01-01T01:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        }));
        let silences = Silences::new([silence.unwrap()]);
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let of = |event_type: &str, name: &str| event(event_type, json!({"labels": {"alertname": name}}));
        for (event_type, name, now, expected) in [
            ("alert.firing", "cpu-high", "2026-01-01T00:30:00Z", true),
            ("alert.resolved", "cpu-high", "2026-01-01T00:30:00Z", true),
            ("alert.firing", "memory-high", "2026-01-01T00:30:00Z", false),
            ("alert.firing", "cpu-high", "2026-01-01T01:30:00Z", false),
            ("incident.opened", "cpu-high", "2026-01-01T00:30:00Z", false),
        ] {
            let silenced = is_silenced(&of(event_type, name), &silences, at(now));
            assert_eq!(silenced, expected, "{event_type} {name} {now}");
        }
    }

    #[test]
    fn a_deployment_that_waits_for_a_person_is_more_than_for_information() {
        let paused = event("deployment.paused", json!({"state": "paused", "reason": "look at it"}));
        check(
            json!({"events": ["deployment.paused"], "notify": ["log/x"], "minimum-severity": "medium"}),
            &paused,
            true,
        );
        check(json!({"events": ["deployment"], "notify": ["log/x"], "minimum-severity": "high"}), &paused, false);
    }

    #[test]
    fn telling_is_never_told() {
        for silent in ["notification.delivered", "effect.failed", "audit.call", "dead-letter.added"] {
            let topic = silent.split('.').next().unwrap();
            check(json!({"events": [topic, silent], "notify": ["log/x"]}), &event(silent, json!({})), false);
        }
    }

    #[test]
    fn a_message_that_was_given_up_on_is_told_to_others_than_its_recipient_and_only_once() {
        let failed = |about: &str| {
            event("notification.failed", json!({"instance": "webhook/a", "event_type": about, "state": "failed"}))
        };
        let route =
            |notify: Value| json!({"events": ["notification.failed"], "notify": notify, "minimum-severity": "high"});
        check(route(json!(["webhook/b"])), &failed("alert.firing"), true);
        check(route(json!(["webhook/a"])), &failed("alert.firing"), false);
        check(route(json!(["webhook/b"])), &failed("notification.failed"), false);
        let routes = [("r".to_owned(), serde_json::from_value(route(json!(["webhook/a", "log/x"]))).unwrap())].into();
        assert_eq!(matching(&routes, &failed("alert.firing")), [("r", &InstanceName::from("log/x"))]);
    }

    #[test]
    fn an_instance_that_two_routes_name_is_told_once() {
        let route: RouteSpec =
            serde_json::from_value(json!({"events": ["alert"], "notify": ["log/x", "log/x"]})).unwrap();
        let routes = [("a".to_owned(), route.clone()), ("b".to_owned(), route)].into();
        let taken = matching(&routes, &event("alert.firing", json!({})));
        assert_eq!(taken, [("a", &InstanceName::from("log/x"))]);
    }
}
