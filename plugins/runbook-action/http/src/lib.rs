//! Makes an HTTP request as a step of a runbook, and fails with the status that it got if that is not the one expected.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_sdk::host::secret;
use quarterdeck_sdk::http::{self, Request, Response};
use quarterdeck_sdk::runbook_action::RunbookAction;
use quarterdeck_sdk::serde_json::Value;
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem};
use std::collections::BTreeMap;
use std::time::Instant;

quarterdeck_sdk::config! {
    /// Configuration of `http`: what every step of the instance has in common.
    pub struct Config {
        /// Stands before a step's `url` that begins with a slash.
        #[serde(default)]
        pub base_url: Option<String>,
        /// Sent with every request. A step's are stronger.
        #[serde(default)]
        pub headers: BTreeMap<String, String>,
        /// Headers that carry a secret: header to secret's name. The host fills the value in.
        #[serde(default)]
        pub secret_headers: BTreeMap<String, String>,
    }

    /// Inputs of a step.
    pub struct Inputs {
        /// What to ask.
        pub url: String,
        /// How to ask.
        #[serde(default = "get")]
        pub method: String,
        /// Sent with the request.
        #[serde(default)]
        pub headers: BTreeMap<String, String>,
        /// Text is sent as it is, anything else as JSON.
        #[serde(default)]
        pub body: Option<Value>,
        /// The status, or one of several, that is right. Unless given, 200 to 299.
        #[serde(default)]
        pub expect_status: Option<Expected>,
        /// A text that the body must hold.
        #[serde(default)]
        pub body_contains: Option<String>,
        /// For the whole exchange.
        #[serde(default = "ten")]
        pub timeout_seconds: f64,
    }

    /// One status or several.
    #[serde(untagged)]
    pub enum Expected {
        /// One.
        One(u16),
        /// Any of these.
        Any(Vec<u16>),
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn ten() -> f64 {
    10.0
}

/// How much of a body is handed on.
const BODY_BYTES: usize = 64 * 1024;

/// The plugin.
pub struct Http;

impl Plugin for Http {
    type Config = Config;
    const NAME: &'static str = "http";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Makes an HTTP request and checks its answer";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("http", "makes the requests that the steps describe"),
            Capability::optional("secret", "fills in headers that carry a secret"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        match &config.base_url {
            Some(url) if http::host_and_port(url).is_none() => {
                vec![Problem::at("/base-url", format!("`{url}` is not an http or https URL"))]
            }
            _ => Vec::new(),
        }
    }
}

impl RunbookAction for Http {
    type Inputs = Inputs;

    fn plan(config: &Config, inputs: &Inputs) -> Result<Option<String>, Failure> {
        let request = request(config, inputs, "")?;
        let size = match request.body.len() {
            0 => String::new(),
            bytes => format!(" with {bytes} bytes"),
        };
        Ok(Some(format!("{} {}{size}, expecting {}", request.method, request.url, expected(inputs))))
    }

    fn run(config: &Config, inputs: &Inputs, key: &str) -> Result<Outcome, Failure> {
        let mut request = request(config, inputs, key)?;
        for (name, secret) in &config.secret_headers {
            request = request.header(name, secret::header_value(secret)?);
        }
        let start = Instant::now();
        let response = request.send().map_err(|error| unanswered(&request, &error))?;
        judge(inputs, &request, &response, u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// The failure of a request that was not answered, by what is known of it.
fn unanswered(request: &Request, error: &http::Error) -> Failure {
    let message = format!("{} {}: {error}", request.method, request.url);
    match error {
        http::Error::Invalid(_) | http::Error::Denied(_) => Failure::Rejected(message),
        // It was not sent.
        http::Error::Connect(_) | http::Error::Tls(_) => Failure::Other(message),
        http::Error::Timeout(_) | http::Error::Failed(_) => doubtful(request, message),
    }
}

/// What was asked for may have been done, if it was anything at all.
fn doubtful(request: &Request, message: String) -> Failure {
    if is_safe(&request.method) { Failure::Other(message) } else { Failure::retry(message) }
}

/// Asks, and changes nothing.
fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

fn request(config: &Config, inputs: &Inputs, key: &str) -> Result<Request, Failure> {
    let url = match &config.base_url {
        Some(base) if inputs.url.starts_with('/') => format!("{}{}", base.trim_end_matches('/'), inputs.url),
        _ => inputs.url.clone(),
    };
    if http::host_and_port(&url).is_none() {
        return Err(Failure::rejected(format!("`{url}` is not an http or https URL")));
    }
    if !(inputs.timeout_seconds > 0.0 && inputs.timeout_seconds <= 86_400.0) {
        return Err(Failure::rejected(format!("`timeout-seconds` is {}, expected 0 to 86400", inputs.timeout_seconds)));
    }
    let method = inputs.method.to_uppercase();
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    headers.insert("user-agent".to_owned(), concat!("quarterdeck-http/", env!("CARGO_PKG_VERSION")).to_owned());
    // The same for every attempt of a step: the recipient can drop a second one.
    if !is_safe(&method) {
        headers.insert("idempotency-key".to_owned(), key.to_owned());
    }
    let body = match &inputs.body {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(value) => {
            headers.insert("content-type".to_owned(), "application/json".to_owned());
            value.to_string().into_bytes()
        }
    };
    let given = config.headers.iter().chain(&inputs.headers);
    headers.extend(given.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
    let mut request = Request::new(method, url)
        .body(body)
        .timeout_ms((inputs.timeout_seconds * 1000.0) as u64)
        .max_body_bytes(BODY_BYTES);
    request.headers = headers.into_iter().collect();
    Ok(request)
}

fn judge(inputs: &Inputs, request: &Request, response: &Response, duration_ms: u64) -> Result<Outcome, Failure> {
    let status = response.status;
    let fits = match &inputs.expect_status {
        None => response.is_success(),
        Some(Expected::One(one)) => status == *one,
        Some(Expected::Any(any)) => any.contains(&status),
    };
    let what = format!("{} {} answered {status} in {duration_ms} ms", request.method, request.url);
    if !fits {
        let message = format!("{what}, expected {}", expected(inputs));
        // A gateway that got no answer does not know either what became of the request behind it.
        return Err(match status {
            502 | 504 => doubtful(request, message),
            _ => Failure::Other(message),
        });
    }
    let text = response.text();
    if let Some(part) = inputs.body_contains.as_ref().filter(|part| !text.contains(part.as_str())) {
        let start: String = text.chars().take(200).collect();
        return Err(Failure::Other(format!("{what}, but its body does not hold `{part}`; it begins with `{start}`")));
    }
    Ok(Outcome::done()
        .with("status", status)
        .with("body", &*text)
        .with("truncated", response.truncated)
        .with("duration_ms", duration_ms))
}

fn expected(inputs: &Inputs) -> String {
    match &inputs.expect_status {
        None => "200 to 299".to_owned(),
        Some(Expected::One(status)) => status.to_string(),
        Some(Expected::Any(all)) => all.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
    }
}

quarterdeck_sdk::export!(Http: runbook_action);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::serde_json;
    use quarterdeck_sdk::testing::FakeHost;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    fn inputs(json: &str) -> Inputs {
        serde_json::from_str(json).unwrap()
    }

    fn run(json: &str, status: u16, body: &str) -> Result<Outcome, Failure> {
        let body = body.as_bytes().to_vec();
        let host = FakeHost {
            http: Some(Box::new(move |_| Ok(Response { status, body: body.clone(), ..Response::default() }))),
            ..FakeHost::default()
        };
        host.run(|| Http::run(&config("{}"), &inputs(json), "eff_1")).0
    }

    #[test]
    fn an_answer_as_expected_is_handed_on() {
        let Outcome::Done(outputs) = run(r#"{"url":"http://a/"}"#, 200, "fine").unwrap() else { unreachable!() };
        assert_eq!((&outputs["status"], &outputs["body"]), (&200.into(), &"fine".into()));
    }

    #[test]
    fn another_status_fails_with_the_one_that_was_measured() {
        let check = |json: &str, status, end: &str| {
            let message = run(json, status, "").unwrap_err().message().to_owned();
            let measured = format!("GET http://a/ answered {status} in ");
            assert!(message.starts_with(&measured) && message.ends_with(end), "{message}");
        };
        check(r#"{"url":"http://a/"}"#, 503, ", expected 200 to 299");
        check(r#"{"url":"http://a/","expect-status":204}"#, 200, ", expected 204");
        check(r#"{"url":"http://a/","expect-status":[200,404]}"#, 500, ", expected 200 or 404");
        check(r#"{"url":"http://a/","body-contains":"x"}"#, 200, "does not hold `x`; it begins with ``");
    }

    #[test]
    fn a_request_that_changes_something_and_was_not_answered_may_have_been_carried_out() {
        let unsure = |method: &str, error: http::Error| {
            let json = format!(r#"{{"url":"http://a/","method":"{method}"}}"#);
            let host = FakeHost { http: Some(Box::new(move |_| Err(error.clone()))), ..FakeHost::default() };
            match host.run(|| Http::run(&config("{}"), &inputs(&json), "key")).0.unwrap_err() {
                Failure::Retry { .. } => true,
                Failure::Other(_) => false,
                Failure::Rejected(_) => unreachable!("it fits"),
            }
        };
        let timeout = || http::Error::Timeout("no answer".to_owned());
        assert!(unsure("POST", timeout()) && unsure("delete", http::Error::Failed("closed".to_owned())));
        assert!(!unsure("GET", timeout()), "it asks for nothing to be done");
        assert!(!unsure("POST", http::Error::Connect("refused".to_owned())), "it was not sent");
        let answered =
            |status| matches!(run(r#"{"url":"http://a/","method":"POST"}"#, status, ""), Err(Failure::Retry { .. }));
        assert!(answered(502) && answered(504), "a gateway does not know");
        assert!(!answered(500) && !answered(503) && !answered(429));
    }

    #[test]
    fn what_changes_something_carries_the_key_and_json_its_type() {
        let post = inputs(r#"{"url":"/x","method":"post","body":{"a":1},"headers":{"X-A":"2"}}"#);
        let request = request(&config(r#"{"base-url":"http://b/","headers":{"x-a":"1"}}"#), &post, "eff_1").unwrap();
        let header = |name: &str| request.headers.iter().find(|(own, _)| own == name).map(|(_, v)| v.as_str());
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "http://b/x"));
        assert_eq!(header("idempotency-key"), Some("eff_1"));
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("x-a"), Some("2"));
        assert_eq!(request.body, br#"{"a":1}"#);
    }

    #[test]
    fn a_plan_asks_nobody() {
        let plan = Http::plan(&config("{}"), &inputs(r#"{"url":"http://a/","method":"DELETE"}"#)).unwrap();
        assert_eq!(plan.as_deref(), Some("DELETE http://a/, expecting 200 to 299"));
    }

    #[test]
    fn a_url_that_is_none_is_rejected() {
        assert!(matches!(run(r#"{"url":"/x"}"#, 200, ""), Err(Failure::Rejected(_))));
    }
}
