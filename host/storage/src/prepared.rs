//! A transition, checked and encoded. Done by the caller's thread, so that the writer's has less to do.

use crate::codec::{put_bytes, put_int, put_optional, put_uint};
use crate::documents::DOCUMENT_BYTES;
use crate::keys;
use quarterdeck_model::effect::{OUTBOX, Pending};
use quarterdeck_model::event::Event;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::{Ack, Expected, Transition};
use quarterdeck_model::{Json, Timestamp};
use std::sync::Arc;

/// Data of one event, as JSON.
const EVENT_BYTES: usize = 1 << 20;
const TRANSITION_BYTES: usize = 8 << 20;

pub(crate) struct Prepared {
    /// Those of the transition, then its effects.
    pub(crate) writes: Vec<PreparedWrite>,
    /// How many of them the caller asked for by name.
    pub(crate) asked: usize,
    pub(crate) events: Vec<(Arc<Event>, Vec<u8>)>,
    pub(crate) acks: Vec<Ack>,
    /// About what it takes in the log.
    pub(crate) bytes: usize,
}

pub(crate) struct PreparedWrite {
    pub(crate) collection: Arc<str>,
    pub(crate) id: Arc<str>,
    pub(crate) expected: Expected,
    pub(crate) value: Option<Json>,
}

impl Prepared {
    pub(crate) fn new(transition: Transition, now: Timestamp) -> Result<Self, StoreError> {
        let Transition { writes, events, effects, acks } = transition;
        let asked = writes.len();
        let mut prepared =
            Prepared { writes: Vec::with_capacity(asked + effects.len()), asked, events: Vec::new(), acks, bytes: 0 };
        for write in writes {
            prepared.write(write.collection, write.id, write.expected, write.value)?;
        }
        for effect in effects {
            let id = effect.id.0.clone();
            let pending = Pending {
                effect: Arc::new(effect),
                attempts: 0,
                due: now,
                token: None,
                last_error: None,
                plugin: None,
            };
            let json = Json::of(&pending)
                .map_err(|e| StoreError::Invalid(format!("the value can't be written as JSON: {e}")))?;
            prepared.write(OUTBOX.to_owned(), id, Expected::Absent, Some(json))?;
        }
        for event in events {
            let encoded = encode(&event)?;
            prepared.bytes += encoded.len() + 4;
            prepared.events.push((Arc::new(event), encoded));
        }
        for ack in &prepared.acks {
            keys::check_consumer(&ack.consumer)?;
            prepared.bytes += ack.consumer.len() + 16;
        }
        if prepared.bytes > TRANSITION_BYTES {
            return Err(StoreError::Invalid(format!(
                "the transition takes {} bytes, {TRANSITION_BYTES} are the limit; hint: split it",
                prepared.bytes
            )));
        }
        Ok(prepared)
    }

    /// Somebody waits to carry something out.
    pub(crate) fn has_effects(&self) -> bool {
        self.writes.len() > self.asked
    }

    fn write(
        &mut self,
        collection: String,
        id: String,
        expected: Expected,
        value: Option<Json>,
    ) -> Result<(), StoreError> {
        keys::check_document(&collection, &id)?;
        let bytes = value.as_ref().map_or(0, Json::len);
        if bytes > DOCUMENT_BYTES {
            return Err(StoreError::Invalid(format!(
                "document `{collection}/{id}` takes {bytes} bytes, {DOCUMENT_BYTES} are the limit; hint: split it, or keep less in it"
            )));
        }
        self.bytes += bytes + collection.len() + id.len() + 24;
        self.writes.push(PreparedWrite { collection: collection.into(), id: id.into(), expected, value });
        Ok(())
    }
}

/// Bits of the byte that says what an event has of what most have not.
pub(crate) const HOLDS_PLUGIN: u8 = 1;
pub(crate) const HOLDS_RUN: u8 = 2;

/// Type and subject stand first: a reader that filters by them skips the rest. The offset comes from the place.
pub(crate) fn encode(event: &Event) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::with_capacity(512);
    put_bytes(&mut out, event.event_type.as_bytes());
    put_bytes(&mut out, event.subject.as_bytes());
    put_bytes(&mut out, event.id.0.as_bytes());
    put_int(&mut out, event.time.as_millis());
    put_bytes(&mut out, event.principal.as_bytes());
    let plugin = event.plugin.as_ref().map_or(0, |_| HOLDS_PLUGIN);
    out.push(plugin | event.run.as_ref().map_or(0, |_| HOLDS_RUN));
    if let Some(plugin) = &event.plugin {
        for text in [&plugin.name, &plugin.version, &plugin.digest.0] {
            put_bytes(&mut out, text.as_bytes());
        }
    }
    if let Some(run) = &event.run {
        put_bytes(&mut out, run.0.as_bytes());
    }
    put_optional(&mut out, event.causation.as_ref().map(|id| id.as_str()));
    put_optional(&mut out, event.correlation.as_ref().map(|id| id.as_str()));
    put_uint(&mut out, u64::from(event.schema));
    let before = out.len();
    serde_json::to_writer(&mut out, &event.data).map_err(|e| {
        StoreError::Invalid(format!("the data of `{}` can't be written as JSON: {e}", event.event_type))
    })?;
    if out.len() - before > EVENT_BYTES {
        return Err(StoreError::Invalid(format!(
            "the data of `{}` takes {} bytes, {EVENT_BYTES} are the limit; hint: store it as a document and send its id",
            event.event_type,
            out.len() - before
        )));
    }
    Ok(out)
}
