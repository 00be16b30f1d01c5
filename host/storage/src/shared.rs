//! What readers and the writer share.

use crate::disk::Disk;
use crate::journal::Journals;
use crate::options::Retention;
use crate::projections::Projections;
use crate::recovery::Place;
use crate::series;
use crate::space::Space;
use crate::wal::{Record, Wal};
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::{Event, StoredEvent};
use quarterdeck_model::store::{Prompt, StoreError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// Few: a reader that lags reads the log, and groups that wait for one take memory - in a storm, megabytes each.
const LIVE_GROUPS: usize = 16;

/// Says of an event whether its reader commits at once what follows from it.
type Says = dyn Fn(&Event) -> bool + Send + Sync;

/// Readers who commit at once what follows from certain events. Each holds what says of which; those who are gone are forgotten.
#[derive(Default)]
pub(crate) struct Prompts(Mutex<Vec<Weak<Says>>>);

impl Prompts {
    pub(crate) fn add(&self, prompt: &Prompt) {
        let mut prompts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prompts.retain(|known| known.strong_count() > 0 && !std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(prompt)));
        prompts.push(Arc::downgrade(prompt));
    }

    /// Whether somebody commits at once on one of these.
    pub(crate) fn is_any(&self, events: &[StoredEvent]) -> bool {
        let prompts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut prompts = prompts.iter().filter_map(Weak::upgrade);
        prompts.any(|prompt| events.iter().any(|stored| prompt(&stored.event)))
    }
}

pub(crate) struct Shared {
    pub(crate) disk: Disk,
    pub(crate) projections: Projections,
    wal: Mutex<Wal>,
    /// Its bytes on the disk.
    wal_size: Arc<AtomicU64>,
    /// Held during a checkpoint.
    checkpoint: Mutex<()>,
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
    /// Who commits at once, and on what.
    pub(crate) prompts: Prompts,
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
    #[expect(clippy::too_many_arguments, reason = "the parts, once")]
    pub(crate) fn new(
        disk: Disk,
        wal: Wal,
        space: Space,
        clock: Arc<dyn Clock>,
        retention: Retention,
        place: Place,
        series: series::Store,
        journals: Journals,
    ) -> Self {
        Shared {
            disk,
            projections: Projections::new(place.serial),
            wal_size: wal.size(),
            wal: Mutex::new(wal),
            checkpoint: Mutex::default(),
            space,
            clock,
            retention,
            head: AtomicU64::new(place.head),
            tail: AtomicU64::new(place.tail),
            live: broadcast::channel(LIVE_GROUPS).0,
            upcoming_head: AtomicU64::new(place.head),
            upcoming: broadcast::channel(LIVE_GROUPS).0,
            prompts: Prompts::default(),
            failed: watch::channel(None).0,
            shown: AtomicU64::new(place.group),
            synced: watch::channel(place.group).0,
            lost_samples: AtomicU64::new(0),
            series,
            journals: Arc::new(journals),
            stopping: AtomicBool::new(false),
        }
    }

    /// Bytes of the write-ahead log on the disk. Waits for nobody who writes.
    pub(crate) fn wal_size(&self) -> u64 {
        self.wal_size.load(Ordering::Relaxed)
    }

    fn wal(&self) -> MutexGuard<'_, Wal> {
        self.wal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when these are on the disk, and with them everything that was put before.
    pub(crate) fn sync(&self, records: &[Record]) -> Result<(), StoreError> {
        let mut wal = self.wal();
        wal.write(records)?;
        self.space.synced(self.pending(&wal));
        Ok(())
    }

    /// Bytes of the write-ahead log since the last checkpoint.
    pub(crate) fn ahead(&self) -> u64 {
        self.wal().written()
    }

    /// Brings sled to where the write-ahead log is. Commits go on meanwhile: `pause` is how long they are given way to every few documents.
    pub(crate) fn checkpoint(&self, pause: Duration) -> Result<(), StoreError> {
        let _one = self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        // What one that failed has left in the other file may be nowhere else: it is not written over.
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        self.bring_up(pause).inspect_err(|failure| {
            self.failed.send_replace(Some(failure.clone()));
        })
    }

    fn bring_up(&self, pause: Duration) -> Result<(), StoreError> {
        {
            let mut wal = self.wal();
            if wal.written() == 0 {
                return Ok(());
            }
            // Whatever stands in the file that is left now was put into sled before.
            wal.turn()?;
        }
        self.projections.settle(&self.disk, || {
            // The writer may be waiting for what is done here.
            if !self.projections.is_full() {
                std::thread::sleep(pause);
            }
        })?;
        self.disk.sync()?;
        let wal = self.wal();
        self.space.still_pending(self.pending(&wal));
        Ok(())
    }

    /// What still comes to sled: the frames of the log and the documents, and there about as much again.
    fn pending(&self, wal: &Wal) -> u64 {
        2 * (wal.written() + self.projections.bytes() as u64)
    }

    /// Why nothing can be written any more, if so.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.failed.borrow().clone()
    }
}
