//! The store: documents, samples, the log of events and the outbox, durable and in one folder.
//!
//! Not here: what a document means (engines), who listens (bus). No other crate knows sled, and no sled type leaves this one.
//!
//! Layout
//! - `options`: settings; `database`: the public face; `shared`: what readers and the writer share
//! - `prepared`: a transition checked and encoded; `group`: those that share a sync; `writer`: the one thread that writes
//! - `log`: frames, the record of every change; `projections`: what they say of documents and cursors, until it is in its place;
//!   `documents`: that place; `recovery` after a crash
//! - `wal`: the write, and the fdatasync, behind every acknowledgement; `checkpoint`: brings sled to where that is
//! - `disk`, `keys`, `codec`: sled and its one tree
//! - `space`: the floor of free space; `retention`: what goes when; `faults`: what tests inject
//! - `journal`: rings of entries that nobody acts on, in files of their own
//! - `series`: samples, the newest hours in memory, all of them in a log and in packed blocks: not in sled
//!
//! A group is put as frames of the log, in sled's memory, and acknowledged when the write-ahead log has them. What it says of documents and
//! cursors is written to their places within a second, and behind that a mark up to which frame it was; then sled is synced. sled keeps the
//! order of writes: what a crash leaves of it is a prefix, to which `recovery` adds the frames of the write-ahead log, and applies
//! those behind the mark again. So no batch is needed, which in sled would shut readers out.
//!
//! Limits: a document 1 MiB of JSON, the data of an event 1 MiB, a transition 8 MiB in all, a collection's name 128 bytes,
//! an id 512.
//!
//! ```
//! # use std::sync::Arc;
//! # use quarterdeck_model::{Timestamp, clock::ManualClock, store::Store, transition::{Expected, Transition}};
//! # use quarterdeck_storage::{Database, Options};
//! # let folder = tempfile::tempdir()?;
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
//! let store = Database::open(Options::new(folder.path(), clock))?;
//! store.commit(Transition::new().put("notes", "n1", Expected::Absent, serde_json::json!({"text": "hi"}))).await?;
//! assert_eq!(store.get("notes", "n1")?.map(|note| note.revision), Some(1));
//! store.close().await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

mod checkpoint;
mod codec;
mod database;
mod disk;
mod documents;
mod faults;
mod group;
mod journal;
mod keys;
mod log;
mod options;
mod prepared;
mod projections;
mod recovery;
mod retention;
mod series;
mod shared;
mod space;
mod wal;
mod writer;

pub use database::Database;
pub use faults::{Faults, Held};
pub use options::{Options, Retention, Thinning};
