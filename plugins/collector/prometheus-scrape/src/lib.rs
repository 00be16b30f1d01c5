//! Collects what a Prometheus exposition page says: text format 0.0.4, and what of OpenMetrics is like it.
//!
//! [`exposition`] reads the page; here it is fetched, and what came of it is reported as `up`, `scrape_duration_seconds` and
//! `scrape_samples_scraped` beside the page's own metrics.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

pub mod exposition;

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::http::{self, Request};
use quarterdeck_sdk::{Capability, Failure, Labels, Plugin, Problem};
use std::collections::BTreeMap;
use std::time::Instant;

quarterdeck_sdk::config! {
    /// Configuration of `prometheus-scrape`.
    pub struct Config {
        /// The page, `http://127.0.0.1:9100/metrics`. Redirects are not followed.
        pub url: String,
        /// For the whole exchange. The host gives up shortly before the call's own time (`limits.deadline`) is over, whatever
        /// this says: a page that hangs is `up` 0 in any case.
        #[serde(default = "five_seconds")]
        pub timeout_ms: u64,
        /// Sent with the request.
        #[serde(default)]
        pub headers: BTreeMap<String, String>,
        /// A page with more samples is refused as a whole.
        #[serde(default = "fifty_thousand")]
        pub max_samples: usize,
        /// A longer page is refused as a whole.
        #[serde(default = "eight_mebibytes")]
        pub max_body_bytes: usize,
        /// Whether times that the page gives are taken over; otherwise every sample is of the time of the call.
        #[serde(default = "yes")]
        pub honor_timestamps: bool,
        /// Whether a `job` that the page gives stays as it is; otherwise it becomes `exported_job`. An `instance` becomes
        /// `exported_instance` in any case: `instance` is whose samples they are.
        #[serde(default)]
        pub honor_labels: bool,
    }
}

/// No page is worth a longer wait.
const LONGEST_MS: u64 = 600_000;

fn five_seconds() -> u64 {
    5000
}

fn fifty_thousand() -> usize {
    50_000
}

fn eight_mebibytes() -> usize {
    8 << 20
}

fn yes() -> bool {
    true
}

/// The plugin.
pub struct PrometheusScrape;

impl Plugin for PrometheusScrape {
    type Config = Config;
    const NAME: &'static str = "prometheus-scrape";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Metrics of a Prometheus exposition page";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("http", "fetches the configured page")]
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

impl Collector for PrometheusScrape {
    fn collect(config: &Config, now_ms: i64) -> Result<Collection, Failure> {
        let start = Instant::now();
        let scraped = match scrape(config, now_ms) {
            Err(http::Error::Denied(message) | http::Error::Invalid(message)) => {
                return Err(Failure::Rejected(message));
            }
            Err(error) => Err(error.to_string()),
            Ok(scraped) => scraped,
        };
        Ok(report(scraped, start.elapsed().as_secs_f64()))
    }
}

type Scraped = Result<Vec<Family>, String>;

fn scrape(config: &Config, now_ms: i64) -> Result<Scraped, http::Error> {
    let mut request = Request::get(&*config.url)
        .header("accept", "text/plain;version=0.0.4;q=1,*/*;q=0.1")
        .timeout_ms(config.timeout_ms)
        .max_body_bytes(config.max_body_bytes);
    for (name, value) in &config.headers {
        request = request.header(name, value);
    }
    let response = request.send()?;
    if !response.is_success() {
        return Ok(Err(format!("answered {}, expected 200 to 299", response.status)));
    }
    if response.truncated {
        return Ok(Err(format!("the page is longer than max-body-bytes ({})", config.max_body_bytes)));
    }
    let open_metrics =
        response.header("content-type").is_some_and(|value| value.starts_with("application/openmetrics-text"));
    let Ok(page) = std::str::from_utf8(&response.body) else {
        return Ok(Err("the page is not UTF-8".to_owned()));
    };
    let options = exposition::Options {
        now_ms,
        open_metrics,
        max_samples: config.max_samples,
        honor_timestamps: config.honor_timestamps,
    };
    let mut scraped = exposition::parse(page, &options).map_err(|error| error.to_string());
    let all = scraped.iter_mut().flatten().flat_map(|family| &mut family.labels);
    all.for_each(|labels| export(labels, config.honor_labels));
    Ok(scraped)
}

/// As Prometheus does it: what the page says about itself under names that the scrape gives stays, under others.
fn export(labels: &mut Labels, honor: bool) {
    let names: &[&str] = if honor { &["instance"] } else { &["instance", "job"] };
    for name in names {
        let mut exported = format!("exported_{name}");
        while labels.get(&exported).is_some() {
            exported.insert_str(0, "exported_");
        }
        if let Some((own, _)) = labels.0.iter_mut().find(|(own, _)| own == name) {
            *own = exported;
        }
    }
}

fn report(scraped: Scraped, seconds: f64) -> Collection {
    let (mut families, health) = match scraped {
        Ok(families) => (families, None),
        Err(message) => (Vec::new(), Some(Health::failed(message))),
    };
    let count: usize = families.iter().map(|family| family.values.len()).sum();
    // What the page says about itself under these names would be a second value of the same series.
    families.retain(|family| !matches!(&*family.name, "up" | "scrape_duration_seconds" | "scrape_samples_scraped"));
    families.extend([
        Family::gauge("up", "1 if the page could be read").value(if health.is_none() { 1.0 } else { 0.0 }),
        Family::gauge("scrape_duration_seconds", "Of the exchange and the reading").value(seconds),
        Family::gauge("scrape_samples_scraped", "On the page").value(count as f64),
    ]);
    let health = health.unwrap_or_else(|| Health::ok(format!("{count} samples in {:.0} ms", seconds * 1000.0)));
    Collection { families, health }
}

quarterdeck_sdk::export!(PrometheusScrape: collector);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::collector::State;
    use quarterdeck_sdk::http::Response;
    use quarterdeck_sdk::testing::FakeHost;

    fn collect(status: u16, page: &str) -> Collection {
        let body = page.as_bytes().to_vec();
        let host = FakeHost {
            http: Some(Box::new(move |_| Ok(Response { status, body: body.clone(), ..Response::default() }))),
            ..FakeHost::default()
        };
        let config = quarterdeck_sdk::serde_json::from_str(r#"{"url":"http://a/metrics"}"#).unwrap();
        host.run(|| PrometheusScrape::collect(&config, 1_000)).0.unwrap()
    }

    #[test]
    fn a_page_is_reported_with_up_and_the_number_of_its_samples() {
        let collected = collect(200, "a 1\nb{x=\"y\"} 2\n");
        assert_eq!(collected.value("a", &Labels::new()), Some(1.0));
        assert_eq!(collected.value("b", &Labels::new().with("x", "y")), Some(2.0));
        assert_eq!(collected.value("up", &Labels::new()), Some(1.0));
        assert_eq!(collected.value("scrape_samples_scraped", &Labels::new()), Some(2.0));
    }

    #[test]
    fn what_the_page_calls_instance_and_job_stays_under_other_names() {
        let page = "a{instance=\"db-1\",job=\"db\",x=\"y\"} 1\nb{exported_job=\"old\",job=\"new\"} 2\n";
        let collected = collect(200, page);
        let exported = Labels::new().with("exported_instance", "db-1").with("exported_job", "db").with("x", "y");
        assert_eq!(collected.value("a", &exported), Some(1.0));
        let twice = Labels::new().with("exported_job", "old").with("exported_exported_job", "new");
        assert_eq!(collected.value("b", &twice), Some(2.0));
        let mut honored = Labels::new().with("instance", "db-1").with("job", "db");
        export(&mut honored, true);
        assert_eq!(honored, Labels::new().with("exported_instance", "db-1").with("job", "db"));
    }

    #[test]
    fn a_malformed_line_takes_the_target_down_and_is_named() {
        let collected = collect(200, "a 1\nb{x=} 2\n");
        assert_eq!(collected.value("up", &Labels::new()), Some(0.0));
        assert_eq!(collected.health.state, State::Failed);
        assert_eq!(collected.health.message, "line 2: expected `\"` before the value of label `x`");
        assert_eq!(collected.value("a", &Labels::new()), None);
    }

    #[test]
    fn another_status_takes_the_target_down() {
        let collected = collect(500, "a 1\n");
        assert_eq!(collected.health, Health::failed("answered 500, expected 200 to 299"));
    }
}
