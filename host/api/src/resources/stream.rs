//! The event stream: server-sent events that go on without a gap where the client left off.
//!
//! The log is the buffer. What waits for a client in memory is bounded, in events and in bytes. A client that leaves it full for too
//! long, or for which an event waits for too long, is cut off and comes back with `Last-Event-ID`.

use super::Routes;
use super::events::filter;
use crate::Api;
use crate::extract::{Params, bad};
use crate::problem::Problem;
use crate::resources::PRINCIPAL;
use crate::server::Peer;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use quarterdeck_bus::Subscription;
use quarterdeck_model::Span;
use quarterdeck_model::event::{Offset, StoredEvent};
use quarterdeck_model::store::EventBatch;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use utoipa_axum::routes;

/// What a stream is like.
pub(crate) struct Manner {
    /// How an event is written.
    frame: fn(&StoredEvent) -> Bytes,
    /// What is written when nothing has happened for so long: both sides learn of a connection that has died.
    beat: fn() -> Bytes,
    every: Duration,
}

static FOR_PROGRAMS: Manner = Manner { frame, beat: || comment(""), every: Duration::from_secs(15) };
/// A page does not hear of comments. `stream.js` counts on the time.
pub(crate) static FOR_PAGES: Manner =
    Manner { frame: brief, beat: || Bytes::from_static(b"event: beat\ndata: 10\n\n"), every: Duration::from_secs(10) };
/// Events that are read from the log at once, at most, and at first.
const BATCH: usize = 256;
const FIRST_BATCH: usize = 16;
/// Bytes that wait for one stream. A larger event waits alone.
const STREAM_BYTES: usize = 256 << 10;
/// Bytes that wait for all streams together.
pub(crate) const ALL_BYTES: usize = 64 << 20;
/// How long an event may wait for a client, as a multiple of how long a client may take nothing. One that takes an event now and
/// then would hold its buffer for ever.
const LAG: u32 = 6;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(stream_events))
}

/// Events as they happen, as server-sent events: `id` is the offset, `event` the type, `data` the event as JSON. Sent again with
/// `Last-Event-ID`, the stream goes on without a gap. Where retention has removed what is asked for, an event `gap` says so.
#[utoipa::path(get, path = "/events/stream", tag = "events",
    params(("after" = Option<u64>, Query, description = "Only those behind this offset; what comes from now on unless given."),
        ("type" = Option<Vec<String>>, Query, description = "`incident.opened`, all of `incident.`, or the topic `incident`. Repeatable."),
        ("without" = Option<Vec<String>>, Query, description = "Types that are left out, written as those of `type`. Repeatable."),
        ("subject" = Option<String>, Query, description = "What the event is about: an id or a name."),
        ("Last-Event-ID" = Option<String>, Header, description = "The offset that was seen last; goes before `after`.")),
    responses((status = 200, description = "The stream.", body = String, content_type = "text/event-stream"),
        (status = 429, description = "There are too many streams.")))]
async fn stream_events(
    State(api): State<Arc<Api>>,
    params: Params,
    headers: HeaderMap,
    peer: Peer,
) -> Result<Response, Problem> {
    open(&api, &params, &headers, peer, &FOR_PROGRAMS)
}

/// The stream, in this manner.
pub(crate) fn open(
    api: &Arc<Api>,
    params: &Params,
    headers: &HeaderMap,
    peer: Peer,
    manner: &'static Manner,
) -> Result<Response, Problem> {
    let filter = filter(params)?;
    let last = match headers.get("last-event-id") {
        None => params.number("after")?,
        Some(value) => match value.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(offset) => Some(offset),
            None => {
                return Err(bad(
                    "Last-Event-ID",
                    "it is not an offset that this stream gave; hint: send the `id` of the last event that arrived, or leave the header out",
                ));
            }
        },
    };
    let slot = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| {
        Problem::too_fast("there are too many event streams; hint: end some").retry_after(Span::from_secs(5))
    })?;
    let (head, tail) = (api.options.store.head(), api.options.store.tail());
    let wanted = last.map_or(head, Offset);
    // Beyond the head: the data folder was put back to an earlier state.
    let after = if wanted > head { head } else { wanted.max(tail) };
    let (sender, receiver) = channel(api.options.stream_buffer.load(Ordering::Relaxed).max(1));
    let stall = api.options.stall;
    let end = End { over: api.options.shutdown.child_token(), cut_off: Arc::clone(&api.cut_off) };
    let body = taken(receiver, stall.as_duration() * LAG, end.clone());
    let room = Room { own: Arc::new(Semaphore::new(STREAM_BYTES)), all: Arc::clone(&api.stream_bytes) };
    let feed = Feed { subscription: api.options.bus.subscribe(after, filter), sender, room, stall, end, peer, manner };
    let opening = if after == wanted { comment("quarterdeck") } else { gap(wanted, after) };
    api.tasks.spawn(async move {
        feed.run(opening).await;
        drop(slot);
    });
    let mut response = Response::new(Body::from_stream(body.map(Ok::<_, Infallible>)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What waits for a client, and the room that it takes until then.
struct Waiting {
    frame: Bytes,
    since: Instant,
    _room: [OwnedSemaphorePermit; 2],
}

/// Bytes that may still wait.
struct Room {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Room {
    async fn take(&self, bytes: usize) -> Option<[OwnedSemaphorePermit; 2]> {
        let permits = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let own = Arc::clone(&self.own).acquire_many_owned(permits(bytes.min(STREAM_BYTES))).await.ok()?;
        let all = Arc::clone(&self.all).acquire_many_owned(permits(bytes.min(ALL_BYTES))).await.ok()?;
        Some([own, all])
    }
}

/// How a stream ends from this side.
#[derive(Clone)]
struct End {
    over: CancellationToken,
    cut_off: Arc<AtomicU64>,
}

impl End {
    fn cut_off(&self, reason: &str) {
        if !self.over.is_cancelled() {
            self.over.cancel();
            self.cut_off.fetch_add(1, Ordering::Relaxed);
            info!(principal = PRINCIPAL, reason, "a slow event stream was cut off");
        }
    }
}

/// What the connection takes, until something has waited too long for it.
fn taken(receiver: Receiver<Waiting>, lag: Duration, end: End) -> impl Stream<Item = Bytes> {
    tokio_stream::StreamExt::map_while(ReceiverStream::new(receiver), move |waiting: Waiting| {
        if waiting.since.elapsed() > lag {
            end.cut_off("an event has waited too long");
            return None;
        }
        Some(waiting.frame)
    })
}

struct Feed {
    subscription: Subscription,
    sender: Sender<Waiting>,
    room: Room,
    stall: Span,
    end: End,
    peer: Peer,
    manner: &'static Manner,
}

impl Feed {
    async fn run(mut self, opening: Bytes) {
        self.go_on(opening).await;
        // The connection may have lost its patience first. A client that hung up is nobody's trouble.
        if self.peer.has_stalled() {
            self.end.cut_off("its connection took nothing");
        }
    }

    async fn go_on(&mut self, opening: Bytes) {
        if !self.send(opening).await {
            return;
        }
        let mut limit = FIRST_BATCH;
        loop {
            let batch = tokio::select! {
                () = self.end.over.cancelled() => return,
                () = self.sender.closed() => return,
                batch = timeout(self.manner.every, self.subscription.next(limit)) => batch,
            };
            let goes_on = match batch {
                Ok(Ok(batch)) => {
                    let (count, bytes) = (batch.events.len(), self.send_batch(batch).await);
                    if let Some(bytes) = bytes {
                        limit = next_limit(limit, count, bytes);
                    }
                    bytes.is_some()
                }
                Ok(Err(error)) => {
                    warn!(%error, "an event stream ended");
                    false
                }
                Err(_) => self.send((self.manner.beat)()).await,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// How many bytes that were; `None` when the stream is over. One event after the other becomes text: what waits here for a slow
    /// client is no more than was read.
    async fn send_batch(&self, batch: EventBatch) -> Option<usize> {
        if let Some(missed) = batch.gap
            && !self.send(gap(missed.from, missed.to)).await
        {
            return None;
        }
        let mut bytes = 0;
        for stored in batch.events {
            let frame = (self.manner.frame)(&stored);
            drop(stored);
            bytes += frame.len();
            if !self.send(frame).await {
                return None;
            }
        }
        Some(bytes)
    }

    /// False when the stream is over.
    async fn send(&self, frame: Bytes) -> bool {
        let send = async {
            let room = self.room.take(frame.len()).await?;
            let place = self.sender.reserve().await.ok()?;
            place.send(Waiting { frame, since: Instant::now(), _room: room });
            Some(())
        };
        let sent = tokio::select! {
            () = self.end.over.cancelled() => return false,
            sent = timeout(self.stall.as_duration(), send) => sent,
        };
        if sent.is_err() {
            self.end.cut_off("its buffer stayed full");
        }
        matches!(sent, Ok(Some(())))
    }
}

/// As many events as are likely to fit into what may wait for a stream; more only step by step.
fn next_limit(limit: usize, count: usize, bytes: usize) -> usize {
    match bytes.checked_div(count) {
        None | Some(0) => limit,
        Some(mean) => (STREAM_BYTES / mean).clamp(1, BATCH.min(limit.saturating_mul(2))),
    }
}

fn comment(text: &str) -> Bytes {
    Bytes::from(format!(": {text}\n\n"))
}

fn gap(wanted: Offset, after: Offset) -> Bytes {
    Bytes::from(format!("id: {after}\nevent: gap\ndata: {{\"after\":{wanted},\"next\":{after}}}\n\n"))
}

/// JSON has no line breaks of its own, and types have none.
fn frame(stored: &StoredEvent) -> Bytes {
    let data = serde_json::to_string(stored).unwrap_or_default();
    Bytes::from(format!("id: {}\nevent: {}\ndata: {data}\n\n", stored.offset, stored.event.event_type))
}

/// For pages, which only look what they show anew. Without a name, so that they hear of types that they don't know.
fn brief(stored: &StoredEvent) -> Bytes {
    let data = serde_json::json!({"type": stored.event.event_type, "subject": stored.event.subject});
    Bytes::from(format!("id: {}\ndata: {data}\n\n", stored.offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Timestamp;
    use quarterdeck_model::clock::ManualClock;
    use quarterdeck_model::event::{Event, EventFilter};
    use quarterdeck_model::id::IdSource;
    use quarterdeck_model::store::Store;
    use quarterdeck_model::transition::Transition;
    use quarterdeck_storage::{Database, Retention};

    #[tokio::test]
    async fn a_stream_that_retention_has_overtaken_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_790_000_000_000)));
        let mut options = quarterdeck_storage::Options::new(folder.path(), clock.clone());
        options.free_space_floor_bytes = 0;
        options.retention = Retention { log_bytes: 1_000, ..Retention::default() };
        let store = Database::open(options).unwrap();
        let ids = IdSource::seeded(1);
        for _ in 0..50 {
            let event = Event::new(&ids, Timestamp::from_millis(1), "custom.a", "s");
            store.commit(Transition::new().event(event)).await.unwrap();
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while store.tail() == Offset(0) {
            assert!(tokio::time::Instant::now() < deadline, "retention did nothing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The writer does one thing after another: the tail stays where it is from here on.
        store.commit(Transition::new().ack("a", Offset(50))).await.unwrap();
        let bus = quarterdeck_bus::Bus::new(store.clone(), clock, quarterdeck_bus::Options::default());
        let (sender, mut receiver) = channel(16);
        let shutdown = CancellationToken::new();
        let feed = Feed {
            // As one that was open all the time, and slow.
            subscription: bus.subscribe(Offset(3), EventFilter::default()),
            sender,
            room: Room { own: Arc::new(Semaphore::new(STREAM_BYTES)), all: Arc::new(Semaphore::new(ALL_BYTES)) },
            stall: Span::from_secs(20),
            end: End { over: shutdown.clone(), cut_off: Arc::default() },
            peer: Peer::default(),
            manner: &FOR_PROGRAMS,
        };
        let feed = tokio::spawn(feed.run(comment("quarterdeck")));
        let mut next = async || String::from_utf8(receiver.recv().await.unwrap().frame.to_vec()).unwrap();
        assert_eq!(next().await, ": quarterdeck\n\n");
        let tail = store.tail();
        let expected = format!("id: {tail}\nevent: gap\ndata: {{\"after\":3,\"next\":{tail}}}\n\n");
        assert_eq!(next().await, expected);
        assert!(next().await.starts_with(&format!("id: {}\nevent: custom.a\n", tail.0 + 1)));
        shutdown.cancel();
        feed.await.unwrap();
    }

    #[tokio::test]
    async fn a_stream_whose_connection_was_cut_off_counts_as_slow_and_one_that_hung_up_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_790_000_000_000)));
        let mut options = quarterdeck_storage::Options::new(folder.path(), clock.clone());
        options.free_space_floor_bytes = 0;
        let bus =
            quarterdeck_bus::Bus::new(Database::open(options).unwrap(), clock, quarterdeck_bus::Options::default());
        let cut_off = Arc::new(AtomicU64::new(0));
        for (has_stalled, expected) in [(false, 0), (true, 1)] {
            let (sender, receiver) = channel(16);
            let peer = Peer::default();
            let feed = Feed {
                subscription: bus.subscribe(Offset(0), EventFilter::default()),
                sender,
                room: Room { own: Arc::new(Semaphore::new(STREAM_BYTES)), all: Arc::new(Semaphore::new(ALL_BYTES)) },
                stall: Span::from_secs(20),
                end: End { over: CancellationToken::new(), cut_off: cut_off.clone() },
                peer: peer.clone(),
                manner: &FOR_PROGRAMS,
            };
            let feed = tokio::spawn(feed.run(comment("quarterdeck")));
            if has_stalled {
                peer.stall();
            }
            drop(receiver);
            timeout(Duration::from_secs(20), feed).await.unwrap().unwrap();
            assert_eq!(cut_off.load(Ordering::Relaxed), expected);
        }
    }

    #[test]
    fn what_is_read_at_once_follows_the_size_of_events() {
        assert_eq!(next_limit(16, 16, 16 * 200), 32);
        assert_eq!(next_limit(256, 256, 256 * 200), 256);
        assert_eq!(next_limit(256, 10, 10 * (64 << 10)), 4);
        assert_eq!(next_limit(4, 2, 2 << 20), 1);
        assert_eq!((next_limit(1, 1, 1 << 10), next_limit(8, 0, 0)), (2, 8));
    }
}
