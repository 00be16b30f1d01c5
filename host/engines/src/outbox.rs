//! Carries out effects, under the contract of `quarterdeck_model::effect`.
//!
//! What is to be done stands in the documents of the outbox, written in the same record as the decision that it follows from. Here is
//! only an index of them: read once at the start, then told of each new effect by whoever committed it, and compared with the
//! documents from time to time. The result of an effect is one record: its document goes, the event for its owner comes, together
//! with what the call itself wrote and published.
//!
//! - `lease`: what to do with one effect now, and what an answer makes of it; pure
//! - `queue`: whose turn it is; pure
//! - `carry`: one attempt

mod carry;
pub mod lease;
pub mod queue;

use crate::{Context, Error, Tasks};
use carry::Verdict;
use quarterdeck_model::effect::{Effect, OUTBOX, Pending};
use quarterdeck_model::id::EffectId;
use quarterdeck_model::store::{Page, StoreError};
use queue::{Entry, Queue};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{Instant, timeout_at};
use tracing::{error, warn};

/// Nobody sleeps for longer: the clock may be set, or be one that a test moves.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Effects whose answers are being written, at most: a disk that takes nothing more holds up the calls, too.
const SETTLING: usize = 448;
/// How long calls in flight may go on after the shutdown.
const DRAIN_WITHIN: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Calls in flight.
    pub concurrency: usize,
    /// Calls in flight of one instance.
    pub share: usize,
    /// How often the index is compared with the documents.
    pub compare_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { concurrency: 64, share: 8, compare_every: Duration::from_secs(60) }
    }
}

/// How much there is to do.
#[derive(Clone)]
pub struct Handle {
    waiting: Arc<AtomicUsize>,
    in_flight: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Handle {
    /// The store has failed, so nothing is carried out any more.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Effects that are not finished, those in flight included.
    pub fn depth(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// Where durable effects are handed to the outbox.
#[derive(Clone)]
pub struct Outlet(mpsc::UnboundedSender<Told>);

/// The outbox's end of [`Outlet`].
pub struct Inlet(mpsc::UnboundedReceiver<Told>);

/// What flows tell the outbox.
enum Told {
    Wanted(Vec<Entry>),
    Withdrawn(EffectId),
}

pub(crate) fn channel() -> (Outlet, Inlet) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Outlet(sender), Inlet(receiver))
}

impl Outlet {
    /// What is offered of these effects once they are durable: their messages are not held in memory meanwhile.
    pub(crate) fn entries(effects: &[Effect]) -> Vec<Entry> {
        effects.iter().map(Entry::from).collect()
    }

    /// Saves the outbox from looking: they are in its documents whether this arrives or not.
    pub(crate) fn offer(&self, wanted: Vec<Entry>) {
        if !wanted.is_empty() {
            // An outbox that has ended reads them at its next start.
            let _ = self.0.send(Told::Wanted(wanted));
        }
    }

    /// Drops the call that is under way for an effect. What its document says then decides what becomes of it: where that is
    /// gone, nothing; one that must not run twice ends as `unknown`.
    pub(crate) fn withdraw(&self, effect: EffectId) {
        // An outbox that has ended has dropped its calls.
        let _ = self.0.send(Told::Withdrawn(effect));
    }
}

pub(crate) async fn start(
    context: &Context,
    inlet: Inlet,
    options: Options,
    tasks: &mut Tasks,
) -> Result<Handle, Error> {
    let handle = Handle { waiting: Arc::default(), in_flight: Arc::default(), over: Arc::default() };
    let (calling, called) = mpsc::unbounded_channel();
    let mut worker = Worker {
        context: context.clone(),
        queue: Queue::new(options.share),
        running: JoinSet::new(),
        entries: HashMap::new(),
        suspects: HashSet::new(),
        calling,
        called,
        concurrency: options.concurrency.max(1),
        handle: handle.clone(),
    };
    // What is there at the start is durable. What appears later may be on its way to the disk still, which is why a comparison
    // believes only what it finds twice.
    worker.suspects = context.store.list(OUTBOX, &Page::all())?.into_iter().map(|document| document.id).collect();
    worker.compare()?;
    tasks.spawn("outbox", worker.run(inlet, options.compare_every));
    Ok(handle)
}

/// Dropped when the call is over: its instance has room for another one then, while the answer is being written.
#[derive(Default)]
struct Calling(Option<(Entry, mpsc::UnboundedSender<Entry>)>);

impl Calling {
    fn of(entry: &Entry, told: &mpsc::UnboundedSender<Entry>) -> Self {
        Calling(Some((entry.clone(), told.clone())))
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        if let Some((entry, told)) = self.0.take() {
            // A worker that has ended calls nobody any more.
            let _ = told.send(entry);
        }
    }
}

struct Worker {
    context: Context,
    queue: Queue,
    running: JoinSet<Verdict>,
    entries: HashMap<Id, (Entry, AbortHandle)>,
    /// Found by the last comparison; nobody had told of them.
    suspects: HashSet<String>,
    /// Where calls say that they are over.
    calling: mpsc::UnboundedSender<Entry>,
    called: mpsc::UnboundedReceiver<Entry>,
    concurrency: usize,
    handle: Handle,
}

impl Worker {
    async fn run(mut self, mut inlet: Inlet, compare_every: Duration) {
        let mut compare = tokio::time::interval(compare_every);
        compare.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        compare.reset();
        loop {
            self.dispatch();
            let sleep = self.sleep();
            tokio::select! {
                () = self.context.shutdown.cancelled() => break,
                Some(told) = inlet.0.recv() => self.hear(told),
                Some(entry) = self.called.recv() => self.queue.called(&entry),
                Some(ended) = self.running.join_next_with_id() => self.landed(ended),
                _ = compare.tick() => if let Err(error) = self.compare() {
                    warn!(%error, "can't read the outbox");
                },
                () = tokio::time::sleep(sleep) => {}
            }
        }
        self.drain().await;
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Wanted(wanted) => {
                let now = self.context.now();
                wanted.into_iter().for_each(|entry| self.queue.add(entry, now));
            }
            Told::Withdrawn(effect) => {
                let call = self.entries.values().find(|(entry, _)| entry.id == effect);
                if let Some((_, call)) = call {
                    call.abort();
                }
            }
        }
    }

    /// Learns of effects that nobody told it of.
    fn compare(&mut self) -> Result<(), StoreError> {
        let before = std::mem::take(&mut self.suspects);
        for document in self.context.store.list(OUTBOX, &Page::all())? {
            if self.queue.knows(&document.id) {
                continue;
            }
            if !before.contains(&document.id) {
                self.suspects.insert(document.id);
                continue;
            }
            match document.decode::<Pending>() {
                Ok(pending) => self.queue.add(Entry::from(&*pending.effect), pending.due),
                Err(error) => error!(effect = document.id, %error, "an effect can't be read and is left alone"),
            }
        }
        self.publish();
        Ok(())
    }

    fn dispatch(&mut self) {
        while !self.handle.is_over() && self.has_room() {
            let Some(entry) = self.queue.take(self.context.now()) else { break };
            let calling = Calling::of(&entry, &self.calling);
            let call = self.running.spawn(carry::carry(self.context.clone(), entry.clone(), calling));
            self.entries.insert(call.id(), (entry, call));
        }
        self.publish();
    }

    fn has_room(&self) -> bool {
        self.queue.calling() < self.concurrency && self.running.len() < self.concurrency + SETTLING
    }

    fn sleep(&self) -> Duration {
        if self.handle.is_over() || !self.has_room() {
            return LONGEST_SLEEP;
        }
        let now = self.context.now();
        let due = self.queue.next_due().map_or(LONGEST_SLEEP, |due| due.since(now).as_duration());
        due.clamp(Duration::from_millis(1), LONGEST_SLEEP)
    }

    fn landed(&mut self, ended: Result<(Id, Verdict), tokio::task::JoinError>) {
        // Its own word is among them: it must not be taken for that of its next call.
        while let Ok(entry) = self.called.try_recv() {
            self.queue.called(&entry);
        }
        let now = self.context.now();
        let (id, verdict) = match ended {
            Ok(ended) => ended,
            // Withdrawn: its document says what is to become of it.
            Err(failure) if failure.is_cancelled() => (failure.id(), Verdict::Again { absences: 0, due: now }),
            Err(failure) => {
                error!(error = %failure, "carrying out an effect failed in the host");
                (failure.id(), Verdict::Again { absences: 0, due: now.plus(lease::absence(8)) })
            }
        };
        let Some((entry, _)) = self.entries.remove(&id) else { return };
        match verdict {
            Verdict::Finished => self.queue.finished(&entry, now),
            Verdict::Again { absences, due } => self.queue.again(&entry, absences, due),
            Verdict::Over => {
                self.handle.over.store(true, Ordering::Relaxed);
                self.queue.again(&entry, entry.absences, now);
            }
        }
    }

    /// Lets calls in flight end. What does not end in time is cut off, and found again at the next start.
    async fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN_WITHIN;
        while let Ok(Some(_)) = timeout_at(deadline, self.running.join_next()).await {}
        self.running.shutdown().await;
    }

    fn publish(&self) {
        self.handle.waiting.store(self.queue.len(), Ordering::Relaxed);
        self.handle.in_flight.store(self.running.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
