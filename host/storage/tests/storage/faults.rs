use super::*;
use futures::FutureExt;
use quarterdeck_model::Labels;
use quarterdeck_model::effect::{Action, Effect};
use quarterdeck_model::event::Event;
use quarterdeck_model::series::{Sample, Selector, Series};
use quarterdeck_model::store::{Document, Page, Prompt, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::json;
use std::path::{Path, PathBuf};

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
    let reason = store.health().reason.unwrap();
    assert!(!store.health().writable && reason.contains("hint: "), "{reason}");
    assert!(reason.contains("`free-space-floor-bytes` in [storage] and start the daemon anew"), "{reason}");
    assert!(store.failed().borrow().is_none());
    drop(store);
    assert!(open(folder.path()).health().writable);
}

#[tokio::test]
async fn what_others_write_beside_the_store_has_to_leave_the_floor_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let store = Database::open(Options { free_space_floor_bytes: 1 << 20, ..options(folder.path()) }).unwrap();
    store.check_room(1 << 20).unwrap();
    assert!(matches!(store.check_room(u64::MAX / 2), Err(StoreError::DiskFull { .. })));
    // It was asked about, and is not on its way.
    store.check_room(1 << 20).unwrap();
    store.commit(Transition::new().event(event("a.b", "x", 1))).await.unwrap();
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

/// Readers see a commit whose sync goes on.
async fn shown(store: &Database, id: &str) {
    while store.get("c", id).unwrap().is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_readers_see_is_settled_when_its_sync_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let faults = options.faults.clone();
    let store = Database::open(options).unwrap();
    assert!(store.settled().now_or_never().unwrap().is_ok(), "nothing is on its way");
    let held = faults.hold_syncs();
    let mut commit = Box::pin(store.commit(Transition::new().put("c", "x", Expected::Any, json!(1))));
    assert!(futures::poll!(&mut commit).is_pending());
    shown(&store, "x").await;
    let mut settled = Box::pin(store.settled());
    assert!(futures::poll!(&mut settled).is_pending(), "a power cut would take it back");
    drop(held);
    settled.await.unwrap();
    commit.await.unwrap();
    store.close().await;
    assert!(store.settled().now_or_never().unwrap().is_ok());
}

#[tokio::test]
async fn what_readers_saw_is_never_settled_if_its_sync_fails() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let faults = options.faults.clone();
    let store = Database::open(options).unwrap();
    store.commit(Transition::new().put("c", "safe", Expected::Any, json!(1))).await.unwrap();
    let held = faults.hold_syncs();
    let mut commit = Box::pin(store.commit(Transition::new().put("c", "x", Expected::Any, json!(1))));
    assert!(futures::poll!(&mut commit).is_pending());
    shown(&store, "x").await;
    faults.fail_next_sync();
    let mut settled = Box::pin(store.settled());
    assert!(futures::poll!(&mut settled).is_pending());
    assert!(store.failure().is_none());
    drop(held);
    assert!(matches!(settled.await, Err(StoreError::Io(_))));
    assert!(matches!(commit.await, Err(StoreError::Io(_))));
    assert!(store.failure().is_some());
}

#[tokio::test]
async fn writers_that_come_while_a_sync_runs_share_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let faults = options.faults.clone();
    let store = Database::open(options).unwrap();
    let before = faults.syncs();
    let held = faults.hold_syncs();
    let put = |n: u64| Box::pin(store.commit(Transition::new().put("c", &n.to_string(), Expected::Absent, json!(n))));
    let mut first = put(0);
    assert!(futures::poll!(&mut first).is_pending());
    shown(&store, "0").await;
    let mut others: Vec<_> = (1..=500).map(put).collect();
    for other in &mut others {
        assert!(futures::poll!(other).is_pending());
    }
    drop(held);
    first.await.unwrap();
    assert!(futures::future::join_all(others).await.iter().all(Result::is_ok));
    assert_eq!(faults.syncs() - before, 2);
}

#[tokio::test]
async fn a_series_whose_samples_found_no_room_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let first = Options { free_space_floor_bytes: 1_000, ..options(folder.path()) };
    let faults = first.faults.clone();
    // The hour in memory would hide what is on the disk.
    let clock = clock();
    let first = Options { clock: clock.clone(), ..first };
    let store = Database::open(first).unwrap();
    let sample = |name: &str, at: i64| Sample {
        name: name.to_owned(),
        labels: Labels::new(),
        at: Timestamp::from_millis(START + at),
        value: at as f64,
    };
    // Room for nothing, but no less than there has to be: what is to be written is refused, what is appended is not.
    faults.set_free_bytes(1_010);
    store.append(vec![sample("early", 1)]).await.unwrap();
    assert!(matches!(store.sync().await, Err(StoreError::DiskFull { .. })));
    assert_eq!(store.lost_samples(), 1);
    faults.set_free_bytes(1 << 40);
    store.append(vec![sample("early", 2)]).await.unwrap();
    store.sync().await.unwrap();
    drop(store);
    let store = Database::open(Options { clock, ..options(folder.path()) }).unwrap();
    store.append(vec![sample("late", 3)]).await.unwrap();
    let range = |metric: &str| {
        let selector = Selector { metric: metric.to_owned(), labels: Labels::new() };
        let all = store.range(&selector, Timestamp::MIN, Timestamp::MAX).unwrap();
        all.into_iter().flat_map(|data| data.values).collect::<Vec<_>>()
    };
    assert_eq!((range("early"), range("late")), (vec![2.0], vec![3.0]));
}

/// Where sled keeps what is its own.
fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("store")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snap.")).collect()
}

fn whole(store: &Database) -> (Vec<Document>, Vec<StoredEvent>) {
    (store.list("c", &Page::all()).unwrap(), replay(store, Offset(0), &EventFilter::default()))
}

#[tokio::test]
async fn a_snapshot_that_was_never_finished_does_not_keep_the_store_from_opening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.commit(Transition::new().put("c", "x", Expected::Any, json!(1)).event(event("a.b", "x", 1))).await.unwrap();
    let before = whole(&store);
    drop(store);
    // As a start leaves it that found no space, and one that was cut off.
    for bytes in [&b""[..], b"half of a table, and no checksum behind it"] {
        let unfinished = folder.path().join("store/snap.00000000FFFFFFFF.generating");
        std::fs::write(&unfinished, bytes).unwrap();
        let store = open(folder.path());
        assert_eq!(whole(&store), before);
        assert!(!unfinished.exists());
    }
}

#[tokio::test]
async fn a_snapshot_that_can_not_be_read_is_made_anew_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    // Segments of the log are written again and again, pages move and go.
    for start in 0..4 {
        let store = open(folder.path());
        for round in 0..15 {
            let number = start * 100 + round;
            let text = format!("{number} ").repeat(2_000);
            let mut transition = Transition::new().event(event("a.b", "x", number));
            for id in 0..20 {
                let gone = id % 5 == round % 5;
                let id = id.to_string();
                transition = if gone {
                    transition.delete("c", &id, Expected::Any)
                } else {
                    transition.put("c", &id, Expected::Any, json!({"n": number, "text": text}))
                };
            }
            store.commit(transition).await.unwrap();
        }
    }
    let before = whole(&open(folder.path()));
    assert!(before.0.len() >= 16 && before.1.len() == 60);
    for (round, damage) in [&b""[..], b"no table at all, and what stands here is no checksum"].into_iter().enumerate() {
        let files = snapshots(folder.path());
        assert!(!files.is_empty(), "there is a snapshot to lose");
        files.iter().for_each(|file| std::fs::write(file, damage).unwrap());
        let store = open(folder.path());
        assert_eq!(whole(&store), before);
        store.commit(Transition::new().put("d", "x", Expected::Any, json!(round))).await.unwrap();
    }
    let store = open(folder.path());
    assert_eq!(whole(&store), before);
    assert_eq!(store.get("d", "x").unwrap().unwrap().value, json!(1));
}

fn prompt(topic: &'static str) -> Option<Prompt> {
    Some(Arc::new(move |event: &Event| event.event_type.starts_with(topic)))
}

fn firing(number: u64, effects: usize) -> Transition {
    let event = Transition::new().event(event("alert.firing", "x", number));
    let (ids, now) = (IdSource::seeded(number), Timestamp::from_millis(START));
    let action = || Action::CancelStep { token: "t".to_owned() };
    let effect = |_| Effect::new(&ids, now, "x", "log/default".into(), action());
    (0..effects).map(effect).fold(event, Transition::effect)
}

/// Syncs of a hundred events, each of which a reader makes a commit of that is waited for.
async fn syncs_of_a_hundred(prompt: Option<Prompt>, effects: usize) -> u64 {
    const ROUNDS: u64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    let faults = options.faults.clone();
    let store = Database::open(options).unwrap();
    let mut upcoming = store.upcoming(prompt.as_ref());
    let before = faults.syncs();
    for n in 0..ROUNDS {
        let (event, follows) = tokio::join!(store.commit(firing(n, effects)), async {
            let offset = upcoming.recv().await.unwrap()[0].offset;
            store.commit(Transition::new().ack("reader", offset).put("c", "x", Expected::Any, json!(n))).await
        });
        event.unwrap();
        follows.unwrap();
    }
    let syncs = faults.syncs() - before;
    assert_eq!(store.cursor("reader").unwrap(), Offset(ROUNDS));
    drop(store);
    let store = open(folder.path());
    assert_eq!((store.head(), store.cursor("reader").unwrap()), (Offset(ROUNDS), Offset(ROUNDS)));
    assert_eq!(store.get("c", "x").unwrap().unwrap().value, json!(ROUNDS - 1));
    syncs
}

#[tokio::test]
async fn what_a_reader_commits_at_once_shares_the_sync_of_its_event() {
    let syncs = syncs_of_a_hundred(prompt("alert."), 0).await;
    // Where the machine had something else to do for a quarter of a millisecond, there were two.
    assert!((100..150).contains(&syncs), "{syncs}");
}

#[tokio::test]
async fn events_on_which_nobody_commits_at_once_are_not_held_back() {
    assert_eq!(syncs_of_a_hundred(None, 0).await, 200);
    assert_eq!(syncs_of_a_hundred(prompt("incident."), 0).await, 200);
}

#[tokio::test]
async fn an_event_with_effects_of_its_own_is_not_held_back() {
    assert_eq!(syncs_of_a_hundred(prompt("alert."), 1).await, 200);
}
