//! The store through its ports, over a real folder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test may panic"
)]

mod crash;
mod documents;
mod faults;
mod log;
mod retention;
mod series;

use quarterdeck_model::Timestamp;
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::event::{Event, EventFilter, Offset, StoredEvent};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::store::Store;
use quarterdeck_storage::{Database, Options};
use std::path::Path;
use std::sync::Arc;

/// A moment of 2025.
pub const START: i64 = 1_750_000_000_000;

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(START)))
}

/// Without a floor: a test must not depend on the machine's disk.
pub fn options(dir: &Path) -> Options {
    Options { free_space_floor_bytes: 0, ..Options::new(dir, clock()) }
}

pub fn open(dir: &Path) -> Arc<Database> {
    Database::open(options(dir)).unwrap()
}

pub fn event(event_type: &str, subject: &str, n: u64) -> Event {
    Event::new(&IdSource::seeded(n), Timestamp::from_millis(START), event_type, subject)
        .data(serde_json::json!({ "n": n }))
}

/// Everything behind `after`, however many reads it takes.
pub fn replay(store: &Database, after: Offset, filter: &EventFilter) -> Vec<StoredEvent> {
    let (mut all, mut after) = (Vec::new(), after);
    while after < store.head() {
        let batch = store.events(after, filter, 1_000).unwrap();
        assert!(batch.next > after, "a read gets on");
        after = batch.next;
        all.extend(batch.events);
    }
    all
}
