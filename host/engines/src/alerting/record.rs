//! A record that is being made, and how large it is. The store refuses one that is too large, whatever stands in it, so what follows from
//! much at once is cut into several.

use crate::size::encoded;
use crate::to_json;
use quarterdeck_model::Json;
use quarterdeck_model::event::{Event, Offset};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::{Expected, Transition};
use serde::Serialize;

/// A record of so many bytes is enough. The store takes four times as much, which leaves room for the last thing that was put into it.
pub(super) const ENOUGH: usize = 2 << 20;
/// Beside what is counted: names, times, the log's own words.
const OVERHEAD: usize = 64;
const EVENT_OVERHEAD: usize = 320;

#[derive(Default)]
pub(crate) struct Record {
    transition: Transition,
    bytes: usize,
}

impl Record {
    pub(super) fn put<T: Serialize>(&mut self, collection: &str, id: &str, value: &T) -> Result<(), StoreError> {
        let value = to_json(value)?;
        self.absorb(Transition::new().put(collection, id, Expected::Any, value));
        Ok(())
    }

    pub(super) fn delete(&mut self, collection: &str, id: &str) {
        self.absorb(Transition::new().delete(collection, id, Expected::Any));
    }

    pub(super) fn event(&mut self, event: Event) {
        self.absorb(Transition::new().event(event));
    }

    pub(super) fn ack(&mut self, consumer: &str, up_to: Offset) {
        self.absorb(Transition::new().ack(consumer, up_to));
    }

    /// Takes over everything that `part` holds, behind what is here.
    pub(super) fn absorb(&mut self, part: Transition) {
        self.bytes = self.bytes.saturating_add(bytes(&part));
        self.transition.absorb(part);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is left goes into the next one.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= ENOUGH
    }

    pub(super) fn is_empty(&self) -> bool {
        self.transition.is_empty()
    }

    pub(super) fn into_transition(self) -> Transition {
        self.transition
    }
}

/// About as many as it takes in the store.
fn bytes(part: &Transition) -> usize {
    let writes = part
        .writes
        .iter()
        .map(|write| write.collection.len() + write.id.len() + OVERHEAD + write.value.as_ref().map_or(0, Json::len));
    let events = part.events.iter().map(|event| event.subject.len() + EVENT_OVERHEAD + encoded(&event.data));
    let effects = part.effects.iter().map(|effect| OVERHEAD + encoded(effect));
    writes.chain(events).chain(effects).fold(0, usize::saturating_add)
}
