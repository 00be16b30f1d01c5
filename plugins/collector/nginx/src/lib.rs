//! Collects what the page of nginx's `stub_status` says.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::http::{self, Request};
use quarterdeck_sdk::{Capability, Failure, Labels, Plugin, Problem};
use std::time::Instant;

/// The page has five lines.
const PAGE_BYTES: usize = 4096;
const LONGEST_MS: u64 = 600_000;

quarterdeck_sdk::config! {
    /// Configuration of `nginx`.
    pub struct Config {
        /// The page of `stub_status`.
        pub url: String,
        /// For the whole exchange.
        #[serde(default = "five_seconds")]
        pub timeout_ms: u64,
        /// With so many connections open, or more, the server counts as degraded. Unless given, there may be any number.
        #[serde(default)]
        pub active_limit: Option<u64>,
    }
}

fn five_seconds() -> u64 {
    5000
}

/// The plugin.
pub struct Nginx;

impl Plugin for Nginx {
    type Config = Config;
    const NAME: &'static str = "nginx";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Connections and requests of an nginx";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("http", "fetches the status page")]
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

/// What stands on the page.
#[derive(Debug, PartialEq)]
struct Page {
    active: f64,
    accepted: f64,
    handled: f64,
    requests: f64,
    reading: f64,
    writing: f64,
    waiting: f64,
}

impl Collector for Nginx {
    fn collect(config: &Config, _: i64) -> Result<Collection, Failure> {
        let start = Instant::now();
        let request = Request::get(&*config.url).timeout_ms(config.timeout_ms).max_body_bytes(PAGE_BYTES);
        let page = match request.send() {
            Err(http::Error::Denied(message) | http::Error::Invalid(message)) => {
                return Err(Failure::Rejected(message));
            }
            Err(error) => Err(error.to_string()),
            Ok(response) if !response.is_success() => Err(format!("answered {}, expected 200 to 299", response.status)),
            Ok(response) => parse(&String::from_utf8_lossy(&response.body)).ok_or_else(|| {
                "the page is not that of `stub_status`; hint: location = /nginx_status { stub_status; }".to_owned()
            }),
        };
        Ok(report(config, page, start.elapsed().as_secs_f64()))
    }
}

fn report(config: &Config, page: Result<Page, String>, seconds: f64) -> Collection {
    let up = |value| Family::gauge("nginx_up", "1 if the status page could be read").value(value);
    let page = match page {
        Ok(page) => page,
        Err(message) => return Collection { families: vec![up(0.0)], health: Health::failed(message) },
    };
    let state = |state: &str| Labels::new().with("state", state);
    let families = vec![
        up(1.0),
        Family::gauge("nginx_status_duration_seconds", "Of the exchange").value(seconds),
        Family::gauge("nginx_connections_active", "Open, those that wait included").value(page.active),
        Family::gauge("nginx_connections", "By what they do")
            .sample(state("reading"), page.reading)
            .sample(state("writing"), page.writing)
            .sample(state("waiting"), page.waiting),
        Family::counter("nginx_connections_accepted_total", "Since the server's start").value(page.accepted),
        Family::counter("nginx_connections_handled_total", "Since the server's start").value(page.handled),
        Family::counter("nginx_connections_dropped_total", "Accepted, and not handled for want of something")
            .value((page.accepted - page.handled).max(0.0)),
        Family::counter("nginx_requests_total", "Since the server's start").value(page.requests),
    ];
    let health = match config.active_limit {
        Some(limit) if page.active >= limit as f64 => Health::degraded(format!("{} connections are open", page.active)),
        _ => Health::ok(format!("{} connections, answered in {:.0} ms", page.active, seconds * 1000.0)),
    };
    Collection { families, health }
}

/// ```text
/// Active connections: 291
/// server accepts handled requests
///  16630948 16630948 31070465
/// Reading: 6 Writing: 179 Waiting: 106
/// ```
fn parse(page: &str) -> Option<Page> {
    let mut lines = page.lines();
    let active = lines.next()?.trim().strip_prefix("Active connections:")?.trim().parse().ok()?;
    lines.next().filter(|line| line.contains("accepts handled requests"))?;
    let mut totals = lines.next()?.split_whitespace().map(|word| word.parse::<f64>().ok());
    let (accepted, handled, requests) = (totals.next()??, totals.next()??, totals.next()??);
    let words: Vec<&str> = lines.next()?.split_whitespace().collect();
    let after = |name: &str| {
        let index = words.iter().position(|word| *word == name)?;
        words.get(index + 1)?.parse::<f64>().ok()
    };
    let (reading, writing, waiting) = (after("Reading:")?, after("Writing:")?, after("Waiting:")?);
    Some(Page { active, accepted, handled, requests, reading, writing, waiting })
}

quarterdeck_sdk::export!(Nginx: collector);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::collector::State;
    use quarterdeck_sdk::http::Response;
    use quarterdeck_sdk::serde_json;
    use quarterdeck_sdk::testing::FakeHost;

    const PAGE: &str = "Active connections: 291 \nserver accepts handled requests\n 16630948 16630940 31070465 \n\
                        Reading: 6 Writing: 179 Waiting: 106 \n";

    fn collect(status: u16, page: &str, more: &str) -> Collection {
        let body = page.as_bytes().to_vec();
        let host = FakeHost {
            http: Some(Box::new(move |_| Ok(Response { status, body: body.clone(), ..Response::default() }))),
            ..FakeHost::default()
        };
        let config = serde_json::from_str(&format!(r#"{{"url":"http://a/status"{more}}}"#)).unwrap();
        host.run(|| Nginx::collect(&config, 0)).0.unwrap()
    }

    #[test]
    fn the_figures_of_the_page_are_reported() {
        let collected = collect(200, PAGE, "");
        let value = |name: &str| collected.value(name, &Labels::new()).unwrap();
        assert_eq!((value("nginx_up"), value("nginx_connections_active")), (1.0, 291.0));
        assert_eq!((value("nginx_requests_total"), value("nginx_connections_dropped_total")), (31_070_465.0, 8.0));
        assert_eq!(collected.value("nginx_connections", &Labels::new().with("state", "writing")), Some(179.0));
        assert_eq!(collected.health.state, State::Ok);
        let many = collect(200, PAGE, r#","active-limit":291"#);
        assert_eq!(many.health, Health::degraded("291 connections are open"));
    }

    #[test]
    fn another_page_or_status_takes_the_server_down() {
        for page in ["", "<html>", "Active connections: x\n", &PAGE[..60], &PAGE[..90]] {
            let collected = collect(200, page, "");
            assert_eq!(collected.value("nginx_up", &Labels::new()), Some(0.0), "{page}");
            assert!(collected.health.message.contains("hint: location"), "{:?}", collected.health);
        }
        assert_eq!(collect(404, PAGE, "").health, Health::failed("answered 404, expected 200 to 299"));
    }

    #[test]
    fn mistakes_in_the_configuration_are_named_with_their_places() {
        let found = Nginx::validate(&serde_json::from_str(r#"{"url":"a","timeout-ms":0}"#).unwrap());
        assert_eq!(found.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), ["/url", "/timeout-ms"]);
    }
}
