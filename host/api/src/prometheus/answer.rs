//! `{"status": "success", "data": ...}`, and what is answered instead when something goes wrong.

use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use quarterdeck_model::store::StoreError;
use schemars::JsonSchema;
use serde::Serialize;

/// What a handler gives that makes no matter of its JSON.
pub(super) type Answered<T> = Result<Success<T>, Failure>;

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Fine {
    Success,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Failed {
    Error,
}

/// An answer in Prometheus's form.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Prometheus{T}")]
pub(super) struct Success<T> {
    status: Fine,
    data: T,
    /// What is wrong with the data or the query, though there is an answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What may be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    infos: Vec<String>,
}

impl<T> Success<T> {
    pub(super) fn of(data: T) -> Self {
        Success { status: Fine::Success, data, warnings: Vec::new(), infos: Vec::new() }
    }

    /// With the warning that a limit left something out.
    pub(super) fn truncated(mut self, truncated: bool) -> Self {
        self.warnings.extend(truncated.then(|| TRUNCATED.to_owned()));
        self
    }
}

/// Prometheus's words.
pub(super) const TRUNCATED: &str = "results truncated due to limit";

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum Kind {
    /// The request is at fault.
    BadData,
    /// The query can't be evaluated over this data, or within its bound of samples.
    Execution,
    Timeout,
    Canceled,
    NotFound,
    Unavailable,
    Internal,
}

/// What went wrong, in Prometheus's form.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PrometheusFailure")]
pub(crate) struct Failure {
    status: Failed,
    #[serde(rename = "errorType")]
    kind: Kind,
    error: String,
    #[serde(skip)]
    #[schemars(skip)]
    code: StatusCode,
    #[serde(skip)]
    #[schemars(skip)]
    headers: Box<HeaderMap>,
}

impl Failure {
    pub(super) fn new(kind: Kind, error: impl Into<String>) -> Self {
        let code = match kind {
            Kind::BadData => StatusCode::BAD_REQUEST,
            Kind::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Timeout | Kind::Canceled | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure { status: Failed::Error, kind, error: error.into(), code, headers: Box::default() }
    }

    pub(super) fn bad(error: impl Into<String>) -> Self {
        Failure::new(Kind::BadData, error)
    }

    /// A parameter that does not fit, in Prometheus's words.
    pub(super) fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Failure::bad(format!("invalid parameter {name:?}: {why}"))
    }

    /// What went wrong, for people.
    pub(crate) fn said(&self) -> &str {
        &self.error
    }

    /// Reference of the schema in the API's document.
    pub(crate) fn reference() -> String {
        of::<Failure>()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::TooManyPoints { .. } => {
                // Prometheus's words, and ours behind them.
                let known = "query processing would load too many samples into memory in query execution";
                return Failure::new(Kind::Execution, format!("{known}: {error}"));
            }
            StoreError::Invalid(_) => Kind::BadData,
            StoreError::Stopped => Kind::Canceled,
            StoreError::Io(_) | StoreError::Closed | StoreError::Busy { .. } => Kind::Unavailable,
            _ => Kind::Internal,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<quarterdeck_promql::Error> for Failure {
    fn from(error: quarterdeck_promql::Error) -> Self {
        use quarterdeck_promql::Error;
        match error {
            Error::Parse(why) => Failure::parameter("query", format!("parse error: {why}")),
            Error::Evaluation(why) => Failure::new(Kind::Execution, why),
            Error::Store(error) => error.into(),
        }
    }
}

/// What every request passes on its way knows problems only.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let (code, headers, detail) = problem.into_parts();
        let kind = match code {
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::SERVICE_UNAVAILABLE => Kind::Unavailable,
            code if code.is_server_error() => Kind::Internal,
            _ => Kind::BadData,
        };
        Failure { code, headers: Box::new(headers), ..Failure::new(kind, detail) }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if self.code.is_server_error() {
            tracing::warn!(status = self.code.as_u16(), kind = ?self.kind, error = self.error, "query failed");
        }
        let mut response = (self.code, Json(&self)).into_response();
        response.headers_mut().extend(*self.headers);
        response
    }
}
