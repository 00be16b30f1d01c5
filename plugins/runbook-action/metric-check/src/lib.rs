//! Checks a condition on the host's newest samples as a step of a runbook. Every series that matches must fulfil it; that there
//! is none, or an old one only, is a failure too, since nobody knows then. With `fresh` the step waits until every series has a sample
//! that was taken after it began: what was well a while ago may be dead now.

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

use quarterdeck_sdk::condition::Condition;
use quarterdeck_sdk::host::clock::now_ms;
use quarterdeck_sdk::host::metrics::{self, Point};
use quarterdeck_sdk::runbook_action::RunbookAction;
use quarterdeck_sdk::serde_json::{Value, json};
use quarterdeck_sdk::{Capability, Failure, Labels, Outcome, Plugin};
use std::collections::BTreeMap;

quarterdeck_sdk::config! {
    /// Configuration of `metric-check`: it has none.
    pub struct Config {}

    /// Inputs of a step.
    pub struct Inputs {
        /// Name of the metric.
        pub metric: String,
        /// Labels that a series must have; others may stand beside them.
        #[serde(default)]
        pub labels: BTreeMap<String, String>,
        /// `<= 90`, `> 0`, `== 1`, `!= 0` ...
        pub condition: String,
        /// How many series there must be.
        #[serde(default = "one")]
        pub at_least: usize,
        /// How old the newest sample of a series may be: more than 0, at most 300.
        #[serde(default = "five_minutes")]
        pub max_age_seconds: f64,
        /// Only samples count that were taken after the step began.
        #[serde(default)]
        pub fresh: bool,
        /// How long it waits for those, at most 3600. Less than the step's `timeout`, or that ends it first.
        #[serde(default = "fifty_seconds")]
        pub wait_seconds: f64,
    }

    /// What a step that waits has to know.
    struct Waiting {
        inputs: Inputs,
        began_ms: i64,
    }
}

fn five_minutes() -> f64 {
    300.0
}

fn fifty_seconds() -> f64 {
    50.0
}

fn one() -> usize {
    1
}

/// When it is asked again for newer samples.
const AGAIN_MS: u64 = 1_000;
/// How many series a failure names.
const NAMED: usize = 5;

/// The plugin.
pub struct MetricCheck;

impl Plugin for MetricCheck {
    type Config = Config;
    const NAME: &'static str = "metric-check";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Checks a condition on the newest samples of a metric";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("metrics", "reads the newest samples of the metric that a step names")]
    }
}

impl RunbookAction for MetricCheck {
    type Inputs = Inputs;

    fn plan(_config: &Config, inputs: &Inputs) -> Result<Option<String>, Failure> {
        let condition = condition(inputs)?;
        let wait = if inputs.fresh {
            format!(", waits up to {} s for new samples", inputs.wait_seconds)
        } else {
            String::new()
        };
        Ok(Some(format!("checks that {} is {condition}{wait}; changes nothing", series(inputs, &labels(inputs)))))
    }

    fn run(_config: &Config, inputs: &Inputs, _key: &str) -> Result<Outcome, Failure> {
        let now_ms = now_ms();
        if inputs.fresh {
            wait(&Waiting { inputs: inputs.clone(), began_ms: now_ms }, now_ms)
        } else {
            look(inputs, now_ms)
        }
    }

    fn poll(_config: &Config, token: &str) -> Result<Outcome, Failure> {
        let waiting = quarterdeck_sdk::json::from_str(token);
        wait(&waiting.map_err(|_| Failure::rejected("the token is none of this action's"))?, now_ms())
    }
}

fn look(inputs: &Inputs, now_ms: i64) -> Result<Outcome, Failure> {
    let condition = condition(inputs)?;
    judge(inputs, condition, &metrics::latest(&inputs.metric, &labels(inputs))?, now_ms)
}

/// Pending until every series has a sample of after the beginning.
fn wait(waiting: &Waiting, now_ms: i64) -> Result<Outcome, Failure> {
    let Waiting { inputs, began_ms } = waiting;
    let condition = condition(inputs)?;
    let points = metrics::latest(&inputs.metric, &labels(inputs))?;
    let oldest = points.iter().min_by_key(|point| point.at_ms).filter(|point| point.at_ms < *began_ms);
    // Fewer series than there must be do not become more by waiting.
    let Some(oldest) = oldest.filter(|_| points.len() >= inputs.at_least) else {
        return judge(inputs, condition, &points, now_ms);
    };
    if seconds_between(*began_ms, now_ms) < inputs.wait_seconds {
        let token = json!({
            "inputs": {
                "metric": inputs.metric, "labels": inputs.labels, "condition": inputs.condition, "at-least": inputs.at_least,
                "max-age-seconds": inputs.max_age_seconds, "fresh": true, "wait-seconds": inputs.wait_seconds,
            },
            "began-ms": began_ms,
        });
        return Ok(Outcome::pending(token.to_string(), AGAIN_MS));
    }
    Err(Failure::other(format!(
        "no newer sample: the last one is {} old, of {}",
        age(oldest, now_ms),
        series(inputs, &oldest.labels)
    )))
}

fn seconds_between(from_ms: i64, to_ms: i64) -> f64 {
    to_ms.saturating_sub(from_ms).max(0) as f64 / 1000.0
}

/// As a person reads it.
fn age(point: &Point, now_ms: i64) -> String {
    let seconds = seconds_between(point.at_ms, now_ms);
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

fn condition(inputs: &Inputs) -> Result<Condition, Failure> {
    if !(inputs.max_age_seconds > 0.0 && inputs.max_age_seconds <= 300.0) {
        let given = inputs.max_age_seconds;
        return Err(Failure::rejected(format!("`max-age-seconds` is {given}, expected more than 0, at most 300")));
    }
    if !(0.0..=3600.0).contains(&inputs.wait_seconds) {
        return Err(Failure::rejected(format!("`wait-seconds` is {}, expected 0 to 3600", inputs.wait_seconds)));
    }
    inputs.condition.parse().map_err(Failure::Rejected)
}

fn labels(inputs: &Inputs) -> Labels {
    inputs.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn series(inputs: &Inputs, labels: &Labels) -> String {
    if labels.is_empty() { inputs.metric.clone() } else { format!("{}{labels}", inputs.metric) }
}

fn judge(inputs: &Inputs, condition: Condition, points: &[Point], now_ms: i64) -> Result<Outcome, Failure> {
    let wanted = series(inputs, &labels(inputs));
    if points.is_empty() && inputs.at_least > 0 {
        return Err(Failure::Other(format!("no samples of {wanted} in the last 5 minutes")));
    }
    if points.len() < inputs.at_least {
        let (found, least) = (points.len(), inputs.at_least);
        return Err(Failure::Other(format!(
            "{found} series of {wanted} in the last 5 minutes, expected at least {least}"
        )));
    }
    let old: Vec<&Point> =
        points.iter().filter(|point| seconds_between(point.at_ms, now_ms) > inputs.max_age_seconds).collect();
    if !old.is_empty() {
        let named = |point: &&Point| format!("{} is {} old", series(inputs, &point.labels), age(point, now_ms));
        let least = inputs.max_age_seconds;
        return Err(Failure::Other(format!(
            "the newest sample of {}, expected at most {least} s",
            named_of(&old, named)
        )));
    }
    let ages = points.iter().map(|point| seconds_between(point.at_ms, now_ms));
    let oldest = ages.fold(0.0, f64::max);
    let violations: Vec<&Point> = points.iter().filter(|point| !condition.holds(point.value)).collect();
    if violations.is_empty() {
        let value = |point: &Point| {
            let age = seconds_between(point.at_ms, now_ms);
            json!({"series": series(inputs, &point.labels), "value": point.value, "age_seconds": age})
        };
        let values: Vec<Value> = points.iter().map(value).collect();
        let first = points.first().map_or(Value::Null, |point| Value::from(point.value));
        let outcome = Outcome::done().with("checked", points.len()).with("value", first).with("age_seconds", oldest);
        return Ok(outcome.with("values", values));
    }
    let named = |point: &&Point| format!("{} is {}", series(inputs, &point.labels), shown(point.value));
    let sampled =
        violations.iter().min_by_key(|point| point.at_ms).map_or_else(String::new, |point| age(point, now_ms));
    let up_to = if violations.len() > 1 { "up to " } else { "" };
    let named = named_of(&violations, named);
    Err(Failure::Other(format!("{named}, expected {condition} (sampled {up_to}{sampled} ago)")))
}

/// For people. Many figures come as 32 bits, and say nothing behind their eighth digit.
fn shown(value: f64) -> String {
    let short = value as f32;
    if short.is_finite() { short.to_string() } else { value.to_string() }
}

fn named_of(points: &[&Point], named: impl Fn(&&Point) -> String) -> String {
    let first: Vec<String> = points.iter().take(NAMED).map(named).collect();
    match points.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

quarterdeck_sdk::export!(MetricCheck: runbook_action);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::testing::FakeHost;

    /// Series with their values, and how many seconds ago they were sampled.
    fn host(values: &[(&str, f64, i64)]) -> FakeHost {
        let now_ms = now_ms();
        let point = |(mount, value, age): &(&str, f64, i64)| Point {
            labels: Labels::new().with("mount", *mount),
            at_ms: now_ms - age * 1000,
            value: *value,
        };
        let metrics = values.iter().map(|given| ("disk_used_percent".to_owned(), point(given)));
        FakeHost { metrics: metrics.collect(), now_ms: Some(now_ms), ..FakeHost::default() }
    }

    fn run_at(json: &str, values: &[(&str, f64, i64)]) -> Result<Outcome, Failure> {
        let inputs = quarterdeck_sdk::serde_json::from_str(json).unwrap();
        host(values).run(|| MetricCheck::run(&Config {}, &inputs, "k")).0
    }

    fn run(json: &str, values: &[(&str, f64)]) -> Result<Outcome, Failure> {
        run_at(json, &values.iter().map(|(mount, value)| (*mount, *value, 60)).collect::<Vec<_>>())
    }

    const DISKS: &str = r#"{"metric":"disk_used_percent","condition":"<= 90"}"#;

    #[test]
    fn a_value_is_told_with_the_digits_that_say_something() {
        let told = [
            (97.076_614_379_882_81, "97.076614"),
            (89.999_96, "89.99996"),
            (99.0, "99"),
            (1.5e9, "1500000000"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
            (1e39, "1000000000000000000000000000000000000000"),
        ];
        for (value, words) in told {
            assert_eq!(shown(value), words);
        }
    }

    #[test]
    fn every_series_must_fulfil_the_condition() {
        assert!(run(DISKS, &[("/", 50.0), ("/var", 90.0)]).is_ok());
        let failure = run(DISKS, &[("/", 50.0), ("/var", 97.5), ("/tmp", f64::NAN)]).unwrap_err();
        assert_eq!(
            failure,
            Failure::other(
                "disk_used_percent{mount=\"/var\"} is 97.5, disk_used_percent{mount=\"/tmp\"} is NaN, expected <= 90 \
                 (sampled up to 60 s ago)"
            )
        );
    }

    #[test]
    fn only_series_with_the_labels_are_asked() {
        let json = r#"{"metric":"disk_used_percent","condition":"<= 90","labels":{"mount":"/"}}"#;
        assert!(run(json, &[("/", 50.0), ("/var", 99.0)]).is_ok());
    }

    #[test]
    fn no_samples_are_a_failure() {
        let failure = run(DISKS, &[]).unwrap_err();
        assert_eq!(failure, Failure::other("no samples of disk_used_percent in the last 5 minutes"));
        let json = r#"{"metric":"disk_used_percent","condition":"<= 90","at-least":2}"#;
        let message = "1 series of disk_used_percent in the last 5 minutes, expected at least 2";
        assert_eq!(run(json, &[("/", 1.0)]), Err(Failure::other(message)));
    }

    #[test]
    fn a_sample_that_is_too_old_is_a_failure_whatever_it_says() {
        let json = r#"{"metric":"disk_used_percent","condition":"<= 90","max-age-seconds":60}"#;
        assert!(run_at(json, &[("/", 1.0, 30)]).is_ok());
        let failure = run_at(json, &[("/", 1.0, 30), ("/var", 1.0, 75)]).unwrap_err();
        let message = "the newest sample of disk_used_percent{mount=\"/var\"} is 75 s old, expected at most 60 s";
        assert_eq!(failure, Failure::other(message));
        let wrong = json.replace("60", "301");
        assert!(matches!(run_at(&wrong, &[]), Err(Failure::Rejected(text)) if text.contains("at most 300")));
    }

    #[test]
    fn the_age_of_what_was_judged_is_shown() {
        let Ok(Outcome::Done(outputs)) = run_at(DISKS, &[("/", 1.0, 20), ("/var", 2.0, 40)]) else {
            panic!("not done")
        };
        let age = |value: &Value| value.as_f64().unwrap().round();
        assert_eq!((age(&outputs["age_seconds"]), age(&outputs["values"][0]["age_seconds"])), (40.0, 20.0));
    }

    const FRESH: &str = r#"{"metric":"disk_used_percent","condition":"<= 90","fresh":true,"wait-seconds":20}"#;

    /// Polls a step that began so many seconds ago.
    fn poll(token: &str, began_ago: i64, values: &[(&str, f64, i64)]) -> Result<Outcome, Failure> {
        let mut token: Value = quarterdeck_sdk::serde_json::from_str(token).unwrap();
        token["began-ms"] = (now_ms() - began_ago * 1000).into();
        host(values).run(|| MetricCheck::poll(&Config {}, &token.to_string())).0
    }

    #[test]
    fn a_fresh_step_waits_until_every_series_was_sampled_after_it_began() {
        let Ok(Outcome::Pending { token, after_ms: 1_000 }) = run_at(FRESH, &[("/", 1.0, 2), ("/var", 1.0, 2)]) else {
            panic!("it did not wait")
        };
        let again = poll(&token, 5, &[("/", 1.0, 1), ("/var", 1.0, 7)]);
        assert!(matches!(again, Ok(Outcome::Pending { token: same, .. }) if !same.is_empty()));
        assert!(matches!(poll(&token, 5, &[("/", 1.0, 1), ("/var", 1.0, 2)]), Ok(Outcome::Done(_))));
        let dead = poll(&token, 5, &[("/", 1.0, 1), ("/var", 99.0, 2)]).unwrap_err();
        assert!(dead.message().starts_with("disk_used_percent{mount=\"/var\"} is 99, expected <= 90"), "{dead:?}");
    }

    #[test]
    fn a_fresh_step_gives_up_and_names_the_series_that_has_no_newer_sample() {
        let Ok(Outcome::Pending { token, .. }) = run_at(FRESH, &[("/", 1.0, 2)]) else { panic!("it did not wait") };
        let failure = poll(&token, 21, &[("/", 1.0, 1), ("/var", 1.0, 23)]).unwrap_err();
        let message = "no newer sample: the last one is 23 s old, of disk_used_percent{mount=\"/var\"}";
        assert_eq!(failure, Failure::other(message));
        assert!(matches!(run_at(FRESH, &[]), Err(Failure::Other(text)) if text.starts_with("no samples of")));
        assert!(MetricCheck::poll(&Config {}, "of another").is_err());
    }

    #[test]
    fn many_violations_are_counted() {
        let message = run(DISKS, &[("/", 95.0); 7]).unwrap_err().message().to_owned();
        assert!(message.ends_with(" and 2 more, expected <= 90 (sampled up to 60 s ago)"), "{message}");
    }

    #[test]
    fn a_condition_that_is_none_is_rejected() {
        let json = r#"{"metric":"a","condition":"small"}"#;
        assert!(matches!(run(json, &[]), Err(Failure::Rejected(_))));
    }
}
