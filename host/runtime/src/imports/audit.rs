//! What plugins did to the world, as events: `audit.http`, `audit.exec` ... Not in the call's buffer, since a call that
//! fails drops that, and its effects have happened all the same.
//!
//! Written in the background: records of one fifth of a second are one commit, equal ones in it one event with a count. No
//! call waits for it; records that don't fit into the queue are counted as dropped and never silently lost.

use crate::sandbox::Capability;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::Event;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::{InstanceName, PluginRef};
use quarterdeck_model::store::Store;
use quarterdeck_model::transition::Transition;
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const QUEUE: usize = 4096;
const WINDOW: Duration = Duration::from_millis(200);
/// Distinct records of one commit.
const BATCH: usize = 512;
/// Longer texts are cut: a target is for a person, not for replay.
const TEXT_BYTES: usize = 256;

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
    dropped: Arc<AtomicU64>,
    closing: CancellationToken,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Audit {
    pub(super) fn start(runtime: &Handle, store: Arc<dyn Store>, clock: Arc<dyn Clock>, ids: Arc<IdSource>) -> Self {
        let (queue, received) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let closing = CancellationToken::new();
        let writer = Writer { received, store, clock, ids, dropped: dropped.clone(), closing: closing.clone() };
        let writer = runtime.spawn(writer.run());
        Audit { queue, dropped, closing, writer: Mutex::new(Some(writer)) }
    }

    pub(super) fn record(&self, mut entry: Entry) {
        cut(&mut entry.target);
        cut(&mut entry.outcome);
        if self.queue.try_send(entry).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
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
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    dropped: Arc<AtomicU64>,
    closing: CancellationToken,
}

impl Writer {
    async fn run(mut self) {
        let closing = self.closing.clone();
        loop {
            let first = tokio::select! {
                biased;
                entry = self.received.recv() => entry,
                () = closing.cancelled() => None,
            };
            let Some(first) = first else { break };
            let mut counts = HashMap::from([(first, 1u64)]);
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
            self.commit(counts).await;
        }
        self.received.close();
        let mut counts = HashMap::new();
        while let Ok(entry) = self.received.try_recv() {
            *counts.entry(entry).or_default() += 1;
        }
        if !counts.is_empty() {
            self.commit(counts).await;
        }
    }

    async fn commit(&self, counts: HashMap<Entry, u64>) {
        let now = self.clock.now();
        let mut transition = Transition::new();
        for (entry, count) in &counts {
            let capability = entry.capability.as_str();
            transition = transition.event(
                Event::new(&self.ids, now, format!("audit.{capability}"), entry.instance.as_str())
                    .principal(format!("instance:{}", entry.instance))
                    .plugin(entry.plugin.clone())
                    .data(json!({"target": entry.target, "outcome": entry.outcome, "count": count})),
            );
        }
        if let Err(error) = self.store.commit(transition).await {
            let lost = counts.values().sum();
            self.dropped.fetch_add(lost, Ordering::Relaxed);
            tracing::warn!(%error, records = lost, "audit records can't be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::testing::MemoryStore;
    use quarterdeck_model::Timestamp;
    use quarterdeck_model::clock::ManualClock;
    use quarterdeck_model::event::{EventFilter, Offset};

    fn entry(target: &str) -> Entry {
        Entry {
            instance: "http-probe/api".into(),
            plugin: None,
            capability: Capability::Http,
            target: target.to_owned(),
            outcome: "200".to_owned(),
        }
    }

    #[tokio::test]
    async fn equal_records_become_one_event_with_a_count() {
        let store = Arc::new(MemoryStore::default());
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        let audit = Audit::start(&Handle::current(), store.clone(), clock, Arc::new(IdSource::seeded(1)));
        for _ in 0..5 {
            audit.record(entry("GET http://a/"));
        }
        audit.record(entry(&format!("{}\n{}", "x".repeat(300), "y")));
        audit.close().await;
        let mut events = store.events(Offset(0), &EventFilter::types(["audit."]), 10).unwrap().events;
        events.sort_by_key(|stored| stored.event.data["target"].as_str().unwrap().to_owned());
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].event.event_type, "audit.http");
        assert_eq!(events[0].event.data, json!({"target": "GET http://a/", "outcome": "200", "count": 5}));
        assert!(events[1].event.data["target"].as_str().unwrap().len() < 300);
        audit.record(entry("behind the end"));
        assert_eq!(audit.dropped(), 1);
    }
}
