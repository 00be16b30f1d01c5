//! Every error is a problem document (RFC 9457). `type` says which kind it is; `detail` says what happened this time.

use crate::schema::of;
use crate::unreadable::HINT;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use quarterdeck_model::Span;
use quarterdeck_model::plugin::CallError;
use quarterdeck_model::store::StoreError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, as the client gets it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Stable name of the kind of problem, `urn:quarterdeck:problem:<name>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words; always the same for one `type`.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time. Where the caller can mend it, it ends with `hint: ...`.
    pub detail: String,
    /// Single mistakes in the request or the configuration, where there are several to tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Mistake>,
    #[serde(skip)]
    #[schemars(skip)]
    headers: Option<Box<HeaderMap>>,
}

/// One mistake in what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mistake {
    /// Where: a path into the body (`steps[0].name`), the name of a parameter, or a JSON pointer into the configuration
    /// (`/rules/cpu-high/every`). Empty: the whole.
    pub path: String,
    pub detail: String,
}

/// Each kind once: name, status, title.
macro_rules! kinds {
    ($($(#[$doc:meta])* $function:ident $name:literal $status:ident $title:literal;)*) => {
        impl Problem {
            $($(#[$doc])* pub(crate) fn $function(detail: impl Into<String>) -> Self {
                Problem::new($name, StatusCode::$status, $title, detail.into())
            })*
        }
    };
}

kinds! {
    malformed "malformed-request" BAD_REQUEST "The request can't be read";
    unauthorized "unauthorized" UNAUTHORIZED "A token is needed";
    forbidden "forbidden" FORBIDDEN "The request is not allowed";
    not_found "not-found" NOT_FOUND "There is no such thing";
    method_not_allowed "method-not-allowed" METHOD_NOT_ALLOWED "The method is not allowed here";
    timed_out "request-timeout" REQUEST_TIMEOUT "The request took too long to arrive";
    conflict "conflict" CONFLICT "The request does not fit the present state";
    precondition_failed "precondition-failed" PRECONDITION_FAILED "The document is not as the request says";
    too_large "too-large" PAYLOAD_TOO_LARGE "The body is too large";
    unsupported "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "The content type is not supported";
    invalid "invalid" UNPROCESSABLE_ENTITY "The request is not valid";
    key_reused "idempotency-key-reused" UNPROCESSABLE_ENTITY "The idempotency key was used for another request";
    too_fast "too-many-requests" TOO_MANY_REQUESTS "Too many requests";
    internal "internal" INTERNAL_SERVER_ERROR "The host made a mistake";
    corrupt "corrupt-data" INTERNAL_SERVER_ERROR "Stored data can't be read";
    plugin_failed "plugin-failed" BAD_GATEWAY "A plugin failed";
    unavailable "unavailable" SERVICE_UNAVAILABLE "The host can't do this now";
    plugin_late "plugin-timeout" GATEWAY_TIMEOUT "A plugin took too long";
    disk_full "disk-full" INSUFFICIENT_STORAGE "The disk is full";
}

impl Problem {
    fn new(name: &str, status: StatusCode, title: &str, detail: String) -> Self {
        let problem = Problem {
            kind: format!("urn:quarterdeck:problem:{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
            errors: Vec::new(),
            headers: None,
        };
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(r#"Bearer realm="quarterdeck""#);
            return problem.header(WWW_AUTHENTICATE, challenge);
        }
        problem
    }

    pub(crate) fn mistake(mut self, path: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(Mistake { path: path.into(), detail: detail.into() });
        self
    }

    /// When the caller may try again; at least a second, since the header has no finer unit.
    pub(crate) fn retry_after(self, span: Span) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(span.as_millis().div_ceil(1000).max(1)))
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().insert(name, value);
        self
    }

    /// Status, headers and what happened: for what answers in another form.
    pub(crate) fn into_parts(self) -> (StatusCode, HeaderMap, String) {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, self.headers.map(|headers| *headers).unwrap_or_default(), self.detail)
    }

    /// No document of this id in this collection.
    pub(crate) fn no_document(collection: &str, id: &str) -> Self {
        Problem::not_found(format!(
            "there is no `{id}` in `{collection}`; hint: list `{collection}` to see what there is"
        ))
    }

    /// Reference of the problem's schema in the API's document.
    pub(crate) fn reference() -> String {
        of::<Problem>()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Conflict { .. } => Problem::conflict(format!("{detail}; hint: read it again and try again")),
            StoreError::DiskFull { .. } => Problem::disk_full(detail),
            StoreError::Invalid(_) => Problem::invalid(detail),
            StoreError::Corrupt(_) => Problem::corrupt(format!("{detail}; hint: {HINT}")),
            StoreError::Busy { .. } => Problem::too_fast(detail).retry_after(Span::from_secs(5)),
            StoreError::TooManySeries { .. } | StoreError::TooManyPoints { .. } => Problem::invalid(detail),
            StoreError::Io(_) | StoreError::Closed | StoreError::Stopped => Problem::unavailable(detail),
        }
    }
}

impl From<quarterdeck_engines::Error> for Problem {
    fn from(error: quarterdeck_engines::Error) -> Self {
        use quarterdeck_engines::Error;
        let detail = error.to_string();
        match error {
            Error::NotFound { .. } => Problem::not_found(detail),
            Error::Conflict { .. } => Problem::conflict(detail),
            Error::Changed { .. } => Problem::precondition_failed(detail),
            Error::Invalid { .. } => Problem::invalid(detail),
            Error::Store(error) => error.into(),
            Error::Call(failed) => failed.error.into(),
        }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let detail = error.to_string();
        match error {
            CallError::Rejected { .. } => Problem::invalid(detail),
            CallError::Deadline { .. } => Problem::plugin_late(detail),
            CallError::Unavailable { .. } | CallError::Cancelled => Problem::unavailable(detail),
            CallError::Retry { after, .. } => {
                let problem = Problem::plugin_failed(detail);
                match after {
                    Some(after) => problem.retry_after(after),
                    None => problem,
                }
            }
            _ => Problem::plugin_failed(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(status = self.status, kind = %self.kind, detail = %self.detail, "request failed");
        }
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = self.headers.as_deref().cloned().unwrap_or_default();
        // For what tells it in another form.
        response.extensions_mut().insert(self);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response
    }
}
