//! Pushes to phones over ntfy, the public server or one's own.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_plugin_support::group::Group;
use quarterdeck_plugin_support::template::{self, Renderer};
use quarterdeck_plugin_support::{delivery, words};
use quarterdeck_sdk::host::secret;
use quarterdeck_sdk::http::{self, Request};
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::serde_json::{Value, json};
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem, Severity};

quarterdeck_sdk::config! {
    /// Configuration of `ntfy`.
    pub struct Config {
        /// The server, without a topic.
        #[serde(default = "server")]
        pub url: String,
        /// Who subscribes to it gets the message.
        pub topic: String,
        /// Name of the secret that is an access token.
        #[serde(default)]
        pub token_secret: Option<String>,
        /// A template of the title.
        #[serde(default)]
        pub title: Option<String>,
        /// A template of the text.
        #[serde(default)]
        pub text: Option<String>,
        /// 1 (silent) to 5 (wakes people up). Unless given, by the severity.
        #[serde(default)]
        pub priority: Option<u8>,
        /// Tags beside the severity's; names of emojis are shown as such.
        #[serde(default)]
        pub tags: Vec<String>,
        /// For the whole exchange.
        #[serde(default = "ten_seconds")]
        pub timeout_ms: u64,
    }
}

fn server() -> String {
    "https://ntfy.sh".to_owned()
}

fn ten_seconds() -> u64 {
    10_000
}

/// What is longer becomes an attachment.
const TEXT_BYTES: usize = 4000;
const TITLE_BYTES: usize = 250;

/// The plugin.
pub struct Ntfy;

impl Plugin for Ntfy {
    type Config = Config;
    const NAME: &'static str = "ntfy";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Pushes to phones over ntfy";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("http", "publishes to the server"),
            Capability::optional("secret", "fills in the access token"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        match http::split_url(&config.url) {
            Some((_, _, path)) if path != "/" => {
                problems.push(Problem::at("/url", "the server's address has no path\nhint: name the topic as `topic`"));
            }
            _ => problems.extend(delivery::check_url("/url", &config.url, None)),
        }
        if !is_id(&config.topic) {
            problems.push(Problem::at("/topic", "a topic has 1 to 64 letters, digits, `-` or `_`"));
        }
        if config.priority.is_some_and(|priority| !(1..=5).contains(&priority)) {
            problems.push(Problem::at("/priority", "a priority is 1 (silent) to 5 (wakes people up)"));
        }
        problems.extend(template::check_option("/title", config.title.as_ref()));
        problems.extend(template::check_option("/text", config.text.as_ref()));
        problems
    }
}

fn is_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

impl Notifier for Ntfy {
    fn notify(config: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        let group = Group::of(message);
        let mut renderer = Renderer::new(message, &group, key);
        let body = body(config, message, &group, key, &mut renderer);
        // As JSON to the root, and not in headers: those have no place for letters beyond ASCII, or for lines.
        let mut request = Request::post(&*config.url)
            .timeout_ms(config.timeout_ms)
            .max_body_bytes(delivery::ANSWER_BYTES)
            .header("content-type", "application/json");
        if let Some(name) = &config.token_secret {
            request = request.header("authorization", format!("Bearer {}", secret::header_value(name)?));
        }
        let outcome = delivery::send(&request.body(body.to_string()))?;
        Ok(renderer.receipt(outcome))
    }
}

fn body(config: &Config, message: &Message, group: &Group, key: &str, renderer: &mut Renderer) -> Value {
    let title = renderer.text("title", config.title.as_ref(), || words::title(message, group));
    let text = renderer.text("text", config.text.as_ref(), || words::text(message, group));
    let title = words::cut(title.trim(), TITLE_BYTES);
    // A message without a text would be shown as "triggered".
    let text = if text.trim().is_empty() { title.as_str() } else { text.trim_end() };
    let (priority, tag) = urgency(message.severity, group.is_firing());
    let tags: Vec<&str> = std::iter::once(tag).chain(config.tags.iter().map(String::as_str)).collect();
    let mut body = json!({
        "topic": config.topic,
        "title": title,
        "message": words::cut(text, TEXT_BYTES),
        "priority": config.priority.unwrap_or(priority),
        "tags": tags,
    });
    if let Value::Object(body) = &mut body {
        if !message.url.is_empty() {
            body.insert("click".to_owned(), Value::from(message.url.as_str()));
        }
        // A second delivery takes the place of the first; servers that know nothing of it leave it aside.
        if is_id(key) {
            body.insert("sequence_id".to_owned(), Value::from(key));
        }
    }
    body
}

const fn urgency(severity: Severity, is_firing: bool) -> (u8, &'static str) {
    match (is_firing, severity) {
        (false, _) => (3, "white_check_mark"),
        (true, Severity::Critical) => (5, "rotating_light"),
        (true, Severity::High) => (4, "red_circle"),
        (true, Severity::Medium) => (3, "warning"),
        (true, Severity::Low) => (2, "small_blue_diamond"),
        (true, Severity::Info) => (2, "information_source"),
    }
}

quarterdeck_sdk::export!(Ntfy: notifier);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_plugin_support::testing::{answering, firing, group, sent_header, sent_json};
    use quarterdeck_sdk::serde_json;
    use quarterdeck_sdk::testing::FakeHost;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    fn notify(json: &str, message: &Message, host: FakeHost) -> Result<Outcome, Failure> {
        host.run(|| Ntfy::notify(&config(json), message, "eff_1")).0
    }

    #[test]
    fn an_alert_is_pushed_as_urgently_as_it_is_severe() {
        let (host, seen) = answering(200, &[], "{}");
        notify(r#"{"topic":"ops","token-secret":"ntfy","tags":["db"]}"#, &firing(), host).unwrap();
        assert_eq!(seen.borrow()[0].url, "https://ntfy.sh");
        assert_eq!(sent_header(&seen, "authorization").as_deref(), Some("Bearer secret:ntfy"));
        assert_eq!(
            sent_json(&seen),
            json!({
                "topic": "ops", "title": "[FIRING CRITICAL] The CPU is 97 % busy", "message": "Reason: above 95\nValue: 97",
                "priority": 5, "tags": ["rotating_light", "db"], "click": "http://quarterdeck/api/v1/alerts/00f1",
                "sequence_id": "eff_1",
            })
        );
    }

    #[test]
    fn what_has_ended_wakes_nobody_and_a_priority_can_be_given() {
        let (host, seen) = answering(200, &[], "{}");
        notify(r#"{"topic":"ops"}"#, &group("alerts.resolved"), host).unwrap();
        assert_eq!(
            (&sent_json(&seen)["priority"], &sent_json(&seen)["tags"]),
            (&json!(3), &json!(["white_check_mark"]))
        );
        let (host, seen) = answering(200, &[], "{}");
        notify(r#"{"topic":"ops","priority":1}"#, &firing(), host).unwrap();
        assert_eq!(sent_json(&seen)["priority"], 1);
    }

    #[test]
    fn a_message_without_a_text_has_its_title_for_one() {
        let (host, seen) = answering(200, &[], "{}");
        notify(r#"{"topic":"ops","title":"{{ severity }}","text":" "}"#, &firing(), host).unwrap();
        assert_eq!(
            (&sent_json(&seen)["title"], &sent_json(&seen)["message"]),
            (&json!("critical"), &json!("critical"))
        );
    }

    #[test]
    fn a_configuration_is_checked() {
        let pointers = |json: &str| Ntfy::validate(&config(json)).into_iter().map(|p| p.pointer).collect::<Vec<_>>();
        assert!(pointers(r#"{"topic":"ops_1-a","url":"http://127.0.0.1:8080/"}"#).is_empty());
        let wrong = r#"{"topic":"a b","url":"https://ntfy.sh/ops","priority":6,"text":"{{ nothing }}"}"#;
        assert_eq!(pointers(wrong), ["/url", "/topic", "/priority", "/text"]);
    }
}
