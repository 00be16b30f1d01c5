//! Calls that decide give the same answer to the same question.

use crate::testing::Bench;
use crate::testing::guests::{curious_detector, punctual};
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::detector::{Detector, Window};
use quarterdeck_model::kind::scanner_rule::ScannerRule;
use quarterdeck_model::kind::sla_calculator::SlaCalculator;
use quarterdeck_model::plugin::InstanceName;
use serde_json::Map;

async fn state(bench: &Bench, instance: &str, at: i64) -> Vec<u8> {
    let now = Timestamp::from_millis(at);
    let window = Window { now, from: now, series: Vec::new() };
    let called = bench.evaluate(&InstanceName::from(instance), &Map::new(), &window, None).await.unwrap();
    called.value.state.unwrap()
}

#[tokio::test]
async fn randomness_and_clocks_come_from_the_call() {
    let bench = Bench::with(vec![curious_detector()]).await;
    bench.use_plugin(&["curious/one", "curious/two"], "curious").await;
    let first = state(&bench, "curious/one", 7_000).await;
    assert_eq!(first, state(&bench, "curious/two", 7_000).await);
    assert_ne!(first[..16], state(&bench, "curious/one", 8_000).await[..16]);
    assert_ne!(first[..8], first[8..16], "two draws of one call differ");
    assert_eq!(u64::from_le_bytes(first[16..24].try_into().unwrap()), 7, "the wall clock shows the call's time");
}

/// Beside them the host's clock stands at one second.
#[tokio::test]
async fn rules_and_calculators_are_shown_the_time_of_the_call_too() {
    let bench = Bench::with(vec![punctual()]).await;
    bench.use_plugin(&["punctual/one"], "punctual").await;
    let (instance, config, now) = (InstanceName::from("punctual/one"), Map::new(), Timestamp::from_millis(7_000));
    assert_eq!(bench.interests(&instance, now).await.unwrap().value.max_bytes, 7);
    assert!(ScannerRule::scan(&**bench, &instance, &[], now).await.is_ok());
    let merged = bench.merge(&instance, &config, &[], &[], now).await.unwrap().value;
    assert_eq!(merged, 7u64.to_le_bytes());
    assert_eq!(bench.finish(&instance, &config, &[], now).await.unwrap().value.adjusted.good, 7.0);
}
