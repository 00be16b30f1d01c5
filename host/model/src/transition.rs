//! A change is one record: documents, events and effects that become true together or not at all.

use crate::effect::Effect;
use crate::event::{Event, Offset};
use crate::json::Json;

/// What a document's revision must be for a write to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Any,
    Absent,
    Revision(u64),
}

/// One change of one document. Ids may hold any characters but NUL.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    pub collection: String,
    pub id: String,
    pub expected: Expected,
    /// `None` deletes.
    pub value: Option<Json>,
}

/// The new place of a durable consumer, moved in the same record as what it did with the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub consumer: String,
    pub up_to: Offset,
}

/// Appended as one record with one fsync, before anything of it is acted on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transition {
    pub writes: Vec<Write>,
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
    pub acks: Vec<Ack>,
}

impl Transition {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(mut self, collection: &str, id: &str, expected: Expected, value: impl Into<Json>) -> Self {
        let value = Some(value.into());
        self.writes.push(Write { collection: collection.to_owned(), id: id.to_owned(), expected, value });
        self
    }

    pub fn delete(mut self, collection: &str, id: &str, expected: Expected) -> Self {
        self.writes.push(Write { collection: collection.to_owned(), id: id.to_owned(), expected, value: None });
        self
    }

    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    pub fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    pub fn ack(mut self, consumer: &str, up_to: Offset) -> Self {
        self.acks.push(Ack { consumer: consumer.to_owned(), up_to });
        self
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.events.is_empty() && self.effects.is_empty() && self.acks.is_empty()
    }

    /// Takes over everything that `other` holds, behind what is here.
    pub fn absorb(&mut self, other: Transition) {
        self.writes.extend(other.writes);
        self.events.extend(other.events);
        self.effects.extend(other.effects);
        self.acks.extend(other.acks);
    }
}
