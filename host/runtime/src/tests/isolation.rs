//! Calls that decide give the same answer to the same question.

use crate::testing::Bench;
use crate::testing::guests::{curious_detector, exact_detector, punctual};
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::detector::{Detector, Verdict, Window};
use quarterdeck_model::kind::scanner_rule::ScannerRule;
use quarterdeck_model::kind::sla_calculator::SlaCalculator;
use quarterdeck_model::plugin::{CallError, CallResult, InstanceName};
use serde_json::Map;

async fn evaluated(bench: &Bench, instance: &str, at: i64) -> CallResult<Verdict> {
    let now = Timestamp::from_millis(at);
    let window = Window { now, from: now, series: Vec::new() };
    bench.evaluate(&InstanceName::from(instance), &Map::new(), &window, None).await
}

async fn state(bench: &Bench, instance: &str, at: i64) -> Vec<u8> {
    evaluated(bench, instance, at).await.unwrap().value.state.unwrap()
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

#[tokio::test]
async fn a_call_that_decides_can_not_sleep_and_its_monotonic_clock_shows_the_time_of_the_call() {
    let bench = Bench::with(vec![exact_detector()]).await;
    bench.use_plugin(&["exact/one"], "exact").await;
    let shown = state(&bench, "exact/one", 7_000).await;
    assert_eq!(u64::from_le_bytes(shown[..8].try_into().unwrap()), 7_000_000_000, "in nanoseconds");
    // For a while, and until a moment.
    for at in [9_000, 9_001] {
        let refused = evaluated(&bench, "exact/one", at).await.map_err(|failed| failed.error).err();
        assert!(
            matches!(&refused, Some(CallError::Trapped { reason }) if reason.contains("can't sleep")),
            "{at}: {refused:?}"
        );
    }
}

/// What processors do differently, so that an answer could be another one on another machine.
#[tokio::test]
async fn nans_are_canonical_and_relaxed_simd_does_what_its_deterministic_profile_says() {
    let bench = Bench::with(vec![exact_detector()]).await;
    bench.use_plugin(&["exact/one"], "exact").await;
    let state = state(&bench, "exact/one", 7_000).await;
    let words = |from: usize, to: usize| -> Vec<u32> {
        state[from..to].chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    };
    // On x86, 0/0 has its sign set, and a payload goes on through sums and demotions.
    let double = |from: usize| u64::from_le_bytes(state[from..from + 8].try_into().unwrap());
    assert_eq!([double(8), double(16)], [0x7ff8_0000_0000_0000; 2], "{:x?}", [double(8), double(16)]);
    assert_eq!(words(24, 32), [0x7fc0_0000; 2], "{:x?}", words(24, 32));
    // There, an index of 16 to 127 would be taken modulo 16.
    assert_eq!(state[32..48], [1, 16, 0, 0, 0, 0, 0, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
    // And what is no integer would be the smallest one.
    let (largest, smallest) = (i32::MAX.cast_unsigned(), i32::MIN.cast_unsigned());
    assert_eq!(words(48, 64), [0, largest, (-1_i32).cast_unsigned(), smallest]);
    // Rounded in between, it would be nothing.
    assert_eq!(words(64, 80), [2_f32.powi(-24).to_bits(); 4]);
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
