//! What readers and the writer share.

use crate::disk::Disk;
use crate::journal::Journals;
use crate::options::Retention;
use crate::recovery::Place;
use crate::series;
use crate::space::Space;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::StoredEvent;
use quarterdeck_model::store::StoreError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use tokio::sync::{broadcast, watch};

/// Few: a reader that lags reads the log, and groups that wait for one take memory - in a storm, megabytes each.
const LIVE_GROUPS: usize = 16;

pub(crate) struct Shared {
    pub(crate) disk: Disk,
    pub(crate) space: Space,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) retention: Retention,
    /// Offset of the newest event that is durable.
    pub(crate) head: AtomicU64,
    /// Offset before the oldest event.
    pub(crate) tail: AtomicU64,
    pub(crate) live: broadcast::Sender<Arc<Vec<StoredEvent>>>,
    /// Offset of the newest event that is put, be it durable or not.
    pub(crate) upcoming_head: AtomicU64,
    pub(crate) upcoming: broadcast::Sender<Arc<Vec<StoredEvent>>>,
    pub(crate) failed: watch::Sender<Option<StoreError>>,
    /// The last group of which readers may have seen something.
    pub(crate) shown: AtomicU64,
    /// The last group that is on the disk.
    pub(crate) synced: watch::Sender<u64>,
    /// Samples that were taken in and then found no room.
    pub(crate) lost_samples: AtomicU64,
    pub(crate) series: series::Store,
    pub(crate) journals: Arc<Journals>,
    /// The store is about to close: long work ends.
    pub(crate) stopping: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        disk: Disk,
        space: Space,
        clock: Arc<dyn Clock>,
        retention: Retention,
        place: Place,
        series: series::Store,
        journals: Journals,
    ) -> Self {
        Shared {
            disk,
            space,
            clock,
            retention,
            head: AtomicU64::new(place.head),
            tail: AtomicU64::new(place.tail),
            live: broadcast::channel(LIVE_GROUPS).0,
            upcoming_head: AtomicU64::new(place.head),
            upcoming: broadcast::channel(LIVE_GROUPS).0,
            failed: watch::channel(None).0,
            shown: AtomicU64::new(place.group),
            synced: watch::channel(place.group).0,
            lost_samples: AtomicU64::new(0),
            series,
            journals: Arc::new(journals),
            stopping: AtomicBool::new(false),
        }
    }

    /// Returns when everything put before is on the disk.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.disk.sync()?;
        self.space.synced();
        Ok(())
    }

    /// Why nothing can be written any more, if so.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.failed.borrow().clone()
    }
}
