//! The public face of the store.
//!
//! - `samples`: the ports to series

mod samples;

use crate::disk::Disk;
use crate::options::Options;
use crate::prepared::Prepared;
use crate::series::{self, FLUSH_AT, upkeep};
use crate::shared::Shared;
use crate::space::Space;
use crate::wal::{self, Wal};
use crate::writer::{Command, Writer};
use crate::{checkpoint, journal, keys, log, recovery};
use async_trait::async_trait;
use quarterdeck_model::event::{EventFilter, Offset, StoredEvent};
use quarterdeck_model::journal::{Batch, Bounds, Extent, Journals, Stretch};
use quarterdeck_model::store::{
    Changed, Committed, Document, EventBatch, Gap, Page, Prompt, RawDocument, Store, StoreError, StoreHealth,
};
use quarterdeck_model::transition::Transition;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{broadcast, oneshot, watch};
use tracing::info;

/// An open store. Dropping it closes it too; [`Database::close`] lets others wait meanwhile.
pub struct Database {
    shared: Arc<Shared>,
    commands: Sender<Command>,
    closed: AtomicBool,
    threads: Mutex<Threads>,
    refused_samples: AtomicU64,
}

/// The writer, and those that work behind it; they end when their sender is dropped.
#[derive(Default)]
struct Threads {
    running: Vec<JoinHandle<()>>,
    behind: [Option<Sender<()>>; 2],
}

impl Database {
    /// Opens the folder, or makes it. Reads and checks; takes milliseconds to seconds, by the size of the store.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if another process has the folder open or a newer version wrote it; `Io` and `Corrupt` as
    /// they say.
    pub fn open(options: Options) -> Result<Arc<Self>, StoreError> {
        let now = options.clock.now();
        let disk = Disk::open(&options)?;
        let (wal, records) = Wal::open(&wal::folder(&options.dir), options.faults.clone())?;
        recovery::catch_up(&disk, &records)?;
        drop(records);
        let place = recovery::recover(&disk)?;
        disk.sync()?;
        let series = series::Store::open(&options, &disk, now)?;
        let journals = journal::Journals::open(options.dir.join("journals"))?;
        journal::remove_those_in_sled(&disk)?;
        info!(head = place.head, tail = place.tail, bytes = disk.size(), "opened the store");
        let space = Space::new(options.dir, options.free_space_floor_bytes, options.faults);
        let shared = Arc::new(Shared::new(disk, wal, space, options.clock, options.retention, place, series, journals));
        let (commands, queue) = channel();
        let (upkeep, no_upkeep) = channel();
        let (soon, checkpoints) = channel();
        let writer = Writer::new(Arc::clone(&shared), queue, place, soon.clone());
        let running = vec![
            thread("store-writer", &shared, move |_| writer.run())?,
            thread("store-checkpoint", &shared, move |shared| checkpoint::run(shared, &checkpoints))?,
            thread("store-upkeep", &shared, move |shared| upkeep::run(shared, &no_upkeep))?,
        ];
        Ok(Arc::new(Database {
            shared,
            commands,
            closed: AtomicBool::new(false),
            threads: Mutex::new(Threads { running, behind: [Some(upkeep), Some(soon)] }),
            refused_samples: AtomicU64::new(0),
        }))
    }

    /// Finishes what is queued, writes the gathered samples and stops. Later commits get [`StoreError::Closed`]. Reading
    /// goes on; the folder is free once the last handle is dropped.
    pub async fn close(&self) {
        let threads = self.stop();
        if !threads.is_empty() {
            // A writer that panicked has dropped its replies: their callers know.
            let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
            let _ = tokio::task::spawn_blocking(join).await;
        }
    }

    fn stop(&self) -> Vec<JoinHandle<()>> {
        self.closed.store(true, Ordering::Release);
        self.shared.stopping.store(true, Ordering::Relaxed);
        let _ = self.commands.send(Command::Close);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        drop(threads.behind);
        threads.running
    }

    /// Holds the error once the disk has failed. The daemon stops then.
    pub fn failed(&self) -> watch::Receiver<Option<StoreError>> {
        self.shared.failed.subscribe()
    }

    /// Samples that were dropped since the start: too far in the future or the past, with a name or labels that can't be stored, or of
    /// one series too many.
    pub fn refused_samples(&self) -> u64 {
        self.refused_samples.load(Ordering::Relaxed)
    }

    /// Samples since the start that were taken in, and for which the disk had no room when they were to be written.
    pub fn lost_samples(&self) -> u64 {
        self.shared.lost_samples.load(Ordering::Relaxed)
    }

    /// Series that had a sample in the last hours.
    pub fn active_series(&self) -> usize {
        self.shared.series.active()
    }

    /// So many samples wait that they should not wait for their second.
    fn flush_early(&self, waiting: usize) -> Result<(), StoreError> {
        if waiting >= FLUSH_AT {
            self.commands.send(Command::Samples).map_err(|_| self.gone())?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn gone(&self) -> StoreError {
        self.shared.failure().unwrap_or(StoreError::Closed)
    }

    fn check_open(&self) -> Result<(), StoreError> {
        match self.shared.failure() {
            Some(failure) => Err(failure),
            None if self.closed.load(Ordering::Acquire) => Err(StoreError::Closed),
            None => Ok(()),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        for thread in self.stop() {
            let _ = thread.join();
        }
    }
}

/// A thread of the store. One that panics stops the store.
fn thread(
    name: &str,
    shared: &Arc<Shared>,
    run: impl FnOnce(&Arc<Shared>) + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    let (shared, called) = (Arc::clone(shared), name.to_owned());
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| run(&shared))).is_err() {
                let failure = StoreError::Io(format!("the thread `{called}` panicked"));
                shared.failed.send_replace(Some(failure));
            }
        })
        .map_err(|e| StoreError::Io(format!("the thread `{name}` can't start: {e}")))
}

#[async_trait]
impl Store for Database {
    async fn commit(&self, transition: Transition) -> Result<Committed, StoreError> {
        self.check_open()?;
        if transition.is_empty() {
            self.settled().await?;
            return Ok(Committed { revisions: Vec::new(), offset: self.head() });
        }
        let prepared = Box::new(Prepared::new(transition, self.shared.clock.now())?);
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Commit(prepared, reply)).map_err(|_| self.gone())?;
        answer.await.map_err(|_| self.gone())?
    }

    async fn settled(&self) -> Result<(), StoreError> {
        let shown = self.shared.shown.load(Ordering::SeqCst);
        let mut synced = self.shared.synced.subscribe();
        let mut failed = self.shared.failed.subscribe();
        tokio::select! {
            biased;
            // Whatever was synced before a failure is safe all the same.
            done = synced.wait_for(|synced| *synced >= shown) => done.map(|_| ()).map_err(|_| StoreError::Closed),
            failure = failed.wait_for(Option::is_some) => {
                let failure = failure.ok().and_then(|failure| failure.clone());
                Err(failure.unwrap_or(StoreError::Closed))
            }
        }
    }

    fn failure(&self) -> Option<StoreError> {
        self.shared.failure()
    }

    fn check_room(&self, bytes: u64) -> Result<(), StoreError> {
        self.check_open()?;
        self.shared.space.check(bytes)?;
        // Others write it, and may have done so by the next look.
        self.shared.space.settled(bytes);
        Ok(())
    }

    fn get(&self, collection: &str, id: &str) -> Result<Option<Document>, StoreError> {
        self.shared.projections.get(&self.shared.disk, collection, id)
    }

    fn raw(&self, collection: &str, id: &str) -> Result<Option<RawDocument>, StoreError> {
        self.shared.projections.raw(&self.shared.disk, collection, id)
    }

    fn list(&self, collection: &str, page: &Page) -> Result<Vec<Document>, StoreError> {
        self.shared.projections.list(&self.shared.disk, collection, page)
    }

    fn changed(&self, collection: &str, since: Option<u64>) -> Changed {
        self.shared.projections.changed(collection, since)
    }

    fn events(&self, after: Offset, filter: &EventFilter, limit: usize) -> Result<EventBatch, StoreError> {
        let start = after.max(self.tail());
        let batch = log::events(&self.shared.disk, start, self.head(), filter, limit)?;
        // Retention may have gone on meanwhile: what it took from under this reader is missing as well.
        let to = batch.gap.map_or(start, |gap| gap.to);
        Ok(EventBatch { gap: (after < to).then_some(Gap { from: after, to }), ..batch })
    }

    fn head(&self) -> Offset {
        Offset(self.shared.head.load(Ordering::Acquire))
    }

    fn tail(&self) -> Offset {
        Offset(self.shared.tail.load(Ordering::Acquire))
    }

    fn cursor(&self, consumer: &str) -> Result<Offset, StoreError> {
        self.shared.projections.cursor(&self.shared.disk, consumer)
    }

    fn consumers(&self) -> Result<BTreeMap<String, Offset>, StoreError> {
        self.shared.projections.cursors(&self.shared.disk)
    }

    fn live(&self) -> broadcast::Receiver<Arc<Vec<StoredEvent>>> {
        self.shared.live.subscribe()
    }

    fn upcoming(&self, prompt: Option<&Prompt>) -> broadcast::Receiver<Arc<Vec<StoredEvent>>> {
        if let Some(prompt) = prompt {
            self.shared.prompts.add(prompt);
        }
        self.shared.upcoming.subscribe()
    }

    fn upcoming_head(&self) -> Offset {
        Offset(self.shared.upcoming_head.load(Ordering::Acquire))
    }

    fn health(&self) -> StoreHealth {
        let problem = self.check_open().and_then(|()| self.shared.space.is_open()).err();
        StoreHealth {
            writable: problem.is_none(),
            reason: problem.map(|problem| problem.to_string()),
            free_bytes: self.shared.space.free(),
            size_bytes: self.shared.disk.size()
                + self.shared.wal_size()
                + self.shared.series.bytes()
                + self.shared.journals.bytes(),
        }
    }
}

#[async_trait]
impl Journals for Database {
    async fn write(&self, journal: &str, entries: Batch, bounds: Bounds) -> Result<(), StoreError> {
        self.check_open()?;
        keys::check_journal(journal)?;
        // Without entries it is about letting go, which a full disk is no reason against.
        if !entries.is_empty() {
            self.shared.space.check((entries.size() + entries.len() * journal::ENTRY_BYTES) as u64)?;
        }
        let (shared, journal) = (Arc::clone(&self.shared), journal.to_owned());
        let append = move || shared.journals.append(&journal, &entries, bounds, shared.clock.now());
        tokio::task::spawn_blocking(append).await.map_err(|error| StoreError::Io(error.to_string()))?
    }

    fn read(&self, journal: &str, from: u64, bytes: usize) -> Result<Stretch, StoreError> {
        keys::check_journal(journal)?;
        self.shared.journals.read(journal, from, bytes)
    }

    fn extent(&self, journal: &str) -> Result<Extent, StoreError> {
        keys::check_journal(journal)?;
        Ok(self.shared.journals.extent(journal))
    }

    fn journals(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.shared.journals.names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Timestamp;
    use quarterdeck_model::clock::ManualClock;
    use quarterdeck_model::event::Event;
    use quarterdeck_model::id::IdSource;

    #[tokio::test]
    async fn a_reader_that_retention_overtakes_in_the_middle_of_the_log_is_told_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_750_000_000_000)));
        let options = Options { free_space_floor_bytes: 0, ..Options::new(folder.path(), clock) };
        let store = Database::open(options).unwrap();
        let ids = IdSource::seeded(1);
        for n in 0..12 {
            let event = Event::new(&ids, Timestamp::from_millis(1), "custom.a", n.to_string());
            store.commit(Transition::new().event(event)).await.unwrap();
        }
        let offsets = |batch: &EventBatch| batch.events.iter().map(|stored| stored.offset.0).collect::<Vec<_>>();
        let read = |after: u64| store.events(Offset(after), &EventFilter::default(), 100).unwrap();
        assert_eq!((offsets(&read(0)), read(0).gap), ((1..=12).collect(), None));
        assert_eq!(offsets(&read(5)), (6..=12).collect::<Vec<_>>());
        // The reader has looked at the tail; now these go.
        for order in 3..6 {
            recovery::remove(&store.shared.disk, keys::EVENTS, order).unwrap();
        }
        let before = read(0);
        assert_eq!((offsets(&before), before.next, before.gap), (vec![1, 2, 3], Offset(3), None));
        let behind = read(before.next.0);
        assert_eq!(behind.gap, Some(Gap { from: Offset(3), to: Offset(6) }));
        assert_eq!((offsets(&behind), behind.next), ((7..=12).collect(), Offset(12)));
        let between = read(4);
        assert_eq!((between.gap, between.next), (Some(Gap { from: Offset(4), to: Offset(6) }), Offset(12)));
        let none = store.events(Offset(3), &EventFilter::types(["other"]), 100).unwrap();
        assert_eq!((none.gap, none.next), (Some(Gap { from: Offset(3), to: Offset(6) }), Offset(12)));
        // What this reader may see has gone altogether.
        for order in 6..10 {
            recovery::remove(&store.shared.disk, keys::EVENTS, order).unwrap();
        }
        let batch = log::events(&store.shared.disk, Offset(6), Offset(10), &EventFilter::default(), 100).unwrap();
        assert_eq!((batch.gap, batch.next), (Some(Gap { from: Offset(6), to: Offset(10) }), Offset(10)));
        assert_eq!(batch.events, []);
    }
}
