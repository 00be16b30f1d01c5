//! A message that is too large to be kept as it is. Pure.

use crate::size::{self, encoded};
use quarterdeck_model::kind::notifier::Message;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The message, if it takes at most so many bytes in JSON; else as much of it as does. Of a group, some of the alerts are left, and it says
/// how many are not; what else is in its data goes as a whole.
pub(crate) fn shortened(mut message: Message, room: usize) -> Message {
    if encoded(&message) <= room {
        return message;
    }
    let part = room / 16;
    message.title = size::cut_visibly(&message.title, part);
    message.subject = size::cut(&message.subject, part).to_owned();
    message.url = size::cut(&message.url, part).to_owned();
    message.labels = size::labels(&message.labels, part);
    message.body = size::cut_visibly(&message.body, room / 4);
    let left_out = message.data.as_object_mut().and_then(|data| cut_group(data, room / 4, part));
    if let Some(left_out) = left_out.filter(|left_out| *left_out > 0) {
        // A text takes anything that is written to it.
        let _ = write!(
            message.body,
            "\n({left_out} alerts are not in this message: it was too large to be kept as a whole.)"
        );
    }
    if encoded(&message) > room {
        message.data = json!({});
    }
    message
}

/// Leaves as many alerts as fit, and counts the others; `None`: it is no group.
fn cut_group(data: &mut Map<String, Value>, room: usize, part: usize) -> Option<usize> {
    let Some(Value::Array(alerts)) = data.get_mut("alerts") else { return None };
    let mut left = room;
    let fits = |alert: &&Value| match left.checked_sub(encoded(*alert).saturating_add(1)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    let kept = alerts.iter().take_while(fits).count();
    let left_out = alerts.len().saturating_sub(kept);
    alerts.truncate(kept);
    let before = data.get("truncatedAlerts").and_then(Value::as_u64).unwrap_or_default();
    let all = before.saturating_add(u64::try_from(left_out).unwrap_or(u64::MAX));
    data.insert("truncatedAlerts".to_owned(), json!(all));
    for key in ["groupLabels", "commonLabels", "commonAnnotations"] {
        if data.get(key).is_some_and(|labels| encoded(labels) > part) {
            data.insert(key.to_owned(), json!({}));
        }
    }
    Some(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::label::Labels;
    use quarterdeck_model::{Severity, Timestamp};

    fn message(data: Value, body: &str) -> Message {
        Message {
            event_type: "alerts.resolved".into(),
            subject: "{}:{}".into(),
            title: "[RESOLVED: 90] Down".into(),
            body: body.into(),
            severity: Severity::High,
            labels: Labels::new(),
            at: Timestamp::from_millis(0),
            url: "http://deck".into(),
            data,
        }
    }

    #[test]
    fn a_message_that_fits_stays_as_it_is() {
        let small = message(json!({"alerts": [{"status": "resolved"}]}), "text");
        assert_eq!(shortened(small.clone(), 10_000), small);
    }

    #[test]
    fn a_group_keeps_some_of_its_alerts_and_says_how_many_more_there_are() {
        let alerts: Vec<Value> =
            (0..90).map(|n| json!({"status": "resolved", "labels": {"n": n, "l": "x".repeat(900)}})).collect();
        let large = message(json!({"status": "resolved", "alerts": alerts, "truncatedAlerts": 10}), "text");
        let cut = shortened(large, 32 << 10);
        let kept = cut.data["alerts"].as_array().unwrap().len();
        assert!(encoded(&cut) <= 32 << 10 && (5..20).contains(&kept), "{kept}");
        assert_eq!((&cut.data["truncatedAlerts"], &cut.data["status"]), (&json!(100 - kept), &json!("resolved")));
        assert!(cut.body.contains(&format!("({} alerts are not in this message", 90 - kept)), "{}", cut.body);
    }

    #[test]
    fn what_is_no_group_keeps_its_words() {
        let cut = shortened(message(json!({"text": "x".repeat(50_000)}), &"\u{1}".repeat(50_000)), 16 << 10);
        assert!(encoded(&cut) <= 16 << 10);
        assert_eq!((cut.title.as_str(), &cut.data), ("[RESOLVED: 90] Down", &json!({})));
        assert!(cut.body.ends_with("...") && cut.body.len() > 500, "{}", cut.body.len());
    }
}
