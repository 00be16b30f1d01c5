//! Posts what Alertmanager's webhook posts (version 4), so that whatever takes alerts from Alertmanager takes them from here. A single
//! event becomes a group of one.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_plugin_support::delivery;
use quarterdeck_plugin_support::group::Group;
use quarterdeck_sdk::http::Request;
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem, serde_json};
use std::collections::BTreeMap;

quarterdeck_sdk::config! {
    /// Configuration of `alertmanager-webhook`.
    pub struct Config {
        /// Where to post. `{secret}` in its path or query stands for the secret that `url-secret` names.
        pub url: String,
        /// Name of the secret in the URL.
        #[serde(default)]
        pub url_secret: Option<String>,
        /// Sent with every request.
        #[serde(default)]
        pub headers: BTreeMap<String, String>,
        /// Headers that carry a secret: header to secret's name. The host fills the value in.
        #[serde(default)]
        pub secret_headers: BTreeMap<String, String>,
        /// So many alerts in a message at most, the others are counted in `truncatedAlerts`. 0: all of them.
        #[serde(default)]
        pub max_alerts: u32,
        /// For the whole exchange.
        #[serde(default = "ten_seconds")]
        pub timeout_ms: u64,
    }
}

fn ten_seconds() -> u64 {
    10_000
}

/// The plugin.
pub struct AlertmanagerWebhook;

impl Plugin for AlertmanagerWebhook {
    type Config = Config;
    const NAME: &'static str = "alertmanager-webhook";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Posts alerts as Alertmanager's webhook does";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("http", "posts to the configured URL"),
            Capability::optional("secret", "fills in the URL and headers that carry a secret"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        delivery::check_url("/url", &config.url, config.url_secret.as_deref())
    }
}

impl Notifier for AlertmanagerWebhook {
    fn notify(config: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        let body = match Group::of_host(message).filter(|_| config.max_alerts == 0) {
            Some(ready) => ready.as_bytes().to_vec(),
            None => {
                let mut group = Group::of(message);
                if let Ok(keep @ 1..) = usize::try_from(config.max_alerts) {
                    group.truncate(keep);
                }
                serde_json::to_vec(&group).map_err(|error| Failure::other(error.to_string()))?
            }
        };
        let request = Request::post(delivery::url(&config.url, config.url_secret.as_deref())?)
            .timeout_ms(config.timeout_ms)
            .max_body_bytes(delivery::ANSWER_BYTES)
            .header("content-type", "application/json")
            .header("user-agent", concat!("quarterdeck-alertmanager-webhook/", env!("CARGO_PKG_VERSION")))
            .header("idempotency-key", key);
        let request = delivery::with_headers(request, &config.headers, &config.secret_headers)?;
        delivery::send(&request.body(body))
    }
}

quarterdeck_sdk::export!(AlertmanagerWebhook: notifier);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_plugin_support::testing::{answering, firing, group, group_json, sent_header, sent_json};
    use quarterdeck_sdk::http;
    use quarterdeck_sdk::serde_json::json;
    use quarterdeck_sdk::testing::FakeHost;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    fn notify(json: &str, message: &Message, host: FakeHost) -> Result<Outcome, Failure> {
        host.run(|| AlertmanagerWebhook::notify(&config(json), message, "eff_1")).0
    }

    #[test]
    fn a_group_is_posted_as_alertmanager_would() {
        for status in ["firing", "resolved"] {
            let (host, seen) = answering(200, &[], "");
            let message = group(&format!("alerts.{status}"));
            assert_eq!(notify(r#"{"url":"http://r/hook"}"#, &message, host), Ok(Outcome::done().with("status", 200)));
            assert_eq!(sent_json(&seen), group_json(status));
            assert_eq!(sent_header(&seen, "idempotency-key").as_deref(), Some("eff_1"));
            assert_eq!(seen.borrow()[0].method, "POST");
        }
    }

    #[test]
    fn a_single_event_is_a_group_of_one() {
        let (host, seen) = answering(200, &[], "");
        notify(r#"{"url":"http://r"}"#, &firing(), host).unwrap();
        let sent = sent_json(&seen);
        assert_eq!((&sent["version"], &sent["status"]), (&json!("4"), &json!("firing")));
        assert_eq!(sent["alerts"][0]["labels"]["alertname"], "cpu-high");
        assert_eq!(sent["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
        let mut keys: Vec<_> = sent.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        assert_eq!(
            keys,
            [
                "alerts",
                "commonAnnotations",
                "commonLabels",
                "externalURL",
                "groupKey",
                "groupLabels",
                "receiver",
                "status",
                "truncatedAlerts",
                "version"
            ]
        );
    }

    #[test]
    fn a_long_group_is_cut_where_the_configuration_says_so() {
        let (host, seen) = answering(200, &[], "");
        notify(r#"{"url":"http://r","max-alerts":1}"#, &group("alerts.firing"), host).unwrap();
        let sent = sent_json(&seen);
        assert_eq!((sent["alerts"].as_array().unwrap().len(), &sent["truncatedAlerts"]), (1, &json!(1)));
    }

    #[test]
    fn secrets_stand_where_the_configuration_says() {
        let (host, seen) = answering(200, &[], "");
        let json = r#"{"url":"http://r/{secret}","url-secret":"path","secret-headers":{"authorization":"token"}}"#;
        notify(json, &firing(), host).unwrap();
        assert_eq!(seen.borrow()[0].url, "http://r/secret:path");
        assert_eq!(sent_header(&seen, "authorization").as_deref(), Some("secret:token"));
    }

    #[test]
    fn a_busy_recipient_is_asked_again_and_one_that_refuses_is_not() {
        let (host, _) = answering(429, &[("retry-after", "3")], "");
        let failure = notify(r#"{"url":"http://r"}"#, &firing(), host).unwrap_err();
        assert!(matches!(failure, Failure::Retry { after_ms: Some(3000), .. }), "{failure:?}");
        let (host, _) = answering(400, &[], "bad");
        assert_eq!(
            notify(r#"{"url":"http://r"}"#, &firing(), host),
            Err(Failure::rejected("the recipient answered 400: bad"))
        );
        let host = quarterdeck_plugin_support::testing::failing(http::Error::Connect("refused".into()));
        assert_eq!(notify(r#"{"url":"http://r"}"#, &firing(), host), Err(Failure::retry("refused")));
    }
}
