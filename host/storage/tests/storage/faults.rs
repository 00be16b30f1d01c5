use super::*;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::json;

#[tokio::test]
async fn below_the_floor_of_free_space_writes_are_refused_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.commit(Transition::new().put("c", "x", Expected::Any, json!(1))).await.unwrap();
    drop(store);
    let store = Database::open(Options { free_space_floor_bytes: u64::MAX, ..options(folder.path()) }).unwrap();
    let error = store.commit(Transition::new().event(event("a.b", "x", 1))).await.unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert_eq!(store.get("c", "x").unwrap().unwrap().value, json!(1));
    let health = store.health();
    assert!(!health.writable && health.reason.unwrap().contains("hint: "), "{:?}", store.health());
    assert!(store.failed().borrow().is_none());
    drop(store);
    assert!(open(folder.path()).health().writable);
}

#[tokio::test]
async fn a_failed_sync_stops_the_store_and_what_was_acknowledged_stays() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let faults = options.faults.clone();
    let store = Database::open(options).unwrap();
    let mut failed = store.failed();
    store
        .commit(Transition::new().put("c", "safe", Expected::Any, json!(1)).event(event("a.b", "x", 1)))
        .await
        .unwrap();
    faults.fail_next_sync();
    let attempts = (0..20).map(|n| store.commit(Transition::new().event(event("a.b", "x", n))));
    let results = futures::future::join_all(attempts).await;
    assert!(results.iter().all(|result| matches!(result, Err(StoreError::Io(_)))), "{results:?}");
    failed.wait_for(Option::is_some).await.unwrap();
    let later = store.commit(Transition::new().event(event("a.b", "x", 9))).await;
    assert!(matches!(later, Err(StoreError::Io(_))));
    assert_eq!(store.head(), Offset(1), "readers see nothing that may be lost");
    assert_eq!(replay(&store, Offset(0), &EventFilter::default()).len(), 1);
    let health = store.health();
    assert!(!health.writable && health.reason.unwrap().contains("the disk failed"));
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.get("c", "safe").unwrap().unwrap().value, json!(1));
    assert!(store.head() >= Offset(1));
}

#[tokio::test]
async fn two_stores_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let Err(StoreError::Invalid(text)) = Database::open(options(folder.path())) else { panic!("opened twice") };
    assert!(text.contains("in use by another daemon; hint: "), "{text}");
    drop(store);
    open(folder.path());
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let commits: Vec<_> = (0..50)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.commit(Transition::new().event(event("a.b", "x", n))).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await;
    store.close().await;
    let mut acknowledged = 0;
    for commit in commits {
        match commit.await.unwrap() {
            Ok(_) => acknowledged += 1,
            Err(error) => assert!(matches!(error, StoreError::Closed), "{error}"),
        }
    }
    assert_eq!(replay(&store, Offset(0), &EventFilter::default()).len(), acknowledged);
    assert!(matches!(store.commit(Transition::new().ack("a", Offset(1))).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let raw = sled::open(folder.path().join("store")).unwrap();
    raw.insert(b"mschema", &99u64.to_be_bytes()).unwrap();
    raw.flush().unwrap();
    drop(raw);
    let Err(StoreError::Invalid(text)) = Database::open(options(folder.path())) else { panic!("opened") };
    assert!(text.contains("newer version") && text.contains("hint: "), "{text}");
}
