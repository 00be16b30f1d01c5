//! `Idempotency-Key`: a request sent again with the same key gives the same answer and does nothing.
//!
//! The key is written down before the request is carried out, and the answer after it. A key that was left without an answer
//! belongs to a request that the host's end interrupted: whether it was done isn't known, and the client is told so.

use crate::Api;
use crate::paging::blocking;
use crate::problem::Problem;
use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Request, StatusCode};
use quarterdeck_model::store::{Document, Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

pub(crate) const COLLECTION: &str = "idempotency";
static KEY: HeaderName = HeaderName::from_static("idempotency-key");
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// How long an answer is kept.
const KEPT: Span = Span::from_secs(86_400);
const SWEEP: Span = Span::from_secs(3600);
/// Records that are read, and may go, in one step. Each may hold an answer.
const SWEPT_AT_ONCE: usize = 50;
/// An answer is one document of the API, or a short list.
const ANSWER: usize = 64 << 20;
/// With room for base64 in a document of the store.
const KEPT_BODY: usize = 512 << 10;
/// There is one token, hence one principal.
const PRINCIPAL: &str = "operator";

#[derive(Default)]
pub(crate) struct Keys(Mutex<State>);

#[derive(Default)]
struct State {
    in_flight: HashSet<String>,
    swept: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    at: Timestamp,
    /// Of method, path, query and body.
    hash: String,
    /// Absent until the request is done.
    answer: Option<Answer>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    /// Base64. Absent: it was too large to be kept.
    body: Option<String>,
}

/// Holds a key while its request is carried out.
struct Claim<'a> {
    keys: &'a Keys,
    id: &'a str,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).in_flight.remove(self.id);
    }
}

impl Keys {
    fn claim<'a>(&'a self, id: &'a str) -> Option<Claim<'a>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Not `then_some`: a claim that is made and dropped would free the key of another.
        state.in_flight.insert(id.to_owned()).then(|| Claim { keys: self, id })
    }

    fn sweep_is_due(&self, now: Timestamp) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = state.swept.is_none_or(|swept| now.since(swept) >= SWEEP);
        if due {
            state.swept = Some(now);
        }
        due
    }
}

/// Carries the request out by `run`, once per key.
pub(crate) async fn once<F>(
    api: &Arc<Api>,
    request: Request<Bytes>,
    run: impl FnOnce(Request<Bytes>) -> F,
) -> Result<Response, Problem>
where
    F: Future<Output = Response>,
{
    let Some(key) = key(request.headers())? else { return Ok(run(request).await) };
    let id = format!("{PRINCIPAL}/{key}");
    let hash = hash(&request);
    let Some(_claim) = api.idempotency.claim(&id) else {
        return Err(Problem::conflict(
            "a request with this idempotency key is being carried out; hint: try again soon",
        )
        .retry_after(Span::from_secs(1)));
    };
    let store = &api.options.store;
    let now = api.now();
    let mut expected = Expected::Absent;
    if let Some(found) = store.get(COLLECTION, &id)? {
        let record: Record = found.decode()?;
        if now.since(record.at) < KEPT {
            // A reader sees what a power cut may still take back, and so what would be told twice need not be true.
            store.settled().await?;
            return replay(record, &hash);
        }
        expected = Expected::Revision(found.revision);
    }
    let mut record = Record { at: now, hash, answer: None };
    let revision = put(api, &id, expected, &record).await?;
    let response = run(request).await;
    if !response.status().is_success() {
        // Nothing was done: the key is free for another attempt.
        let free = Transition::new().delete(COLLECTION, &id, Expected::Revision(revision));
        if let Err(error) = store.commit(free).await {
            warn!(id, %error, "an idempotency key could not be freed");
        }
        return Ok(response);
    }
    let (answer, response) = keep(response).await?;
    record.answer = Some(answer);
    // It is done, so the client hears that, whatever becomes of the record.
    if let Err(problem) = put(api, &id, Expected::Revision(revision), &record).await {
        warn!(id, problem = problem.detail, "the answer to a request with an idempotency key could not be kept");
    } else if api.idempotency.sweep_is_due(now) {
        // Beside the request: its client has nothing to do with it.
        let shared = Arc::clone(api);
        api.tasks.spawn(async move {
            tokio::select! {
                () = shared.options.shutdown.cancelled() => {}
                swept = sweep(&shared, now) => if let Err(problem) = swept {
                    warn!(problem = problem.detail, "old idempotency keys could not be removed");
                }
            }
        });
    }
    Ok(response)
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(&KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(key) if values.next().is_none() && (1..=255).contains(&key.len()) => Ok(Some(key)),
        _ => {
            Err(Problem::malformed("the header `Idempotency-Key` must be given once, with 1 to 255 visible characters"))
        }
    }
}

fn hash(request: &Request<Bytes>) -> String {
    let mut hash = Sha256::new();
    hash.update(request.method().as_str());
    hash.update([0]);
    hash.update(request.uri().path_and_query().map_or("/", |path| path.as_str()));
    hash.update([0]);
    hash.update(request.body());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn put(api: &Api, id: &str, expected: Expected, record: &Record) -> Result<u64, Problem> {
    let value = serde_json::to_value(record).map_err(|error| Problem::internal(error.to_string()))?;
    let committed = api.options.store.commit(Transition::new().put(COLLECTION, id, expected, value)).await?;
    Ok(committed.revisions.first().copied().unwrap_or_default())
}

fn replay(record: Record, hash: &str) -> Result<Response, Problem> {
    if record.hash != hash {
        return Err(Problem::key_reused(
            "the idempotency key stands for another request, with another method, path, query or body; hint: use a new key for each request, and the same \
             key only to send one again",
        ));
    }
    let Some(answer) = record.answer else {
        return Err(Problem::conflict(
            "the host was stopped while it carried out the request with this key, so it isn't known whether it was done; \
             hint: look whether it was, and send it with another key if not",
        ));
    };
    let Some(body) = answer.body else {
        return Err(Problem::conflict(
            "the request with this key was carried out, but its answer was too large to be kept; hint: read anew what it changed",
        ));
    };
    let body = STANDARD.decode(&body).map_err(|error| Problem::corrupt(error.to_string()))?;
    let mut response = (StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK), body).into_response();
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(&REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

async fn keep(response: Response) -> Result<(Answer, Response), Problem> {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, ANSWER).await.map_err(|error| Problem::internal(error.to_string()))?;
    let headers = [CONTENT_TYPE, ETAG, LOCATION]
        .iter()
        .filter_map(|name| Some((name.to_string(), parts.headers.get(name)?.to_str().ok()?.to_owned())))
        .collect();
    let answer = Answer {
        status: parts.status.as_u16(),
        headers,
        body: (bytes.len() <= KEPT_BODY).then(|| STANDARD.encode(&bytes)),
    };
    Ok((answer, Response::from_parts(parts, Body::from(bytes))))
}

/// Removes what is older than it has to be kept, page by page: all of it at once may be more than a record holds.
async fn sweep(api: &Api, now: Timestamp) -> Result<(), Problem> {
    let mut page = Page { limit: SWEPT_AT_ONCE, ..Page::all() };
    loop {
        let (store, asked) = (Arc::clone(&api.options.store), page.clone());
        let (last, old) = blocking(move || {
            let documents = store.list(COLLECTION, &asked)?;
            let old =
                |document: &Document| document.decode::<Record>().map_or(true, |record| now.since(record.at) >= KEPT);
            let transition =
                documents.iter().filter(|document| old(document)).fold(Transition::new(), |all, document| {
                    all.delete(COLLECTION, &document.id, Expected::Revision(document.revision))
                });
            Ok((documents.last().map(|last| last.id.clone()), transition))
        })
        .await?;
        let Some(last) = last else { return Ok(()) };
        page.after = Some(last);
        if old.is_empty() {
            continue;
        }
        match api.options.store.commit(old).await {
            // One of them was claimed anew: the others of its page go the next time.
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
