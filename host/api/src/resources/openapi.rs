//! The API's own document.

use super::Routes;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(get_openapi))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "host",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)))]
async fn get_openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], crate::document::document().text.as_str()).into_response()
}
