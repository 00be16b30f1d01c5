//! Journals over the whole store.

use crate::support::{START, clock, options};
use quarterdeck_model::journal::{Batch, Bounds, Entry, Extent, Journals};
use quarterdeck_model::store::{Store, StoreError};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_storage::{Database, Faults};

const BOUNDS: Bounds = Bounds { keep: Span::from_secs(60), bytes: 1 << 20 };

fn entry(byte: u8) -> Entry {
    Entry { at: Timestamp::from_millis(START), bytes: vec![byte; 5_000] }
}

fn batch(bytes: &[u8]) -> Batch {
    bytes.iter().map(|byte| entry(*byte)).collect::<Vec<_>>().iter().collect()
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart_and_goes_with_age() {
    let folder = tempfile::tempdir().unwrap();
    let store = Database::open(options(folder.path())).unwrap();
    Journals::write(&*store, "threshold/a", batch(&[1, 2]), BOUNDS).await.unwrap();
    Journals::write(&*store, "threshold/b", batch(&[3]), BOUNDS).await.unwrap();
    store.close().await;
    assert!(matches!(store.write("threshold/a", batch(&[4]), BOUNDS).await, Err(StoreError::Closed)));
    drop(store);
    let clock = clock();
    let options = quarterdeck_storage::Options { clock: clock.clone(), ..options(folder.path()) };
    let store = Database::open(options).unwrap();
    assert_eq!(store.read("threshold/a", 0, usize::MAX).unwrap().entries, [entry(1), entry(2)]);
    assert_eq!(store.journals().unwrap(), ["threshold/a", "threshold/b"]);
    clock.advance(Span::from_secs(61));
    store.write("threshold/a", Batch::default(), BOUNDS).await.unwrap();
    assert_eq!(store.extent("threshold/a").unwrap(), Extent::default());
    assert_eq!(store.journals().unwrap(), ["threshold/b"]);
}

#[tokio::test]
async fn a_full_disk_refuses_entries_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let options = quarterdeck_storage::Options {
        free_space_floor_bytes: 1 << 20,
        faults: faults.clone(),
        ..options(folder.path())
    };
    let store = Database::open(options).unwrap();
    faults.set_free_bytes(1);
    let refused = store.write("threshold/a", batch(&[1]), BOUNDS).await;
    assert!(matches!(refused, Err(StoreError::DiskFull { .. })), "{refused:?}");
    store.write("threshold/a", Batch::default(), BOUNDS).await.unwrap();
    faults.set_free_bytes(1 << 40);
    store.write("threshold/a", batch(&[1]), BOUNDS).await.unwrap();
    assert_eq!(store.failure().map(|failure| failure.to_string()), None);
    assert!(matches!(store.write("a\0b", batch(&[1]), BOUNDS).await, Err(StoreError::Invalid(_))));
}
