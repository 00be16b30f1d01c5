//! What is kept of an event that could not be handled.

use quarterdeck_model::Timestamp;
use quarterdeck_model::effect::DEAD_LETTERS;
use quarterdeck_model::event::{Event, StoredEvent};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::{Value, json};

/// An event that takes more, as JSON, is not kept whole.
const EVENT_BYTES: usize = 64 << 10;
/// What is kept of such an event's data.
const DATA_BYTES: usize = 16 << 10;
const REASON_BYTES: usize = 4 << 10;
const NAME_BYTES: usize = 256;

/// Never larger than what the store takes, whatever the event and the reason are.
pub(crate) fn of_event(
    ids: &IdSource,
    now: Timestamp,
    consumer: &str,
    event: &StoredEvent,
    reason: &str,
) -> Transition {
    let id = format!("{}.{}", beginning(event.event.id.as_str(), NAME_BYTES), beginning(consumer, NAME_BYTES / 2));
    let reason = beginning(reason, REASON_BYTES);
    let letter = json!({
        "kind": "event", "at": now, "consumer": consumer, "reason": reason, "offset": event.offset, "event": copy(event),
    });
    let added = Event::new(ids, now, "dead-letter.added", &id)
        .data(json!({"kind": "event", "consumer": consumer, "reason": reason, "offset": event.offset}))
        .caused_by(&event.event);
    Transition::new().put(DEAD_LETTERS, &id, Expected::Any, letter).event(added)
}

fn copy(stored: &StoredEvent) -> Value {
    let whole = serde_json::to_string(stored).unwrap_or_default();
    if whole.len() <= EVENT_BYTES {
        return json!(stored);
    }
    let event = &stored.event;
    json!({
        "offset": stored.offset,
        "id": beginning(event.id.as_str(), NAME_BYTES),
        "time": event.time,
        "type": beginning(&event.event_type, NAME_BYTES),
        "subject": beginning(&event.subject, NAME_BYTES),
        "principal": beginning(&event.principal, NAME_BYTES),
        "bytes": whole.len(),
        "data-begins": beginning(&event.data.to_string(), DATA_BYTES),
    })
}

fn beginning(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}
