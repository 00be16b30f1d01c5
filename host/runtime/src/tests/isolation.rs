//! Calls that decide give the same answer to the same question.

use crate::testing::Bench;
use crate::testing::guests::curious_detector;
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::detector::{Detector, Window};
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
