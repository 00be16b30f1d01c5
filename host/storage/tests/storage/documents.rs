use super::*;
use quarterdeck_model::effect::{Action, Effect, OUTBOX, Pending};
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::json;

#[tokio::test]
async fn a_write_applies_only_to_the_revision_that_it_expects() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let put = |expected, n: u64| store.commit(Transition::new().put("c", "x", expected, json!(n)));
    assert_eq!(put(Expected::Absent, 1).await.unwrap().revisions, [1]);
    assert_eq!(put(Expected::Revision(1), 2).await.unwrap().revisions, [2]);
    assert_eq!(put(Expected::Any, 3).await.unwrap().revisions, [3]);
    for wrong in [Expected::Absent, Expected::Revision(2)] {
        let error = put(wrong, 9).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { found: Some(3), .. }), "{error}");
    }
    assert_eq!(store.get("c", "x").unwrap().unwrap().value, json!(3));
    store.commit(Transition::new().delete("c", "x", Expected::Revision(3))).await.unwrap();
    assert_eq!(store.get("c", "x").unwrap(), None);
    assert!(put(Expected::Revision(3), 9).await.is_err());
}

#[tokio::test]
async fn a_conflict_refuses_the_whole_transition_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let own = format!("own-{n}");
            let transition = Transition::new()
                .put("c", &own, Expected::Absent, json!(n))
                .put("c", "contended", Expected::Absent, json!(n))
                .event(event("race.won", &own, n));
            store.commit(transition).await.map(|_| n)
        });
    }
    let results = tasks.join_all().await;
    let winners: Vec<u64> = results.iter().filter_map(|result| result.as_ref().ok().copied()).collect();
    assert_eq!(winners.len(), 1);
    assert!(results.iter().flat_map(|result| result.as_ref().err()).all(|e| matches!(e, StoreError::Conflict { .. })));
    assert_eq!(store.list("c", &Page::all()).unwrap().len(), 2);
    assert_eq!(replay(&store, Offset(0), &EventFilter::default()).len(), 1);
}

#[tokio::test]
async fn writes_of_one_transition_build_on_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let transition = Transition::new()
        .put("c", "x", Expected::Absent, json!(1))
        .put("c", "x", Expected::Revision(1), json!(2))
        .delete("c", "x", Expected::Revision(2))
        .put("c", "x", Expected::Absent, json!(4));
    assert_eq!(store.commit(transition).await.unwrap().revisions, [1, 2, 3, 4]);
    assert_eq!(store.get("c", "x").unwrap().unwrap().value, json!(4));
}

#[tokio::test]
async fn everything_is_there_after_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let effect = Effect::new(
        &IdSource::seeded(1),
        Timestamp::from_millis(START),
        "run_1",
        "webhook/ops".into(),
        Action::RunStep { inputs: json!({"a": 1}) },
    );
    let transition = Transition::new()
        .put("c", "x", Expected::Absent, json!({"deep": [1, 2, {"three": null}]}))
        .event(event("thing.made", "x", 1))
        .effect(effect.clone())
        .ack("engine", Offset(7));
    assert_eq!(store.commit(transition).await.unwrap().offset, Offset(1));
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.get("c", "x").unwrap().unwrap().value, json!({"deep": [1, 2, {"three": null}]}));
    assert_eq!(store.cursor("engine").unwrap(), Offset(7));
    assert_eq!(store.cursor("other").unwrap(), Offset(0));
    assert_eq!((store.head(), store.tail()), (Offset(1), Offset(0)));
    let pending: Pending = store.get(OUTBOX, effect.id.as_str()).unwrap().unwrap().decode().unwrap();
    assert_eq!((&*pending.effect, pending.attempts), (&effect, 0));
    assert_eq!(pending.due, Timestamp::from_millis(START));
}

#[tokio::test]
async fn pages_follow_one_another_in_both_directions() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut transition = Transition::new().put("other", "a", Expected::Any, json!(0));
    for n in 0..25 {
        transition =
            transition.put("c", &format!("{}{n:02}", if n < 20 { "a/" } else { "b/" }), Expected::Any, json!(n));
    }
    store.commit(transition).await.unwrap();
    for newest_first in [false, true] {
        let mut page = Page { after: None, prefix: "a/".to_owned(), limit: 7, newest_first };
        let mut seen = Vec::new();
        loop {
            let documents = store.list("c", &page).unwrap();
            let Some(last) = documents.last() else { break };
            page.after = Some(last.id.clone());
            seen.extend(documents.into_iter().map(|document| document.value.as_u64().unwrap()));
        }
        let mut expected: Vec<u64> = (0..20).collect();
        if newest_first {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
    assert_eq!(store.list("c", &Page::newest(1)).unwrap()[0].id, "b/24");
    assert_eq!(store.list("nothing", &Page::all()).unwrap(), []);
    let beyond = Page { after: Some("zzz".to_owned()), ..Page::all() };
    assert_eq!(store.list("c", &beyond).unwrap(), []);
}

#[tokio::test]
async fn a_large_document_grows_and_shrinks_under_its_readers() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let sizes = [10, 900_000, 5_000, 1, 200_000, 3_600];
    let value = |size: usize| json!({"size": size, "text": "y".repeat(size)});
    store.commit(Transition::new().put("c", "x", Expected::Any, value(1))).await.unwrap();
    let reader = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || {
            while store.get("c", "done").unwrap().is_none() {
                let document = store.get("c", "x").unwrap().unwrap();
                let text = document.value["text"].as_str().unwrap();
                assert_eq!(text.len() as u64, document.value["size"].as_u64().unwrap());
            }
        })
    };
    for size in sizes.into_iter().cycle().take(18) {
        store.commit(Transition::new().put("c", "x", Expected::Any, value(size))).await.unwrap();
        assert_eq!(store.get("c", "x").unwrap().unwrap().value, value(size));
    }
    store.commit(Transition::new().put("c", "done", Expected::Any, json!(1))).await.unwrap();
    reader.join().unwrap();
    drop(store);
    let blobs = std::fs::read_dir(folder.path().join("store/blobs")).unwrap().count();
    assert_eq!(blobs, 0, "sled never syncs those");
    assert_eq!(open(folder.path()).get("c", "x").unwrap().unwrap().value, value(3_600));
}

#[tokio::test]
async fn what_is_over_a_limit_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let large = json!("z".repeat(1 << 20));
    let refused = [
        Transition::new().put("c", "x", Expected::Any, large.clone()),
        Transition::new().put("c", "nul\0", Expected::Any, json!(1)),
        Transition::new().put("", "x", Expected::Any, json!(1)),
        Transition::new().ack("", Offset(1)),
        Transition::new().event(event("big.one", "x", 1).data(large)),
    ];
    for transition in refused {
        let error = store.commit(transition).await.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid(text) if text.contains("hint: ")), "{error}");
    }
    assert_eq!(store.head(), Offset(0));
    assert_eq!(store.commit(Transition::new()).await.unwrap().offset, Offset(0));
}

#[tokio::test]
async fn a_document_made_again_never_has_a_revision_that_the_deleted_one_had() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..3 {
        let store = open(folder.path());
        for _ in 0..2 {
            let put = |expected| store.commit(Transition::new().put("c", "x", expected, json!(round)));
            let first = put(Expected::Absent).await.unwrap().revisions[0];
            assert!(first > last, "{first} was told of the one before");
            assert_eq!(put(Expected::Revision(first)).await.unwrap().revisions, [first + 1]);
            last = first + 1;
            store.commit(Transition::new().delete("c", "x", Expected::Any)).await.unwrap();
        }
    }
}
