//! The store, as a port. Written so that a replicated log can stand behind it: one record per transition, an expected
//! revision per document, readers that pull by offset.

use crate::event::{Event, EventFilter, Offset, StoredEvent};
use crate::json::Json;
use crate::transition::Transition;
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::broadcast;

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Someone else wrote the document first. Read it again and decide again.
    #[error("`{collection}/{id}` is at revision {found:?}, not as expected")]
    Conflict { collection: String, id: String, found: Option<u64> },
    /// Below the floor of free space: reads go on, writes are refused.
    #[error(
        "only {free_bytes} bytes are free on the disk, too few to write this and to leave the floor of {floor_bytes}; hint: free space, or set a lower `free-space-floor-bytes` in [storage] and start the daemon anew"
    )]
    DiskFull { free_bytes: u64, floor_bytes: u64 },
    /// The disk failed. The store has stopped; what was acknowledged before is safe.
    #[error("the disk failed: {0}")]
    Io(String),
    #[error("stored data can't be read: {0}")]
    Corrupt(String),
    /// A record that is over the limit, or a malformed name.
    #[error("{0}")]
    Invalid(String),
    /// More is coming in than the disk takes. Nothing of this call was taken.
    #[error("{waiting} samples wait to be written, {limit} may; hint: send them again later")]
    Busy { waiting: usize, limit: usize },
    /// Samples of series that are known were taken, `refused` others were not.
    #[error(
        "the store has its {limit} series and takes no new ones, {refused} samples were dropped; hint: send fewer values of labels, or raise `storage.max-series`"
    )]
    TooManySeries { limit: u64, refused: usize },
    /// What is asked for is over what the caller wants to hold in memory.
    #[error("there are more than {limit} points; hint: ask for a longer step, a shorter range or fewer series")]
    TooManyPoints { limit: usize },
    /// Nobody waits for the answer any more, or its time is over.
    #[error("the query was ended; hint: ask for less, or give it more time")]
    Stopped,
    #[error("the store is closed")]
    Closed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub id: String,
    /// Grows by 1 with every write. A document that is made again after a deletion starts above the one that was deleted, so that
    /// no revision ever means two things.
    pub revision: u64,
    pub value: Value,
}

impl Document {
    /// # Errors
    /// [`StoreError::Corrupt`] if the value has another shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        T::deserialize(&self.value).map_err(|e| StoreError::Corrupt(format!("document `{}`: {e}", self.id)))
    }
}

/// A document as it is kept: for whoever makes a domain type of it at once.
#[derive(Clone, Debug, PartialEq)]
pub struct RawDocument {
    pub id: String,
    /// As [`Document::revision`].
    pub revision: u64,
    pub json: Json,
}

impl RawDocument {
    /// # Errors
    /// [`StoreError::Corrupt`] if the value has another shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        self.json.decode().map_err(|e| StoreError::Corrupt(format!("document `{}`: {e}", self.id)))
    }
}

/// A part of a collection, in the order of ids (ids are ULIDs: the order of creation).
#[derive(Clone, Debug)]
pub struct Page {
    /// Ids behind this one only (before it, when `newest_first`).
    pub after: Option<String>,
    pub prefix: String,
    pub limit: usize,
    pub newest_first: bool,
}

impl Page {
    pub fn all() -> Self {
        Page { after: None, prefix: String::new(), limit: usize::MAX, newest_first: false }
    }

    pub fn newest(limit: usize) -> Self {
        Page { after: None, prefix: String::new(), limit, newest_first: true }
    }
}

/// Documents of a collection that were put or deleted since somebody asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// To go on from.
    pub now: u64,
    /// In the order of the writes; one may be there several times. `None`: that is not known (any more), any may be another one.
    pub ids: Option<Vec<Arc<str>>>,
}

/// What a commit gave: the revision of each write, in order, and the offsets of its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    pub revisions: Vec<u64>,
    /// Of the last event; the head where there was none.
    pub offset: Offset,
}

/// Events that retention removed before they were read: those behind `from`, up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    pub from: Offset,
    pub to: Offset,
}

/// A stretch of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventBatch {
    /// What is missing in front of `events`.
    pub gap: Option<Gap>,
    pub events: Vec<StoredEvent>,
    /// Read on from here: everything up to this offset was looked at, whether it matched or not.
    pub next: Offset,
}

/// How the store is, for readiness and for `/metrics`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreHealth {
    pub writable: bool,
    /// Why not, for a person.
    pub reason: Option<String>,
    pub free_bytes: u64,
    pub size_bytes: u64,
}

/// Whether a reader commits on an event at once, from memory and without asking anybody. Asked by the thread that writes.
pub type Prompt = Arc<dyn Fn(&Event) -> bool + Send + Sync>;

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Returns when the record that holds the whole transition is on the disk (fdatasync done).
    async fn commit(&self, transition: Transition) -> Result<Committed, StoreError>;

    /// Returns when everything that `get` and `list` have shown so far is on the disk. They show a record a moment before
    /// its fdatasync: whoever answers for what they read, without committing anything, waits for this first. At once where
    /// nothing is on its way.
    async fn settled(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Why nothing can be written any more, if so: for those who would act on the word of a store that is gone.
    fn failure(&self) -> Option<StoreError> {
        None
    }

    /// Whether so many bytes may be written beside the store, on its disk: refused is what would go below the floor of free space.
    fn check_room(&self, _bytes: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn get(&self, collection: &str, id: &str) -> Result<Option<Document>, StoreError>;

    /// What [`Store::get`] gets, not read yet.
    fn raw(&self, collection: &str, id: &str) -> Result<Option<RawDocument>, StoreError> {
        let raw = |Document { id, revision, value }| RawDocument { id, revision, json: value.into() };
        Ok(self.get(collection, id)?.map(raw))
    }

    fn list(&self, collection: &str, page: &Page) -> Result<Vec<Document>, StoreError>;

    /// What was written in a collection since `since`, a moment that was given before; `None` at first. Whoever lists or gets documents
    /// after that finds what it tells of, or what came later. For those who keep a part of each document in memory.
    fn changed(&self, _collection: &str, _since: Option<u64>) -> Changed {
        Changed::default()
    }

    /// At most `limit` events behind `after` that the filter lets through. Looks at a bounded stretch: an empty batch whose
    /// `next` is below the head means "read on".
    fn events(&self, after: Offset, filter: &EventFilter, limit: usize) -> Result<EventBatch, StoreError>;

    /// Offset of the newest event.
    fn head(&self) -> Offset;

    /// Offset before the oldest event that retention has left.
    fn tail(&self) -> Offset;

    /// Where a durable consumer stands; 0 for one that is new.
    fn cursor(&self, consumer: &str) -> Result<Offset, StoreError>;

    /// The durable consumers: all that have ever acknowledged anything, and where they stand. Retention waits for them, within
    /// bounds.
    fn consumers(&self) -> Result<BTreeMap<String, Offset>, StoreError> {
        Ok(BTreeMap::new())
    }

    /// Everything committed from now on, after it is durable. One that lags is told so and reads the log instead.
    fn live(&self) -> broadcast::Receiver<Arc<Vec<StoredEvent>>>;

    /// The same, a moment earlier: when `get` and `list` show the record, and its fdatasync begins. For those who do nothing with it but
    /// commit what follows: the disk has that after the record, or not at all. What a person or another system gets to see is no such
    /// thing.
    ///
    /// `prompt`: the events on which this reader commits at once. As long as it lives, the fdatasync of such an event may be held back for
    /// a fraction of a millisecond, so that what follows shares it; not where the event's own record has effects, which wait for it.
    fn upcoming(&self, _prompt: Option<&Prompt>) -> broadcast::Receiver<Arc<Vec<StoredEvent>>> {
        self.live()
    }

    /// Offset of the newest event that `upcoming` has told of.
    fn upcoming_head(&self) -> Offset {
        self.head()
    }

    fn health(&self) -> StoreHealth;
}
