//! A subscription whose place is kept in the store.

use crate::Error;
use crate::letter;
use crate::subscription::Subscription;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::{Event, Offset, StoredEvent};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::store::{EventBatch, Gap, Store, StoreError};
use quarterdeck_model::transition::Transition;
use serde_json::json;
use std::sync::Arc;

/// Type of the event that tells of events that a consumer never saw.
pub const GAP: &str = "bus.gap";

/// Gets every event at least once, across restarts. Whoever acknowledges in the transition that handles a batch gets the
/// effect of exactly once: `Transition::ack(consumer.name(), batch.next)`.
///
/// It is handed events while they are on their way to the disk, so that what it makes of them is ready when they are there. So it may do
/// nothing with them but commit, and keep in memory: whatever a person or another system gets to see has to come of what it commits.
///
/// Retention waits for it, until the log is twice as large as it may be. What it misses then is told in the batch and by an event
/// of type [`GAP`].
pub struct Consumer {
    name: String,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    subscription: Subscription,
    /// Whether the store knows it. Retention does not wait for one that it doesn't know.
    known: bool,
    /// Where it began.
    start: Offset,
    /// Read, and not handed out yet.
    batch: Option<EventBatch>,
    /// Nobody has been told of it yet.
    untold: Option<Gap>,
}

impl Consumer {
    pub(crate) fn new(
        name: String,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
        subscription: Subscription,
        known: bool,
    ) -> Self {
        let start = subscription.position();
        Consumer { name, store, clock, ids, subscription, known, start, batch: None, untold: None }
    }

    /// On these events it commits at once, from memory and without asking anybody. So the disk is given both in one go, which the events
    /// wait for: [`Store::upcoming`].
    #[must_use]
    pub fn prompt(mut self, commits_on: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        self.subscription.set_prompt(Arc::new(commits_on));
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was handed out last; the acknowledged place may be before it.
    pub fn position(&self) -> Offset {
        self.subscription.position()
    }

    /// The next 1 to `limit` events; waits for them. Hands each out once until `seek` or a restart. A batch may be empty: where
    /// something is missing, and after thousands of events that did not match. Its `next` is to be acknowledged all the same.
    ///
    /// # Errors
    /// The store's.
    pub async fn next(&mut self, limit: usize) -> Result<EventBatch, Error> {
        self.register().await;
        // Kept here until it is handed out: this may be dropped at each of the waits below.
        if self.batch.is_none() {
            let batch = self.subscription.next(limit).await?;
            if let Some(gap) = batch.gap {
                let from = self.untold.map_or(gap.from, |untold| untold.from);
                self.untold = Some(Gap { from, ..gap });
            }
            self.batch = Some(batch);
        }
        self.tell().await;
        Ok(self.batch.take().ok_or(StoreError::Closed)?)
    }

    /// Makes the store know a new one, before it is handed anything.
    async fn register(&mut self) {
        if self.known || self.subscription.position() != self.start {
            return;
        }
        // Refused by a full disk, say, it is done by the first acknowledgement.
        self.known = self.store.commit(Transition::new().ack(&self.name, self.start)).await.is_ok();
    }

    /// A consumer that missed events has done less than it promises: somebody has to know. What is gone can't be read again, so
    /// the place moves behind it in the same record.
    async fn tell(&mut self) {
        let Some(gap) = self.untold else { return };
        let event = Event::new(&self.ids, self.clock.now(), GAP, &self.name).data(json!({
            "severity": "high",
            "title": format!("`{}` missed {} events", self.name, gap.to.0.saturating_sub(gap.from.0)),
            "consumer": self.name,
            "from": gap.from,
            "to": gap.to,
        }));
        // Refused, it is tried again with the next batch.
        if self.store.commit(Transition::new().event(event).ack(&self.name, gap.to)).await.is_ok() {
            self.untold = None;
        }
    }

    /// Everything up to `up_to` is handled. Durable on return.
    ///
    /// # Errors
    /// The store's.
    pub async fn ack(&self, up_to: Offset) -> Result<(), Error> {
        self.store.commit(Transition::new().ack(&self.name, up_to)).await?;
        Ok(())
    }

    /// Goes on behind `after`: backwards for a replay. The durable place moves with the next acknowledgement.
    pub fn seek(&mut self, after: Offset) {
        self.batch = None;
        self.subscription.seek(after);
    }

    /// Puts an event aside that can't be handled, with the reason, where a person finds it. The consumer goes on; it still
    /// has to acknowledge. Of a large event only the beginning is kept: the whole of it may be what can't be stored.
    ///
    /// # Errors
    /// The store's.
    pub async fn dead_letter(&self, event: &StoredEvent, reason: &str) -> Result<(), Error> {
        let transition = letter::of_event(&self.ids, self.clock.now(), &self.name, event, reason);
        self.store.commit(transition).await?;
        Ok(())
    }
}
