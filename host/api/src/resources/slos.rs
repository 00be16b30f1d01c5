//! Service level objectives, and what was attained.

use super::Routes;
use crate::extract::{At, Params};
use crate::paging::{List, Order, Slice, Slicing, stored};
use crate::precondition::IfNoneMatch;
use crate::problem::Problem;
use crate::schema::of;
use crate::{Api, precondition};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use quarterdeck_model::domain::slo::{SloState, SloStatus};
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_slos)).routes(routes!(get_slo))
}

/// Objectives that were calculated at least once, by name.
#[utoipa::path(get, path = "/slos", tag = "slos",
    params(Slicing, ("state" = Option<String>, Query, description = "`met`, `breached` or `no-data`.")),
    responses((status = 200, description = "Objectives.", body = ref(of::<List<SloStatus>>()))))]
async fn list_slos(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<SloStatus>>, Problem> {
    read(&api, &params).await.map(Json)
}

/// The part of the list that is asked for.
pub(crate) async fn read(api: &Api, params: &Params) -> Result<List<SloStatus>, Problem> {
    let state = params.word::<SloState>("state")?;
    let Json(list) = stored(api, SloStatus::COLLECTION, Order::Id, Slice::of(params)?, move |slo: &SloStatus| {
        state.is_none_or(|state| slo.state == state)
    })
    .await?;
    Ok(list)
}

/// One objective.
#[utoipa::path(get, path = "/slos/{name}", tag = "slos",
    params(IfNoneMatch, ("name" = String, Path, description = "Name in the configuration.")),
    responses((status = 200, description = "The objective.", body = ref(of::<SloStatus>()))))]
async fn get_slo(State(api): State<Arc<Api>>, At(name): At<String>, headers: HeaderMap) -> Result<Response, Problem> {
    precondition::show::<SloStatus>(&api, &headers, SloStatus::COLLECTION, &name)
}
