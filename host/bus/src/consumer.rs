//! A subscription whose place is kept in the store.

use crate::Error;
use crate::subscription::Subscription;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::effect::DEAD_LETTERS;
use quarterdeck_model::event::{Event, Offset, StoredEvent};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::store::{EventBatch, Store};
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::json;
use std::sync::Arc;

/// Gets every event at least once, across restarts. Whoever acknowledges in the transition that handles a batch gets the
/// effect of exactly once: `Transition::ack(consumer.name(), batch.next)`.
pub struct Consumer {
    name: String,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    subscription: Subscription,
}

impl Consumer {
    pub(crate) fn new(
        name: String,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
        subscription: Subscription,
    ) -> Self {
        Consumer { name, store, clock, ids, subscription }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was handed out last; the acknowledged place may be before it.
    pub fn position(&self) -> Offset {
        self.subscription.position()
    }

    /// The next 1 to `limit` events; waits for them. Hands each out once until `seek` or a restart.
    ///
    /// # Errors
    /// The store's.
    pub async fn next(&mut self, limit: usize) -> Result<EventBatch, Error> {
        self.subscription.next(limit).await
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
        self.subscription.seek(after);
    }

    /// Puts an event aside that can't be handled, with the reason, where a person finds it. The consumer goes on; it still
    /// has to acknowledge.
    ///
    /// # Errors
    /// The store's.
    pub async fn dead_letter(&self, event: &StoredEvent, reason: &str) -> Result<(), Error> {
        let now = self.clock.now();
        let id = format!("{}.{}", event.event.id, self.name);
        let letter = json!({"kind": "event", "at": now, "consumer": self.name, "reason": reason, "event": event});
        let added = Event::new(&self.ids, now, "dead-letter.added", &id)
            .data(json!({"kind": "event", "consumer": self.name, "reason": reason, "offset": event.offset}))
            .caused_by(&event.event);
        self.store.commit(Transition::new().put(DEAD_LETTERS, &id, Expected::Any, letter).event(added)).await?;
        Ok(())
    }
}
