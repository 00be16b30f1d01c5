use super::*;
use quarterdeck_model::Span;
use quarterdeck_model::series::{Sample, Selector, Series};
use quarterdeck_model::store::Gap;
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Labels, clock::Clock};
use quarterdeck_storage::Retention;
use serde_json::json;
use std::time::{Duration, Instant};

/// The writer looks a second after the start, then once a minute.
async fn until(what: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < deadline, "retention did nothing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_log_keeps_to_its_bytes_and_readers_go_on_at_the_tail() {
    let folder = tempfile::tempdir().unwrap();
    let retention = Retention { log_bytes: 50_000, ..Retention::default() };
    let store = Database::open(Options { retention, ..options(folder.path()) }).unwrap();
    for n in 0..300u64 {
        let data = json!({"n": n, "text": "x".repeat(1_000)});
        let made = event("fat.n", "x", n).data(data);
        store.commit(Transition::new().event(made).put("c", &n.to_string(), Expected::Any, json!(n))).await.unwrap();
    }
    until(|| store.tail() > Offset(200)).await;
    let tail = store.tail();
    let left = replay(&store, Offset(0), &EventFilter::default());
    assert_eq!(left.first().unwrap().offset.0, tail.0 + 1);
    assert_eq!(left.last().unwrap().offset, Offset(300));
    assert!(left.len() >= 30, "{}", left.len());
    assert_eq!(store.list("c", &quarterdeck_model::store::Page::all()).unwrap().len(), 300, "documents stay");
    drop(store);
    let store = open(folder.path());
    assert_eq!((store.tail(), store.head()), (tail, Offset(300)));
}

#[tokio::test]
async fn old_events_and_samples_go_and_the_numbering_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let options = || Options { clock: clock.clone(), ..options(folder.path()) };
    let store = Database::open(options()).unwrap();
    let sample = |name: &str| Sample { name: name.into(), labels: Labels::new(), at: clock.now(), value: 1.0 };
    store.append(vec![sample("old"), sample("both")]).await.unwrap();
    for n in 0..20 {
        store.commit(Transition::new().event(event("old.n", "x", n))).await.unwrap();
    }
    drop(store);
    clock.advance(Span::from_secs(20 * 86_400));
    let store = Database::open(options()).unwrap();
    store.append(vec![sample("both")]).await.unwrap();
    until(|| store.tail() == Offset(19) && store.names() == ["both"]).await;
    assert_eq!(store.commit(Transition::new().event(event("new.n", "x", 1))).await.unwrap().offset, Offset(21));
    let selector = |metric: &str| Selector { metric: metric.into(), labels: Labels::new() };
    let all = |metric: &str| store.range(&selector(metric), Timestamp::MIN, Timestamp::MAX).unwrap();
    assert_eq!(all("old"), []);
    assert_eq!(all("both")[0].at, [clock.now()]);
}

/// What the writer had begun is over: it does one thing after another.
async fn settled(store: &Database) {
    store.commit(Transition::new().put("c", "now", Expected::Any, json!(1))).await.unwrap();
}

async fn fill(store: &Database, events: u64) {
    for n in 0..events {
        let made = event("fat.n", "x", n).data(json!({"n": n, "text": "x".repeat(1_000)}));
        store.commit(Transition::new().event(made)).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_durable_consumer_has_not_read_stays_until_the_log_is_twice_as_large() {
    let folder = tempfile::tempdir().unwrap();
    let retention = Retention { log_bytes: 50_000, ..Retention::default() };
    let options = || Options { retention, ..options(folder.path()) };
    let store = Database::open(options()).unwrap();
    store.commit(Transition::new().ack("slow", Offset(10)).ack("quick", Offset(40))).await.unwrap();
    assert_eq!(store.consumers().unwrap(), [("quick".to_owned(), Offset(40)), ("slow".to_owned(), Offset(10))].into());
    fill(&store, 70).await;
    until(|| store.tail() > Offset(0)).await;
    settled(&store).await;
    assert_eq!(store.tail(), Offset(10), "over its size, under twice of it");
    assert_eq!(store.events(Offset(10), &EventFilter::default(), 1).unwrap().gap, None);
    fill(&store, 100).await;
    drop(store);
    let store = Database::open(options()).unwrap();
    until(|| store.tail() > Offset(10)).await;
    settled(&store).await;
    let (tail, left) = (store.tail(), replay(&store, store.tail(), &EventFilter::default()).len());
    assert!((80..=110).contains(&left), "about twice its size: {left}");
    let batch = store.events(store.cursor("slow").unwrap(), &EventFilter::default(), 1).unwrap();
    assert_eq!(batch.gap, Some(Gap { from: Offset(10), to: tail }));
    assert_eq!(batch.events[0].offset.0, tail.0 + 1);
}

#[tokio::test]
async fn age_does_not_take_what_a_durable_consumer_has_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let options = || Options { clock: clock.clone(), ..options(folder.path()) };
    let store = Database::open(options()).unwrap();
    fill(&store, 20).await;
    store.commit(Transition::new().ack("slow", Offset(7))).await.unwrap();
    drop(store);
    clock.advance(Span::from_secs(20 * 86_400));
    let store = Database::open(options()).unwrap();
    until(|| store.tail() > Offset(0)).await;
    settled(&store).await;
    assert_eq!(store.tail(), Offset(7));
}
