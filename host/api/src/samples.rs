//! What remote write and OTLP share: a body of samples, taken in within bounds, and what is answered where it can't be stored.
//!
//! 429 is the sender's fault, which sends more than its source may; where the host can't keep up it is 503. Both say when to try again.

use crate::intake::Room;
use crate::problem::Problem;
use crate::{Api, intake};
use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use quarterdeck_engines::monitoring::{WriteError, Written};
use quarterdeck_formats::{Batch, Error};
use quarterdeck_model::Span;
use quarterdeck_model::store::StoreError;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Bytes of a body as it is sent.
const PACKED: usize = 16 << 20;
/// Bytes of a body once it is unpacked.
pub(crate) const UNPACKED: usize = 48 << 20;
/// Bodies that are read and stored at once: each may be large once it is unpacked.
const AT_ONCE: usize = 4;
/// Bytes of bodies that arrive, or wait for a place.
const ARRIVING: usize = AT_ONCE * PACKED;
/// How long a body waits for others.
const PATIENCE: Duration = Duration::from_secs(10);

const ROUTES: [&str; 2] = ["/prometheus/api/v1/write", "/otlp/v1/metrics"];

/// What bodies of samples share.
pub(crate) struct Intake {
    places: Semaphore,
    room: Arc<Semaphore>,
    patience: Duration,
}

impl Default for Intake {
    fn default() -> Self {
        Intake { places: Semaphore::new(AT_ONCE), room: Arc::new(Semaphore::new(ARRIVING)), patience: PATIENCE }
    }
}

/// Whether samples are sent there.
pub(crate) fn is_one(route: &str) -> bool {
    ROUTES.contains(&route)
}

/// Sending the same samples again changes nothing, so there are no keys for it.
pub(crate) fn complete(operation: &mut Map<String, Value>) {
    if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
        parameters.retain(|parameter| parameter.get("in") != Some(&Value::from("header")));
    }
    for (status, response) in operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten() {
        if status.starts_with('2')
            && let Some(response) = response.as_object_mut()
        {
            response.remove("headers");
        }
    }
}

/// A body, and a place among those that are stored at once.
pub(crate) struct Body<'a> {
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    _place: SemaphorePermit<'a>,
    _room: Room,
}

/// The place is taken once the whole body is here: nobody holds one by sending slowly.
pub(crate) async fn take_in(shared: &Intake, request: Request) -> Result<Body<'_>, Problem> {
    let mut room = Room::new(&shared.room, shared.patience);
    let request = intake::take_in_within(request, intake::samples(PACKED), Some(&mut room)).await?;
    let (parts, bytes) = request.into_parts();
    if bytes.is_empty() {
        return Err(Problem::malformed("there is no body; hint: send samples"));
    }
    let place = timeout(shared.patience, shared.places.acquire()).await.ok().and_then(Result::ok).ok_or_else(|| {
        busy("too many bodies of samples are being stored; hint: send it again later, and one after the other")
    })?;
    Ok(Body { headers: parts.headers, bytes, _place: place, _room: room })
}

fn busy(why: impl Into<String>) -> Problem {
    Problem::unavailable(why).retry_after(Span::from_secs(5))
}

impl Body<'_> {
    /// How it says to be packed, in lower case; empty where it says nothing.
    pub(crate) fn encoding(&self) -> String {
        let encoding = self.headers.get(http::header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        encoding.unwrap_or_default().trim().to_ascii_lowercase()
    }
}

pub(crate) fn problem(error: &Error) -> Problem {
    match error {
        Error::Malformed(why) => Problem::malformed(why.clone()),
        Error::TooLarge(why) => Problem::too_large(why.clone()),
    }
}

/// Stores a batch of a source. Returns when what was taken is on the disk.
pub(crate) async fn store(api: &Api, source: &str, batch: Batch) -> Result<Written, Problem> {
    match api.options.engines.monitoring.write(source, batch).await {
        Ok(written) => Ok(written),
        Err(WriteError::TooFast { message, after }) => Err(Problem::too_fast(message).retry_after(after)),
        // The disk is behind, whoever sends.
        Err(WriteError::Store(error @ StoreError::Busy { .. })) => Err(busy(error.to_string())),
        Err(WriteError::Store(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &'static [u8]) -> Request {
        Request::new(axum::body::Body::from(body))
    }

    /// Status, and when to try again.
    async fn refused(intake: &Intake) -> (u16, String) {
        let Err(problem) = take_in(intake, request(b"samples")).await else { panic!("it was taken in") };
        let (status, headers, _) = problem.into_parts();
        (status.as_u16(), headers.get("retry-after").unwrap().to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn where_the_host_is_behind_it_says_so_and_when_to_try_again() {
        let intake = Intake { patience: Duration::from_millis(20), ..Intake::default() };
        let places = intake.places.acquire_many(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
        assert_eq!(refused(&intake).await, (503, "5".to_owned()));
        assert_eq!(intake.room.available_permits(), ARRIVING, "what is refused takes up no room");
        drop(places);
        let room = intake.room.acquire_many(u32::try_from(ARRIVING - 6).unwrap()).await.unwrap();
        assert_eq!(refused(&intake).await, (503, "5".to_owned()));
        drop(room);
        let body = take_in(&intake, request(b"samples")).await.unwrap();
        assert_eq!((intake.places.available_permits(), intake.room.available_permits()), (AT_ONCE - 1, ARRIVING - 7));
        drop(body);
        assert_eq!((intake.places.available_permits(), intake.room.available_permits()), (AT_ONCE, ARRIVING));
    }
}
