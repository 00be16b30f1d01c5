//! Checks a condition on the host's newest samples as a step of a runbook. Every series that matches must fulfil it; that there
//! is none is a failure too, since nobody knows then.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_sdk::condition::Condition;
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
    }
}

fn one() -> usize {
    1
}

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
        Ok(Some(format!("checks that {} is {condition}; changes nothing", series(inputs, &labels(inputs)))))
    }

    fn run(_config: &Config, inputs: &Inputs, _key: &str) -> Result<Outcome, Failure> {
        let condition = condition(inputs)?;
        judge(inputs, condition, &metrics::latest(&inputs.metric, &labels(inputs))?)
    }
}

fn condition(inputs: &Inputs) -> Result<Condition, Failure> {
    inputs.condition.parse().map_err(Failure::Rejected)
}

fn labels(inputs: &Inputs) -> Labels {
    inputs.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn series(inputs: &Inputs, labels: &Labels) -> String {
    if labels.is_empty() { inputs.metric.clone() } else { format!("{}{labels}", inputs.metric) }
}

fn judge(inputs: &Inputs, condition: Condition, points: &[Point]) -> Result<Outcome, Failure> {
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
    let violations: Vec<&Point> = points.iter().filter(|point| !condition.holds(point.value)).collect();
    if violations.is_empty() {
        let values: Vec<Value> =
            points.iter().map(|point| json!({"series": series(inputs, &point.labels), "value": point.value})).collect();
        let first = points.first().map_or(Value::Null, |point| Value::from(point.value));
        return Ok(Outcome::done().with("checked", points.len()).with("value", first).with("values", values));
    }
    let named: Vec<String> = violations
        .iter()
        .take(NAMED)
        .map(|point| format!("{} is {}", series(inputs, &point.labels), point.value))
        .collect();
    let more = match violations.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Failure::Other(format!("{}{more}, expected {condition}", named.join(", "))))
}

quarterdeck_sdk::export!(MetricCheck: runbook_action);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::testing::FakeHost;

    fn run(json: &str, values: &[(&str, f64)]) -> Result<Outcome, Failure> {
        let inputs = quarterdeck_sdk::serde_json::from_str(json).unwrap();
        let point = |mount: &str, value| Point { labels: Labels::new().with("mount", mount), at_ms: 0, value };
        let metrics = values.iter().map(|(mount, value)| ("disk_used_percent".to_owned(), point(mount, *value)));
        let host = FakeHost { metrics: metrics.collect(), ..FakeHost::default() };
        host.run(|| MetricCheck::run(&Config {}, &inputs, "k")).0
    }

    const DISKS: &str = r#"{"metric":"disk_used_percent","condition":"<= 90"}"#;

    #[test]
    fn every_series_must_fulfil_the_condition() {
        assert!(run(DISKS, &[("/", 50.0), ("/var", 90.0)]).is_ok());
        let failure = run(DISKS, &[("/", 50.0), ("/var", 97.5), ("/tmp", f64::NAN)]).unwrap_err();
        assert_eq!(
            failure,
            Failure::other(
                "disk_used_percent{mount=\"/var\"} is 97.5, disk_used_percent{mount=\"/tmp\"} is NaN, expected <= 90"
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
    fn many_violations_are_counted() {
        let message = run(DISKS, &[("/", 95.0); 7]).unwrap_err().message().to_owned();
        assert!(message.ends_with(" and 2 more, expected <= 90"), "{message}");
    }

    #[test]
    fn a_condition_that_is_none_is_rejected() {
        let json = r#"{"metric":"a","condition":"small"}"#;
        assert!(matches!(run(json, &[]), Err(Failure::Rejected(_))));
    }
}
