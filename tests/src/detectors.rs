//! The bundled detectors at work: each decides over the real runtime on samples that come in, and what it derives is a metric.

use crate::harness::guest::bundled;
use crate::harness::{Daemon, Setup, eventually};
use quarterdeck_model::Timestamp;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SOON: Duration = Duration::from_secs(60);
const DETECTORS: [&str; 6] = ["absence", "adaptive-threshold", "anomaly", "forecast", "leak", "rate-of-change"];

fn now_seconds() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn sample(name: &str, at_seconds: i64, value: f64) -> Value {
    let at = Timestamp::from_millis(at_seconds * 1000).to_string();
    json!({"name": name, "labels": {"host": "a"}, "value": value, "at": at})
}

async fn firing(daemon: &Daemon, rule: &str) -> Value {
    eventually(&format!("{rule} fires"), SOON, async || {
        let alerts = daemon.items("/api/v1/alerts").await;
        alerts.into_iter().find(|alert| alert["rule"] == rule && alert["state"] == "firing")
    })
    .await
}

async fn derived(daemon: &Daemon, rule: &str, metric: &str, is: impl Fn(f64) -> bool) -> f64 {
    eventually(&format!("{metric} of {rule}"), SOON, async || {
        daemon.latest(&format!("metric={metric}&label=rule={rule}")).await.filter(|value| is(*value))
    })
    .await
}

#[tokio::test]
async fn a_series_that_never_came_is_missed_where_its_rule_expects_it_until_it_comes() {
    let daemon = Setup::new()
        .config(
            "[rules.hall]\ndetector = \"absence/default\"\nselect = { metric = \"custom_room\" }\n\
             expect = [{ room = \"hall\" }]\nevery = \"200ms\"\nwindow = \"10m\"\nconfig = { grace-seconds = 1.0 }\n",
        )
        .start()
        .await;
    let alert = firing(&daemon, "hall").await;
    assert_eq!(alert["labels"], json!({"alertname": "hall", "room": "hall"}));
    assert!(alert["reason"].as_str().unwrap().starts_with("is expected, and not there for"), "{alert:#}");
    let at = Timestamp::from_millis(now_seconds() * 1000).to_string();
    let labels = json!({"room": "hall", "floor": "1"});
    let sample = json!([{"name": "custom_room", "labels": labels, "value": 20.0, "at": at}]);
    daemon.post("/api/v1/metrics", &sample).await;
    eventually("it is there", SOON, async || {
        let alerts = daemon.items("/api/v1/alerts").await;
        let mut of_rule = alerts.iter().filter(|alert| alert["rule"] == "hall");
        of_rule.all(|alert| alert["state"] == "resolved").then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_detector_fires_on_what_it_is_for_and_derives_its_metrics() {
    let rule = |name: &str, detector: &str, config: &str| {
        format!(
            "[rules.{name}]\ndetector = \"{detector}/default\"\nselect = {{ metric = \"custom_{name}\" }}\n\
             every = \"200ms\"\nwindow = \"10m\"\nconfig = {{ {config} }}\n"
        )
    };
    let daemon = Setup::new()
        .config(
            &[
                rule("disk", "forecast", "limit = 100.0, within-seconds = 3600.0, min-history-seconds = 60.0"),
                rule("memory", "leak", "min-history-seconds = 60.0"),
                rule("queue", "rate-of-change", "over-seconds = 60.0, relative = 1.0, direction = \"up\""),
                rule("sensor", "absence", "grace-seconds = 60.0, present-for-seconds = 30.0"),
                rule("latency", "anomaly", "min-samples = 20"),
            ]
            .concat(),
        )
        .start()
        .await;
    let begin = now_seconds() - 300;
    let mut samples = Vec::new();
    for step in 0..=60_i32 {
        let at = begin + i64::from(step) * 5;
        samples.push(sample("custom_disk", at, 10.0 + f64::from(step)));
        samples.push(sample("custom_memory", at, 100.0 + f64::from(step)));
        samples.push(sample("custom_queue", at, if step < 56 { 10.0 } else { 50.0 }));
        samples.push(sample("custom_latency", at, if step < 60 { f64::from(step % 2) } else { 9.0 }));
        if step < 36 {
            samples.push(sample("custom_sensor", at, 20.0));
        }
    }
    daemon.post("/api/v1/metrics", &Value::Array(samples)).await;
    for (rule, detector, reason) in [
        ("disk", "forecast", "and will be 100 in"),
        ("memory", "leak", "and grew by 720 an hour"),
        ("queue", "rate-of-change", "went from 10 to 50 in 60 s, by 400 %"),
        ("sensor", "absence", "has no sample for"),
        ("latency", "anomaly", "outside of its range from"),
    ] {
        let alert = firing(&daemon, rule).await;
        assert_eq!(alert["plugin"]["name"], detector, "{alert:#}");
        assert!(alert["reason"].as_str().unwrap().contains(reason), "{alert:#}");
        assert_eq!(alert["labels"]["host"], "a", "{alert:#}");
    }
    let seconds = derived(&daemon, "disk", "forecast_seconds_until", |_| true).await;
    assert!((0.0..=150.0).contains(&seconds), "30 more at 0.2 a second: {seconds}");
    derived(&daemon, "disk", "forecast_seconds_until_lower", |lower| lower <= seconds + 1.0).await;
    derived(&daemon, "memory", "leak_bit", |bit| bit == 1.0).await;
    derived(&daemon, "queue", "change_relative", |share| (share - 4.0).abs() < 1e-9).await;
    derived(&daemon, "sensor", "seconds_since_sample", |age| age >= 120.0).await;
    derived(&daemon, "latency", "anomaly_bit", |bit| bit == 1.0).await;
}

#[tokio::test]
async fn the_adaptive_threshold_learns_from_evaluation_to_evaluation_what_is_usual() {
    let daemon = Setup::new()
        .config(
            "[rules.load]\ndetector = \"adaptive-threshold/default\"\nselect = { metric = \"custom_load\" }\n\
             every = \"200ms\"\nwindow = \"3h\"\nconfig = { season = \"none\", min-cycles = 1 }\n",
        )
        .start()
        .await;
    // Times that always lie in different hours.
    let now = now_seconds();
    let learning = "adaptive_threshold_learning";
    daemon.post("/api/v1/metrics", &json!([sample("custom_load", now - 7800, 100.0)])).await;
    derived(&daemon, "load", learning, |learning| learning == 1.0).await;
    daemon.post("/api/v1/metrics", &json!([sample("custom_load", now - 3900, 100.0)])).await;
    derived(&daemon, "load", learning, |learning| learning == 0.0).await;
    derived(&daemon, "load", "adaptive_threshold_expected", |expected| (expected - 100.0).abs() < 0.1).await;
    assert_eq!(daemon.items("/api/v1/alerts").await.iter().filter(|alert| alert["rule"] == "load").count(), 0);
    daemon.post("/api/v1/metrics", &json!([sample("custom_load", now, 500.0)])).await;
    let alert = firing(&daemon, "load").await;
    assert!(alert["reason"].as_str().unwrap().contains("above the 100 that is usual"), "{alert:#}");
}

#[test]
fn the_bundled_detectors_hold_what_a_component_of_their_kind_must() {
    let setup = Setup::new();
    for name in DETECTORS {
        let component = bundled(name);
        assert!(component.len() < 250_000, "{name} has {} bytes", component.len());
        let file = setup.folder.path().join(format!("{name}.wasm"));
        std::fs::write(&file, component).unwrap();
        let checked = setup.run(&["plugin", "check", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{name}: {said}");
    }
}
