//! What a misbehaving guest costs: its call, and nobody else anything.

use crate::testing::guests::{Does, collector};
use crate::testing::{Bench, eventually, one, spec};
use quarterdeck_model::kind::collector::{Collector, Condition};
use quarterdeck_model::plugin::{Budget, CallError, CallFailed, InstanceName, InstanceState, Registry};
use quarterdeck_model::{Span, Timestamp};
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp::from_millis(5_000);

async fn fail(does: Does) -> CallError {
    fail_within(does, Span::from_millis(200)).await
}

async fn fail_within(does: Does, deadline: Span) -> CallError {
    let bench = Bench::with(vec![collector("guest", "1.0.0", does)]).await;
    let name = InstanceName::from("guest/one");
    let mut spec = spec("guest");
    spec.limits.deadline = deadline;
    bench.configure(one(name.as_str(), spec)).await;
    let error = bench.collect(&name, NOW).await.unwrap_err().error;
    let usage = bench.instance(&name).unwrap().usage;
    assert_eq!((usage.calls, usage.failures.get(error.code())), (1, Some(&1)));
    assert_eq!(usage.last_error, Some(error.to_string()));
    assert_eq!(bench.instance(&name).unwrap().state, InstanceState::Active, "one failure changes no state");
    error
}

#[tokio::test]
async fn a_guest_that_behaves_is_called() {
    let bench = Bench::with(vec![collector("guest", "1.0.0", Does::Well)]).await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    let called = bench.collect(&name, NOW).await.unwrap();
    assert_eq!(called.value.health.state, Condition::Ok);
    assert_eq!((called.plugin.name.as_str(), called.plugin.version.as_str()), ("guest", "1.0.0"));
    assert!(called.writes.is_empty() && called.events.is_empty());
    let usage = bench.instance(&name).unwrap().usage;
    assert_eq!((usage.calls, usage.failures.len(), usage.in_flight), (1, 0, 0));
    assert!(usage.memory_high_water_bytes >= 2 << 16);
}

#[tokio::test]
async fn a_trap_fails_the_call() {
    assert!(matches!(fail(Does::Trap).await, CallError::Trapped { .. }));
}

#[tokio::test]
async fn an_overflow_of_the_stack_is_a_trap_that_says_so() {
    let error = fail(Does::OverflowStack).await;
    assert!(error.to_string().contains("the call stack is exhausted"), "{error}");
}

#[tokio::test]
async fn of_a_large_message_that_may_be_handed_over_a_person_gets_the_beginning() {
    let bench = Bench::with(vec![collector("guest", "1.0.0", Does::Large)]).await;
    let name = InstanceName::from("guest/one");
    let mut spec = spec("guest");
    spec.limits.deadline = Span::from_secs(20);
    bench.configure(one(name.as_str(), spec)).await;
    let message = bench.collect(&name, NOW).await.unwrap().value.health.message;
    assert!((4 << 10..5 << 10).contains(&message.len()), "{}", message.len());
}

#[tokio::test]
async fn memory_without_end_is_reported_as_such() {
    assert_eq!(fail(Does::EatMemory).await, CallError::OutOfMemory { limit_bytes: 64 << 20 });
}

#[tokio::test]
async fn memory_without_end_is_reported_as_such_where_it_is_used_too() {
    assert_eq!(
        fail_within(Does::FillMemory, Span::from_secs(10)).await,
        CallError::OutOfMemory { limit_bytes: 64 << 20 }
    );
}

#[tokio::test]
async fn a_flood_of_host_calls_ends_at_its_limit() {
    let error = fail_within(Does::CallTheHost, Span::from_secs(10)).await;
    assert!(matches!(&error, CallError::Trapped { reason } if reason.contains("host calls")), "{error}");
}

#[tokio::test]
async fn a_giant_result_is_not_taken() {
    let error = fail(Does::Giant).await;
    assert!(matches!(&error, CallError::Limited { message } if message.contains("result-bytes")), "{error}");
}

#[tokio::test]
async fn a_result_of_a_gigabyte_is_not_taken() {
    let error = fail(Does::Gigabyte).await;
    assert!(error.to_string().contains("out of bounds of memory"), "{error}");
}

#[tokio::test]
async fn a_loop_ends_at_the_budget_and_others_are_served_meanwhile() {
    let guests = vec![collector("looper", "1.0.0", Does::Loop), collector("guest", "1.0.0", Does::Well)];
    let bench = Bench::with(guests).await;
    let (looper, guest) = (InstanceName::from("looper/one"), InstanceName::from("guest/one"));
    let mut specs = one(looper.as_str(), spec("looper"));
    specs.extend(one(guest.as_str(), spec("guest")));
    bench.configure(specs).await;

    let started = Instant::now();
    let runaway = async {
        let error = bench.collect(&looper, NOW).await.unwrap_err().error;
        (error, started.elapsed())
    };
    let others = async {
        let mut served = 0;
        while started.elapsed() < Duration::from_millis(150) {
            bench.collect(&guest, NOW).await.unwrap();
            served += 1;
        }
        served
    };
    let ((error, took), served) = tokio::join!(runaway, others);
    assert_eq!(error, CallError::Deadline { budget: Span::from_millis(200) });
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert!(served > 10, "{served}");
    assert!(bench.instance(&looper).unwrap().usage.guest_micros > 1_000);
}

#[tokio::test]
async fn an_instance_that_was_quick_and_begins_to_loop_leaves_the_callers_thread_at_once() {
    let bench = Bench::with(vec![collector("guest", "1.0.0", Does::LoopAt(6_000))]).await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    for _ in 0..40 {
        bench.collect(&name, NOW).await.unwrap();
    }
    // This test has one thread: were the guest to keep it, the ticks would stand still.
    let mut ticks = 0;
    let looping = bench.collect(&name, Timestamp::from_millis(6_000));
    tokio::pin!(looping);
    let error = loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep(Duration::from_millis(5)) => ticks += 1,
            result = &mut looping => break result.unwrap_err().error,
        }
    };
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    assert!(ticks >= 10, "{ticks}");
}

#[tokio::test]
async fn more_calls_than_places_wait_their_turn() {
    let bench = Bench::with(vec![collector("guest", "1.0.0", Does::Well)]).await;
    let name = InstanceName::from("guest/one");
    let mut specs = one(name.as_str(), spec("guest"));
    specs.get_mut(&name).unwrap().limits.concurrency = 1;
    bench.configure(specs).await;
    let calls = (0..200).map(|_| bench.collect(&name, NOW));
    for result in futures::future::join_all(calls).await {
        result.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_and_gives_its_place_back() {
    let bench = Bench::with(vec![collector("looper", "1.0.0", Does::Loop)]).await;
    let name = InstanceName::from("looper/one");
    let mut specs = one(name.as_str(), spec("looper"));
    let limits = &mut specs.get_mut(&name).unwrap().limits;
    (limits.concurrency, limits.deadline) = (1, Span::from_secs(600));
    bench.configure(specs).await;
    for _ in 0..3 {
        // Were its place not given back, the next call would wait for ten minutes.
        let call = tokio::time::timeout(Duration::from_millis(20), bench.collect(&name, NOW));
        call.await.unwrap_err();
        eventually("the place", || (bench.instance(&name).unwrap().usage.in_flight == 0).then_some(())).await;
    }
}

#[tokio::test]
async fn an_instance_over_its_budget_waits_for_the_next_window_and_the_log_is_told_once() {
    let bench = Bench::with(vec![collector("guest", "1.0.0", Does::Loop)]).await;
    let name = InstanceName::from("guest/one");
    let mut spec = spec("guest");
    spec.limits.deadline = Span::from_millis(50);
    spec.limits.budget = Some(Budget { cpu: Some(Span::from_millis(1)), ..Budget::default() });
    bench.configure(one(name.as_str(), spec)).await;
    assert!(matches!(bench.collect(&name, NOW).await, Err(CallFailed { error: CallError::Deadline { .. }, .. })));
    for _ in 0..2 {
        let error = bench.collect(&name, NOW).await.unwrap_err().error;
        assert!(
            matches!(&error, CallError::Unavailable { message } if message.contains("1ms of running time in 1h")),
            "{error}"
        );
    }
    let status = bench.instance(&name).unwrap();
    assert_eq!((status.state, status.usage.window.calls), (InstanceState::Active, 1));
    assert!(status.reason.unwrap().contains("is used up until"));
    eventually("the event", || (!bench.events("instance.over-budget").is_empty()).then_some(())).await;

    bench.clock.advance(Span::from_secs(3600));
    let status = bench.instance(&name).unwrap();
    assert_eq!((status.reason, status.usage.window.calls, status.usage.calls), (None, 0, 1));
    assert!(
        matches!(bench.collect(&name, NOW).await, Err(CallFailed { error: CallError::Deadline { .. }, .. })),
        "it is called again"
    );
    assert_eq!(bench.events("instance.over-budget").len(), 1);
}

#[tokio::test]
async fn budgets_of_bytes_and_of_host_calls_are_used_up_by_what_calls_hand_out_and_ask_for() {
    let bytes = Budget { bytes_out: Some(7), ..Budget::default() };
    let calls = Budget { host_calls: Some(20), ..Budget::default() };
    for (budget, what) in [(bytes, "7 bytes out in 1h"), (calls, "20 host calls in 1h")] {
        let bench = Bench::with(vec![collector("guest", "1.0.0", Does::CallTheHost)]).await;
        let name = InstanceName::from("guest/one");
        let mut spec = spec("guest");
        spec.limits.deadline = Span::from_secs(10);
        // A line of one byte each.
        (spec.limits.host_calls, spec.limits.log_lines) = (20, 7);
        spec.limits.budget = Some(budget);
        bench.configure(one(name.as_str(), spec)).await;
        assert!(matches!(bench.collect(&name, NOW).await, Err(CallFailed { error: CallError::Trapped { .. }, .. })));
        let window = bench.instance(&name).unwrap().usage.window;
        assert_eq!((window.bytes_out, window.host_calls), (7, 20));
        let error = bench.collect(&name, NOW).await.unwrap_err().error;
        assert!(matches!(&error, CallError::Unavailable { message } if message.contains(what)), "{error}");
        bench.clock.advance(Span::from_secs(3600));
        assert!(
            matches!(bench.collect(&name, NOW).await, Err(CallFailed { error: CallError::Trapped { .. }, .. })),
            "it is called again"
        );
    }
}

#[tokio::test]
async fn an_instance_that_misbehaves_again_and_again_is_quarantined_and_tried_again() {
    let bench = Bench::with(vec![collector("guest", "1.0.0", Does::TrapUnlessConfigured)]).await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    for _ in 0..5 {
        assert!(matches!(bench.collect(&name, NOW).await, Err(CallFailed { error: CallError::Trapped { .. }, .. })));
    }
    let status = bench.instance(&name).unwrap();
    assert_eq!(status.state, InstanceState::Quarantined);
    assert!(status.reason.unwrap().contains("5 times in a row"));
    bench.check_states();
    assert!(matches!(bench.collect(&name, NOW).await, Err(CallFailed { error: CallError::Unavailable { .. }, .. })));

    bench.clock.advance(Span::from_secs(6));
    assert!(
        matches!(bench.collect(&name, NOW).await, Err(CallFailed { error: CallError::Trapped { .. }, .. })),
        "the trial"
    );
    assert!(
        matches!(bench.collect(&name, NOW).await, Err(CallFailed { error: CallError::Unavailable { .. }, .. })),
        "back in quarantine"
    );

    let mut cured = spec("guest");
    cured.config.insert("cured".to_owned(), true.into());
    bench.configure(one(name.as_str(), cured)).await;
    bench.collect(&name, NOW).await.unwrap();
    assert_eq!(bench.instance(&name).unwrap().state, InstanceState::Active);
    let states = eventually("the events", || {
        let states = bench.events("instance.state-changed");
        (states.len() >= 3).then_some(states)
    });
    let states: Vec<String> = states.await.iter().map(|e| e.event.data["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states, ["active", "quarantined", "active"]);
}
