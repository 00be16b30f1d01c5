//! Posts to Slack: by an incoming webhook, whose URL is the secret, or as a bot by `chat.postMessage`.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

use quarterdeck_plugin_support::group::Group;
use quarterdeck_plugin_support::template::{self, Renderer};
use quarterdeck_plugin_support::{delivery, time, words};
use quarterdeck_sdk::host::secret;
use quarterdeck_sdk::http::{Request, Response};
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::serde_json::{Value, json};
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem, json};

quarterdeck_sdk::config! {
    /// Configuration of `slack`.
    pub struct Config {
        /// An incoming webhook, with `{secret}` where its secret stands, or the API's address.
        #[serde(default = "api")]
        pub url: String,
        /// Name of the secret in the URL of an incoming webhook.
        #[serde(default)]
        pub url_secret: Option<String>,
        /// Name of the secret that is a bot's token. It needs the scope `chat:write`.
        #[serde(default)]
        pub token_secret: Option<String>,
        /// Where a bot writes: `#ops`, or a channel's id.
        #[serde(default)]
        pub channel: Option<String>,
        /// Whom the message is from, where the webhook lets one choose.
        #[serde(default)]
        pub username: Option<String>,
        /// `:rotating_light:`.
        #[serde(default)]
        pub icon_emoji: Option<String>,
        /// A template of the title.
        #[serde(default)]
        pub title: Option<String>,
        /// A template of the text, in Slack's markup.
        #[serde(default)]
        pub text: Option<String>,
        /// Common labels as fields below the text.
        #[serde(default = "yes")]
        pub fields: bool,
        /// For the whole exchange.
        #[serde(default = "ten_seconds")]
        pub timeout_ms: u64,
    }
}

fn api() -> String {
    "https://slack.com/api/chat.postMessage".to_owned()
}

fn yes() -> bool {
    true
}

fn ten_seconds() -> u64 {
    10_000
}

/// Longer texts are folded away by Slack, and refused in the end.
const TEXT_BYTES: usize = 3000;
const TITLE_BYTES: usize = 250;
const FIELDS: usize = 12;

/// Errors of the API that pass.
const PASSING: [&str; 5] = ["ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable"];

/// The plugin.
pub struct Slack;

impl Plugin for Slack {
    type Config = Config;
    const NAME: &'static str = "slack";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Posts to Slack";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("http", "posts to Slack"),
            Capability::required("secret", "fills in the webhook's secret, or the bot's token"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = delivery::check_url("/url", &config.url, config.url_secret.as_deref());
        if config.token_secret.is_none() && config.url == api() {
            let message = "nothing says who posts\nhint: `token-secret` of a bot, or `url` and `url-secret` of an incoming webhook";
            problems.push(Problem::at("/token-secret", message));
        }
        if config.token_secret.is_some() && config.channel.is_none() {
            problems.push(Problem::at("/channel", "a bot has to be told the channel; hint: channel = \"#ops\""));
        }
        problems.extend(template::check_option("/title", config.title.as_ref()));
        problems.extend(template::check_option("/text", config.text.as_ref()));
        problems
    }
}

impl Notifier for Slack {
    fn notify(config: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        let group = Group::of(message);
        let mut renderer = Renderer::new(message, &group, key);
        let body = body(config, message, &group, &mut renderer);
        let mut request = Request::post(delivery::url(&config.url, config.url_secret.as_deref())?)
            .timeout_ms(config.timeout_ms)
            .max_body_bytes(delivery::ANSWER_BYTES)
            .header("content-type", "application/json; charset=utf-8");
        if let Some(name) = &config.token_secret {
            request = request.header("authorization", format!("Bearer {}", secret::header_value(name)?));
        }
        let response = request.body(body.to_string()).send()?;
        let outcome = delivery::judge(&response, time::now_ms())?;
        if config.token_secret.is_some() {
            said(&response)?;
        }
        Ok(renderer.receipt(outcome))
    }
}

/// The API answers 200 also where it did nothing.
fn said(response: &Response) -> Result<(), Failure> {
    let answer: Value = json::from_str(&response.text()).unwrap_or_default();
    if answer.get("ok") != Some(&Value::Bool(false)) {
        return Ok(());
    }
    let error = answer.get("error").and_then(Value::as_str).unwrap_or("an error without a name");
    let message = format!("Slack refused it: {error}");
    Err(if PASSING.contains(&error) { Failure::retry(message) } else { Failure::rejected(message) })
}

fn body(config: &Config, message: &Message, group: &Group, renderer: &mut Renderer) -> Value {
    let title = renderer.text("title", config.title.as_ref(), || escape(&words::title(message, group)));
    let title = words::cut(title.trim(), TITLE_BYTES);
    let text = renderer.text("text", config.text.as_ref(), || escape(&words::text(message, group)));
    let fields: Vec<Value> = group
        .common_labels
        .iter()
        .filter(|_| config.fields)
        .take(FIELDS)
        .map(|(name, value)| json!({"title": name, "value": escape(&words::cut(value, 200)), "short": true}))
        .collect();
    let mut attachment = json!({
        "fallback": title,
        "color": words::colour(message.severity, group.is_firing()),
        "title": title,
        "text": words::cut(text.trim_end(), TEXT_BYTES),
        "mrkdwn_in": ["text"],
        "footer": "Quarterdeck",
        "ts": message.at_ms.div_euclid(1000),
    });
    if let Value::Object(attachment) = &mut attachment {
        if !message.url.is_empty() {
            attachment.insert("title_link".to_owned(), Value::from(message.url.as_str()));
        }
        if !fields.is_empty() {
            attachment.insert("fields".to_owned(), Value::from(fields));
        }
    }
    let mut body = json!({"attachments": [attachment]});
    if let Value::Object(body) = &mut body {
        let given = [("channel", &config.channel), ("username", &config.username), ("icon_emoji", &config.icon_emoji)];
        for (name, value) in given {
            if let Some(value) = value {
                body.insert(name.to_owned(), Value::from(value.as_str()));
            }
        }
    }
    body
}

/// The three characters that Slack's markup begins with.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

quarterdeck_sdk::export!(Slack: notifier);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_plugin_support::testing::{answering, firing, group, sent_header, sent_json};
    use quarterdeck_sdk::serde_json;
    use quarterdeck_sdk::testing::FakeHost;

    const HOOK: &str = r#"{"url":"https://hooks/services/{secret}","url-secret":"slack"}"#;
    const BOT: &str = r##"{"token-secret":"bot","channel":"#ops"}"##;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    fn notify(json: &str, message: &Message, host: FakeHost) -> Result<Outcome, Failure> {
        host.run(|| Slack::notify(&config(json), message, "eff_1")).0
    }

    #[test]
    fn an_alert_is_an_attachment_in_the_colour_of_its_severity() {
        let (host, seen) = answering(200, &[], "ok");
        assert_eq!(notify(HOOK, &firing(), host), Ok(Outcome::done().with("status", 200)));
        assert_eq!(seen.borrow()[0].url, "https://hooks/services/secret:slack");
        let sent = sent_json(&seen);
        let attachment = &sent["attachments"][0];
        assert_eq!(attachment["color"], "#b00020");
        assert_eq!(attachment["title"], "[FIRING CRITICAL] The CPU is 97 % busy");
        assert_eq!(attachment["title_link"], "http://quarterdeck/api/v1/alerts/00f1");
        assert_eq!(attachment["text"], "Reason: above 95\nValue: 97");
        assert_eq!(attachment["ts"], 1_767_323_045);
        // What would begin a link or a mention is text.
        assert!(attachment["fields"].as_array().unwrap().iter().any(|field| field["value"] == "a&lt;b&gt;&amp;c"));
        assert_eq!(sent.get("channel"), None);
    }

    #[test]
    fn a_group_that_has_ended_is_green() {
        let (host, seen) = answering(200, &[], "ok");
        notify(HOOK, &group("alerts.resolved"), host).unwrap();
        let attachment = &sent_json(&seen)["attachments"][0];
        assert_eq!(
            (&attachment["color"], &attachment["title"]),
            (&json!("#2eb67d"), &json!("[RESOLVED:2] DiskFull (high)"))
        );
    }

    #[test]
    fn a_bot_writes_to_its_channel_with_its_token() {
        let (host, seen) = answering(200, &[], r#"{"ok":true}"#);
        notify(BOT, &firing(), host).unwrap();
        assert_eq!(sent_header(&seen, "authorization").as_deref(), Some("Bearer secret:bot"));
        assert_eq!(sent_json(&seen)["channel"], "#ops");
        let (host, _) = answering(200, &[], r#"{"ok":false,"error":"channel_not_found"}"#);
        assert_eq!(notify(BOT, &firing(), host), Err(Failure::rejected("Slack refused it: channel_not_found")));
        let (host, _) = answering(200, &[], r#"{"ok":false,"error":"ratelimited"}"#);
        assert_eq!(notify(BOT, &firing(), host), Err(Failure::retry("Slack refused it: ratelimited")));
    }

    #[test]
    fn templates_write_title_and_text_and_one_that_fails_is_told() {
        let (host, seen) = answering(200, &[], "ok");
        let json = r#"{"url":"https://hooks/{secret}","url-secret":"slack","fields":false,
            "title":"*{{ status|upper }}* {{ receiver }}","text":"{{ title|duration }}"}"#;
        let Ok(Outcome::Done(receipt)) = notify(json, &group("alerts.firing"), host) else { panic!("not delivered") };
        assert!(receipt["template_error"].as_str().unwrap().contains("`text`"), "{receipt:?}");
        let attachment = &sent_json(&seen)["attachments"][0];
        assert_eq!(attachment["title"], "*FIRING* ops");
        assert!(attachment["text"].as_str().unwrap().starts_with("firing: the disk of a is full"));
        assert_eq!(attachment.get("fields"), None);
    }

    #[test]
    fn a_configuration_is_checked() {
        let messages = |json: &str| Slack::validate(&config(json)).into_iter().map(|p| p.pointer).collect::<Vec<_>>();
        assert!(messages(HOOK).is_empty());
        assert!(messages(BOT).is_empty());
        assert_eq!(messages("{}"), ["/token-secret"]);
        assert_eq!(messages(r#"{"token-secret":"bot","title":"{% if %}"}"#), ["/channel", "/title"]);
    }
}
