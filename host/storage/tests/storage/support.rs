//! A store in a folder, and what was written to it.

use quarterdeck_model::Timestamp;
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::event::{Event, EventFilter, Offset, StoredEvent};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::store::Store;
use quarterdeck_storage::{Database, Options};
use std::path::Path;
use std::sync::Arc;

/// A moment of 2025.
pub(crate) const START: i64 = 1_750_000_000_000;

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(START)))
}

/// Without a floor: a test must not depend on the machine's disk.
pub(crate) fn options(dir: &Path) -> Options {
    Options { free_space_floor_bytes: 0, ..Options::new(dir, clock()) }
}

pub(crate) fn open(dir: &Path) -> Arc<Database> {
    Database::open(options(dir)).unwrap()
}

pub(crate) fn event(event_type: &str, subject: &str, n: u64) -> Event {
    Event::new(&IdSource::seeded(n), Timestamp::from_millis(START), event_type, subject)
        .data(serde_json::json!({ "n": n }))
}

/// Everything behind `after`, however many reads it takes.
pub(crate) fn replay(store: &Database, after: Offset, filter: &EventFilter) -> Vec<StoredEvent> {
    let (mut all, mut after) = (Vec::new(), after);
    while after < store.head() {
        let batch = store.events(after, filter, 1_000).unwrap();
        assert!(batch.next > after, "a read gets on");
        after = batch.next;
        all.extend(batch.events);
    }
    all
}
