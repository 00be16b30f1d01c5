//! Posts notifications to a URL as JSON, with a key by which the recipient can drop a second delivery, and a signature by
//! which it can tell who sent it. The signature's secret stays with the host.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_plugin_support::{delivery, time};
use quarterdeck_sdk::host::secret;
use quarterdeck_sdk::http::{self, Request};
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::serde_json::{Map, Value, json};
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem};
use std::collections::BTreeMap;

quarterdeck_sdk::config! {
    /// Configuration of `webhook`.
    pub struct Config {
        /// Where to post.
        pub url: String,
        /// Name of the secret that requests are signed with. Unless given, they are not signed.
        #[serde(default)]
        pub secret: Option<String>,
        /// Sent with every request.
        #[serde(default)]
        pub headers: BTreeMap<String, String>,
        /// Headers that carry a secret: header to secret's name. The host fills the value in.
        #[serde(default)]
        pub secret_headers: BTreeMap<String, String>,
        /// For the whole exchange.
        #[serde(default = "five_seconds")]
        pub timeout_ms: u64,
    }
}

fn five_seconds() -> u64 {
    5000
}

/// The plugin.
pub struct Webhook;

impl Plugin for Webhook {
    type Config = Config;
    const NAME: &'static str = "webhook";
    // A build may say which version it is, so that a receiver can tell two of them apart.
    const VERSION: &'static str = match option_env!("QUARTERDECK_PLUGIN_VERSION") {
        Some(version) => version,
        None => env!("CARGO_PKG_VERSION"),
    };
    const SUMMARY: &'static str = "Posts notifications to a URL, signed";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("http", "posts to the configured URL"),
            Capability::optional("secret", "signs requests with the configured secret"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        if http::host_and_port(&config.url).is_none() {
            return vec![Problem::at("/url", format!("`{}` is not an http or https URL", config.url))];
        }
        Vec::new()
    }
}

impl Notifier for Webhook {
    fn notify(config: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        let now_ms = time::now_ms();
        let response = request(config, message, key, now_ms)?.send()?;
        Ok(delivery::judge(&response, now_ms)?.with("plugin_version", Webhook::VERSION))
    }
}

fn request(config: &Config, message: &Message, key: &str, now_ms: i64) -> Result<Request, Failure> {
    let body = body(message, key);
    let mut request = Request::post(&*config.url)
        .timeout_ms(config.timeout_ms)
        .max_body_bytes(delivery::ANSWER_BYTES)
        .header("content-type", "application/json")
        .header("user-agent", concat!("quarterdeck-webhook/", env!("CARGO_PKG_VERSION")))
        .header("idempotency-key", key)
        .header("quarterdeck-event", delivery::header_text(&message.event_type))
        .header("quarterdeck-plugin-version", Webhook::VERSION);
    if let Some(name) = &config.secret {
        let signature = secret::hmac_sha256(name, format!("{now_ms}.{body}").as_bytes())?;
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        request = request.header("quarterdeck-signature", format!("t={now_ms},v1={hex}"));
    }
    let request = delivery::with_headers(request, &config.headers, &config.secret_headers)?;
    Ok(request.body(body))
}

fn body(message: &Message, key: &str) -> String {
    let labels: Map<String, Value> =
        message.labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    // What is no JSON is handed on as the text that it is.
    let data: Value =
        quarterdeck_sdk::serde_json::from_str(&message.data).unwrap_or_else(|_| Value::from(message.data.as_str()));
    json!({
        "key": key,
        "event_type": message.event_type,
        "subject": message.subject,
        "title": message.title,
        "body": message.body,
        "severity": message.severity.as_str(),
        "labels": labels,
        "at_ms": message.at_ms,
        "url": message.url,
        "data": data,
    })
    .to_string()
}

quarterdeck_sdk::export!(Webhook: notifier);

#[cfg(test)]
mod tests;
