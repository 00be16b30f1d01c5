//! Events of PagerDuty (version 2): what fires triggers an alert there, what has ended resolves it, and an acknowledgement here is one
//! there. The deduplication key is that of the thing, so a second delivery, and the end, find the first.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_plugin_support::group::{Group, is_group};
use quarterdeck_plugin_support::template::{self, Renderer};
use quarterdeck_plugin_support::{delivery, time, words};
use quarterdeck_sdk::host::secret;
use quarterdeck_sdk::http::Request;
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::serde_json::{Value, json};
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem, Severity};
use std::collections::BTreeMap;

quarterdeck_sdk::config! {
    /// Configuration of `pagerduty`.
    pub struct Config {
        /// Name of the secret that is the integration's key.
        pub routing_key_secret: String,
        /// Where events go. Others speak the same protocol.
        #[serde(default = "api")]
        pub url: String,
        /// A template of the summary.
        #[serde(default)]
        pub summary: Option<String>,
        /// A template of what is affected. Unless given, the label `instance`, `host` or `service`, or the host itself.
        #[serde(default)]
        pub source: Option<String>,
        /// PagerDuty's word for each of ours: `critical`, `error`, `warning` or `info`.
        #[serde(default)]
        pub severities: BTreeMap<String, String>,
        /// For the whole exchange.
        #[serde(default = "ten_seconds")]
        pub timeout_ms: u64,
    }
}

fn api() -> String {
    "https://events.pagerduty.com/v2/enqueue".to_owned()
}

fn ten_seconds() -> u64 {
    10_000
}

/// What PagerDuty takes at most.
const SUMMARY_BYTES: usize = 1024;
const KEY_BYTES: usize = 255;
/// Alerts whose words go along: an event has at most 512 KB.
const DETAILED: usize = 50;

const OURS: [&str; 5] = ["critical", "high", "medium", "low", "info"];
const SEVERITIES: [&str; 4] = ["critical", "error", "warning", "info"];

/// The plugin.
pub struct Pagerduty;

impl Plugin for Pagerduty {
    type Config = Config;
    const NAME: &'static str = "pagerduty";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Triggers, acknowledges and resolves in PagerDuty";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("http", "sends events to PagerDuty"),
            Capability::required("secret", "fills in the integration's key"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = delivery::check_url("/url", &config.url, None);
        problems.extend(template::check_option("/summary", config.summary.as_ref()));
        problems.extend(template::check_option("/source", config.source.as_ref()));
        for (ours, theirs) in &config.severities {
            if !OURS.contains(&ours.as_str()) || !SEVERITIES.contains(&theirs.as_str()) {
                problems.push(Problem::at(
                    format!("/severities/{ours}"),
                    format!(
                        "`{ours}` can't be `{theirs}`\nhint: one of {} is one of {}",
                        OURS.join(", "),
                        SEVERITIES.join(", ")
                    ),
                ));
            }
        }
        problems
    }
}

impl Notifier for Pagerduty {
    fn notify(config: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        let group = Group::of(message);
        let mut renderer = Renderer::new(message, &group, key);
        let action = action(message, &group);
        let dedup_key = dedup_key(message, &group);
        // What stands for the key: the host fills it in on the way out.
        let routing_key = secret::header_value(&config.routing_key_secret)?;
        let mut event = json!({"routing_key": routing_key, "event_action": action, "dedup_key": dedup_key});
        if action == "trigger"
            && let Value::Object(event) = &mut event
        {
            let details = trigger(config, message, &group, &mut renderer);
            event.extend(details.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        }
        let request = Request::post(&*config.url)
            .timeout_ms(config.timeout_ms)
            .max_body_bytes(delivery::ANSWER_BYTES)
            .header("content-type", "application/json")
            .body(event.to_string());
        let outcome = delivery::send(&request)?.with("event_action", action).with("dedup_key", dedup_key);
        Ok(renderer.receipt(outcome))
    }
}

fn action(message: &Message, group: &Group) -> &'static str {
    match group.is_firing() {
        _ if message.event_type.ends_with(".acknowledged") => "acknowledge",
        true => "trigger",
        false => "resolve",
    }
}

/// Of the thing, and not of the message.
fn dedup_key(message: &Message, group: &Group) -> String {
    let key = if is_group(message) { group.group_key.as_str() } else { message.subject.as_str() };
    if !key.is_empty() && key.len() <= KEY_BYTES {
        return key.to_owned();
    }
    // FNV-1a over 128 bits: two groups that share the beginning of a long key stay two.
    let hash = key.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    format!("quarterdeck-{hash:032x}")
}

fn trigger(config: &Config, message: &Message, group: &Group, renderer: &mut Renderer) -> Value {
    let label = |names: &[&str]| {
        let find = |name: &&str| group.common_labels.get(*name).filter(|value| !value.is_empty()).cloned();
        names.iter().find_map(find)
    };
    let summary = renderer.text("summary", config.summary.as_ref(), || words::title(message, group));
    let source = renderer.text("source", config.source.as_ref(), || {
        label(&["instance", "host", "node", "service"]).unwrap_or_else(|| group.external_url.clone())
    });
    // An empty one would be refused.
    let source = if source.trim().is_empty() { "quarterdeck" } else { source.trim() };
    let details: Vec<Value> = group
        .firing()
        .take(DETAILED)
        .map(|alert| json!({"labels": alert.labels, "annotations": alert.annotations, "since": alert.starts_at}))
        .collect();
    let mut payload = json!({
        "summary": words::cut(summary.trim(), SUMMARY_BYTES),
        "source": words::cut(source, 255),
        "severity": severity(config, message.severity),
        "timestamp": time::rfc3339(message.at_ms),
        "class": group.common_labels.get("alertname").map_or(message.event_type.as_str(), String::as_str),
        "custom_details": {
            "text": words::cut(&words::text(message, group), 16_000),
            "labels": group.common_labels,
            "firing": details,
            "num_firing": group.firing().count(),
            "num_resolved": group.resolved().count(),
        },
    });
    if let Value::Object(payload) = &mut payload {
        for (name, value) in [("component", label(&["service", "job"])), ("group", label(&["cluster", "environment"]))]
        {
            if let Some(value) = value {
                payload.insert(name.to_owned(), Value::from(value));
            }
        }
    }
    let mut event = json!({"payload": payload, "client": "Quarterdeck"});
    if let Value::Object(event) = &mut event
        && !message.url.is_empty()
    {
        event.insert("client_url".to_owned(), Value::from(message.url.as_str()));
        event.insert("links".to_owned(), json!([{"href": message.url, "text": "Open in Quarterdeck"}]));
    }
    event
}

fn severity(config: &Config, severity: Severity) -> &str {
    if let Some(given) = config.severities.get(severity.as_str()) {
        return given;
    }
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "info",
    }
}

quarterdeck_sdk::export!(Pagerduty: notifier);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_plugin_support::testing::{answering, firing, group, sent_header, sent_json};
    use quarterdeck_sdk::serde_json;
    use quarterdeck_sdk::testing::FakeHost;

    const KEY: &str = r#"{"routing-key-secret":"pd"}"#;
    const QUEUED: &str = r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    fn notify(json: &str, message: &Message, host: FakeHost) -> Result<Outcome, Failure> {
        host.run(|| Pagerduty::notify(&config(json), message, "eff_1")).0
    }

    fn sent(json: &str, message: &Message) -> Value {
        let (host, seen) = answering(202, &[], QUEUED);
        notify(json, message, host).unwrap();
        sent_json(&seen)
    }

    #[test]
    fn what_fires_triggers_and_the_key_stands_in_the_event() {
        let (host, seen) = answering(202, &[], QUEUED);
        let receipt = notify(KEY, &firing(), host).unwrap();
        let expected = Outcome::done().with("status", 202).with("event_action", "trigger").with("dedup_key", "00f1");
        assert_eq!(receipt, expected);
        assert_eq!(seen.borrow()[0].url, "https://events.pagerduty.com/v2/enqueue");
        assert_eq!(sent_header(&seen, "content-type").as_deref(), Some("application/json"));
        let sent = sent_json(&seen);
        assert_eq!(sent["routing_key"], "secret:pd");
        assert_eq!(sent["payload"]["summary"], "[FIRING CRITICAL] The CPU is 97 % busy");
        assert_eq!((&sent["payload"]["severity"], &sent["payload"]["source"]), (&json!("critical"), &json!("a<b>&c")));
        assert_eq!(sent["payload"]["timestamp"], "2026-01-02T03:04:05.678Z");
        assert_eq!(sent["links"][0]["href"], "http://quarterdeck/api/v1/alerts/00f1");
    }

    #[test]
    fn the_end_and_an_acknowledgement_find_what_was_triggered() {
        let of = |event_type: &str| sent(KEY, &Message { event_type: event_type.into(), ..firing() });
        assert_eq!(
            of("alert.resolved"),
            json!({"routing_key": "secret:pd", "event_action": "resolve", "dedup_key": "00f1"})
        );
        let acknowledged = json!({"routing_key": "secret:pd", "event_action": "acknowledge", "dedup_key": "00f1"});
        assert_eq!(of("incident.acknowledged"), acknowledged);
        let (began, ended) = (sent(KEY, &group("alerts.firing")), sent(KEY, &group("alerts.resolved")));
        assert_eq!((&began["event_action"], &ended["event_action"]), (&json!("trigger"), &json!("resolve")));
        assert_eq!(
            (&began["dedup_key"], &ended["dedup_key"]),
            (&json!("{}:{alertname=\"DiskFull\"}"), &began["dedup_key"])
        );
    }

    #[test]
    fn a_key_that_is_too_long_is_shortened_and_stays_its_own() {
        let of =
            |subject: String| sent(KEY, &Message { subject, ..firing() })["dedup_key"].as_str().unwrap().to_owned();
        let (one, other) = (of("x".repeat(300)), of(format!("{}y", "x".repeat(299))));
        assert!(one != other && one.len() <= 255 && one == of("x".repeat(300)));
    }

    #[test]
    fn severities_are_mapped_and_can_be_mapped_otherwise() {
        assert_eq!(sent(KEY, &group("alerts.firing"))["payload"]["severity"], "error");
        let json = r#"{"routing-key-secret":"pd","severities":{"high":"critical"}}"#;
        assert_eq!(sent(json, &group("alerts.firing"))["payload"]["severity"], "critical");
        let wrong = config(r#"{"routing-key-secret":"pd","severities":{"high":"bad","worst":"info"}}"#);
        assert_eq!(Pagerduty::validate(&wrong).len(), 2);
    }

    #[test]
    fn an_event_that_is_refused_is_final_and_too_many_are_not() {
        let (host, _) = answering(400, &[], r#"{"status":"invalid event"}"#);
        assert!(matches!(notify(KEY, &firing(), host), Err(Failure::Rejected(why)) if why.contains("invalid event")));
        let (host, _) = answering(429, &[], "");
        assert!(matches!(notify(KEY, &firing(), host), Err(Failure::Retry { .. })));
    }
}
