//! The handle that everyone holds.

use crate::consumer::Consumer;
use crate::limit::Limiter;
use crate::subscription::Subscription;
use crate::{Error, validate};
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::{Event, EventFilter, Offset};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::store::Store;
use quarterdeck_model::transition::Transition;
use std::sync::Arc;

/// Events that a consumer passes over before it is handed an empty batch. Its place would stay behind for ever otherwise, and
/// retention waits for it.
const PATIENCE: u64 = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Events per second that one producer may publish in the long run. 0 refuses nothing.
    pub producer_rate: u32,
    /// Events that it may publish at once after a silence.
    pub producer_burst: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options { producer_rate: 1_000, producer_burst: 5_000 }
    }
}

/// Cheap to clone; all clones share the limits.
#[derive(Clone)]
pub struct Bus {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    limiter: Arc<Limiter>,
}

impl Bus {
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, options: Options) -> Self {
        Bus { store, clock, ids: Arc::new(IdSource::random()), limiter: Arc::new(Limiter::new(options)) }
    }

    /// Puts other limits in force, for all clones.
    pub fn set_limits(&self, options: Options) {
        self.limiter.set(options);
    }

    /// Appends the events as one record: all of them or none. Returns the offset of the last one, when it is durable.
    ///
    /// # Errors
    /// [`Error::TooFast`] over the producer's rate, [`Error::Invalid`] for a malformed event, and the store's errors.
    pub async fn publish(&self, producer: &str, events: Vec<Event>) -> Result<Offset, Error> {
        for event in &events {
            validate::event(event)?;
        }
        self.limiter.take(producer, events.len(), self.clock.now())?;
        let transition = Transition { events, ..Transition::new() };
        Ok(self.store.commit(transition).await?.offset)
    }

    /// Everything behind `after` that the filter lets through, and then what comes.
    pub fn subscribe(&self, after: Offset, filter: EventFilter) -> Subscription {
        Subscription::new(Arc::clone(&self.store), after, filter)
    }

    /// The durable consumer of that name, where its last acknowledgement left it; from the oldest event that there is if it is
    /// new.
    /// One consumer of a name at a time, else both get everything.
    ///
    /// # Errors
    /// The store's.
    pub fn consumer(&self, name: &str, filter: EventFilter) -> Result<Consumer, Error> {
        let known = self.store.consumers()?.contains_key(name);
        let cursor = self.store.cursor(name)?;
        // One that is new has missed nothing.
        let subscription = self.subscribe(if known { cursor } else { cursor.max(self.store.tail()) }, filter);
        let subscription = subscription.patience(PATIENCE).early();
        let (store, clock, ids) = (Arc::clone(&self.store), Arc::clone(&self.clock), Arc::clone(&self.ids));
        Ok(Consumer::new(name.to_owned(), store, clock, ids, subscription, known))
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}
