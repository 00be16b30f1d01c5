//! Takes in the body of what changes something: whole, within bounds of size and time, and JSON; or, where the document says so, a
//! component, a form, or samples.

use crate::problem::Problem;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request};
use quarterdeck_model::Span;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Bytes of a component: the host refuses larger ones unread.
pub(crate) const COMPONENT_LIMIT: usize = 64 << 20;
const _: () = assert!(COMPONENT_LIMIT as u64 == quarterdeck_model::plugin::files::MAX_COMPONENT_BYTES);

/// What a body may be.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    limit: usize,
    /// The whole body must be here by then.
    within: Duration,
    content: Content,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Json,
    Component,
    /// Parameters, as a page's form sends them.
    Form,
    /// Whatever the handler makes of it.
    Any,
}

impl Content {
    /// Refuses what says to be something else.
    fn check(self, headers: &HeaderMap) -> Result<(), Problem> {
        if self != Content::Any
            && let Some(encoding) = encoding(headers)
        {
            return Err(Problem::unsupported(format!(
                "the body is encoded as `{encoding}`; hint: send it as it is, without `Content-Encoding`"
            )));
        }
        match self {
            Content::Json if !says_json(headers) => {
                Err(Problem::unsupported("the body must be JSON; hint: send `Content-Type: application/json`"))
            }
            Content::Component if !says_bytes(headers) => Err(Problem::unsupported(
                "the body must be a component; hint: send `Content-Type: application/octet-stream`",
            )),
            Content::Form if essence(headers).as_deref() != Some("application/x-www-form-urlencoded") => {
                Err(Problem::unsupported(
                    "the body must be a form; hint: send `Content-Type: application/x-www-form-urlencoded`",
                ))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) const fn json(limit: usize) -> Expected {
    Expected { limit, within: Duration::from_secs(30), content: Content::Json }
}

pub(crate) const fn form(limit: usize) -> Expected {
    Expected { limit, within: Duration::from_secs(30), content: Content::Form }
}

/// Samples in a format of their own. `limit`: bytes as they are sent.
pub(crate) const fn samples(limit: usize) -> Expected {
    Expected { limit, within: Duration::from_secs(30), content: Content::Any }
}

pub(crate) const COMPONENT: Expected =
    Expected { limit: COMPONENT_LIMIT, within: Duration::from_secs(300), content: Content::Component };

/// Bytes that bodies may have together, from when they arrive until they are done with.
pub(crate) struct Room {
    left: Arc<Semaphore>,
    /// How long a piece of a body waits for others to be done with.
    patience: Duration,
    taken: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(crate) fn new(left: &Arc<Semaphore>, patience: Duration) -> Self {
        Room { left: Arc::clone(left), patience, taken: None }
    }

    async fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        let full = || {
            Problem::unavailable(
                "the bodies that are being taken in leave no room for another; hint: send it again later",
            )
            .retry_after(Span::from_secs(5))
        };
        let bytes = u32::try_from(bytes).map_err(|_| full())?;
        let permit = timeout(self.patience, Arc::clone(&self.left).acquire_many_owned(bytes)).await;
        let permit = permit.ok().and_then(Result::ok).ok_or_else(full)?;
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
        Ok(())
    }
}

pub(crate) async fn take_in(request: Request<Body>, expected: Expected) -> Result<Request<Bytes>, Problem> {
    take_in_within(request, expected, None).await
}

/// The same for a body that shares its room with others. It takes no more of it than has arrived: who sends slowly keeps nobody waiting.
pub(crate) async fn take_in_within(
    request: Request<Body>,
    expected: Expected,
    room: Option<&mut Room>,
) -> Result<Request<Bytes>, Problem> {
    let Expected { limit, within, content } = expected;
    let (parts, body) = request.into_parts();
    // What says that it is too large is not read at all.
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| usize::try_from(announced).is_ok_and(|announced| announced > limit)) {
        return Err(too_large(limit));
    }
    let bytes = match timeout(within, read(body, limit, room)).await {
        Ok(read) => read?,
        Err(_) => return Err(Problem::timed_out(format!("the body did not arrive within {} s", within.as_secs()))),
    };
    if !bytes.is_empty() {
        content.check(&parts.headers)?;
    }
    Ok(Request::from_parts(parts, bytes))
}

async fn read(body: Body, limit: usize, mut room: Option<&mut Room>) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| Problem::malformed(format!("the body can't be read: {error}")))?;
        if bytes.len().saturating_add(chunk.len()) > limit {
            return Err(too_large(limit));
        }
        if let Some(room) = &mut room {
            room.take(chunk.len()).await?;
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn too_large(limit: usize) -> Problem {
    Problem::too_large(format!("the body is larger than {limit} bytes"))
}

fn says_bytes(headers: &HeaderMap) -> bool {
    matches!(essence(headers).as_deref(), Some("application/octet-stream" | "application/wasm"))
}

/// How the body is packed, if it is.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_ENCODING)?.to_str().unwrap_or("something unreadable").trim().to_ascii_lowercase();
    (!value.is_empty() && value != "identity").then_some(value)
}

/// The content type without its parameters.
pub(crate) fn essence(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn says_json(headers: &HeaderMap) -> bool {
    let Some(essence) = essence(headers) else { return false };
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
