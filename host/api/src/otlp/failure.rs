//! What is answered where metrics can't be taken: a `google.rpc.Status`, encoded as the request is. Exporters decide by the HTTP status:
//! what is 429 or 503 is sent again, not before `Retry-After`, and anything else is dropped.

use super::PROTOBUF;
use crate::intake;
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use quarterdeck_formats::otlp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Seconds, where nothing is known of when it may work.
const LATER: u16 = 5;

/// How a request is encoded, and with it what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    /// Also what says to be neither: it can be read as it stands.
    Json,
}

impl Encoding {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match intake::essence(headers).as_deref() {
            Some(PROTOBUF) => Encoding::Protobuf,
            _ => Encoding::Json,
        }
    }
}

/// What went wrong, as `google.rpc.Status`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OtlpStatus")]
pub(crate) struct Failure {
    /// A code of gRPC.
    code: u32,
    message: String,
    #[serde(skip)]
    #[schemars(skip)]
    status: StatusCode,
    #[serde(skip)]
    #[schemars(skip)]
    encoding: Encoding,
    #[serde(skip)]
    #[schemars(skip)]
    headers: Box<HeaderMap>,
}

impl Failure {
    pub(crate) fn of(problem: Problem, encoding: Encoding) -> Self {
        let (status, mut headers, message) = problem.into_parts();
        let (status, code) = match status {
            StatusCode::TOO_MANY_REQUESTS => (status, 8),
            // It was too slow, or the host is: either may be otherwise the next time. So may a disk have room again.
            StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => {
                (StatusCode::SERVICE_UNAVAILABLE, 14)
            }
            StatusCode::UNAUTHORIZED => (status, 16),
            StatusCode::FORBIDDEN => (status, 7),
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE => (status, 3),
            // A defect, which the same request would meet again.
            status if status.is_server_error() => (status, 13),
            _ => (StatusCode::BAD_REQUEST, 3),
        };
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.entry(RETRY_AFTER).or_insert_with(|| HeaderValue::from(LATER));
        }
        Failure { code, message, status, encoding, headers: Box::new(headers) }
    }

    /// Reference of the schema in the API's document.
    pub(crate) fn reference() -> String {
        of::<Failure>()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(status = self.status.as_u16(), error = self.message, "metrics were not taken");
        }
        let mut response = match self.encoding {
            Encoding::Json => (self.status, Json(&self)).into_response(),
            Encoding::Protobuf => {
                let body = otlp::status(self.code, &self.message);
                (self.status, [(CONTENT_TYPE, PROTOBUF)], body).into_response()
            }
        };
        response.headers_mut().extend(*self.headers);
        response
    }
}

/// Failures in the OpenAPI document.
pub(crate) fn failures(operation: &mut Map<String, Value>) {
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    let mut add = |status: &str, why: &str| {
        let response = responses.entry(status).or_insert_with(|| json!({"description": why}));
        if let Some(response) = response.as_object_mut() {
            let content = json!({
                "application/json": {"schema": {"$ref": Failure::reference()}},
                PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
            });
            response.insert("content".to_owned(), content);
        }
    };
    add("default", "What went wrong, as `google.rpc.Status`.");
    add("401", "The token is needed, or is not this host's.");
    add("429", "The source sends more than it may.");
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::Span;

    #[test]
    fn only_what_may_work_later_is_to_be_sent_again() {
        let later = |problem: Problem| problem.retry_after(Span::from_secs(7));
        for (problem, status, code, after) in [
            (later(Problem::too_fast("")), 429, 8, Some("7")),
            (later(Problem::unavailable("")), 503, 14, Some("7")),
            (Problem::too_fast(""), 429, 8, Some("5")),
            (Problem::timed_out(""), 503, 14, Some("5")),
            (Problem::disk_full(""), 503, 14, Some("5")),
            (Problem::internal(""), 500, 13, None),
            (Problem::malformed(""), 400, 3, None),
            (Problem::invalid(""), 400, 3, None),
            (Problem::too_large(""), 413, 3, None),
            (Problem::unauthorized(""), 401, 16, None),
        ] {
            let failure = Failure::of(problem, Encoding::Json);
            let given = failure.headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!((failure.status.as_u16(), failure.code, given), (status, code, after));
        }
    }
}
