//! What two plugins cost a third one that misbehave all the time - loop, allocate, flood the host with calls, answer with more than
//! anybody wants: of its p99, no more than as much again. A program of its own, so that no other test runs beside it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    unreachable_pub,
    reason = "a test may panic"
)]

#[path = "../src/testing/guests.rs"]
#[expect(dead_code, reason = "the test needs few of the guests")]
mod guests;
#[path = "support/ports.rs"]
mod ports;

use guests::{Does, collector};
use quarterdeck_model::kind::collector::{Collection, Collector};
use quarterdeck_model::plugin::{
    CallError, CallFailed, CallResult, Grants, InstanceName, InstanceSpec, Limits, Registry,
};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_runtime::{Bundled, Runtime};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;

const NOW: Timestamp = Timestamp::from_millis(5_000);
/// The p99 of so many calls is known well enough: of 1,500, fifteen decide, and a moment's work of the machine makes as many slow; of 4,000
/// one figure in twenty was still decided by it.
const PHASES: usize = 10;
const CALLS: usize = 800;
const PACE: Duration = Duration::from_millis(2);
/// The p99 beside the loops, to the one alone.
const BOUND: f64 = 2.0;
/// A p99 alone below this counts as this. A call takes some 10 microseconds; one interrupt of a timer or a thread that is woken on
/// another core costs one call in a hundred up to about this much, and whether it does is the machine's mood and not the loops'.
const NOISE: Duration = Duration::from_micros(50);

/// One measurement at a time.
static TURN: Mutex<()> = Mutex::const_new(());

fn spec(plugin: &str, deadline: Span) -> InstanceSpec {
    InstanceSpec {
        plugin: plugin.to_owned(),
        config: serde_json::Map::new(),
        grants: Grants::default(),
        limits: Limits { deadline, ..Limits::default() },
        granted_to: Vec::new(),
        every: None,
        journal: None,
        check: None,
        delivery: None,
        enabled: true,
    }
}

async fn paced(runtime: &Runtime, probe: &InstanceName, calls: usize) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(calls);
    let mut tick = tokio::time::interval(PACE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..calls {
        tick.tick().await;
        let begin = Instant::now();
        runtime.collect(probe, NOW).await.unwrap();
        latencies.push(begin.elapsed());
    }
    latencies
}

/// Waits until each of them has so many calls in flight.
async fn in_flight(runtime: &Runtime, loopers: &[InstanceName], calls: u32) {
    let until = Instant::now() + Duration::from_secs(20);
    while loopers.iter().any(|name| runtime.instance(name).unwrap().usage.in_flight != calls) {
        assert!(Instant::now() < until, "not {calls} calls in flight");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn p99(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}

/// Two plugins that misbehave all the time.
struct Pair {
    does: Does,
    /// What their calls may take.
    budget: Span,
    /// Whether that is how a call of theirs has to end. Another end would be another measurement.
    ends: fn(&CallResult<Collection>) -> bool,
}

const LOOPS: fn(&CallResult<Collection>) -> bool =
    |result| matches!(result, Err(CallFailed { error: CallError::Deadline { .. }, .. }));

/// On threads as the daemon has them.
fn check(inline: bool, pair: Pair) {
    quarterdeck_runtime::prefer_short_turns();
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(quarterdeck_runtime::prefer_short_turns)
        .enable_all()
        .build()
        .unwrap();
    let (does, ratio) = (pair.does, threads.block_on(probed(inline, &pair)));
    assert!(ratio <= BOUND, "p99 beside two that do {does:?}: {ratio:.2} times its own");
}

/// A paced probe alone and beside the pair. The two take turns within one run, so that what else the machine does falls on both.
async fn probed(inline: bool, pair: &Pair) -> f64 {
    let Pair { does, budget, ends } = *pair;
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let mut options = ports::options(folder.path());
    options.bundled = [("looper", does), ("guest", Does::Well)]
        .map(|(name, does)| Bundled::new(name, collector(name, "1.0.0", does)))
        .to_vec();
    // They are to go on all the time, and not to be left alone after five calls.
    options.quarantine_after = u32::MAX;
    options.quick_calls_inline = inline;
    let runtime = Runtime::start(options).await.unwrap();
    let (probe, loopers) = (InstanceName::from("guest/probe"), ["looper/one", "looper/two"].map(InstanceName::from));
    let mut specs = BTreeMap::from([(probe.clone(), spec("guest", Limits::default().deadline))]);
    specs.extend(loopers.iter().map(|name| (name.clone(), spec("looper", budget))));
    runtime.configure(specs.into_iter().map(|(name, spec)| (name, spec.into())).collect()).await;
    // The first calls are other ones: memory is new, and the instance is not known to be quick.
    paced(&runtime, &probe, 50).await;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..PHASES {
        alone.extend(paced(&runtime, &probe, CALLS).await);
        let looping = loopers.clone().map(|name| {
            let runtime = Arc::clone(&runtime);
            tokio::spawn(async move {
                loop {
                    let result = runtime.collect(&name, NOW).await;
                    assert!(ends(&result), "{:?}", result.map(|_| ()));
                }
            })
        });
        in_flight(&runtime, &loopers, 1).await;
        // They spend their first milliseconds among the quick calls, before they are known for what they are. A loop with the default
        // budget does so every ten seconds, far below one call in a hundred; here it would be every half second.
        paced(&runtime, &probe, 10).await;
        beside.extend(paced(&runtime, &probe, CALLS).await);
        for task in looping {
            assert!(!task.is_finished(), "it goes on all the time");
            task.abort();
        }
        in_flight(&runtime, &loopers, 0).await;
    }
    let calls: u64 = loopers.iter().map(|name| runtime.instance(name).unwrap().usage.calls).sum();
    runtime.shutdown(Duration::from_secs(5)).await;
    let (alone, beside) = (p99(alone), p99(beside));
    let ratio = beside.as_secs_f64() / alone.max(NOISE).as_secs_f64();
    println!(
        "MEASURED: beside two that do {does:?} ({calls} calls), inline {inline}: p99 {beside:?}, alone {alone:?}: {ratio:.2} times as much"
    );
    ratio
}

/// As the daemon runs them. The loops begin anew ten times a second.
#[test]
fn the_p99_of_a_quick_probe_stays_within_twice_its_own_beside_two_loops() {
    check(true, Pair { does: Does::Loop, budget: Span::from_millis(100), ends: LOOPS });
}

/// As those of plugins whose calls are not quick. The loops have the budget that they have by default.
#[test]
fn the_p99_of_a_probe_on_the_threads_of_guests_stays_within_twice_its_own_beside_two_loops() {
    check(false, Pair { does: Does::Loop, budget: Limits::default().deadline, ends: LOOPS });
}

/// The memory of a call is the machine's, and what takes it takes the kernel's time, too.
#[test]
fn the_p99_of_a_probe_stays_within_twice_its_own_beside_two_that_allocate_without_end() {
    let ends = |result: &CallResult<Collection>| {
        matches!(result, Err(CallFailed { error: CallError::OutOfMemory { .. }, .. }))
    };
    check(true, Pair { does: Does::FillMemory, budget: Limits::default().deadline, ends });
}

#[test]
fn the_p99_of_a_probe_stays_within_twice_its_own_beside_two_that_call_themselves_without_end() {
    let ends = |result: &CallResult<Collection>| matches!(result, Err(CallFailed { error: CallError::Trapped { reason }, .. }) if reason.contains("stack"));
    check(true, Pair { does: Does::OverflowStack, budget: Limits::default().deadline, ends });
}

/// None of their calls takes long, but they take all the time.
#[test]
fn the_p99_of_a_probe_stays_within_twice_its_own_beside_two_that_flood_the_host_with_calls() {
    let ends = |result: &CallResult<Collection>| matches!(result, Err(CallFailed { error: CallError::Trapped { reason }, .. }) if reason.contains("host calls in one call"));
    check(true, Pair { does: Does::CallTheHost, budget: Limits::default().deadline, ends });
}

#[test]
fn the_p99_of_a_probe_stays_within_twice_its_own_beside_two_whose_results_are_huge() {
    let ends =
        |result: &CallResult<Collection>| matches!(result, Err(CallFailed { error: CallError::Limited { .. }, .. }));
    check(true, Pair { does: Does::Giant, budget: Limits::default().deadline, ends });
}

/// What is taken costs more than what is refused: it is copied. The bound is not met yet: run it by name (`--ignored`).
#[test]
#[ignore = "a known limit, 1.9 to 3.8 times: see tests/bench/README.md"]
fn the_p99_of_a_probe_stays_within_twice_its_own_beside_two_whose_results_are_as_large_as_may_be() {
    let ends = |result: &CallResult<Collection>| result.is_ok();
    check(true, Pair { does: Does::Large, budget: Limits::default().deadline, ends });
}
