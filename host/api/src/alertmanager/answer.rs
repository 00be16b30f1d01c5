//! Failures: a status, and a text in JSON. And what handlers take, with failures of that form.

use crate::Api;
use crate::extract::{At, Body, Params};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// What went wrong, as Alertmanager says it: a text.
#[derive(Debug, Serialize, JsonSchema)]
struct AlertmanagerFailure(String);

#[derive(Debug)]
pub(crate) struct Failure {
    code: StatusCode,
    headers: Box<HeaderMap>,
    text: String,
}

impl Failure {
    pub(super) fn new(code: StatusCode, text: impl ToString) -> Self {
        Failure { code, headers: Box::default(), text: text.to_string() }
    }

    pub(super) fn bad(text: impl ToString) -> Self {
        Failure::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn not_found(text: impl ToString) -> Self {
        Failure::new(StatusCode::NOT_FOUND, text)
    }

    /// Reference of the schema in the API's document.
    pub(crate) fn reference() -> String {
        of::<AlertmanagerFailure>()
    }
}

/// What every request passes on its way, and what engines say, knows problems only.
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let (code, headers, text) = problem.into_parts();
        // Alertmanager knows no other word for a body that makes no sense.
        let code = if code == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { code };
        Failure { code, headers: Box::new(headers), text }
    }
}

impl From<quarterdeck_engines::Error> for Failure {
    fn from(error: quarterdeck_engines::Error) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if self.code.is_server_error() {
            tracing::warn!(status = self.code.as_u16(), error = self.text, "request failed");
        }
        let mut response = (self.code, Json(AlertmanagerFailure(self.text))).into_response();
        response.headers_mut().extend(*self.headers);
        response
    }
}

/// A JSON body.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Sent<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Failure> {
        let Body(value) = Body::<T>::from_request(request, api).await?;
        Ok(Sent(value))
    }
}

/// The parameters of the URL.
pub(super) struct Parameters(pub(super) Params);

impl FromRequestParts<Arc<Api>> for Parameters {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Failure> {
        Ok(Parameters(Params::from_request_parts(parts, api).await?))
    }
}

impl Parameters {
    /// True unless it is said otherwise.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.0.many(name).next() {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(Failure::bad(format!("{name} in query must be of type boolean: {other:?}"))),
        }
    }
}

/// A part of the path.
pub(super) struct Named(pub(super) String);

impl FromRequestParts<Arc<Api>> for Named {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Failure> {
        let At(name) = At::<String>::from_request_parts(parts, api).await?;
        Ok(Named(name))
    }
}
