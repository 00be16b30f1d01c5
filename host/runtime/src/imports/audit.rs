//! What plugins did to the world, as events: `audit.http`, `audit.exec` ... Not in the call's buffer, since a call that
//! fails drops that, and its effects have happened all the same.
//!
//! **No effect without room for its record.** Whoever acts takes a [`Place`] first. Where there is none it waits, for as long as its call
//! may wait for the world, and does nothing if none comes. What was asked for and not done - denied, mostly - needs none: it is
//! gathered by instance, at most [`NAMED`] different ones in a window by name, the rest as one record that counts them. So nothing that an
//! instance asks for pushes out a record, of its own or of another.
//!
//! Written in the background: records of one fifth of a second are one commit, equal ones in it one event with a count. What the store
//! refuses is offered again until half of the queue is taken. Only then are records lost, and those that come when the writer has
//! ended: they are counted ([`Audit::dropped`]), which `/metrics` and `quarterdeck status` show, and warned of.

use crate::sandbox::Capability;
use quarterdeck_model::Timestamp;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::Event;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::{InstanceName, PluginRef};
use quarterdeck_model::store::Store;
use quarterdeck_model::transition::Transition;
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, OwnedPermit};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const QUEUE: usize = 4096;
const WINDOW: Duration = Duration::from_millis(200);
/// Distinct records of one commit.
const BATCH: usize = 512;
/// Longer texts are cut: a target is for a person, not for replay.
const TEXT_BYTES: usize = 256;
/// Different things of one instance that were not done and are named, in one window.
const NAMED: usize = 64;
/// What stands for those behind them.
const FURTHER: &str = "further targets";
/// When the store is offered again what it refused.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the end of the writer waits for effects that are under way.
const LAST_RECORDS: Duration = Duration::from_secs(1);

pub(super) const DENIED: &str = "denied";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) instance: InstanceName,
    /// Absent where the host acts for itself.
    pub(super) plugin: Option<PluginRef>,
    pub(super) capability: Capability,
    /// What was acted on: `GET https://example.com/x`, `/bin/df -h`.
    pub(super) target: String,
    /// `denied`, `failed`, or what came of it: a status, an exit code.
    pub(super) outcome: String,
}

impl Entry {
    fn cut(mut self) -> Self {
        cut(&mut self.target);
        cut(&mut self.outcome);
        self
    }
}

/// Capabilities that leave a record.
pub(super) const fn is_effect(capability: Capability) -> bool {
    matches!(
        capability,
        Capability::Http
            | Capability::Exec
            | Capability::Tcp
            | Capability::Process
            | Capability::Secret
            | Capability::Append
    )
}

pub(super) struct Audit {
    queue: mpsc::Sender<Entry>,
    undone: Arc<Undone>,
    loss: Arc<Loss>,
    closing: CancellationToken,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Records that nobody will read.
#[derive(Default)]
struct Loss {
    records: AtomicU64,
    /// The writer has ended: what comes now is lost.
    ended: AtomicBool,
}

impl Loss {
    fn count(&self, records: u64, reason: &str) {
        let all = self.records.fetch_add(records, Ordering::Relaxed).saturating_add(records);
        tracing::warn!(records, all, reason, "audit records are lost");
    }
}

/// The room of one record, taken before the effect that it tells of.
pub(super) struct Place {
    permit: OwnedPermit<Entry>,
    loss: Arc<Loss>,
}

impl Place {
    pub(super) fn record(self, entry: Entry) {
        if self.loss.ended.load(Ordering::Acquire) {
            self.loss.count(1, "the host has stopped");
            return;
        }
        drop(self.permit.send(entry.cut()));
    }
}

/// What was asked for and not done, by instance: since the writer last looked, and bounded whatever is asked for.
#[derive(Default)]
struct Undone {
    asked: Mutex<HashMap<InstanceName, HashMap<Entry, u64>>>,
    changed: Notify,
}

impl Undone {
    fn note(&self, entry: Entry) {
        let mut entry = entry.cut();
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = all.entry(entry.instance.clone()).or_default();
        if asked.len() >= NAMED && !asked.contains_key(&entry) {
            FURTHER.clone_into(&mut entry.target);
            if entry.outcome != DENIED {
                "not done".clone_into(&mut entry.outcome);
            }
        }
        let count = asked.entry(entry).or_default();
        *count = count.saturating_add(1);
        drop(all);
        self.changed.notify_one();
    }

    fn take_into(&self, counts: &mut HashMap<Entry, u64>) {
        let all = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        for (entry, asked) in all.into_values().flatten() {
            let count = counts.entry(entry).or_default();
            *count = count.saturating_add(asked);
        }
    }
}

impl Audit {
    pub(super) fn start(runtime: &Handle, store: Arc<dyn Store>, clock: Arc<dyn Clock>, ids: Arc<IdSource>) -> Self {
        let (queue, received) = mpsc::channel(QUEUE);
        let (undone, loss): (Arc<Undone>, Arc<Loss>) = Default::default();
        let closing = CancellationToken::new();
        let writer = Writer {
            received,
            undone: undone.clone(),
            store,
            clock,
            ids,
            loss: loss.clone(),
            closing: closing.clone(),
        };
        let writer = runtime.spawn(writer.run());
        Audit { queue, undone, loss, closing, writer: Mutex::new(Some(writer)) }
    }

    /// Room for the record of an effect that is to come; waits for it until then.
    ///
    /// # Errors
    /// There is none, and the effect must not be: why, for a person.
    pub(super) async fn place(&self, until: std::time::Instant) -> Result<Place, String> {
        let stopped = || "the host is stopping: nothing is begun any more".to_owned();
        let permit = match self.queue.clone().try_reserve_owned() {
            Ok(permit) => permit,
            Err(TrySendError::Closed(_)) => return Err(stopped()),
            Err(TrySendError::Full(queue)) => {
                match tokio::time::timeout_at(until.into(), queue.reserve_owned()).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_)) => return Err(stopped()),
                    Err(_) => return Err("nothing was done: its audit record found no room in time".to_owned()),
                }
            }
        };
        Ok(Place { permit, loss: self.loss.clone() })
    }

    /// What was not done.
    pub(super) fn note(&self, entry: Entry) {
        self.undone.note(entry);
    }

    /// Records that were lost, since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.loss.records.load(Ordering::Relaxed)
    }

    pub(super) async fn close(&self) {
        self.closing.cancel();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::warn!(%error, "the writer of the audit ended early");
        }
    }
}

/// Control characters and endless texts come from plugins.
fn cut(text: &mut String) {
    if text.chars().any(char::is_control) {
        *text = text.escape_debug().to_string();
    }
    if text.len() > TEXT_BYTES {
        let end = (0..=TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

struct Writer {
    received: mpsc::Receiver<Entry>,
    undone: Arc<Undone>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    loss: Arc<Loss>,
    closing: CancellationToken,
}

impl Writer {
    async fn run(mut self) {
        let closing = self.closing.clone();
        loop {
            let mut counts = HashMap::new();
            tokio::select! {
                biased;
                () = closing.cancelled() => break,
                entry = self.received.recv() => match entry {
                    Some(entry) => {
                        counts.insert(entry, 1u64);
                    }
                    None => break,
                },
                () = self.undone.changed.notified() => {}
            }
            let end = Instant::now() + WINDOW;
            while counts.len() < BATCH {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(end) => break,
                    entry = self.received.recv() => match entry {
                        Some(entry) => *counts.entry(entry).or_default() += 1,
                        None => break,
                    },
                    () = closing.cancelled() => break,
                }
            }
            self.write(counts).await;
        }
        // No more places are given; effects under way still leave their records.
        self.received.close();
        let mut counts = HashMap::new();
        let end = Instant::now() + LAST_RECORDS;
        while let Ok(Some(entry)) = tokio::time::timeout_at(end, self.received.recv()).await {
            *counts.entry(entry).or_default() += 1;
        }
        self.loss.ended.store(true, Ordering::Release);
        while let Ok(entry) = self.received.try_recv() {
            *counts.entry(entry).or_default() += 1;
        }
        self.write(counts).await;
    }

    async fn write(&self, mut counts: HashMap<Entry, u64>) {
        self.undone.take_into(&mut counts);
        let counts: Vec<(Entry, u64)> = counts.into_iter().collect();
        for part in counts.chunks(BATCH) {
            self.commit(part).await;
        }
    }

    /// Again and again where the store refuses it, unless too many records wait behind it.
    async fn commit(&self, counts: &[(Entry, u64)]) {
        let now = self.clock.now();
        let mut is_first = true;
        loop {
            let Err(error) = self.store.commit(self.transition(now, counts)).await else { return };
            if self.closing.is_cancelled() || self.received.capacity() < QUEUE / 2 {
                let lost = counts.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
                self.loss.count(lost, &format!("the store refused them: {error}"));
                return;
            }
            if std::mem::take(&mut is_first) {
                tracing::warn!(%error, "audit records can't be written; they are kept and tried again");
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    fn transition(&self, now: Timestamp, counts: &[(Entry, u64)]) -> Transition {
        let mut transition = Transition::new();
        for (entry, count) in counts {
            let capability = entry.capability.as_str();
            transition = transition.event(
                Event::new(&self.ids, now, format!("audit.{capability}"), entry.instance.as_str())
                    .principal(format!("instance:{}", entry.instance))
                    .plugin(entry.plugin.clone())
                    .data(json!({"target": entry.target, "outcome": entry.outcome, "count": count})),
            );
        }
        transition
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::testing::MemoryStore;
    use quarterdeck_model::clock::ManualClock;
    use quarterdeck_model::event::{EventFilter, Offset, StoredEvent};

    fn entry(target: &str) -> Entry {
        Entry {
            instance: "http-probe/api".into(),
            plugin: None,
            capability: Capability::Http,
            target: target.to_owned(),
            outcome: "200".to_owned(),
        }
    }

    fn audit(store: &Arc<MemoryStore>) -> Audit {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        Audit::start(&Handle::current(), store.clone(), clock, Arc::new(IdSource::seeded(1)))
    }

    fn in_time() -> std::time::Instant {
        std::time::Instant::now() + Duration::from_secs(20)
    }

    async fn record(audit: &Audit, entry: Entry) {
        audit.place(in_time()).await.unwrap().record(entry);
    }

    /// Sorted by their targets.
    fn events(store: &MemoryStore) -> Vec<StoredEvent> {
        let mut events = store.events(Offset(0), &EventFilter::types(["audit."]), usize::MAX).unwrap().events;
        events.sort_by_key(|stored| stored.event.data["target"].as_str().unwrap().to_owned());
        events
    }

    #[tokio::test]
    async fn equal_records_become_one_event_with_a_count() {
        let store = Arc::new(MemoryStore::default());
        let audit = audit(&store);
        for _ in 0..5 {
            record(&audit, entry("GET http://a/")).await;
        }
        record(&audit, entry(&format!("{}\n{}", "x".repeat(300), "y"))).await;
        audit.close().await;
        let events = events(&store);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].event.event_type, "audit.http");
        assert_eq!(events[0].event.data, json!({"target": "GET http://a/", "outcome": "200", "count": 5}));
        assert!(events[1].event.data["target"].as_str().unwrap().len() < 300);
        assert!(audit.place(in_time()).await.is_err(), "nothing is begun that would leave no record");
        assert_eq!(audit.dropped(), 0);
    }

    #[tokio::test]
    async fn whoever_finds_no_room_for_a_record_waits_for_it_and_does_nothing_without() {
        let store = Arc::new(MemoryStore::default());
        let audit = audit(&store);
        let mut places = Vec::new();
        for _ in 0..QUEUE {
            places.push(audit.place(in_time()).await.unwrap());
        }
        let soon = std::time::Instant::now() + Duration::from_millis(20);
        assert!(audit.place(soon).await.err().unwrap().contains("no room"));
        let waiting = audit.place(in_time());
        let freed = async { places.pop().unwrap().record(entry("first")) };
        let (place, ()) = tokio::join!(waiting, freed);
        place.unwrap().record(entry("second"));
        drop(places);
        audit.close().await;
        assert_eq!((events(&store).len(), audit.dropped()), (2, 0));
    }

    #[tokio::test]
    async fn what_was_not_done_takes_no_room_and_is_counted_where_it_is_too_much_to_be_named() {
        let store = Arc::new(MemoryStore::default());
        let audit = audit(&store);
        for number in 0..100_000 {
            audit.note(Entry { outcome: DENIED.to_owned(), ..entry(&format!("GET http://h/{number}")) });
        }
        let other = Entry { instance: "other/one".into(), outcome: DENIED.to_owned(), ..entry("GET http://other/") };
        audit.note(other);
        record(&audit, entry("GET http://granted/")).await;
        audit.close().await;
        let events = events(&store);
        let count = |stored: &StoredEvent| stored.event.data["count"].as_u64().unwrap();
        assert_eq!(events.iter().map(count).sum::<u64>(), 100_002, "none is missing");
        assert!(events.iter().any(|stored| stored.event.data["target"] == "GET http://granted/"));
        assert!(events.iter().any(|stored| stored.event.data["target"] == "GET http://other/"));
        let further: u64 = events.iter().filter(|stored| stored.event.data["target"] == FURTHER).map(count).sum();
        // This thread never waits, so that all of it is one window.
        assert_eq!((further, events.len()), (100_000 - NAMED as u64, NAMED + 3));
        assert_eq!(audit.dropped(), 0);
    }

    #[tokio::test]
    async fn what_the_store_refuses_is_offered_again_and_what_it_never_takes_is_counted_as_lost() {
        for recovers in [true, false] {
            let store = Arc::new(MemoryStore::default());
            let audit = audit(&store);
            store.is_full.store(true, Ordering::SeqCst);
            record(&audit, entry("GET http://a/")).await;
            crate::testing::eventually("a refusal", || (store.refusals.load(Ordering::SeqCst) > 0).then_some(())).await;
            store.is_full.store(!recovers, Ordering::SeqCst);
            audit.close().await;
            let expected = if recovers { (1, 0) } else { (0, 1) };
            assert_eq!((events(&store).len(), audit.dropped()), expected);
        }
    }
}
