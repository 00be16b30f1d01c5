//! What is told of a group: words for people, and Alertmanager's webhook payload for programs. Pure.

use super::groups::{Tell, starts_at};
use super::key::fingerprint;
use crate::size;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::kind::notifier::Message;
use quarterdeck_model::label::Labels;
use quarterdeck_model::{Severity, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;

pub const FIRING: &str = "alerts.firing";
pub const RESOLVED: &str = "alerts.resolved";

/// Go's time of nothing: what fires has no end.
const NO_TIME: &str = "0001-01-01T00:00:00Z";
/// Bytes of a message in JSON, unless there is less room for it. A document has an end, and so has a chat. Half of them are for alerts;
/// those that don't fit are counted.
pub const ROOM: usize = 512 << 10;
/// Alerts that are named in the text.
const NAMED: usize = 25;
/// A longer key is no subject.
const SUBJECT: usize = 512;

/// An alert as the webhook has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    status: &'static str,
    labels: Labels,
    annotations: Labels,
    starts_at: Timestamp,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

fn status(alert: &Alert) -> &'static str {
    if alert.state == AlertState::Resolved { "resolved" } else { "firing" }
}

/// What is said about it. Rules of this host say it in fields of their own.
pub fn annotations(alert: &Alert) -> Labels {
    if !alert.annotations.is_empty() || alert.posted.is_some() || alert.group.is_some() {
        return alert.annotations.clone();
    }
    let said = [("summary", alert.summary.as_str()), ("description", alert.reason.as_str())];
    let runbook = alert.runbook.as_deref().map(|slug| ("runbook", slug));
    said.into_iter().chain(runbook).filter(|(_, text)| !text.is_empty()).collect()
}

/// Where it was made.
pub(super) fn generator_url(alert: &Alert, public_url: &str) -> String {
    match &alert.posted {
        Some(posted) => posted.generator_url.clone(),
        None => format!("{public_url}/api/v1/alerts/{}", alert.fingerprint),
    }
}

/// `room`: for its labels, its annotations and its URL, each.
fn told(alert: &Alert, public_url: &str, room: usize) -> Told {
    let generator_url = generator_url(alert, public_url);
    let ends_at = alert.resolved_at.filter(|_| alert.state == AlertState::Resolved);
    Told {
        status: status(alert),
        labels: size::labels(&alert.labels, room),
        annotations: size::labels(&annotations(alert), room),
        starts_at: starts_at(alert),
        ends_at: ends_at.map_or_else(|| NO_TIME.to_owned(), |at| at.to_string()),
        // Half a URL leads nowhere.
        generator_url: if size::encoded(&generator_url) > room { String::new() } else { generator_url },
        fingerprint: fingerprint(&alert.labels),
    }
}

/// What all of them have.
fn common(mut all: impl Iterator<Item = Labels>) -> Labels {
    let mut common = all.next().unwrap_or_default();
    for labels in all {
        common.0.retain(|name, value| labels.get(name) == Some(value.as_str()));
    }
    common
}

/// `public_url` has no slash at its end. The message takes about `room` bytes in JSON at most, whatever the alerts are.
pub fn message(tell: &Tell, group_id: &str, public_url: &str, now: Timestamp, room: usize) -> Message {
    let part = room / 16;
    let mut alerts: Vec<&Arc<Alert>> = tell.alerts.iter().collect();
    // Those that fire first, then the oldest, as Alertmanager shows them.
    alerts.sort_by(|a, b| {
        let order = |alert: &Alert| (alert.state == AlertState::Resolved, starts_at(alert));
        (order(a), &a.labels).cmp(&(order(b), &b.labels))
    });
    let firing = alerts.iter().filter(|alert| alert.state == AlertState::Firing).count();
    let resolved = alerts.len().saturating_sub(firing);
    let common_labels = size::labels(&common(alerts.iter().map(|alert| alert.labels.clone())), part);
    let common_annotations = size::labels(&common(alerts.iter().map(|alert| annotations(alert))), part);
    let mut left = room / 2;
    let mut shown: Vec<Value> = Vec::new();
    for alert in &alerts {
        let told = told(alert, public_url, part);
        let Some(rest) = left.checked_sub(size::encoded(&told).saturating_add(1)) else { break };
        let Ok(value) = serde_json::to_value(&told) else { continue };
        left = rest;
        shown.push(value);
    }
    let status = if firing > 0 { "firing" } else { "resolved" };
    let truncated = alerts.len().saturating_sub(shown.len());
    // Whoever tells groups apart by it needs the whole of it, or another name.
    let group_key = if size::encoded(&tell.group_key) <= part { tell.group_key.as_str() } else { group_id };
    let data = json!({
        "version": "4",
        "groupKey": group_key,
        "truncatedAlerts": truncated,
        "status": status,
        "receiver": tell.receiver,
        "groupLabels": size::labels(&tell.group_labels, part),
        "commonLabels": common_labels,
        "commonAnnotations": common_annotations,
        "externalURL": format!("{public_url}/alertmanager"),
        "alerts": shown,
    });
    let worst = |state: AlertState| alerts.iter().filter(move |a| a.state == state).map(|a| a.severity).min();
    let severity = worst(AlertState::Firing).or_else(|| worst(AlertState::Resolved)).unwrap_or(Severity::Medium);
    let url = match alerts.as_slice() {
        [only] => format!("{public_url}/api/v1/alerts/{}", only.fingerprint),
        _ => format!("{public_url}/api/v1/alerts?state=firing"),
    };
    let subject = if tell.group_key.len() <= SUBJECT { tell.group_key.clone() } else { group_id.to_owned() };
    Message {
        event_type: if firing > 0 { FIRING } else { RESOLVED }.to_owned(),
        subject,
        title: title(tell, &alerts, firing, resolved, &common_labels),
        body: body(&alerts, &common_labels, room / 8),
        severity,
        labels: common_labels,
        at: now,
        url,
        data,
    }
}

/// The same about those alone that are over; `None`: it shows none. What it says of others was so when it was made.
pub fn of_ends(mut message: Message) -> Option<Message> {
    if message.event_type != FIRING {
        return Some(message);
    }
    let data = message.data.as_object_mut()?;
    let alerts = data.get_mut("alerts")?.as_array_mut()?;
    alerts.retain(|alert| alert.get("status").and_then(Value::as_str) == Some("resolved"));
    if alerts.is_empty() {
        return None;
    }
    // Those that fire stand first: what was cut off is over.
    let cut_off = data.get("truncatedAlerts").and_then(Value::as_u64).unwrap_or(0);
    let ends = data.get("alerts").and_then(Value::as_array).map_or(0, Vec::len);
    let ends = ends.saturating_add(usize::try_from(cut_off).unwrap_or(usize::MAX));
    data.insert("status".to_owned(), "resolved".into());
    let count = if ends == 1 { String::new() } else { format!(": {ends}") };
    let what = message.title.split_once("] ").map_or("", |(_, what)| what);
    message.title = format!("[RESOLVED{count}] {what}");
    let is_left = |line: &&str| !line.starts_with("- firing ") && !line.starts_with("... and ");
    let mut lines: Vec<String> = message.body.lines().filter(is_left).map(str::to_owned).collect();
    let named = lines.iter().filter(|line| line.starts_with("- resolved ")).count();
    if ends > named {
        lines.push(format!("... and {} more", ends.saturating_sub(named)));
    }
    message.body = lines.join("\n");
    message.event_type = RESOLVED.to_owned();
    Some(message)
}

fn title(tell: &Tell, alerts: &[&Arc<Alert>], firing: usize, resolved: usize, common: &Labels) -> String {
    let state = match (firing, resolved) {
        (1, 0) => "FIRING".to_owned(),
        (0, 1) => "RESOLVED".to_owned(),
        (firing, 0) => format!("FIRING: {firing}"),
        (0, resolved) => format!("RESOLVED: {resolved}"),
        (firing, resolved) => format!("FIRING: {firing}, RESOLVED: {resolved}"),
    };
    let what = match alerts {
        [only] if !only.summary.is_empty() => only.summary.clone(),
        _ => {
            let name = common.get("alertname").map(str::to_owned);
            let mut rest = tell.group_labels.clone();
            rest.0.remove("alertname");
            let rest = (!rest.is_empty()).then(|| rest.to_string());
            let words: Vec<String> = name.into_iter().chain(rest).collect();
            if words.is_empty() { format!("{} alerts", alerts.len()) } else { words.join(" ") }
        }
    };
    let line = format!("[{state}] {what}").replace(['\n', '\r'], " ");
    if line.chars().count() <= 300 { line } else { line.chars().take(297).chain("...".chars()).collect() }
}

/// `room`: in JSON.
fn body(alerts: &[&Arc<Alert>], common: &Labels, room: usize) -> String {
    let mut body = String::new();
    // A text takes anything that is written to it.
    if !common.is_empty() {
        let _ = writeln!(body, "All of them: {}", size::cut_visibly(&common.to_string(), room / 4));
    }
    let mut left = room.saturating_sub(size::encoded(&body));
    let mut named = 0;
    for alert in alerts.iter().take(NAMED) {
        let line = line(alert, common, room / 16);
        let Some(rest) = left.checked_sub(size::encoded(&line)) else { break };
        left = rest;
        named += 1;
        let _ = writeln!(body, "{line}");
    }
    if alerts.len() > named {
        let _ = writeln!(body, "... and {} more", alerts.len() - named);
    }
    body.truncate(body.trim_end().len());
    body
}

fn line(alert: &Alert, common: &Labels, room: usize) -> String {
    let mut own = alert.labels.clone();
    own.0.retain(|name, _| common.get(name).is_none());
    let own = if own.is_empty() { String::new() } else { format!(" {}", size::cut_visibly(&own.to_string(), room)) };
    let when = match alert.resolved_at.filter(|_| alert.state == AlertState::Resolved) {
        Some(at) => format!("from {} to {at}", starts_at(alert)),
        None => format!("since {}", starts_at(alert)),
    };
    let acknowledged = alert.acknowledged_by.as_ref().map(|by| format!(", acknowledged by {by}")).unwrap_or_default();
    let short: String = alert.summary.chars().take(500).collect();
    format!("- {} {short}{own}, {when}{acknowledged}", status(alert))
}

#[cfg(test)]
mod tests {
    use super::super::groups::Reason;
    use super::*;
    use crate::alerting::posted::testing::alert;

    fn tell(alerts: Vec<Alert>) -> Tell {
        Tell {
            group: None,
            group_key: "{}:{alertname=\"Down\"}".into(),
            group_labels: [("alertname", "Down")].into_iter().collect(),
            receiver: "ops".into(),
            only: None,
            reason: Reason::NewAlerts,
            alerts: alerts.into_iter().map(Arc::new).collect(),
            again: Vec::new(),
            of: Vec::new(),
        }
    }

    fn told(alerts: Vec<Alert>) -> Message {
        message(&tell(alerts), "id", "http://deck", Timestamp::from_millis(60_000), ROOM)
    }

    #[test]
    fn a_message_holds_alertmanagers_payload() {
        let mut over = alert(&[("alertname", "Down"), ("job", "b")], 2_000);
        (over.state, over.resolved_at) = (AlertState::Resolved, Some(Timestamp::from_millis(9_000)));
        let message = told(vec![over, alert(&[("alertname", "Down"), ("job", "api")], 1_000)]);
        assert_eq!(message.event_type, FIRING);
        let data = &message.data;
        for (key, expected) in [
            ("version", json!("4")),
            ("status", json!("firing")),
            ("receiver", json!("ops")),
            ("groupKey", json!("{}:{alertname=\"Down\"}")),
            ("groupLabels", json!({"alertname": "Down"})),
            ("commonLabels", json!({"alertname": "Down"})),
            ("commonAnnotations", json!({"summary": "it is down"})),
            ("externalURL", json!("http://deck/alertmanager")),
            ("truncatedAlerts", json!(0)),
        ] {
            assert_eq!(data[key], expected, "{key}");
        }
        let first = json!({"status": "firing", "labels": {"alertname": "Down", "job": "api"},
            "annotations": {"summary": "it is down"}, "startsAt": "1970-01-01T00:00:01.000Z",
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus/graph",
            "fingerprint": "c89fba827b26e2d5"});
        assert_eq!(data["alerts"][0], first);
        assert_eq!(data["alerts"][1]["status"], "resolved");
        assert_eq!(data["alerts"][1]["endsAt"], "1970-01-01T00:00:09.000Z");
    }

    #[test]
    fn a_title_says_it_in_one_line_and_a_body_names_each_alert() {
        let one = told(vec![alert(&[("alertname", "Down"), ("job", "api")], 1_000)]);
        assert_eq!(one.title, "[FIRING] it is down");
        let mut over = alert(&[("alertname", "Down"), ("job", "b")], 2_000);
        (over.state, over.resolved_at) = (AlertState::Resolved, Some(Timestamp::from_millis(9_000)));
        let two = told(vec![over.clone(), alert(&[("alertname", "Down"), ("job", "api")], 1_000)]);
        assert_eq!(two.title, "[FIRING: 1, RESOLVED: 1] Down");
        assert!(two.body.contains("- firing it is down {job=\"api\"}, since 1970-01-01T00:00:01.000Z"), "{}", two.body);
        let end = told(vec![over]);
        assert_eq!((end.title.as_str(), end.event_type.as_str()), ("[RESOLVED] it is down", RESOLVED));
    }

    #[test]
    fn what_is_told_again_of_ends_says_of_nothing_that_it_fires() {
        let over = |n: usize| {
            let mut over = alert(&[("alertname", "Down"), ("n", &n.to_string())], 2_000);
            (over.state, over.resolved_at) = (AlertState::Resolved, Some(Timestamp::from_millis(9_000)));
            over
        };
        let fires = alert(&[("alertname", "Down"), ("n", "up")], 1_000);
        assert_eq!(of_ends(told(vec![fires.clone()])), None);
        let end = told(vec![over(1)]);
        assert_eq!(of_ends(end.clone()), Some(end));
        for (ends, title, more) in [(1, "[RESOLVED] Down", None), (30, "[RESOLVED: 30] Down", Some("... and 6 more"))] {
            let all = (0..ends).map(over).chain([fires.clone()]);
            let message = of_ends(told(all.collect())).unwrap();
            assert_eq!((message.event_type.as_str(), message.title.as_str()), (RESOLVED, title));
            let statuses = message.data["alerts"].as_array().unwrap().iter().map(|alert| alert["status"].clone());
            assert_eq!(statuses.collect::<Vec<_>>(), vec![json!("resolved"); ends]);
            assert_eq!(message.data["status"], "resolved");
            assert!(!message.body.contains("- firing") && message.body.contains("- resolved"), "{}", message.body);
            assert!(more.is_none_or(|more| message.body.ends_with(more)), "{}", message.body);
        }
    }

    #[test]
    fn what_is_too_much_for_one_message_is_counted() {
        let long = "x".repeat(1_000);
        let many = (0..1_000).map(|n| alert(&[("alertname", "Down"), ("n", &n.to_string()), ("long", &long)], n));
        let message = told(many.collect());
        let shown = message.data["alerts"].as_array().unwrap().len();
        assert!(shown > 100 && shown < 1_000, "{shown}");
        assert_eq!(message.data["truncatedAlerts"], 1_000 - shown);
        assert!(message.data.to_string().len() < 512 << 10 && message.body.len() < 64 << 10);
        assert!(message.body.ends_with("and 975 more"));
    }
    #[test]
    fn a_message_fits_into_its_room_whatever_the_alerts_are() {
        // Six bytes of JSON each, and nothing that they share but their name.
        let hostile = "\u{1}".repeat(60_000);
        let large = (0..40).map(|n| {
            let mut alert = alert(&[("alertname", "Down"), ("n", &n.to_string()), ("l", &format!("{hostile}{n}"))], n);
            (alert.summary, alert.acknowledged_by) = (hostile.clone(), Some("ann".into()));
            alert.annotations.insert("summary", hostile.clone());
            alert
        });
        let large: Vec<Alert> = large.collect();
        for room in [ROOM, 64 << 10, 16 << 10] {
            for of in [40, 1] {
                let mut tell = tell(large[..of].to_vec());
                (tell.group_labels, tell.group_key) = (large[0].labels.clone(), hostile.clone());
                let message = message(&tell, "id", "http://deck", Timestamp::from_millis(60_000), room);
                let bytes = size::encoded(&message);
                assert!(bytes < room + 4_000, "{of} alerts: {bytes} of {room}");
                let shown = message.data["alerts"].as_array().unwrap().len();
                assert!(shown >= 1 && message.data["truncatedAlerts"] == of - shown, "{shown} of {of}");
                assert_eq!((&message.data["groupKey"], message.subject.as_str()), (&json!("id"), "id"));
                let named = message.body.lines().filter(|line| line.starts_with("- firing")).count();
                let rest = of - named;
                assert!(rest == 0 || message.body.ends_with(&format!("... and {rest} more")), "{}", message.body);
            }
        }
    }

    #[test]
    fn a_key_that_is_no_subject_but_not_too_long_stays_the_groups_key() {
        let mut tell = tell(vec![alert(&[("alertname", "Down")], 1_000)]);
        tell.group_key = "k".repeat(1_000);
        let message = message(&tell, "id", "http://deck", Timestamp::from_millis(60_000), ROOM);
        assert_eq!((message.data["groupKey"].as_str(), message.subject.as_str()), (Some(&*tell.group_key), "id"));
    }
}
