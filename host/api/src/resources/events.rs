//! Events: everything that happened, in the order in which it did.

use super::metrics::SOURCE_BYTES;
use super::{PRINCIPAL, Routes};
use crate::Api;
use crate::extract::{Body, Params};
use crate::paging::{blocking, limit};
use crate::problem::Problem;
use crate::schema::{of, taken};
use crate::server::Peer;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use quarterdeck_bus::Error;
use quarterdeck_model::event::{Event, EventFilter, Offset, StoredEvent};
use quarterdeck_model::store::Store;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use utoipa_axum::routes;

/// Types that clients may publish: what the host says of itself can't be forged.
const OPEN: &str = "custom.";
/// Stretches of the log that are looked at for one answer.
const STRETCHES: usize = 64;
/// Events of a stretch that is read backwards.
const STRETCH: u64 = 1000;

/// Producers that are told apart: their names are chosen by who sends.
const PRODUCERS: usize = 1_000;
/// The producer of those beyond.
const OTHERS: &str = "others";

/// Who has published here. One that floods the log is refused, and no other.
#[derive(Default)]
pub(crate) struct Producers(Mutex<HashSet<String>>);

impl Producers {
    /// By what it names itself, else by its address.
    fn of(&self, source: Option<&str>, peer: &Peer) -> String {
        let name = match (source, peer.address) {
            (Some(source), _) => format!("source {source}"),
            (None, Some(address)) => format!("address {address}"),
            (None, None) => PRINCIPAL.to_owned(),
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PRODUCERS && !known.contains(&name) {
            return OTHERS.to_owned();
        }
        known.insert(name.clone());
        name
    }
}

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_events, publish_event))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::TooFast { retry_after } => Problem::too_fast(error.to_string()).retry_after(retry_after),
            Error::Store(error) => error.into(),
            Error::Invalid(detail) => Problem::invalid(detail),
        }
    }
}

/// A part of the log.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventPage {
    pub(crate) items: Vec<StoredEvent>,
    /// Hand it back as `cursor` for the next part; `null` at the end of the log.
    pub(crate) next_cursor: Option<String>,
    /// Everything up to here was looked at: `after` for what comes later.
    pub(crate) next: Offset,
    /// Everything up to here was removed by retention.
    pub(crate) tail: Offset,
    /// There is nothing to go on from where the client asked: retention has removed some of it, or the offset is beyond the end of the
    /// log, whose data folder was put back to an earlier state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gap: Option<Missed>,
}

/// As the stream's event `gap` has it.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Missed {
    /// What was asked for.
    after: Offset,
    /// What this answer begins behind instead.
    next: Offset,
}

impl Missed {
    /// Where to begin for a client that was as far as `wanted`, and what it has to be told of that.
    fn begin(wanted: Option<u64>, tail: Offset, head: Offset) -> (Offset, Option<Self>) {
        let wanted = match wanted {
            // All that there is.
            None | Some(0) => return (tail, None),
            Some(wanted) => Offset(wanted),
        };
        let next = if wanted > head { head } else { wanted.max(tail) };
        (next, (next != wanted).then_some(Missed { after: wanted, next }))
    }
}

/// An event of one's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewEvent {
    /// Begins with `custom.`
    #[serde(rename = "type")]
    event_type: String,
    /// What it is about.
    subject: String,
    #[serde(default)]
    data: serde_json::Map<String, Value>,
    /// Who sends it, as in pushes to `/metrics`: `[events] producer-rate` holds for each source. Unless given, the address that the request comes
    /// from. The event does not show it.
    #[serde(default)]
    source: Option<String>,
}

pub(crate) fn filter(params: &Params) -> Result<EventFilter, Problem> {
    let mut filter = EventFilter::types(params.many("type"));
    filter.subject = params.text("subject")?.map(str::to_owned);
    filter.without = params.many("without").map(str::to_owned).collect();
    Ok(filter)
}

/// Events, oldest first. Where what comes behind `after` can't be told, the answer says so (`gap`).
#[utoipa::path(get, path = "/events", tag = "events",
    params(("after" = Option<u64>, Query, description = "Only those behind this offset; 0, all that retention has left, unless given."),
        ("type" = Option<Vec<String>>, Query, description = "`incident.opened`, all of `incident.`, or the topic `incident`. Repeatable."),
        ("without" = Option<Vec<String>>, Query, description = "Types that are left out, written as those of `type`. Repeatable."),
        ("subject" = Option<String>, Query, description = "What the event is about: an id or a name."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Events at most; 100 unless given."),
        ("newest" = Option<bool>, Query, description = "`true`: newest first, from the end of the log backwards."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the part before; goes before `after`.")),
    responses((status = 200, description = "Events.", body = ref(of::<EventPage>()))))]
async fn list_events(State(api): State<Arc<Api>>, params: Params) -> Result<Json<EventPage>, Problem> {
    let filter = filter(&params)?;
    let limit = limit(&params)?;
    let newest = params.parsed("newest", "`true` or `false`", |text| text.parse().ok())?.unwrap_or(false);
    let (cursor, after) = (params.number("cursor")?, params.number("after")?);
    let store = Arc::clone(&api.options.store);
    if newest {
        return blocking(move || backwards(&*store, &filter, limit, cursor, after)).await.map(Json);
    }
    let after = cursor.or(after);
    blocking(move || {
        let (head, tail) = (store.head(), store.tail());
        let (mut next, gap) = Missed::begin(after, tail, head);
        let mut items = Vec::new();
        for _ in 0..STRETCHES {
            let batch = store.events(next, &filter, limit - items.len())?;
            items.extend(batch.events);
            next = next.max(batch.next);
            if next >= head || items.len() >= limit {
                break;
            }
        }
        let next_cursor = (next < head).then(|| next.to_string());
        Ok(Json(EventPage { items, next_cursor, next, tail, gap }))
    })
    .await
}

/// Reads stretches of the log from its end towards its start, or down to `after`. The cursor is the offset before which it goes on.
pub(crate) fn backwards(
    store: &dyn Store,
    filter: &EventFilter,
    limit: usize,
    cursor: Option<u64>,
    after: Option<u64>,
) -> Result<EventPage, Problem> {
    let (head, tail) = (store.head(), store.tail());
    let (start, gap) = Missed::begin(after, tail, head);
    let mut end = cursor.map_or(head, |before| Offset(before.saturating_sub(1)).min(head));
    let mut items = Vec::new();
    // Where most events are meant, little more is read than is handed out; where few are, long stretches are.
    let mut length = u64::try_from(limit).unwrap_or(STRETCH).clamp(1, STRETCH);
    for _ in 0..STRETCHES {
        let from = Offset(end.0.saturating_sub(length)).max(start);
        let at_once = usize::try_from(length).unwrap_or(limit);
        length = length.saturating_mul(2).min(STRETCH);
        let mut stretch = Vec::new();
        let mut next = from;
        while next < end {
            let batch = store.events(next, filter, at_once)?;
            if batch.next <= next {
                break;
            }
            stretch.extend(batch.events.into_iter().filter(|stored| stored.offset <= end));
            next = batch.next;
        }
        items.extend(stretch.into_iter().rev());
        end = from;
        if end <= start || items.len() >= limit {
            break;
        }
    }
    let more = items.len() > limit || end > start;
    items.truncate(limit);
    let before = if items.len() < limit {
        Offset(end.0.saturating_add(1))
    } else {
        items.last().map_or(end, |last| last.offset)
    };
    Ok(EventPage { items, next_cursor: more.then(|| before.to_string()), next: head, tail, gap })
}

/// Publishes an event of one's own. Answers when it is on the disk.
#[utoipa::path(post, path = "/events", tag = "events",
    request_body(content = ref(taken::<NewEvent>()), content_type = "application/json"),
    responses((status = 201, description = "The event with its place in the log.", body = ref(of::<StoredEvent>())),
        (status = 429, description = "This source, or without one this address, publishes too fast; `Retry-After` says when to go on.")))]
async fn publish_event(
    State(api): State<Arc<Api>>,
    peer: Peer,
    Body(new): Body<NewEvent>,
) -> Result<(StatusCode, Json<StoredEvent>), Problem> {
    if !new.event_type.starts_with(OPEN) {
        let why = format!("`{}` does not begin with `{OPEN}`; hint: other types are the host's own", new.event_type);
        return Err(Problem::invalid(why.clone()).mistake("type", why));
    }
    let source = new.source.as_deref();
    if source
        .is_some_and(|source| source.is_empty() || source.len() > SOURCE_BYTES || source.chars().any(char::is_control))
    {
        let why = format!("hint: 1 to {SOURCE_BYTES} bytes, no control characters");
        return Err(Problem::invalid("the source has no name").mistake("source", why));
    }
    let producer = api.producers.of(source, &peer);
    let event = Event::new(&api.options.ids, api.now(), new.event_type, new.subject)
        .principal(PRINCIPAL)
        .data(Value::Object(new.data));
    let offset = api.options.bus.publish(&producer, vec![event.clone()]).await?;
    Ok((StatusCode::CREATED, Json(StoredEvent { offset, event: Arc::new(event) })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_are_told_apart_by_source_or_address_and_not_without_end() {
        let producers = Producers::default();
        let peer = Peer::at([127, 0, 0, 1].into());
        assert_eq!(producers.of(None, &peer), "address 127.0.0.1");
        assert_eq!(producers.of(Some("127.0.0.1"), &peer), "source 127.0.0.1");
        assert_eq!(producers.of(None, &Peer::default()), PRINCIPAL);
        for number in 0..PRODUCERS {
            producers.of(Some(&number.to_string()), &peer);
        }
        assert_eq!(producers.of(Some("late"), &peer), OTHERS);
        assert_eq!(producers.of(Some("7"), &peer), "source 7", "those that are known stay so");
    }
}
