//! The event stream: server-sent events that go on without a gap where the client left off.
//!
//! The log is the buffer. What waits for a client in memory is bounded; a client that leaves it full for too long is cut off and
//! comes back with `Last-Event-ID`.

use super::Routes;
use super::events::filter;
use crate::Api;
use crate::extract::{Params, bad};
use crate::problem::Problem;
use crate::resources::PRINCIPAL;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use quarterdeck_bus::Subscription;
use quarterdeck_model::Span;
use quarterdeck_model::event::{Offset, StoredEvent};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use utoipa_axum::routes;

/// So that both sides learn of a connection that has died.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that are read from the log at once.
const BATCH: usize = 256;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(stream_events))
}

/// Events as they happen, as server-sent events: `id` is the offset, `event` the type, `data` the event as JSON. Sent again with
/// `Last-Event-ID`, the stream goes on without a gap. Where retention has removed what is asked for, an event `gap` says so.
#[utoipa::path(get, path = "/events/stream", tag = "events",
    params(("after" = Option<u64>, Query, description = "Only those behind this offset; what comes from now on unless given."),
        ("type" = Option<Vec<String>>, Query, description = "`incident.opened`, all of `incident.`, or the topic `incident`. Repeatable."),
        ("subject" = Option<String>, Query, description = "What the event is about: an id or a name."),
        ("Last-Event-ID" = Option<String>, Header, description = "The offset that was seen last; goes before `after`.")),
    responses((status = 200, description = "The stream.", body = String, content_type = "text/event-stream"),
        (status = 429, description = "There are too many streams.")))]
async fn stream_events(State(api): State<Arc<Api>>, params: Params, headers: HeaderMap) -> Result<Response, Problem> {
    let filter = filter(&params)?;
    let last = match headers.get("last-event-id") {
        None => params.number("after")?,
        Some(value) => match value.to_str().ok().and_then(|text| text.parse().ok()) {
            Some(offset) => Some(offset),
            None => return Err(bad("Last-Event-ID", "it is not an offset that this stream gave")),
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
    let feed = Feed {
        subscription: api.options.bus.subscribe(after, filter),
        sender,
        stall: api.options.stall,
        shutdown: api.options.shutdown.clone(),
        cut_off: Arc::clone(&api.cut_off),
    };
    let opening = if after == wanted { comment("quarterdeck") } else { gap(wanted, after) };
    api.tasks.spawn(async move {
        feed.run(opening).await;
        drop(slot);
    });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, Infallible>)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Feed {
    subscription: Subscription,
    sender: Sender<Bytes>,
    stall: Span,
    shutdown: CancellationToken,
    cut_off: Arc<AtomicU64>,
}

impl Feed {
    async fn run(mut self, opening: Bytes) {
        if !self.send(opening).await {
            return;
        }
        loop {
            let batch = tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = self.sender.closed() => return,
                batch = timeout(HEARTBEAT, self.subscription.next(BATCH)) => batch,
            };
            let frames: Vec<Bytes> = match batch {
                Ok(Ok(batch)) => {
                    let gap = batch.gap.map(|missed| gap(missed.from, missed.to));
                    gap.into_iter().chain(batch.events.iter().map(frame)).collect()
                }
                Ok(Err(error)) => {
                    warn!(%error, "an event stream ended");
                    return;
                }
                Err(_) => vec![comment("")],
            };
            for frame in frames {
                if !self.send(frame).await {
                    return;
                }
            }
        }
    }

    /// False when the stream is over.
    async fn send(&self, frame: Bytes) -> bool {
        let sent = tokio::select! {
            () = self.shutdown.cancelled() => return false,
            sent = timeout(self.stall.as_duration(), self.sender.send(frame)) => sent,
        };
        if sent.is_err() {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
            info!(principal = PRINCIPAL, "a slow event stream was cut off");
        }
        matches!(sent, Ok(Ok(())))
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
            stall: Span::from_secs(20),
            shutdown: shutdown.clone(),
            cut_off: Arc::default(),
        };
        let feed = tokio::spawn(feed.run(comment("quarterdeck")));
        let mut next = async || String::from_utf8(receiver.recv().await.unwrap().to_vec()).unwrap();
        assert_eq!(next().await, ": quarterdeck\n\n");
        let tail = store.tail();
        let expected = format!("id: {tail}\nevent: gap\ndata: {{\"after\":3,\"next\":{tail}}}\n\n");
        assert_eq!(next().await, expected);
        assert!(next().await.starts_with(&format!("id: {}\nevent: custom.a\n", tail.0 + 1)));
        shutdown.cancel();
        feed.await.unwrap();
    }
}
