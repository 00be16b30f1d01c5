//! A message as a group of alerts, in the shape of Alertmanager's webhook (version 4). What the host sends about groups of alerts has
//! it already; what is about a single event becomes a group of one.

use quarterdeck_sdk::notifier::Message;
use quarterdeck_sdk::serde::de::IgnoredAny;
use quarterdeck_sdk::serde::{Deserialize, Serialize};
use quarterdeck_sdk::serde_json::Value;
use quarterdeck_sdk::{json, serde_json};
use std::collections::BTreeMap;

use crate::time;

/// How Alertmanager writes a time that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What happened with a thing when nothing has to be done about it any more.
const ENDS: [&str; 6] = ["resolved", "recovered", "fixed", "ignored", "promoted", "removed"];

/// Names and values, in the order of the names.
pub type Labels = BTreeMap<String, String>;

/// Alertmanager's webhook payload, version 4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde", rename_all = "camelCase", default)]
pub struct Group {
    /// The route.
    pub receiver: String,
    /// `firing` as long as one of the alerts does, else `resolved`.
    pub status: String,
    /// Those that fire and those that have ended.
    pub alerts: Vec<Alert>,
    /// Labels that the group is made by.
    pub group_labels: Labels,
    /// Labels that all alerts share.
    pub common_labels: Labels,
    /// Annotations that all alerts share.
    pub common_annotations: Labels,
    /// Where this host's pages are.
    #[serde(rename = "externalURL")]
    pub external_url: String,
    /// The same for every message about this group.
    pub group_key: String,
    /// Alerts that were left out.
    pub truncated_alerts: u64,
    /// `4`.
    pub version: String,
}

/// One alert of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde", rename_all = "camelCase", default)]
pub struct Alert {
    /// `firing` or `resolved`.
    pub status: String,
    /// With `alertname`.
    pub labels: Labels,
    /// `summary`, `description` and the like.
    pub annotations: Labels,
    /// RFC 3339.
    pub starts_at: String,
    /// RFC 3339; of the year 1 while it fires.
    pub ends_at: String,
    /// Where it comes from.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// The same for the same labels.
    pub fingerprint: String,
}

impl Default for Group {
    fn default() -> Self {
        Group {
            receiver: String::new(),
            status: "firing".to_owned(),
            alerts: Vec::new(),
            group_labels: Labels::new(),
            common_labels: Labels::new(),
            common_annotations: Labels::new(),
            external_url: String::new(),
            group_key: String::new(),
            truncated_alerts: 0,
            version: "4".to_owned(),
        }
    }
}

impl Alert {
    /// True while nothing says that it has ended.
    pub fn is_firing(&self) -> bool {
        self.status != "resolved"
    }

    /// `alertname`, as a rule.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }

    /// What it says of itself in one line.
    pub fn summary(&self) -> &str {
        let annotation = |name: &str| self.annotations.get(name).map(String::as_str).filter(|text| !text.is_empty());
        annotation("summary")
            .or_else(|| annotation("message"))
            .or_else(|| annotation("description"))
            .unwrap_or_default()
    }
}

impl Group {
    /// Of any message.
    pub fn of(message: &Message) -> Group {
        if is_group(message)
            && let Ok(group) = json::from_str::<Group>(&message.data)
        {
            return group;
        }
        of_one(message)
    }

    /// The JSON that the message holds already, where it is about a group: to be handed on as it is.
    pub fn of_host(message: &Message) -> Option<&str> {
        #[derive(Deserialize)]
        #[serde(crate = "quarterdeck_sdk::serde")]
        struct Shape {
            version: String,
            #[serde(rename = "alerts")]
            _alerts: Vec<IgnoredAny>,
        }

        let is_payload = || json::from_str::<Shape>(&message.data).is_ok_and(|shape| shape.version == "4");
        (is_group(message) && is_payload()).then_some(message.data.as_str())
    }

    /// True as long as one of the alerts fires.
    pub fn is_firing(&self) -> bool {
        self.status != "resolved"
    }

    /// Those that fire.
    pub fn firing(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter(|alert| alert.is_firing())
    }

    /// Those that have ended.
    pub fn resolved(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter(|alert| !alert.is_firing())
    }

    /// Keeps so many of the alerts, and counts what it leaves out.
    pub fn truncate(&mut self, keep: usize) {
        let left_out = self.alerts.len().saturating_sub(keep);
        self.alerts.truncate(keep);
        self.truncated_alerts = self.truncated_alerts.saturating_add(u64::try_from(left_out).unwrap_or(u64::MAX));
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Whether the message is about a group of alerts, and not about a single event.
pub fn is_group(message: &Message) -> bool {
    message.event_type.starts_with("alerts.")
}

/// Whether a type of events says that something has ended well.
fn is_end(event_type: &str) -> bool {
    event_type.rsplit('.').next().is_some_and(|what| ENDS.contains(&what))
}

fn of_one(message: &Message) -> Group {
    let data: Value = json::from_str(&message.data).unwrap_or_default();
    let text = |name: &str| data.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut labels: Labels = message.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    labels.entry("alertname".to_owned()).or_insert_with(|| text("rule").unwrap_or(&message.event_type).to_owned());
    labels.entry("severity".to_owned()).or_insert_with(|| message.severity.as_str().to_owned());
    let mut annotations: Labels = match data.get("annotations") {
        Some(Value::Object(own)) => {
            own.iter().filter_map(|(name, v)| Some((name.clone(), v.as_str()?.to_owned()))).collect()
        }
        _ => Labels::new(),
    };
    annotations.entry("summary".to_owned()).or_insert_with(|| message.title.clone());
    if !message.body.is_empty() {
        annotations.entry("description".to_owned()).or_insert_with(|| message.body.trim_end().to_owned());
    }
    let at = time::rfc3339(message.at_ms);
    let started = ["active_at", "opened_at", "started_at"].into_iter().find_map(text);
    let (status, ends_at) = match is_end(&message.event_type) {
        true => ("resolved", text("resolved_at").unwrap_or(&at).to_owned()),
        false => ("firing", NEVER.to_owned()),
    };
    let topic = message.event_type.split('.').next().unwrap_or_default();
    let alertname = labels.get("alertname").cloned().unwrap_or_default();
    let fingerprint = text("fingerprint").map_or_else(|| fingerprint(&labels, &message.subject), str::to_owned);
    let external_url = message.url.split_once("/api/").map_or(message.url.as_str(), |(host, _)| host);
    Group {
        status: status.to_owned(),
        group_labels: Labels::from([("alertname".to_owned(), alertname)]),
        common_labels: labels.clone(),
        common_annotations: annotations.clone(),
        external_url: external_url.to_owned(),
        // Not the type: what ends a thing has to find what began it.
        group_key: format!("{{}}/{{topic={topic:?}}}:{{subject={:?}}}", message.subject),
        alerts: vec![Alert {
            status: status.to_owned(),
            labels,
            annotations,
            starts_at: started.unwrap_or(&at).to_owned(),
            ends_at,
            generator_url: message.url.clone(),
            fingerprint,
        }],
        ..Group::default()
    }
}

/// Sixteen hexadecimal digits of what makes it this one (FNV-1a, as Alertmanager's fingerprints are).
fn fingerprint(labels: &Labels, subject: &str) -> String {
    let parts = labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).chain([subject]);
    let hash = parts
        .flat_map(|part| part.bytes().chain([0xff]))
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{firing, group, group_json};

    #[test]
    fn a_group_comes_as_it_was_sent() {
        let message = group("alerts.firing");
        let sent: Value = serde_json::from_str(&message.data).unwrap();
        assert_eq!(Group::of(&message).to_json(), sent);
        assert_eq!(sent, group_json("firing"));
        assert_eq!(Group::of_host(&message), Some(message.data.as_str()));
        assert_eq!(Group::of_host(&firing()), None, "a single event");
        for data in [r#"{"version":"4"}"#, r#"{"version":"5","alerts":[]}"#, r#"{"version":"4","alerts":{}}"#, "{"] {
            assert_eq!(Group::of_host(&Message { data: data.into(), ..group("alerts.firing") }), None, "{data}");
        }
    }

    #[test]
    fn a_single_event_is_a_group_of_one() {
        let message = firing();
        let group = Group::of(&message);
        assert_eq!((group.status.as_str(), group.version.as_str(), group.alerts.len()), ("firing", "4", 1));
        let alert = &group.alerts[0];
        assert_eq!(alert.labels["alertname"], "cpu-high");
        assert_eq!(alert.labels["severity"], "critical");
        assert_eq!(alert.annotations["summary"], "[FIRING CRITICAL] The CPU is 97 % busy");
        assert_eq!(alert.starts_at, "2026-01-02T03:00:00Z");
        assert_eq!(alert.ends_at, NEVER);
        assert_eq!(alert.fingerprint, "00f1");
        assert_eq!(group.external_url, "http://quarterdeck");
    }

    #[test]
    fn what_ends_a_thing_has_the_key_of_what_began_it() {
        let began = Group::of(&firing());
        let ended = Group::of(&Message {
            event_type: "alert.resolved".into(),
            data: r#"{"resolved_at":"2026-01-02T03:09:00Z"}"#.into(),
            ..firing()
        });
        assert_eq!((began.group_key, "resolved"), (ended.group_key.clone(), ended.status.as_str()));
        assert_eq!(ended.alerts[0].ends_at, "2026-01-02T03:09:00Z");
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let mut group = Group::of(&group("alerts.firing"));
        group.truncate(1);
        assert_eq!((group.alerts.len(), group.truncated_alerts), (1, 1));
    }

    #[test]
    fn data_that_is_no_group_is_told_as_a_single_event() {
        let group = Group::of(&Message { data: "not JSON".into(), ..group("alerts.firing") });
        assert_eq!(group.alerts.len(), 1);
    }
}
