//! Who is signed in to the console, and the end of that.

use super::Routes;
use crate::Api;
use crate::console::session::all::{self, Shown};
use crate::extract::{At, Params, bad};
use crate::paging::{List, Slice, Slicing};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_sessions, end_sessions)).routes(routes!(end_session))
}

/// How many sessions were ended.
#[derive(Debug, Serialize, JsonSchema)]
struct Ended {
    ended: u64,
}

/// Browsers that are signed in to the console, by id.
#[utoipa::path(get, path = "/sessions", tag = "host", params(Slicing),
    responses((status = 200, description = "Sessions.", body = ref(of::<List<Shown>>()))))]
async fn list_sessions(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Shown>>, Problem> {
    all::list(&api, Slice::of(&params)?).await.map(Json)
}

/// Ends a session: its browser is signed out.
#[utoipa::path(delete, path = "/sessions/{id}", tag = "host",
    params(("id" = String, Path, description = "As the list has it.")),
    responses((status = 200, description = "It is over.", body = ref(of::<Ended>()))))]
async fn end_session(State(api): State<Arc<Api>>, At(id): At<String>) -> Result<Json<Ended>, Problem> {
    all::end(&api, &id).await?;
    Ok(Json(Ended { ended: 1 }))
}

/// Ends all sessions, or all but one.
#[utoipa::path(delete, path = "/sessions", tag = "host",
    params(("except" = Option<String>, Query, description = "Id of the session that goes on.")),
    responses((status = 200, description = "They are over.", body = ref(of::<Ended>()))))]
async fn end_sessions(State(api): State<Arc<Api>>, params: Params) -> Result<Json<Ended>, Problem> {
    let except = params.text("except")?;
    if except.is_some_and(|id| !all::is_id(id)) {
        return Err(bad("except", "it is not the id of a session; hint: take one that `GET /api/v1/sessions` shows"));
    }
    let ended = all::end_all(&api, except).await?;
    Ok(Json(Ended { ended: super::status::wide(ended) }))
}
