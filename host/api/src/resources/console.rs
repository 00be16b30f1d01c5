//! Links that sign in to the console.

use super::Routes;
use crate::Api;
use crate::console::session;
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use quarterdeck_model::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(create_console_link))
}

/// A link that signs in once.
#[derive(Debug, Serialize, JsonSchema)]
struct ConsoleLink {
    /// Path and query, to be put behind the address under which this host was asked.
    path: String,
    /// It is good until then, or until it is used.
    expires_at: Timestamp,
}

/// Makes a link that signs a browser in to the console, once and within ten minutes.
#[utoipa::path(post, path = "/console/links", tag = "host",
    responses((status = 201, description = "The link.", body = ref(of::<ConsoleLink>()))))]
async fn create_console_link(State(api): State<Arc<Api>>) -> Result<(StatusCode, Json<ConsoleLink>), Problem> {
    let expires_at = api.now().plus(session::LINK);
    Ok((StatusCode::CREATED, Json(ConsoleLink { path: api.console_link()?, expires_at })))
}
