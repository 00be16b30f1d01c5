//! Tells the log what became of plugins and instances: in the background, in order. While the disk is full it waits.

use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::Event;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::PluginRef;
use quarterdeck_model::store::{Store, StoreError};
use quarterdeck_model::transition::Transition;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub(super) const PLUGIN_INSTALLED: &str = "plugin.installed";
pub(super) const PLUGIN_LOADED: &str = "plugin.loaded";
pub(super) const PLUGIN_REFUSED: &str = "plugin.refused";
pub(super) const PLUGIN_REMOVED: &str = "plugin.removed";
pub(super) const PLUGIN_REPLACED: &str = "plugin.replaced";
pub(super) const PLUGIN_RETIRED: &str = "plugin.retired";
pub(super) const PLUGIN_ROLLED_BACK: &str = "plugin.rolled-back";
pub(super) const PLUGIN_PROMOTED: &str = "plugin.promoted";
pub(super) const SHADOW_STARTED: &str = "plugin.shadow-started";
pub(super) const SHADOW_ENDED: &str = "plugin.shadow-ended";
/// A candidate has answered otherwise than the version in use: at most once a minute.
pub(super) const SHADOW_DIFFERS: &str = "plugin.shadow-differs";
pub(super) const INSTANCE_STATE_CHANGED: &str = "instance.state-changed";
/// Inputs of one class are left alone for a while.
pub(super) const CLASS_QUARANTINED: &str = "instance.class-quarantined";
pub(super) const CLASS_RECOVERED: &str = "instance.class-recovered";
pub(super) const DEAD_LETTER: &str = "dead-letter.added";
pub(super) const INSTANCE_OVER_BUDGET: &str = "instance.over-budget";
/// Some of the others are missing, because too many waited for the store.
const EVENTS_LEFT_OUT: &str = "plugin.events-left-out";

/// Events in one transition.
const BATCH: usize = 256;
/// Events that wait for the store. More are counted instead.
const WAITING: usize = 4_096;
/// In a row, where waiting for the store is no use.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What an event says that somebody asked for.
pub(super) struct Said<'a> {
    pub(super) event_type: &'a str,
    pub(super) subject: &'a str,
    pub(super) principal: &'a str,
}

pub(super) struct Announcer {
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    /// Absent once closed.
    events: Mutex<Option<mpsc::Sender<Event>>>,
    done: Mutex<Option<oneshot::Receiver<()>>>,
    left_out: Arc<AtomicU64>,
    closing: CancellationToken,
}

/// The task that commits.
struct Writer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    left_out: Arc<AtomicU64>,
    closing: CancellationToken,
    /// In a row, of those that waiting does not cure.
    failures: u32,
}

impl Announcer {
    /// The announcer, and the task that commits.
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (events, received) = mpsc::channel(WAITING);
        let (finished, done) = oneshot::channel();
        let (left_out, closing) = (Arc::<AtomicU64>::default(), CancellationToken::new());
        let writer = Writer {
            store,
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            left_out: Arc::clone(&left_out),
            closing: closing.clone(),
            failures: 0,
        };
        let (events, done) = (Mutex::new(Some(events)), Mutex::new(Some(done)));
        (Announcer { clock, ids, events, done, left_out, closing }, writer.run(received, finished))
    }

    /// What came about by itself.
    pub(super) fn say(&self, event_type: &str, subject: &str, plugin: Option<PluginRef>, data: Value) {
        // What comes along with the host is told in one line, all of it.
        if event_type == PLUGIN_LOADED && data.get("source").and_then(Value::as_str) == Some("bundled") {
            tracing::debug!(event = event_type, subject, %data);
        } else {
            tracing::info!(event = event_type, subject, %data);
        }
        self.send(Event::new(&self.ids, self.clock.now(), event_type, subject).plugin(plugin).data(data));
    }

    /// What somebody asked for.
    pub(super) fn say_of(&self, said: Said<'_>, plugin: Option<PluginRef>, data: Value) {
        let Said { event_type, subject, principal } = said;
        tracing::info!(event = event_type, subject, principal, %data);
        let event = Event::new(&self.ids, self.clock.now(), event_type, subject).principal(principal);
        self.send(event.plugin(plugin).data(data));
    }

    fn send(&self, event: Event) {
        if let Some(events) = &*self.events.lock().unwrap_or_else(PoisonError::into_inner)
            && events.try_send(event).is_err()
        {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns when everything said so far is committed, or can't be: a full disk is not waited for any more.
    pub(super) async fn close(&self) {
        drop(self.events.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.closing.cancel();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(done) = done {
            // The task's end without a word is an end, too.
            let _ = done.await;
        }
    }
}

impl Writer {
    async fn run(mut self, mut received: mpsc::Receiver<Event>, finished: oneshot::Sender<()>) {
        let mut events = Vec::new();
        while received.recv_many(&mut events, BATCH).await > 0 {
            self.write(std::mem::take(&mut events)).await;
            // Those that waited come first, in order.
            if received.is_empty() {
                self.tell_left_out().await;
            }
        }
        // Nobody may be waiting.
        let _ = finished.send(());
    }

    async fn write(&mut self, events: Vec<Event>) {
        let Err(error) = self.commit(&events).await else { return };
        if matches!(error, StoreError::Invalid(_)) && events.len() > 1 {
            // One that the store does not take is no reason to lose the others.
            for event in events {
                if let Err(error) = self.commit(&[event]).await {
                    self.lose(1, &error);
                }
            }
        } else {
            self.lose(events.len(), &error);
        }
    }

    fn lose(&self, events: usize, error: &StoreError) {
        tracing::error!(%error, events, "events of plugins are lost");
        self.left_out.fetch_add(u64::try_from(events).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What is left out of the log is at least counted in it.
    async fn tell_left_out(&mut self) {
        let count = self.left_out.swap(0, Ordering::Relaxed);
        if count > 0 {
            let event =
                Event::new(&self.ids, self.clock.now(), EVENTS_LEFT_OUT, "plugins").data(json!({"count": count}));
            if let Err(error) = self.commit(&[event]).await {
                tracing::error!(%error, count, "that events of plugins are lost can't be said");
                self.left_out.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// Waits for a store that takes nothing now, for as long as it takes. What it does not take at all is tried a few times.
    async fn commit(&mut self, events: &[Event]) -> Result<(), StoreError> {
        let mut wait = FIRST_WAIT;
        loop {
            let transition = Transition { events: events.to_vec(), ..Transition::new() };
            let Err(error) = self.store.commit(transition).await else {
                self.failures = 0;
                return Ok(());
            };
            let passes = matches!(error, StoreError::DiskFull { .. } | StoreError::Busy { .. });
            let is_closing = self.closing.is_cancelled();
            self.failures += u32::from(!passes || is_closing);
            // Failures of others before count, too: whoever closes waits for a full disk once, not once for each of the rest.
            if self.failures >= ATTEMPTS || matches!(error, StoreError::Invalid(_)) {
                return Err(error);
            }
            if wait == FIRST_WAIT {
                tracing::warn!(%error, "events of plugins can't be committed yet");
            }
            if is_closing {
                tokio::time::sleep(FIRST_WAIT).await;
            } else {
                // Whoever closes does not wait for the rest of it.
                let _ = tokio::time::timeout(wait, self.closing.cancelled()).await;
                wait = wait.saturating_mul(2).min(LONGEST_WAIT);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::testing::MemoryStore;
    use crate::testing::eventually;
    use quarterdeck_model::Timestamp;
    use quarterdeck_model::clock::ManualClock;
    use quarterdeck_model::event::{EventFilter, Offset, StoredEvent};

    struct Bench {
        store: Arc<MemoryStore>,
        announcer: Announcer,
    }

    impl Bench {
        /// Over a disk that is full.
        fn new() -> Bench {
            let store = Arc::new(MemoryStore::default());
            store.is_full.store(true, Ordering::SeqCst);
            let clock = Arc::new(ManualClock::at(Timestamp::from_millis(0)));
            let (announcer, announcing) = Announcer::new(store.clone(), clock, Arc::new(IdSource::seeded(1)));
            tokio::spawn(announcing);
            Bench { store, announcer }
        }

        fn say(&self, count: usize) {
            for number in 0..count {
                self.announcer.say(PLUGIN_LOADED, &format!("plugin-{number}"), None, Value::Null);
            }
        }

        async fn refused(&self, times: u32) {
            let look = || (self.store.refusals.load(Ordering::SeqCst) >= times).then_some(());
            eventually("the store to be asked", look).await;
        }

        fn events(&self) -> Vec<StoredEvent> {
            self.store.events(Offset(0), &EventFilter::default(), usize::MAX).unwrap().events
        }
    }

    #[tokio::test]
    async fn what_is_said_while_the_disk_is_full_is_written_once_it_is_not() {
        let bench = Bench::new();
        bench.say(3);
        bench.refused(ATTEMPTS + 1).await;
        bench.say(2);
        bench.store.is_full.store(false, Ordering::SeqCst);
        let events = eventually("the events", || Some(bench.events()).filter(|events| events.len() == 5)).await;
        let subjects: Vec<&str> = events.iter().map(|stored| stored.event.subject.as_str()).collect();
        assert_eq!(subjects, ["plugin-0", "plugin-1", "plugin-2", "plugin-0", "plugin-1"]);
    }

    #[tokio::test]
    async fn what_does_not_fit_while_the_disk_is_full_is_counted() {
        let bench = Bench::new();
        bench.say(1);
        bench.refused(1).await;
        bench.say(WAITING + 7);
        bench.store.is_full.store(false, Ordering::SeqCst);
        let events =
            eventually("the events", || Some(bench.events()).filter(|events| events.len() == WAITING + 2)).await;
        let last = &events.last().unwrap().event;
        assert_eq!((last.event_type.as_str(), &last.data), (EVENTS_LEFT_OUT, &json!({"count": 7})));
    }

    #[tokio::test]
    async fn a_stop_waits_for_a_full_disk_once_and_not_for_each_part_of_what_waits() {
        let bench = Bench::new();
        bench.say(1);
        bench.refused(1).await;
        let parts = 8;
        bench.say(usize::try_from(parts).unwrap() * BATCH);
        let before = bench.store.refusals.load(Ordering::SeqCst);
        bench.announcer.close().await;
        // One attempt for each of the rest, and one for the count of what was lost.
        let attempts = bench.store.refusals.load(Ordering::SeqCst) - before;
        assert!(attempts <= ATTEMPTS + 2 * (parts + 1), "{attempts}");
        assert!(bench.events().is_empty());
    }
}
