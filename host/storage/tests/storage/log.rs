use super::*;
use quarterdeck_model::plugin::{Digest, PluginRef};
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::json;

#[tokio::test]
async fn an_event_reads_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let cause = event("first.cause", "a", 1);
    let plugin = PluginRef { name: "p".into(), version: "1.2".into(), digest: Digest("sha256:00".into()) };
    let full = event("thing.made", "x/\u{fc}", 2)
        .caused_by(&cause)
        .plugin(Some(plugin))
        .principal("instance:p/a")
        .data(json!({"text": "\u{0}\n", "list": [1.5, -3, null]}));
    store.commit(Transition::new().event(cause.clone()).event(full.clone())).await.unwrap();
    let stored = replay(&store, Offset(0), &EventFilter::default());
    assert_eq!(stored[0], StoredEvent { offset: Offset(1), event: Arc::new(cause) });
    assert_eq!(stored[1], StoredEvent { offset: Offset(2), event: Arc::new(full) });
}

#[tokio::test]
async fn offsets_have_no_gaps_under_many_writers_and_each_keeps_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..20u64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut last = Offset(0);
            for n in 0..50 {
                // Some records have no event: readers must not stumble over them.
                let quiet = Transition::new().put("c", &format!("{writer}"), Expected::Any, json!(n));
                store.commit(quiet).await.unwrap();
                let subject = format!("writer-{writer}");
                let offset = store.commit(Transition::new().event(event("many.n", &subject, n))).await.unwrap().offset;
                assert!(offset > last);
                last = offset;
            }
        });
    }
    tasks.join_all().await;
    drop(store);
    let store = open(folder.path());
    let all = replay(&store, Offset(0), &EventFilter::default());
    let offsets: Vec<u64> = all.iter().map(|stored| stored.offset.0).collect();
    assert_eq!(offsets, (1..=1_000).collect::<Vec<_>>());
    for writer in 0..20 {
        let filter =
            EventFilter { types: vec!["many".into()], subject: Some(format!("writer-{writer}")), ..Default::default() };
        let numbers: Vec<u64> =
            replay(&store, Offset(0), &filter).iter().map(|stored| stored.event.data["n"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    }
    for after in [0, 1, 499, 999, 1_000, 5_000] {
        let batch = store.events(Offset(after), &EventFilter::default(), 3).unwrap();
        let expected: Vec<u64> = (after + 1..=1_000).take(3).collect();
        assert_eq!(batch.events.iter().map(|stored| stored.offset.0).collect::<Vec<_>>(), expected);
        assert_eq!(batch.next.0, expected.last().copied().unwrap_or(after));
    }
}

#[tokio::test]
async fn one_large_transition_is_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut transition = Transition::new();
    for n in 0..5_000 {
        transition = transition.event(event(if n % 1_000 == 0 { "large.rare" } else { "large.n" }, "x", n)).put(
            "c",
            &format!("{n:05}"),
            Expected::Absent,
            json!(n),
        );
    }
    assert_eq!(store.commit(transition).await.unwrap().offset, Offset(5_000));
    store.commit(Transition::new().event(event("small.n", "x", 5_000))).await.unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(replay(&store, Offset(0), &EventFilter::default()).len(), 5_001);
    assert_eq!(replay(&store, Offset(0), &EventFilter::types(["large.rare"])).len(), 5);
    assert_eq!(replay(&store, Offset(4_999), &EventFilter::default()).len(), 2);
    assert_eq!(store.list("c", &quarterdeck_model::store::Page::all()).unwrap().len(), 5_000);
}

#[tokio::test]
async fn live_events_come_after_they_are_durable_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut live = store.live();
    for n in 0..10 {
        store.commit(Transition::new().event(event("live.n", "x", n))).await.unwrap();
    }
    let mut seen = 0;
    while seen < 10 {
        for stored in live.recv().await.unwrap().iter() {
            seen += 1;
            assert_eq!(stored.offset.0, seen);
            assert!(store.head() >= stored.offset);
        }
    }
}
