//! What remote write and OTLP share: a body of samples, taken in within bounds, and what is answered where it can't be stored.

use crate::problem::Problem;
use crate::{Api, intake};
use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use quarterdeck_engines::monitoring::{WriteError, Written};
use quarterdeck_formats::{Batch, Error};
use quarterdeck_model::Span;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

/// Bytes of a body as it is sent.
const PACKED: usize = 16 << 20;
/// Bytes of a body once it is unpacked.
pub(crate) const UNPACKED: usize = 48 << 20;
/// How long a body waits for those that are being stored.
const PATIENCE: Duration = Duration::from_secs(10);

const ROUTES: [&str; 2] = ["/prometheus/api/v1/write", "/otlp/v1/metrics"];

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
}

pub(crate) async fn take_in(api: &Api, request: Request) -> Result<Body<'_>, Problem> {
    let place = timeout(PATIENCE, api.writes.acquire()).await.ok().and_then(Result::ok).ok_or_else(|| {
        Problem::too_fast("too many bodies of samples are being stored; hint: send one after the other")
            .retry_after(Span::from_secs(5))
    })?;
    let request = intake::take_in(request, intake::samples(PACKED)).await?;
    let (parts, bytes) = request.into_parts();
    if bytes.is_empty() {
        return Err(Problem::malformed("there is no body; hint: send samples"));
    }
    Ok(Body { headers: parts.headers, bytes, _place: place })
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
        Err(WriteError::Store(error)) => Err(error.into()),
    }
}
