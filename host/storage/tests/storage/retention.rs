use super::*;
use quarterdeck_model::Span;
use quarterdeck_model::series::{Sample, Selector, Series};
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
