//! ETags: the revision of a document.

use crate::Api;
use crate::problem::Problem;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use quarterdeck_model::store::Document;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn tag(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// Whether the header names this revision; `None` where there is no such header.
fn names(headers: &HeaderMap, name: &HeaderName, revision: u64) -> Option<bool> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let tag = tag(revision);
    let tags = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    Some(tags.map(str::trim).any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag))
}

/// A document as the answer to a GET, with its ETag; 304 if the client has it already.
pub(crate) fn show<T: Serialize + DeserializeOwned>(
    api: &Api,
    headers: &HeaderMap,
    collection: &str,
    id: &str,
) -> Result<Response, Problem> {
    let document = find(api, collection, id)?;
    let mut response = if names(headers, &IF_NONE_MATCH, document.revision) == Some(true) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(document.decode::<T>()?).into_response()
    };
    label(&mut response, document.revision);
    Ok(response)
}

/// The document as it is now, as the answer to what changed it.
pub(crate) fn changed<T: Serialize + DeserializeOwned>(
    api: &Api,
    collection: &str,
    id: &str,
) -> Result<Response, Problem> {
    show::<T>(api, &HeaderMap::new(), collection, id)
}

/// The document that was created, and where it is found.
pub(crate) fn created<T: Serialize>(api: &Api, collection: &str, id: &str, value: &T) -> Result<Response, Problem> {
    let mut response = (StatusCode::CREATED, Json(value)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/{collection}/{id}")) {
        response.headers_mut().insert(http::header::LOCATION, location);
    }
    if let Some(document) = api.options.store.get(collection, id)? {
        label(&mut response, document.revision);
    }
    Ok(response)
}

/// What a client wants to change must be what it saw, if it says what it saw.
pub(crate) fn check(api: &Api, headers: &HeaderMap, collection: &str, id: &str) -> Result<(), Problem> {
    let document = find(api, collection, id)?;
    match names(headers, &IF_MATCH, document.revision) {
        Some(false) => Err(Problem::precondition_failed(format!(
            "`{id}` is at revision {} by now; hint: read it again and decide again",
            document.revision
        ))),
        _ => Ok(()),
    }
}

fn find(api: &Api, collection: &str, id: &str) -> Result<Document, Problem> {
    // A store refuses malformed ids; here they are merely unknown.
    let found = if id.is_empty() || id.contains('\0') { None } else { api.options.store.get(collection, id)? };
    found.ok_or_else(|| Problem::no_document(collection, id))
}

fn label(response: &mut Response, revision: u64) {
    if let Ok(tag) = HeaderValue::from_str(&tag(revision)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}
