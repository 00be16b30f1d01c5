//! The one thread that writes. Whoever comes while a sync runs shares the next one. Nobody waits for company, but for one: an event on
//! which a reader is known to commit at once waits a moment for that, because the two together are on the disk sooner than one after
//! the other.

use crate::checkpoint;
use crate::group::{Group, Put};
use crate::prepared::Prepared;
use crate::recovery::Place;
use crate::retention;
use crate::shared::Shared;
use crate::wal::Record;
use quarterdeck_model::event::StoredEvent;
use quarterdeck_model::store::{Committed, StoreError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, oneshot};
use tracing::{error, warn};

/// How long samples are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// How long an event waits for what follows at once: less than a sync takes.
const PROMPT: Duration = Duration::from_micros(250);
/// How often old frames are looked for, while there are none.
const RETAIN: Duration = Duration::from_secs(60);
const GROUP_BYTES: usize = 1 << 20;
const GROUP_TRANSITIONS: usize = 4_096;

pub(crate) type Reply = oneshot::Sender<Result<Committed, StoreError>>;

pub(crate) enum Command {
    Commit(Box<Prepared>, Reply),
    /// There are samples for a frame of their own.
    Samples,
    /// The same, and an answer when they are on the disk.
    Sync(oneshot::Sender<Result<(), StoreError>>),
    Close,
}

fn tell(readers: &broadcast::Sender<Arc<Vec<StoredEvent>>>, events: &Arc<Vec<StoredEvent>>) {
    if !events.is_empty() && readers.receiver_count() > 0 {
        // The last one may just have left.
        let _ = readers.send(Arc::clone(events));
    }
}

/// Those that share a sync.
struct Sharing {
    /// Behind them.
    place: Place,
    results: Vec<Committed>,
    told: Vec<Arc<Vec<StoredEvent>>>,
    records: Vec<Record>,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    commands: Receiver<Command>,
    place: Place,
    /// Where a checkpoint is asked for.
    soon: Sender<()>,
    /// Came in between, and is next.
    put_off: Option<Command>,
    samples_due: Instant,
    retention_due: Instant,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, commands: Receiver<Command>, place: Place, soon: Sender<()>) -> Self {
        let now = Instant::now();
        Writer { shared, commands, place, soon, put_off: None, samples_due: now + GATHER, retention_due: now + GATHER }
    }

    /// Until the store is closed, or the disk fails: then it stops at once, and nobody is told of a success any more.
    pub(crate) fn run(mut self) {
        loop {
            let mut replies = Vec::new();
            match self.step(&mut replies) {
                Ok(true) => {}
                Ok(false) => {
                    // Not needed: the next start would read it from the log.
                    if let Err(failure) = self.shared.checkpoint(Duration::ZERO) {
                        error!(error = %failure, "the disk failed at the end");
                    }
                    return;
                }
                Err(failure) => {
                    error!(error = %failure, "the disk failed; the store has stopped");
                    self.shared.failed.send_replace(Some(failure.clone()));
                    for reply in replies {
                        let _ = reply.send(Err(failure.clone()));
                    }
                    // Those that still wait in the queue; later ones find it closed.
                    for command in self.commands.try_iter() {
                        if let Command::Commit(_, reply) = command {
                            let _ = reply.send(Err(failure.clone()));
                        }
                    }
                    return;
                }
            }
        }
    }

    /// Waits for work and does it, up to one sync. `false`: closed. `replies` are those still to be given.
    fn step(&mut self, replies: &mut Vec<Reply>) -> Result<bool, StoreError> {
        let due = self.samples_due.min(self.retention_due);
        let mut open = true;
        let mut next = self.put_off.take();
        if next.is_none() {
            next = match self.commands.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    open = false;
                    None
                }
            };
        }
        let mut transitions = Vec::new();
        let (mut bytes, mut flush_samples, mut waiting) = (0, false, Vec::new());
        while let Some(command) = next.take() {
            match command {
                Command::Commit(prepared, reply) => {
                    bytes += prepared.bytes;
                    transitions.push((prepared, reply));
                }
                Command::Samples => flush_samples = true,
                Command::Sync(reply) => {
                    flush_samples = true;
                    waiting.push(reply);
                }
                Command::Close => {
                    open = false;
                    break;
                }
            }
            if bytes < GROUP_BYTES && transitions.len() < GROUP_TRANSITIONS {
                next = self.commands.try_recv().ok();
            }
        }
        let mut full = None;
        if flush_samples || !open || Instant::now() >= self.samples_due {
            self.samples_due = Instant::now() + GATHER;
            full = self.put_samples()?;
        }
        if !transitions.is_empty() {
            self.commit(transitions, bytes, replies)?;
        }
        for reply in waiting {
            // Nobody waits any more: nothing to do about it.
            let _ = reply.send(full.clone().map_or(Ok(()), Err));
        }
        if open && Instant::now() >= self.retention_due {
            let more = retention::run(&self.shared, self.place)?;
            self.retention_due = Instant::now() + if more { GATHER } else { RETAIN };
        }
        Ok(open)
    }

    /// Puts the transitions, and what follows from them at once, and answers when all of it is on the disk.
    fn commit(
        &mut self,
        transitions: Vec<(Box<Prepared>, Reply)>,
        bytes: usize,
        replies: &mut Vec<Reply>,
    ) -> Result<(), StoreError> {
        let place = Place { group: self.place.group + 1, ..self.place };
        let acts = transitions.iter().any(|(prepared, _)| prepared.has_effects());
        let mut sharing =
            Sharing { place, results: Vec::with_capacity(transitions.len()), told: vec![], records: vec![] };
        self.put(transitions, bytes, replies, &mut sharing)?;
        if !acts && sharing.told.iter().any(|events| self.shared.prompts.is_any(events)) {
            let (follow, bytes) = self.follow(bytes);
            self.put(follow, bytes, replies, &mut sharing)?;
        }
        if replies.is_empty() {
            return Ok(());
        }
        let Sharing { place, results, told, records } = sharing;
        self.shared.sync(&records)?;
        self.place = place;
        self.shared.synced.send_replace(place.group);
        self.shared.head.store(place.head, Ordering::Release);
        for (committed, reply) in results.into_iter().zip(replies.drain(..)) {
            let _ = reply.send(Ok(committed));
        }
        // A reader that subscribes from here on finds the events in the log.
        for events in &told {
            tell(&self.shared.live, events);
        }
        match self.shared.ahead() {
            ahead if ahead > checkpoint::AT_MOST => self.shared.checkpoint(Duration::ZERO)?,
            // One that has ended has failed, and said so.
            ahead if ahead > checkpoint::SOON => drop(self.soon.send(())),
            _ => {}
        }
        Ok(())
    }

    /// Waits for the commit of a reader. What else comes meanwhile goes with it.
    fn follow(&mut self, mut bytes: usize) -> (Vec<(Box<Prepared>, Reply)>, usize) {
        let (mut follow, before, until) = (Vec::new(), bytes, Instant::now() + PROMPT);
        while bytes < GROUP_BYTES && follow.len() < GROUP_TRANSITIONS {
            match self.commands.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Command::Commit(prepared, reply)) => {
                    let is_a_readers = !prepared.acks.is_empty();
                    bytes += prepared.bytes;
                    follow.push((prepared, reply));
                    if is_a_readers {
                        break;
                    }
                }
                Ok(command) => {
                    self.put_off = Some(command);
                    break;
                }
                Err(_) => break,
            }
        }
        (follow, bytes - before)
    }

    /// Puts transitions, of which readers learn at once and nobody else before the sync. Those that do not fit are refused alone.
    fn put(
        &self,
        transitions: Vec<(Box<Prepared>, Reply)>,
        bytes: usize,
        replies: &mut Vec<Reply>,
        sharing: &mut Sharing,
    ) -> Result<(), StoreError> {
        // Record, projections, and what sled adds to both.
        if let Err(full) = self.shared.space.check(4 * bytes as u64) {
            for (_, reply) in transitions {
                let _ = reply.send(Err(full.clone()));
            }
            return Ok(());
        }
        let before = replies.len();
        let mut group = Group::new(&self.shared.disk, &self.shared.projections, self.shared.clock.now(), sharing.place);
        let mut waiting = transitions.into_iter();
        let added = waiting.by_ref().try_for_each(|(prepared, reply)| match group.add(*prepared) {
            Ok(committed) => {
                sharing.results.push(committed);
                replies.push(reply);
                Ok(())
            }
            Err(conflict @ StoreError::Conflict { .. }) => {
                let _ = reply.send(Err(conflict));
                Ok(())
            }
            Err(failure) => {
                replies.push(reply);
                Err(failure)
            }
        });
        if let Err(failure) = added {
            replies.extend(waiting.map(|(_, reply)| reply));
            return Err(failure);
        }
        if replies.len() == before {
            return Ok(());
        }
        // Readers see its documents from here on. Those who answer for them wait until it is synced.
        self.shared.shown.store(sharing.place.group, Ordering::SeqCst);
        let Put { place, events, records } = group.put()?;
        sharing.place = place;
        sharing.records.extend(records);
        if self.shared.projections.is_full() {
            self.shared.projections.settle(&self.shared.disk, || ())?;
        }
        let events = Arc::new(events);
        self.shared.upcoming_head.store(place.head, Ordering::Release);
        tell(&self.shared.upcoming, &events);
        sharing.told.push(events);
        Ok(())
    }

    /// Returns when the samples that were gathered are on the disk; an error if there was no room for them.
    fn put_samples(&self) -> Result<Option<StoreError>, StoreError> {
        let Some((lost, full)) = self.shared.series.flush(&self.shared.space)? else { return Ok(None) };
        warn!(error = %full, lost, "samples were not written");
        self.shared.lost_samples.fetch_add(lost as u64, Ordering::Relaxed);
        Ok(Some(full))
    }
}
