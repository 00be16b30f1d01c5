//! The way of decisions into the store: handed over without waiting, gathered for a second, written by a task. What comes faster than
//! the store takes it is counted and left out: no call waits for its journal.

use crate::instance::Instance;
use quarterdeck_model::Timestamp;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::journal::{Bounds, Entry, Journals};
use quarterdeck_model::plugin::{InstanceName, JournalSpec};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// A decision that takes more is not kept.
pub(crate) const LARGEST: usize = 2 << 20;
/// Bytes that wait for the store. What does not fit is left out.
const WAITING_BYTES: usize = 16 << 20;
/// From here on they are written at once.
const MANY_BYTES: usize = 1 << 20;
/// Bytes of one write.
const WRITE_BYTES: usize = 512 << 10;
const GATHER: Duration = Duration::from_secs(1);
/// How often journals are looked at that nothing is written to.
const SWEEP: Duration = Duration::from_secs(60);
/// For each entry that waits, beside its bytes.
const ENTRY_BYTES: usize = 64;

pub(crate) struct Journal {
    store: Arc<dyn Journals>,
    clock: Arc<dyn Clock>,
    waiting: Mutex<Waiting>,
    /// Held while entries are on their way: whoever asks for what is kept waits for them.
    writing: tokio::sync::Mutex<()>,
    many: Notify,
    closing: CancellationToken,
    done: Mutex<Option<oneshot::Receiver<()>>>,
}

#[derive(Default)]
struct Waiting {
    entries: Vec<(Arc<Instance>, Entry)>,
    bytes: usize,
}

/// What became of an instance's decisions since the start.
#[derive(Default)]
pub(crate) struct JournalMeter {
    left_out: AtomicU64,
}

impl JournalMeter {
    pub(crate) fn leave_out(&self, decisions: usize) {
        self.left_out.fetch_add(u64::try_from(decisions).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
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
            writing: tokio::sync::Mutex::new(()),
            many: Notify::new(),
            closing: CancellationToken::new(),
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
    pub(crate) fn offer(&self, instance: &Arc<Instance>, at: Timestamp, bytes: Vec<u8>) {
        let size = bytes.len() + ENTRY_BYTES;
        let mut waiting = self.lock();
        if bytes.len() > LARGEST || waiting.bytes + size > WAITING_BYTES || self.closing.is_cancelled() {
            drop(waiting);
            instance.journal.leave_out(1);
            return;
        }
        let were_many = waiting.bytes >= MANY_BYTES;
        waiting.bytes += size;
        waiting.entries.push((Arc::clone(instance), Entry { at, bytes }));
        if !were_many && waiting.bytes >= MANY_BYTES {
            drop(waiting);
            self.many.notify_one();
        }
    }

    /// Everything that was handed over so far is in the store, or lost and counted.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(done) = done {
            // The task's end without a word is an end, too.
            let _ = done.await;
        }
    }

    async fn run(&self, spec: impl Fn(&InstanceName) -> Option<JournalSpec> + Send + Sync) {
        let mut swept = Instant::now();
        loop {
            tokio::select! {
                () = self.closing.cancelled() => {
                    self.write().await;
                    return;
                }
                () = self.many.notified() => {}
                () = tokio::time::sleep(GATHER) => {}
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
        let Waiting { entries, .. } = std::mem::take(&mut *self.lock());
        let mut of: HashMap<InstanceName, (Arc<Instance>, Vec<Entry>)> = HashMap::new();
        for (instance, entry) in entries {
            match of.get_mut(&instance.name) {
                Some((_, entries)) => entries.push(entry),
                None => drop(of.insert(instance.name.clone(), (instance, vec![entry]))),
            }
        }
        for (name, (instance, entries)) in of {
            let bounds = bounds(instance.binding().spec.journal);
            for part in parts(entries) {
                let count = part.len();
                if let Err(error) = self.store.write(name.as_str(), part, bounds).await {
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
            if let Err(error) = self.store.write(&name, Vec::new(), bounds).await {
                tracing::debug!(journal = name, %error, "a journal can't be cut");
            }
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parts(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut parts: Vec<Vec<Entry>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        let size = entry.bytes.len() + ENTRY_BYTES;
        match parts.last_mut() {
            Some(part) if bytes + size <= WRITE_BYTES => part.push(entry),
            _ => {
                parts.push(vec![entry]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    parts
}
