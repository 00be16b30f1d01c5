//! ETags: the revision of a document.

use crate::Api;
use crate::problem::Problem;
use crate::resources::PRINCIPAL;
use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use quarterdeck_engines::Asked;
use quarterdeck_model::plugin::files::Seen;
use quarterdeck_model::store::{Document, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

fn tag(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// Parameter of what shows a document, for the document of the API.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the derive")]
pub(crate) struct IfNoneMatch {
    /// ETag of what the client has already.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// What a client saw of the document that it wants to change, if it says so. It goes with the order to the engine, which makes
/// the change to that revision or not at all.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IfMatch {
    /// ETag of the document as it was seen. If it has changed since, nothing is done.
    #[param(rename = "If-Match", value_type = Option<String>)]
    seen: Option<Vec<u64>>,
}

impl IfMatch {
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { principal: PRINCIPAL, seen: self.seen.as_deref() }
    }

    fn read(headers: &HeaderMap) -> Self {
        let tags = strong_tags(headers).filter(|tags| !tags.contains(&"*"));
        IfMatch { seen: tags.map(|tags| tags.into_iter().filter_map(|tag| tag.parse().ok()).collect()) }
    }
}

impl FromRequestParts<Arc<Api>> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        Ok(IfMatch::read(&parts.headers))
    }
}

/// Whether the client has this revision already.
fn has(headers: &HeaderMap, revision: u64) -> bool {
    let tag = tag(revision);
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
}

/// The tags of `If-Match` without their quotes, and `*`; `None` without the header. Tags are compared strongly here: a weak one, or what
/// is none, is never that of anything.
fn strong_tags(headers: &HeaderMap) -> Option<Vec<&str>> {
    let mut values = headers.get_all(IF_MATCH).iter().peekable();
    values.peek()?;
    let given = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim);
    Some(given.filter_map(strong).collect())
}

fn strong(tag: &str) -> Option<&str> {
    if tag == "*" { Some(tag) } else { tag.strip_prefix('"')?.strip_suffix('"') }
}

/// What a client saw of something that has no document, if it says so.
pub(crate) fn seen(headers: &HeaderMap) -> Seen {
    match strong_tags(headers) {
        None => Seen::Any,
        Some(tags) => Seen::Tags(tags.into_iter().map(str::to_owned).collect()),
    }
}

/// The same for what may make something new, which a client can ask for as well.
pub(crate) fn put_over(headers: &HeaderMap) -> Result<Seen, Problem> {
    let given: Vec<&HeaderValue> = headers.get_all(IF_NONE_MATCH).iter().collect();
    match given.as_slice() {
        [] => Ok(seen(headers)),
        [only] if only.as_bytes().trim_ascii() != b"*" => Err(only_a_star()),
        [_] if headers.contains_key(IF_MATCH) => Err(Problem::malformed(
            "`If-Match` and `If-None-Match` can't both hold; hint: send `If-None-Match: *` for what is to be new, `If-Match` for what is to be replaced",
        )),
        [_] => Ok(Seen::Nothing),
        _ => Err(only_a_star()),
    }
}

fn only_a_star() -> Problem {
    Problem::malformed(
        "`If-None-Match` takes nothing but `*` here: only if there is nothing of that name; hint: send `If-Match` with the ETag of what is to be replaced",
    )
}

/// Something with a tag of its own as an answer; 304 if the client has it already.
pub(crate) fn tagged<T: Serialize>(headers: &HeaderMap, status: StatusCode, tag: &str, value: &T) -> Response {
    let mut known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let quoted = format!("\"{tag}\"");
    let is_it = |given: &str| given == "*" || given.strip_prefix("W/").unwrap_or(given) == quoted;
    let mut response = if known.any(|value| value.split(',').map(str::trim).any(is_it)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        (status, Json(value)).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&quoted) {
        response.headers_mut().insert(ETAG, tag);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A document as the answer to a GET, with its ETag; 304 if the client has it already.
pub(crate) fn show<T: Serialize + DeserializeOwned>(
    api: &Api,
    headers: &HeaderMap,
    collection: &str,
    id: &str,
) -> Result<Response, Problem> {
    let document = find(api, collection, id)?;
    let mut response = if has(headers, document.revision) {
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

/// The document as it is; a problem where there is none.
pub(crate) fn find(api: &Api, collection: &str, id: &str) -> Result<Document, Problem> {
    let found = match api.options.store.get(collection, id) {
        // A store refuses malformed ids and those that are too long; here they are merely unknown.
        Err(StoreError::Invalid(_)) => None,
        found => found?,
    };
    found.ok_or_else(|| Problem::no_document(collection, id))
}

fn label(response: &mut Response, revision: u64) {
    if let Ok(tag) = HeaderValue::from_str(&tag(revision)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_read_from_tags_and_only_strong_ones_count() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(IF_MATCH, HeaderValue::from_static(value));
            IfMatch::read(&headers).seen
        };
        assert_eq!(IfMatch::read(&HeaderMap::new()).seen, None);
        assert_eq!(read("*"), None);
        assert_eq!(read("\"3\", \"4\""), Some(vec![3, 4]));
        for nothing in ["W/\"3\"", "3", "\"x\"", ""] {
            assert_eq!(read(nothing), Some(Vec::new()), "{nothing}");
        }
    }

    #[test]
    fn tags_of_what_is_no_document_are_compared_as_strongly() {
        let read = |name, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_static(value));
            put_over(&headers).map_err(|problem| problem.status)
        };
        let tags = |tags: &[&str]| Ok(Seen::Tags(tags.iter().map(|tag| (*tag).to_owned()).collect()));
        assert_eq!(put_over(&HeaderMap::new()).ok(), Some(Seen::Any));
        assert_eq!(read(IF_MATCH, "\"3\", *"), tags(&["3", "*"]));
        for nothing in ["W/\"3\"", "3", ""] {
            assert_eq!(read(IF_MATCH, nothing), tags(&[]), "{nothing}");
        }
        assert_eq!(read(IF_NONE_MATCH, "*"), Ok(Seen::Nothing));
        assert_eq!(read(IF_NONE_MATCH, "\"3\""), Err(400));
    }
}
