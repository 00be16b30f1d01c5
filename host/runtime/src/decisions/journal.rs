//! The way of decisions into the store: handed over without waiting, gathered for a second, written by a task. What comes faster than
//! the store takes it is counted and left out: no call waits for its journal.
//!
//! A call pays for one copy, behind what its instance decided before, and for nothing else: no allocation, no message, nobody is
//! woken. So each instance has a place of its own where its decisions wait.

use crate::instance::Instance;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::journal::{Batch, Bounds, Journals};
use quarterdeck_model::plugin::{InstanceName, JournalSpec};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// A decision that takes more is not kept.
pub(crate) const LARGEST: usize = 2 << 20;
/// Memory of what waits for the store. What does not fit is left out.
const WAITING_BYTES: usize = 16 << 20;
/// From here on they are written at once.
const MANY_BYTES: usize = 1 << 20;
/// Bytes of one write.
const WRITE_BYTES: usize = 512 << 10;
const GATHER: Duration = Duration::from_secs(1);
/// How often journals are looked at that nothing is written to.
const SWEEP: Duration = Duration::from_secs(60);

pub(crate) struct Journal {
    store: Arc<dyn Journals>,
    clock: Arc<dyn Clock>,
    /// Instances with decisions that wait.
    waiting: Mutex<Vec<Arc<Instance>>>,
    /// The memory of what waits, of all of them.
    memory: AtomicUsize,
    /// Held while entries are on their way: whoever asks for what is kept waits for them.
    writing: tokio::sync::Mutex<()>,
    many: Notify,
    is_closed: AtomicBool,
    closing: Notify,
    done: Mutex<Option<oneshot::Receiver<()>>>,
}

/// An instance's decisions on their way, and what became of those before.
#[derive(Default)]
pub(crate) struct Outgoing {
    /// The last one is being filled.
    batches: Mutex<Vec<Batch>>,
    left_out: AtomicU64,
}

impl Outgoing {
    pub(crate) fn leave_out(&self, decisions: usize) {
        self.left_out.fetch_add(u64::try_from(decisions).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Since the start.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    fn batches(&self) -> MutexGuard<'_, Vec<Batch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a decision behind the others: by how much their memory has grown.
fn put(batches: &mut Vec<Batch>, clock: &dyn Clock, decision: &[u8]) -> usize {
    if batches.last().is_none_or(|batch| batch.size() + decision.len() > WRITE_BYTES) {
        batches.push(Batch::default());
    }
    let Some(batch) = batches.last_mut() else { return 0 };
    let before = batch.memory();
    batch.push(clock.now(), decision);
    batch.memory() - before
}

fn bounds(spec: Option<JournalSpec>) -> Bounds {
    // Of one that is switched off, what there is goes with age.
    let JournalSpec { keep, max_bytes } = spec.unwrap_or_default();
    Bounds { keep, bytes: max_bytes }
}

impl Journal {
    /// The journal, and the task that writes. `spec`: the bounds that an instance has now.
    pub(crate) fn new(
        store: Arc<dyn Journals>,
        clock: Arc<dyn Clock>,
        spec: impl Fn(&InstanceName) -> Option<JournalSpec> + Send + Sync + 'static,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (finished, done) = oneshot::channel();
        let journal = Arc::new(Journal {
            store,
            clock,
            waiting: Mutex::default(),
            memory: AtomicUsize::new(0),
            writing: tokio::sync::Mutex::new(()),
            many: Notify::new(),
            is_closed: AtomicBool::new(false),
            closing: Notify::new(),
            done: Mutex::new(Some(done)),
        });
        let writer = Arc::clone(&journal);
        (journal, async move {
            writer.run(spec).await;
            // Nobody may be waiting.
            let _ = finished.send(());
        })
    }

    pub(crate) fn store(&self) -> &Arc<dyn Journals> {
        &self.store
    }

    /// Hands a decision over. Never waits.
    pub(crate) fn offer(&self, instance: &Arc<Instance>, decision: &[u8]) {
        let fits = self.memory.load(Ordering::Relaxed) + decision.len() <= WAITING_BYTES;
        if decision.len() > LARGEST || !fits || self.is_closed.load(Ordering::Acquire) {
            instance.journal.leave_out(1);
            return;
        }
        let mut batches = instance.journal.batches();
        let is_first = batches.is_empty();
        let grown = put(&mut batches, &*self.clock, decision);
        if grown > 0 {
            // Under the lock: what is taken away when they are written was there before.
            let before = self.memory.fetch_add(grown, Ordering::Relaxed);
            if before < MANY_BYTES && before + grown >= MANY_BYTES {
                self.many.notify_one();
            }
        }
        drop(batches);
        if is_first {
            self.lock().push(Arc::clone(instance));
        }
    }

    /// Everything that was handed over so far is in the store, or lost and counted.
    pub(crate) async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.closing.notify_one();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(done) = done {
            // The task's end without a word is an end, too.
            let _ = done.await;
        }
    }

    async fn run(&self, spec: impl Fn(&InstanceName) -> Option<JournalSpec> + Send + Sync) {
        let mut swept = Instant::now();
        loop {
            // As many as that may have come while the last ones were written.
            let is_much = self.memory.load(Ordering::Relaxed) >= MANY_BYTES;
            tokio::select! {
                () = self.closing.notified() => {
                    self.write().await;
                    return;
                }
                () = self.many.notified() => {}
                () = tokio::time::sleep(if is_much { Duration::ZERO } else { GATHER }) => {}
            }
            self.write().await;
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                self.sweep(&spec).await;
            }
        }
    }

    /// Returns when everything that was handed over before is in the store, or lost and counted.
    pub(crate) async fn write(&self) {
        let _writing = self.writing.lock().await;
        let instances = std::mem::take(&mut *self.lock());
        for instance in instances {
            let batches = std::mem::take(&mut *instance.journal.batches());
            self.memory.fetch_sub(batches.iter().map(Batch::memory).sum(), Ordering::Relaxed);
            let bounds = bounds(instance.binding().spec.journal);
            for batch in batches {
                let (name, count) = (&instance.name, batch.len());
                if let Err(error) = self.store.write(name.as_str(), batch, bounds).await {
                    tracing::warn!(instance = %name, %error, decisions = count, "decisions are not in the journal");
                    instance.journal.leave_out(count);
                }
            }
        }
    }

    /// Lets go of what is too old, also in journals that nobody writes to.
    async fn sweep(&self, spec: &(impl Fn(&InstanceName) -> Option<JournalSpec> + Sync)) {
        for name in self.store.journals().unwrap_or_default() {
            let bounds = bounds(spec(&InstanceName(name.clone())));
            if let Err(error) = self.store.write(&name, Batch::default(), bounds).await {
                tracing::debug!(journal = name, %error, "a journal can't be cut");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Instance>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Binding;
    use crate::testing::{MemoryJournals, spec};
    use quarterdeck_model::Timestamp;
    use quarterdeck_model::clock::ManualClock;
    use quarterdeck_model::plugin::InstanceState;

    fn instance(name: &str) -> Arc<Instance> {
        let binding = Binding::new(spec("judge").into(), InstanceState::Active, None, None);
        Arc::new(Instance::new(InstanceName::from(name), 5, binding))
    }

    /// A journal that is written when the test says so.
    fn journal() -> (Arc<MemoryJournals>, Arc<Journal>) {
        let store = Arc::new(MemoryJournals::default());
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        let (journal, _) = Journal::new(store.clone(), clock, |_| None);
        (store, journal)
    }

    fn decision(number: u32, bytes: usize) -> Vec<u8> {
        let mut decision = vec![7; bytes];
        decision[..4].copy_from_slice(&number.to_le_bytes());
        decision
    }

    fn numbers(store: &MemoryJournals, journal: &str) -> Vec<u32> {
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
        store.entries(journal).iter().map(|entry| number(&entry.bytes)).collect()
    }

    #[tokio::test]
    async fn what_there_is_no_memory_for_is_left_out_and_counted_and_the_rest_is_written_in_order() {
        let (store, journal) = journal();
        let one = instance("judge/one");
        for number in 0..1_000 {
            journal.offer(&one, &decision(number, 32 << 10));
        }
        let memory = journal.memory.load(Ordering::Relaxed);
        assert!((WAITING_BYTES / 2..=WAITING_BYTES + 2 * WRITE_BYTES).contains(&memory), "{memory}");
        let kept = 1_000 - u32::try_from(one.journal.left_out()).unwrap();
        assert!((256..=512).contains(&kept), "{kept}");
        let other = instance("judge/other");
        journal.offer(&other, &decision(0, 32 << 10));
        assert_eq!(other.journal.left_out(), 1, "it is one memory for all");

        journal.write().await;
        assert_eq!(journal.memory.load(Ordering::Relaxed), 0);
        assert_eq!(numbers(&store, "judge/one"), (0..kept).collect::<Vec<_>>());
        journal.offer(&other, &decision(1, LARGEST + 1));
        journal.offer(&other, &decision(2, LARGEST));
        journal.offer(&one, &decision(kept, 5));
        journal.write().await;
        assert_eq!((numbers(&store, "judge/other"), other.journal.left_out()), (vec![2], 2));
        assert_eq!(numbers(&store, "judge/one").last(), Some(&kept));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_lost_between_those_who_decide_and_who_writes() {
        const EACH: u32 = 20_000;
        let (store, journal) = journal();
        let instances = ["judge/one", "judge/two"].map(instance);
        let threads = instances.clone().map(|instance| {
            let journal = Arc::clone(&journal);
            std::thread::spawn(move || (0..EACH).for_each(|number| journal.offer(&instance, &decision(number, 40))))
        });
        while threads.iter().any(|thread| !thread.is_finished()) {
            journal.write().await;
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        journal.write().await;
        for instance in instances {
            assert_eq!(instance.journal.left_out(), 0);
            assert_eq!(numbers(&store, instance.name.as_str()), (0..EACH).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn what_waits_at_the_end_is_written_and_what_comes_behind_it_is_counted() {
        let store = Arc::new(MemoryJournals::default());
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        let (journal, task) = Journal::new(store.clone(), clock, |_| None);
        let task = tokio::spawn(task);
        let one = instance("judge/one");
        for number in 0..3 {
            journal.offer(&one, &decision(number, 2 * MANY_BYTES / 3));
        }
        let written = || (numbers(&store, "judge/one") == [0, 1, 2]).then_some(());
        crate::testing::eventually("the decisions", written).await;
        journal.offer(&one, &decision(3, 100));
        journal.close().await;
        assert_eq!(numbers(&store, "judge/one"), [0, 1, 2, 3]);
        journal.offer(&one, &decision(4, 100));
        assert_eq!(one.journal.left_out(), 1);
        task.await.unwrap();
    }
}
