//! Sends any HTTP request: URL, headers and body are templates. For whatever has no notifier of its own.

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
use quarterdeck_sdk::http::{self, Request};
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem};
use std::collections::BTreeMap;

quarterdeck_sdk::config! {
    /// Configuration of `http-template`.
    pub struct Config {
        /// A template of where to send it; scheme and host stand as they are. `{secret}` stands for the secret that `url-secret` names.
        pub url: String,
        /// Name of the secret in the URL.
        #[serde(default)]
        pub url_secret: Option<String>,
        /// `POST`, `PUT`, ...
        #[serde(default = "post")]
        pub method: String,
        /// Templates of headers.
        #[serde(default)]
        pub headers: BTreeMap<String, String>,
        /// Headers that carry a secret: header to secret's name. The host fills the value in.
        #[serde(default)]
        pub secret_headers: BTreeMap<String, String>,
        /// A template of the body. Unless given, or where it fails, the plain text.
        #[serde(default)]
        pub body: Option<String>,
        /// Of the body. Unless given, `application/json` where there is a template, and `text/plain` where it is the plain text.
        #[serde(default)]
        pub content_type: Option<String>,
        /// Statuses that say that it arrived, beside 200 to 299.
        #[serde(default)]
        pub accept: Vec<u16>,
        /// For the whole exchange.
        #[serde(default = "ten_seconds")]
        pub timeout_ms: u64,
    }
}

fn post() -> String {
    "POST".to_owned()
}

fn ten_seconds() -> u64 {
    10_000
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// The plugin.
pub struct HttpTemplate;

impl Plugin for HttpTemplate {
    type Config = Config;
    const NAME: &'static str = "http-template";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Sends any HTTP request, written by templates";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("http", "sends the configured request"),
            Capability::optional("secret", "fills in the URL and headers that carry a secret"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = delivery::check_url("/url", &config.url, config.url_secret.as_deref());
        if http::split_url(&config.url)
            .is_some_and(|(_, authority, _)| authority.contains("{{") || authority.contains("{%"))
        {
            problems.push(Problem::at("/url", "the host of a URL is no template: it is what the grant is about"));
        }
        problems.extend(template::check("/url", &config.url));
        let is_method = !config.method.is_empty() && config.method.bytes().all(|byte| byte.is_ascii_uppercase());
        if !is_method {
            problems.push(Problem::at("/method", format!("`{}` is not a method; hint: POST", config.method)));
        }
        problems.extend(template::check_map("/headers", &config.headers));
        problems.extend(template::check_option("/body", config.body.as_ref()));
        problems
    }
}

impl Notifier for HttpTemplate {
    fn notify(config: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        let group = Group::of(message);
        let mut renderer = Renderer::new(message, &group, key);
        let url = renderer
            .try_text("url", &config.url)
            .filter(|url| origin(url) == origin(&config.url))
            .ok_or_else(|| Failure::rejected("the URL's template makes no URL of its host out of this message"))?;
        let own = config.body.as_ref().and_then(|source| renderer.try_text("body", source));
        let content_type = match (&own, &config.content_type) {
            (Some(_), None) => "application/json",
            (Some(_), Some(given)) => given,
            // What falls back is no JSON, whatever the template would have been.
            (None, Some(given)) if config.body.is_none() => given,
            (None, _) => PLAIN,
        };
        let mut request = Request::new(&*config.method, delivery::url(&one_line(&url), config.url_secret.as_deref())?)
            .timeout_ms(config.timeout_ms)
            .max_body_bytes(delivery::ANSWER_BYTES)
            .header("content-type", content_type)
            .header("idempotency-key", key);
        for (name, source) in &config.headers {
            // One that fails is left out: nothing plain could stand for it.
            if let Some(value) = renderer.try_text(name, source) {
                request = request.header(name, one_line(&value));
            }
        }
        let request = delivery::with_headers(request, &BTreeMap::new(), &config.secret_headers)?;
        let request = request.body(own.unwrap_or_else(|| words::plain(message, &group)));
        let response = request.send()?;
        let outcome = match config.accept.contains(&response.status) {
            true => Outcome::done().with("status", response.status),
            false => delivery::judge(&response, time::now_ms())?,
        };
        Ok(renderer.receipt(outcome))
    }
}

fn origin(url: &str) -> Option<(&str, &str)> {
    http::split_url(url).map(|(scheme, authority, _)| (scheme, authority))
}

/// A line break would end a header, and the request line.
fn one_line(text: &str) -> String {
    text.trim().chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

quarterdeck_sdk::export!(HttpTemplate: notifier);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_plugin_support::testing::{answering, firing, group, sent_header, sent_json};
    use quarterdeck_sdk::serde_json::{self, json};
    use quarterdeck_sdk::testing::FakeHost;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    fn notify(json: &str, message: &Message, host: FakeHost) -> Result<Outcome, Failure> {
        host.run(|| HttpTemplate::notify(&config(json), message, "eff_1")).0
    }

    #[test]
    fn url_headers_and_body_are_templates() {
        let (host, seen) = answering(201, &[], "");
        let json = r#"{"url":"http://r/{secret}/{{ receiver }}?n={{ firing|length }}","url-secret":"path","method":"PUT",
            "headers":{"x-status":"{{ status }}\nx"},"secret-headers":{"authorization":"token"},
            "body":"{\"text\": {{ summary|json }}}"}"#;
        assert_eq!(notify(json, &group("alerts.firing"), host), Ok(Outcome::done().with("status", 201)));
        let request = seen.borrow()[0].clone();
        assert_eq!((request.method.as_str(), request.url.as_str()), ("PUT", "http://r/secret:path/ops?n=1"));
        assert_eq!(sent_header(&seen, "x-status").as_deref(), Some("firing x"));
        assert_eq!(sent_header(&seen, "authorization").as_deref(), Some("secret:token"));
        assert_eq!(sent_header(&seen, "content-type").as_deref(), Some("application/json"));
        assert_eq!(sent_json(&seen), json!({"text": "[FIRING:1] DiskFull (high)"}));
    }

    #[test]
    fn without_a_body_it_is_the_plain_text() {
        let (host, seen) = answering(200, &[], "");
        notify(r#"{"url":"http://r"}"#, &firing(), host).unwrap();
        assert_eq!(sent_header(&seen, "content-type").as_deref(), Some(PLAIN));
        assert!(seen.borrow()[0].body.starts_with(b"[FIRING CRITICAL] The CPU is 97 % busy\n\nReason: above 95"));
    }

    #[test]
    fn a_body_that_fails_is_the_plain_text_and_said_so() {
        let (host, seen) = answering(200, &[], "");
        let Ok(Outcome::Done(receipt)) = notify(r#"{"url":"http://r","body":"{{ title|duration }}"}"#, &firing(), host)
        else {
            panic!("not delivered")
        };
        assert!(receipt["template_error"].as_str().unwrap().contains("`body`"), "{receipt:?}");
        assert_eq!(sent_header(&seen, "content-type").as_deref(), Some(PLAIN));
    }

    #[test]
    fn a_status_can_be_taken_for_arrived() {
        let (host, _) = answering(409, &[], "");
        assert_eq!(
            notify(r#"{"url":"http://r","accept":[409]}"#, &firing(), host),
            Ok(Outcome::done().with("status", 409))
        );
    }

    #[test]
    fn a_configuration_is_checked() {
        let pointers =
            |json: &str| HttpTemplate::validate(&config(json)).into_iter().map(|p| p.pointer).collect::<Vec<_>>();
        assert!(pointers(r#"{"url":"http://r/{{ key }}","headers":{"a":"{{ title }}"}}"#).is_empty());
        assert_eq!(pointers(r#"{"url":"http://{{ subject }}/"}"#), ["/url"]);
        let wrong = r#"{"url":"http://r","method":"po st","headers":{"a/b":"{{"},"body":"{{ x }}"}"#;
        assert_eq!(pointers(wrong), ["/method", "/headers/a~1b", "/body"]);
    }
}
