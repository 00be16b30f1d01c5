//! Asks a URL whether it answers as it should, and how long it takes. A target that does not answer is a measurement
//! (`probe_success` 0), not a failure of the probe.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::tcp::{self, Certificate};
use quarterdeck_sdk::http::{self, Request, Response};
use quarterdeck_sdk::{Capability, Failure, Plugin, Problem};
use std::collections::BTreeMap;
use std::time::Instant;

quarterdeck_sdk::config! {
    /// Configuration of `http-probe`.
    pub struct Config {
        /// What to ask, `http://` or `https://`. Redirects are not followed.
        pub url: String,
        /// How to ask.
        #[serde(default = "get")]
        pub method: String,
        /// For the whole exchange. The host gives up shortly before the call's own time (`limits.deadline`) is over, whatever
        /// this says: a target that hangs is a measurement in any case.
        #[serde(default = "five_seconds")]
        pub timeout_ms: u64,
        /// The status, or one of several, that is right. Unless given, 200 to 299.
        #[serde(default)]
        pub expect_status: Option<Expected>,
        /// A text that the body must hold, in its first mebibyte.
        #[serde(default)]
        pub body_contains: Option<String>,
        /// Sent with the request.
        #[serde(default)]
        pub headers: BTreeMap<String, String>,
        /// Sent as the request's body.
        #[serde(default)]
        pub body: Option<String>,
        /// With so many days of the certificate left, or fewer, the target counts as degraded.
        #[serde(default = "fourteen")]
        pub tls_warn_days: f64,
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

/// No target is worth a longer wait.
const LONGEST_MS: u64 = 600_000;

fn five_seconds() -> u64 {
    5000
}

fn fourteen() -> f64 {
    14.0
}

/// The plugin.
pub struct HttpProbe;

impl Plugin for HttpProbe {
    type Config = Config;
    const NAME: &'static str = "http-probe";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Status, latency, certificate and body of a URL";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("http", "asks the configured URL"),
            Capability::optional("tcp", "reads the days left of the certificate of an https URL"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if http::host_and_port(&config.url).is_none() {
            problems.push(Problem::at("/url", format!("`{}` is not an http or https URL", config.url)));
        }
        if !(1..=LONGEST_MS).contains(&config.timeout_ms) {
            let message = format!("is {}, expected 1 to {LONGEST_MS}", config.timeout_ms);
            problems.push(Problem::at("/timeout-ms", message));
        }
        problems
    }
}

/// What one exchange gave.
pub struct Measurement {
    /// The response, or why there is none.
    pub answer: Result<Response, http::Error>,
    /// How long it took.
    pub seconds: f64,
    /// Of https only, where it could be had.
    pub certificate: Option<Certificate>,
}

impl Collector for HttpProbe {
    fn collect(config: &Config, now_ms: i64) -> Result<Collection, Failure> {
        let mut request = Request::new(config.method.to_uppercase(), &*config.url).timeout_ms(config.timeout_ms);
        for (name, value) in &config.headers {
            request = request.header(name, value);
        }
        if !config.headers.keys().any(|name| name.eq_ignore_ascii_case("user-agent")) {
            request = request.header("user-agent", concat!("quarterdeck-http-probe/", env!("CARGO_PKG_VERSION")));
        }
        if let Some(body) = &config.body {
            request = request.body(body.as_bytes());
        }
        let start = Instant::now();
        let answer = request.send();
        let seconds = start.elapsed().as_secs_f64();
        if let Err(http::Error::Denied(message) | http::Error::Invalid(message)) = answer {
            return Err(Failure::Rejected(message));
        }
        let time_left = start.elapsed().as_millis() < u128::from(config.timeout_ms);
        let certificate = if time_left { certificate(config, &answer) } else { None };
        Ok(judge(config, &Measurement { answer, seconds, certificate }, now_ms))
    }
}

/// What a target presented that did answer, be it with a certificate that nobody trusts: a target that hangs would hang again.
/// Without the grant, the days left are not known.
fn certificate(config: &Config, answer: &Result<Response, http::Error>) -> Option<Certificate> {
    if !config.url.starts_with("https:") || !matches!(answer, Ok(_) | Err(http::Error::Tls(_))) {
        return None;
    }
    let (host, port) = http::host_and_port(&config.url)?;
    tcp::peer_certificate(host, port).ok()
}

/// The measurement as families and health.
pub fn judge(config: &Config, measurement: &Measurement, now_ms: i64) -> Collection {
    let response = measurement.answer.as_ref().ok();
    let status = response.map_or(0, |response| response.status);
    let status_fits = match &config.expect_status {
        None => response.is_some_and(Response::is_success),
        Some(Expected::One(expected)) => status == *expected,
        Some(Expected::Any(expected)) => expected.contains(&status),
    };
    let body_fits = match (&config.body_contains, response) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(text), Some(response)) => contains(&response.body, text.as_bytes()),
    };
    let success = response.is_some() && status_fits && body_fits;
    let days_left = measurement.certificate.as_ref().map(|certificate| days_left(certificate, now_ms));

    let mut families = vec![
        Family::gauge("probe_success", "1 if the target answered as it should").value(flag(success)),
        Family::gauge("probe_duration_seconds", "Of the whole exchange").value(measurement.seconds),
        Family::gauge("probe_http_status_code", "0 without an answer").value(f64::from(status)),
    ];
    if success {
        // A refusal is quick: it would count as a good answer where answers are to be quick.
        let of_success = Family::gauge("probe_success_duration_seconds", "Of the whole exchange, where it succeeded");
        families.push(of_success.value(measurement.seconds));
    }
    if config.body_contains.is_some() {
        families.push(Family::gauge("probe_body_matches", "1 if the body holds the text").value(flag(body_fits)));
    }
    if let Some(days) = days_left {
        families.push(Family::gauge("probe_tls_days_left", "Until the certificate ends").value(days));
    }

    let health = match &measurement.answer {
        Err(error) => Health::failed(error.message()),
        Ok(_) if !status_fits => Health::failed(format!("answered {status}, expected {}", expected(config))),
        Ok(response) if !body_fits => {
            let part = if response.truncated { "the first mebibyte of the body" } else { "the body" };
            let text = config.body_contains.as_deref().unwrap_or("");
            Health::failed(format!("answered {status}, but {part} does not hold `{text}`"))
        }
        Ok(_) => match days_left.filter(|days| *days <= config.tls_warn_days) {
            Some(days) => Health::degraded(format!("the certificate ends in {days:.1} days")),
            None => Health::ok(format!("answered {status} in {:.0} ms", measurement.seconds * 1000.0)),
        },
    };
    Collection { families, health }
}

fn expected(config: &Config) -> String {
    match &config.expect_status {
        None => "200 to 299".to_owned(),
        Some(Expected::One(status)) => status.to_string(),
        Some(Expected::Any(all)) => all.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
    }
}

fn days_left(certificate: &Certificate, now_ms: i64) -> f64 {
    (certificate.not_after_s.saturating_sub(now_ms / 1000)) as f64 / 86_400.0
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

quarterdeck_sdk::export!(HttpProbe: collector);

#[cfg(test)]
mod tests;
