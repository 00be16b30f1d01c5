//! Posts to Microsoft Teams: an Adaptive Card to the address of a workflow ("when a Teams webhook request is received"), whose signature is
//! the secret.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_plugin_support::group::Group;
use quarterdeck_plugin_support::template::{self, Renderer};
use quarterdeck_plugin_support::{delivery, words};
use quarterdeck_sdk::http::Request;
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::serde_json::{Value, json};
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem, Severity};

quarterdeck_sdk::config! {
    /// Configuration of `teams`.
    pub struct Config {
        /// The workflow's address, with `{secret}` where its signature stands: `...&sig={secret}`.
        pub url: String,
        /// Name of the secret in the URL.
        #[serde(default)]
        pub url_secret: Option<String>,
        /// A template of the title.
        #[serde(default)]
        pub title: Option<String>,
        /// A template of the text, in the Markdown that cards know.
        #[serde(default)]
        pub text: Option<String>,
        /// Common labels as a table below the text.
        #[serde(default = "yes")]
        pub facts: bool,
        /// For the whole exchange.
        #[serde(default = "ten_seconds")]
        pub timeout_ms: u64,
    }
}

fn yes() -> bool {
    true
}

fn ten_seconds() -> u64 {
    10_000
}

/// Teams takes cards of some 28 KB.
const TEXT_BYTES: usize = 12_000;
const TITLE_BYTES: usize = 500;
const FACTS: usize = 16;

/// The plugin.
pub struct Teams;

impl Plugin for Teams {
    type Config = Config;
    const NAME: &'static str = "teams";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Posts to Microsoft Teams";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("http", "posts to the workflow"),
            Capability::required("secret", "fills in the signature of the workflow's address"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = delivery::check_url("/url", &config.url, config.url_secret.as_deref());
        problems.extend(template::check_option("/title", config.title.as_ref()));
        problems.extend(template::check_option("/text", config.text.as_ref()));
        problems
    }
}

impl Notifier for Teams {
    fn notify(config: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        let group = Group::of(message);
        let mut renderer = Renderer::new(message, &group, key);
        let body = body(config, message, &group, &mut renderer);
        let request = Request::post(delivery::url(&config.url, config.url_secret.as_deref())?)
            .timeout_ms(config.timeout_ms)
            .max_body_bytes(delivery::ANSWER_BYTES)
            .header("content-type", "application/json")
            .body(body.to_string());
        Ok(renderer.receipt(delivery::send(&request)?))
    }
}

fn body(config: &Config, message: &Message, group: &Group, renderer: &mut Renderer) -> Value {
    let title = renderer.text("title", config.title.as_ref(), || escape(&words::title(message, group)));
    let text = renderer.text("text", config.text.as_ref(), || escape(&words::text(message, group)));
    let mut blocks = vec![
        json!({"type": "TextBlock", "text": words::cut(title.trim(), TITLE_BYTES), "weight": "Bolder", "size": "Medium",
            "wrap": true, "color": colour(message.severity, group.is_firing())}),
    ];
    // A card takes two line ends for one.
    let text = words::cut(text.trim_end(), TEXT_BYTES).replace('\n', "\n\n");
    if !text.is_empty() {
        blocks.push(json!({"type": "TextBlock", "text": text, "wrap": true}));
    }
    let facts: Vec<Value> = group
        .common_labels
        .iter()
        .filter(|_| config.facts)
        .take(FACTS)
        .map(|(name, value)| json!({"title": name, "value": escape(&words::cut(value, 200))}))
        .collect();
    if !facts.is_empty() {
        blocks.push(json!({"type": "FactSet", "facts": facts}));
    }
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": blocks,
    });
    if let Value::Object(card) = &mut card
        && !message.url.is_empty()
    {
        let open = json!([{"type": "Action.OpenUrl", "title": "Open", "url": message.url}]);
        card.insert("actions".to_owned(), open);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

/// Of the names that a card knows.
const fn colour(severity: Severity, is_firing: bool) -> &'static str {
    match (is_firing, severity) {
        (false, _) => "Good",
        (true, Severity::Critical | Severity::High) => "Attention",
        (true, Severity::Medium) => "Warning",
        (true, Severity::Low | Severity::Info) => "Accent",
    }
}

/// What Markdown would take for a sign of its own.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '*' | '_' | '[' | ']' | '`' | '~') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

quarterdeck_sdk::export!(Teams: notifier);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_plugin_support::testing::{answering, firing, group, sent_json};
    use quarterdeck_sdk::serde_json;
    use quarterdeck_sdk::testing::FakeHost;

    const URL: &str = r#"{"url":"https://w/invoke?sp=x&sig={secret}","url-secret":"teams"}"#;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    fn notify(json: &str, message: &Message, host: FakeHost) -> Result<Outcome, Failure> {
        host.run(|| Teams::notify(&config(json), message, "eff_1")).0
    }

    #[test]
    fn an_alert_is_an_adaptive_card() {
        let (host, seen) = answering(202, &[], "");
        assert_eq!(notify(URL, &firing(), host), Ok(Outcome::done().with("status", 202)));
        assert_eq!(seen.borrow()[0].url, "https://w/invoke?sp=x&sig=secret:teams");
        let sent = sent_json(&seen);
        assert_eq!((&sent["type"], sent["attachments"].as_array().unwrap().len()), (&json!("message"), 1));
        assert_eq!(sent["attachments"][0]["contentType"], "application/vnd.microsoft.card.adaptive");
        let card = &sent["attachments"][0]["content"];
        assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
        assert_eq!(card["body"][0]["text"], "\\[FIRING CRITICAL\\] The CPU is 97 % busy");
        assert_eq!(card["body"][0]["color"], "Attention");
        assert_eq!(card["body"][1]["text"], "Reason: above 95\n\nValue: 97");
        assert_eq!(card["body"][2]["facts"][0], json!({"title": "alertname", "value": "cpu-high"}));
        assert_eq!(card["actions"][0]["url"], "http://quarterdeck/api/v1/alerts/00f1");
    }

    #[test]
    fn a_group_that_has_ended_is_good() {
        let (host, seen) = answering(202, &[], "");
        notify(URL, &group("alerts.resolved"), host).unwrap();
        assert_eq!(sent_json(&seen)["attachments"][0]["content"]["body"][0]["color"], "Good");
    }

    #[test]
    fn a_card_stays_below_what_teams_takes() {
        let (host, seen) = answering(202, &[], "");
        let message = Message { body: "x".repeat(100_000), title: "y".repeat(100_000), ..firing() };
        notify(URL, &message, host).unwrap();
        assert!(seen.borrow()[0].body.len() < 28_000, "{}", seen.borrow()[0].body.len());
    }

    #[test]
    fn templates_write_title_and_text() {
        let (host, seen) = answering(202, &[], "");
        let json = r#"{"url":"https://w","title":"{{ status }}","text":"{{ firing[0].labels|labels }}","facts":false}"#;
        notify(json, &group("alerts.firing"), host).unwrap();
        let card = sent_json(&seen)["attachments"][0]["content"].clone();
        assert_eq!(card["body"].as_array().unwrap().len(), 2);
        assert_eq!(card["body"][1]["text"], "alertname=\"DiskFull\", instance=\"a\", severity=\"high\"");
    }
}
