//! What readers and the writer share.

use crate::disk::Disk;
use crate::options::Retention;
use crate::series::Head;
use crate::space::Space;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::StoredEvent;
use quarterdeck_model::store::StoreError;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::{broadcast, watch};

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
    pub(crate) failed: watch::Sender<Option<StoreError>>,
    series: RwLock<Head>,
}

impl Shared {
    pub(crate) fn new(
        disk: Disk,
        space: Space,
        clock: Arc<dyn Clock>,
        retention: Retention,
        log: (u64, u64),
        series: Head,
    ) -> Self {
        Shared {
            disk,
            space,
            clock,
            retention,
            head: AtomicU64::new(log.0),
            tail: AtomicU64::new(log.1),
            // Few: a reader that lags reads the log, and groups that wait for one take memory.
            live: broadcast::channel(64).0,
            failed: watch::channel(None).0,
            series: RwLock::new(series),
        }
    }

    pub(crate) fn series(&self) -> RwLockReadGuard<'_, Head> {
        self.series.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn series_mut(&self) -> RwLockWriteGuard<'_, Head> {
        self.series.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing can be written any more, if so.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.failed.borrow().clone()
    }
}
