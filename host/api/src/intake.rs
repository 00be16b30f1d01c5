//! Takes in the body of what changes something: whole, within bounds of size and time, and JSON.

use crate::problem::Problem;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request};
use std::time::Duration;
use tokio::time::timeout;

/// The whole body must be here by then.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn take_in(request: Request<Body>, limit: usize) -> Result<Request<Bytes>, Problem> {
    let (parts, body) = request.into_parts();
    // What says that it is too large is not read at all.
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| usize::try_from(announced).is_ok_and(|announced| announced > limit)) {
        return Err(too_large(limit));
    }
    let bytes = match timeout(WITHIN, read(body, limit)).await {
        Ok(read) => read?,
        Err(_) => return Err(Problem::timed_out(format!("the body did not arrive within {} s", WITHIN.as_secs()))),
    };
    if !bytes.is_empty() && !is_json(&parts.headers) {
        return Err(Problem::unsupported("the body must be JSON; hint: send `Content-Type: application/json`"));
    }
    Ok(Request::from_parts(parts, bytes))
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| Problem::malformed(format!("the body can't be read: {error}")))?;
        if bytes.len().saturating_add(chunk.len()) > limit {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn too_large(limit: usize) -> Problem {
    Problem::too_large(format!("the body is larger than {limit} bytes"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
