//! The bus over the real store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test may panic"
)]

use quarterdeck_bus::{Bus, Error, GAP, Options};
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::effect::DEAD_LETTERS;
use quarterdeck_model::event::{Event, EventFilter, Offset};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::store::{Gap, Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_storage::{Database, Faults};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const START: Timestamp = Timestamp::from_millis(1_750_000_000_000);
const LIMITLESS: Options = Options { producer_rate: 0, producer_burst: 0 };

fn open(dir: &Path, options: Options) -> (Bus, Arc<ManualClock>) {
    open_with(dir, options, Faults::default())
}

fn open_with(dir: &Path, options: Options, faults: Faults) -> (Bus, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(START));
    let settings = quarterdeck_storage::Options {
        free_space_floor_bytes: 0,
        faults,
        ..quarterdeck_storage::Options::new(dir, clock.clone())
    };
    (Bus::new(Database::open(settings).unwrap(), clock.clone(), options), clock)
}

fn event(event_type: &str, subject: &str, n: u64) -> Event {
    Event::new(&IdSource::seeded(n), START, event_type, subject).data(json!({ "n": n }))
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("in time")
}

#[tokio::test]
async fn a_subscriber_gets_the_log_and_then_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, _) = open(folder.path(), LIMITLESS);
    bus.publish("a", (0..10).map(|n| event("old.n", "x", n)).collect()).await.unwrap();
    let mut subscription = bus.subscribe(Offset(0), EventFilter::types(["old", "new.n"]));
    let batch = within(subscription.next(4)).await.unwrap();
    assert_eq!((batch.events.len(), batch.next), (4, Offset(4)));
    assert_eq!(within(subscription.next(100)).await.unwrap().events.len(), 6);
    let publisher = tokio::spawn({
        let bus = bus.clone();
        async move {
            for n in 0..5 {
                bus.publish("a", vec![event("other.n", "x", n), event("new.n", "x", n)]).await.unwrap();
            }
        }
    });
    for n in 0..5 {
        let batch = within(subscription.next(1)).await.unwrap();
        assert_eq!((batch.events[0].event.data["n"].as_u64(), batch.next), (Some(n), Offset(12 + 2 * n)));
    }
    publisher.await.unwrap();
    assert_eq!(subscription.position(), bus.store().head());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_slow_and_fast_subscribers_and_nothing_is_lost() {
    const WRITERS: u64 = 20;
    const EACH: u64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let (bus, _) = open(folder.path(), LIMITLESS);
    let mut readers = tokio::task::JoinSet::new();
    for slow in [false, true] {
        let mut subscription = bus.subscribe(Offset(0), EventFilter::default());
        readers.spawn(async move {
            let mut seen = Vec::new();
            while (seen.len() as u64) < WRITERS * EACH {
                seen.extend(subscription.next(if slow { 7 } else { 1_000 }).await.unwrap().events);
                if slow {
                    // Far slower than the writers: it lags behind what is kept live, again and again.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            seen
        });
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let bus = bus.clone();
        writers.spawn(async move {
            for n in 0..EACH {
                bus.publish("w", vec![event("many.n", &writer.to_string(), n)]).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    for seen in within(readers.join_all()).await {
        let offsets: Vec<u64> = seen.iter().map(|stored| stored.offset.0).collect();
        assert_eq!(offsets, (1..=WRITERS * EACH).collect::<Vec<_>>());
        for writer in 0..WRITERS {
            let own = seen.iter().filter(|stored| stored.event.subject == writer.to_string());
            let numbers: Vec<u64> = own.map(|stored| stored.event.data["n"].as_u64().unwrap()).collect();
            assert_eq!(numbers, (0..EACH).collect::<Vec<_>>(), "each writer's order is kept");
        }
    }
}

#[tokio::test]
async fn a_subscriber_that_was_cut_off_resumes_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, _) = open(folder.path(), LIMITLESS);
    let mut seen = Vec::new();
    let mut position = Offset(0);
    for round in 0..10 {
        bus.publish("a", (0..7).map(|n| event("cut.n", "x", round * 7 + n)).collect()).await.unwrap();
        let mut subscription = bus.subscribe(position, EventFilter::default());
        seen.extend(within(subscription.next(5)).await.unwrap().events);
        // Dropped while it waits, or not: nothing is lost with it.
        let waiting = tokio::time::timeout(Duration::from_millis(1), subscription.next(0)).await;
        seen.extend(waiting.into_iter().flat_map(|batch| batch.unwrap().events));
        position = subscription.position();
    }
    let mut rest = bus.subscribe(position, EventFilter::default());
    while seen.len() < 70 {
        seen.extend(within(rest.next(100)).await.unwrap().events);
    }
    assert_eq!(seen.iter().map(|stored| stored.offset.0).collect::<Vec<_>>(), (1..=70).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_consumer_is_handed_events_while_they_are_synced_and_a_subscriber_when_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let (bus, _) = open_with(folder.path(), LIMITLESS, faults.clone());
    let mut subscription = bus.subscribe(Offset(0), EventFilter::default());
    let mut consumer = bus.consumer("engine", EventFilter::default()).unwrap();
    for n in 0..3 {
        bus.publish("a", vec![event("job.n", "x", n)]).await.unwrap();
        assert_eq!(within(subscription.next(9)).await.unwrap().next, Offset(n + 1));
        assert_eq!(within(consumer.next(9)).await.unwrap().next, Offset(n + 1));
    }
    // Both wait for what comes next.
    for _ in 0..2 {
        let waits = Duration::from_millis(50);
        assert!(tokio::time::timeout(waits, subscription.next(9)).await.is_err());
        assert!(tokio::time::timeout(waits, consumer.next(9)).await.is_err());
    }
    let held = faults.hold_syncs();
    let publisher = tokio::spawn({
        let bus = bus.clone();
        async move { bus.publish("a", vec![event("job.n", "x", 3)]).await }
    });
    let early = within(consumer.next(9)).await.unwrap();
    assert_eq!(early.next, Offset(4));
    assert!(tokio::time::timeout(Duration::from_millis(50), subscription.next(9)).await.is_err());
    assert!(!publisher.is_finished());
    assert_eq!(bus.store().head(), Offset(3));
    // Another one that only now comes to the end of the log is handed it, too.
    let mut late = bus.consumer("late", EventFilter::default()).unwrap();
    let acknowledged = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 4 {
            seen.extend(late.next(9).await.unwrap().events);
        }
        seen.len()
    });
    let follows = tokio::spawn(async move { consumer.ack(early.next).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!follows.is_finished(), "what follows is durable after it");
    drop(held);
    within(publisher).await.unwrap().unwrap();
    within(follows).await.unwrap().unwrap();
    assert_eq!(within(acknowledged).await.unwrap(), 4);
    assert_eq!(within(subscription.next(9)).await.unwrap().next, Offset(4));
}

#[tokio::test]
async fn nobody_but_consumers_is_told_of_what_the_disk_refused() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let (bus, _) = open_with(folder.path(), LIMITLESS, faults.clone());
    let mut subscription = bus.subscribe(Offset(0), EventFilter::default());
    bus.publish("a", vec![event("job.n", "x", 0)]).await.unwrap();
    within(subscription.next(9)).await.unwrap();
    let mut consumer = bus.consumer("engine", EventFilter::default()).unwrap();
    within(consumer.next(9)).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), consumer.next(9)).await.is_err());
    faults.fail_next_sync();
    assert!(bus.publish("a", vec![event("job.n", "x", 1)]).await.is_err());
    let told = within(consumer.next(9)).await.unwrap();
    assert!(consumer.ack(told.next).await.is_err(), "nothing that follows from it is kept");
    assert_eq!(bus.store().head(), Offset(1));
    assert!(!matches!(tokio::time::timeout(Duration::from_millis(50), subscription.next(9)).await, Ok(Ok(_))));
    // Who comes now, and finds that it is not in the log, does not wait for ever.
    let mut late = bus.consumer("late", EventFilter::default()).unwrap();
    let ends = async {
        loop {
            if let Err(error) = late.next(9).await {
                return error;
            }
        }
    };
    assert!(matches!(within(ends).await, Error::Store(_)));
}

#[tokio::test]
async fn a_consumer_goes_on_where_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, _) = open(folder.path(), LIMITLESS);
    bus.publish("a", (0..10).map(|n| event("job.n", "x", n)).collect()).await.unwrap();
    let mut consumer = bus.consumer("engine", EventFilter::types(["job"])).unwrap();
    let batch = within(consumer.next(3)).await.unwrap();
    consumer.ack(batch.next).await.unwrap();
    let batch = within(consumer.next(3)).await.unwrap();
    // The state and the place move in one record.
    let handled = Transition::new().put("c", "state", Expected::Any, json!(batch.events.len()));
    bus.store().commit(handled.ack(consumer.name(), batch.next)).await.unwrap();
    within(consumer.next(3)).await.unwrap();
    drop(consumer);
    drop(bus);
    let (bus, _) = open(folder.path(), LIMITLESS);
    let mut consumer = bus.consumer("engine", EventFilter::types(["job"])).unwrap();
    assert_eq!(
        within(consumer.next(1)).await.unwrap().events[0].offset,
        Offset(7),
        "the third batch was not acknowledged"
    );
    consumer.seek(Offset(0));
    assert_eq!(within(consumer.next(100)).await.unwrap().events.len(), 10, "a replay");
}

#[tokio::test]
async fn what_a_consumer_gives_up_on_is_kept_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, _) = open(folder.path(), LIMITLESS);
    bus.publish("a", vec![event("bad.one", "x", 1)]).await.unwrap();
    let mut consumer = bus.consumer("engine", EventFilter::types(["bad"])).unwrap();
    let batch = within(consumer.next(1)).await.unwrap();
    consumer.dead_letter(&batch.events[0], "no such rule").await.unwrap();
    let letters = bus.store().list(DEAD_LETTERS, &Page::all()).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].value["reason"], "no such rule");
    assert_eq!(letters[0].value["event"]["offset"], 1);
    let mut added = bus.subscribe(Offset(0), EventFilter::types(["dead-letter.added"]));
    let added = within(added.next(1)).await.unwrap().events.remove(0).event;
    assert_eq!((&added.subject, added.causation.as_ref()), (&letters[0].id, Some(&batch.events[0].event.id)));
}

#[tokio::test]
async fn a_producer_over_its_rate_is_refused_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, clock) = open(folder.path(), Options { producer_rate: 10, producer_burst: 3 });
    for n in 0..3 {
        bus.publish("loud", vec![event("a.b", "x", n)]).await.unwrap();
    }
    let Err(Error::TooFast { retry_after }) = bus.publish("loud", vec![event("a.b", "x", 4)]).await else { panic!() };
    assert_eq!(retry_after, Span::from_millis(100));
    bus.publish("quiet", vec![event("a.b", "x", 5)]).await.unwrap();
    clock.advance(retry_after);
    bus.publish("loud", vec![event("a.b", "x", 6)]).await.unwrap();
    assert!(matches!(bus.publish("loud", vec![event("A.b", "x", 7)]).await, Err(Error::Invalid(_))));
    assert_eq!(bus.store().head(), Offset(5));
}

#[tokio::test]
async fn a_subscriber_ahead_of_the_head_goes_on_where_it_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, _) = open(folder.path(), LIMITLESS);
    bus.publish("a", vec![event("a.b", "x", 1)]).await.unwrap();
    let mut ahead = bus.subscribe(Offset(2), EventFilter::default());
    let reader = tokio::spawn(async move { ahead.next(1).await.unwrap() });
    for n in 2..4 {
        bus.publish("a", vec![event("a.b", "x", n)]).await.unwrap();
    }
    assert_eq!(within(reader).await.unwrap().events[0].offset, Offset(3));
}

#[tokio::test]
async fn publishing_to_a_closed_store_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(START));
    let store = Database::open(quarterdeck_storage::Options::new(folder.path(), clock.clone())).unwrap();
    let bus = Bus::new(store.clone(), clock, LIMITLESS);
    store.close().await;
    let error = bus.publish("a", vec![event("a.b", "x", 1)]).await.unwrap_err();
    assert!(matches!(error, Error::Store(StoreError::Closed)));
}

#[tokio::test]
async fn a_dead_letter_fits_into_the_store_whatever_the_event_is() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, _) = open(folder.path(), LIMITLESS);
    // Two bytes to a character, and as much of it as the store takes in one event: more than it takes in a document with a frame.
    let large = event("bad.large", "x", 1).data(json!({"text": "\u{e4}".repeat((1 << 19) - 8)}));
    bus.store().commit(Transition::new().event(large)).await.unwrap();
    let mut consumer = bus.consumer("engine", EventFilter::types(["bad"])).unwrap();
    let batch = within(consumer.next(1)).await.unwrap();
    consumer.dead_letter(&batch.events[0], &"\u{e4}".repeat(1 << 20)).await.unwrap();
    let letters = bus.store().list(DEAD_LETTERS, &Page::all()).unwrap();
    let letter = &letters[0].value;
    assert_eq!((letter["offset"].as_u64(), letter["event"]["type"].as_str()), (Some(1), Some("bad.large")));
    assert!(letter["event"]["data-begins"].as_str().unwrap().starts_with("{\"text\":\"\u{e4}"));
    assert!(letter["reason"].as_str().unwrap().starts_with('\u{e4}'));
}

/// The writer looks a second after the start.
async fn tail_moves(bus: &Bus) -> Offset {
    let before = bus.store().tail();
    within(async {
        while bus.store().tail() == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // What the writer had begun is over: it does one thing after another.
    bus.store().commit(Transition::new().put("c", "now", Expected::Any, json!(1))).await.unwrap();
    bus.store().tail()
}

fn small(dir: &Path) -> Bus {
    let clock = Arc::new(ManualClock::at(START));
    let retention = quarterdeck_storage::Retention { log_bytes: 20_000, ..Default::default() };
    let options = quarterdeck_storage::Options::new(dir, clock.clone());
    let options = quarterdeck_storage::Options { free_space_floor_bytes: 0, retention, ..options };
    Bus::new(Database::open(options).unwrap(), clock, LIMITLESS)
}

async fn fill(bus: &Bus, events: u64) {
    for n in 0..events {
        let made = event("fat.n", "x", n).data(json!({"text": "x".repeat(1_000)}));
        bus.publish("a", vec![made]).await.unwrap();
    }
}

#[tokio::test]
async fn a_durable_consumer_that_lost_events_is_told_and_so_is_everybody_else() {
    let folder = tempfile::tempdir().unwrap();
    let bus = small(folder.path());
    let mut consumer = bus.consumer("engine", EventFilter::types(["fat"])).unwrap();
    fill(&bus, 3).await;
    assert_eq!(within(consumer.next(2)).await.unwrap().gap, None);
    consumer.ack(Offset(2)).await.unwrap();
    drop(consumer);
    fill(&bus, 100).await;
    let tail = tail_moves(&bus).await;
    assert!(tail > Offset(2));
    let mut consumer = bus.consumer("engine", EventFilter::types(["fat"])).unwrap();
    let batch = within(consumer.next(10)).await.unwrap();
    assert_eq!(batch.gap, Some(Gap { from: Offset(2), to: tail }));
    assert_eq!(batch.events[0].offset.0, tail.0 + 1, "and it goes on");
    let mut told = bus.subscribe(tail, EventFilter::types([GAP]));
    let told = within(told.next(1)).await.unwrap().events.remove(0).event;
    assert_eq!((told.subject.as_str(), &told.data["severity"]), ("engine", &json!("high")));
    assert_eq!((&told.data["from"], &told.data["to"]), (&json!(2), &json!(tail)));
    drop(consumer);
    let mut consumer = bus.consumer("engine", EventFilter::types(["fat"])).unwrap();
    assert_eq!(within(consumer.next(10)).await.unwrap().gap, None, "told once");
}

#[tokio::test]
async fn a_consumer_that_has_acknowledged_nothing_yet_is_waited_for_and_a_new_one_has_missed_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bus = small(folder.path());
    fill(&bus, 1).await;
    let mut consumer = bus.consumer("engine", EventFilter::types(["fat"])).unwrap();
    within(consumer.next(1)).await.unwrap();
    assert_eq!(bus.store().consumers().unwrap(), [("engine".to_owned(), Offset(0))].into());
    fill(&bus, 100).await;
    assert!(tail_moves(&bus).await > Offset(0), "over twice the size");
    let mut late = bus.consumer("late", EventFilter::types(["fat"])).unwrap();
    assert_eq!(within(late.next(1)).await.unwrap().gap, None);
    let batch = within(bus.consumer("engine", EventFilter::types(["fat"])).unwrap().next(1)).await.unwrap();
    assert_eq!(batch.gap.map(|gap| gap.from), Some(Offset(0)));
}

#[tokio::test]
async fn a_consumer_that_nothing_matches_gets_on_and_does_not_hold_the_log_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (bus, _) = open(folder.path(), LIMITLESS);
    let mut consumer = bus.consumer("engine", EventFilter::types(["never"])).unwrap();
    // Half of them before it reads the log, half of them live.
    bus.publish("a", (0..3_000).map(|n| event("other.n", "x", n)).collect()).await.unwrap();
    let publisher = tokio::spawn({
        let bus = bus.clone();
        async move {
            for round in 0..30 {
                bus.publish("a", (0..100).map(|n| event("other.n", "x", round * 100 + n)).collect()).await.unwrap();
            }
        }
    });
    let batch = within(consumer.next(10)).await.unwrap();
    assert!(batch.events.is_empty() && batch.gap.is_none());
    assert!(batch.next >= Offset(4_096), "{}", batch.next);
    consumer.ack(batch.next).await.unwrap();
    assert_eq!(bus.store().cursor("engine").unwrap(), batch.next);
    publisher.await.unwrap();
}
