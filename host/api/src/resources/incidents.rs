//! Incidents: what people work on.

use super::Routes;
use crate::extract::{At, Optional, Params};
use crate::paging::{List, Order, Slice, Slicing, stored};
use crate::precondition::{IfMatch, IfNoneMatch};
use crate::problem::Problem;
use crate::schema::{of, taken};
use crate::{Api, precondition};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use quarterdeck_model::Severity;
use quarterdeck_model::domain::incident::{Incident, IncidentState};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_incidents))
        .routes(routes!(get_incident))
        .routes(routes!(acknowledge_incident))
        .routes(routes!(resolve_incident))
}

/// Incidents, newest first.
#[utoipa::path(get, path = "/incidents", tag = "incidents",
    params(Slicing,
        ("state" = Option<Vec<String>>, Query, description = "`open`, `acknowledged` or `resolved`. Repeatable."),
        ("severity" = Option<String>, Query, description = "`critical`, `high`, `medium`, `low` or `info`.")),
    responses((status = 200, description = "Incidents.", body = ref(of::<List<Incident>>()))))]
async fn list_incidents(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Incident>>, Problem> {
    read(&api, &params).await.map(Json)
}

/// The part of the list that is asked for.
pub(crate) async fn read(api: &Api, params: &Params) -> Result<List<Incident>, Problem> {
    let states = params.words::<IncidentState>("state")?;
    let severity = params.word::<Severity>("severity")?;
    let Json(list) =
        stored(api, Incident::COLLECTION, Order::Newest, Slice::of(params)?, move |incident: &Incident| {
            (states.is_empty() || states.contains(&incident.state))
                && severity.is_none_or(|severity| incident.severity == severity)
        })
        .await?;
    Ok(list)
}

/// One incident with its time line.
#[utoipa::path(get, path = "/incidents/{id}", tag = "incidents",
    params(IfNoneMatch, ("id" = String, Path, description = "`inc_...`")),
    responses((status = 200, description = "The incident.", body = ref(of::<Incident>()))))]
async fn get_incident(
    State(api): State<Arc<Api>>,
    At(id): At<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    precondition::show::<Incident>(&api, &headers, Incident::COLLECTION, &id)
}

/// Says that a person works on it.
#[utoipa::path(post, path = "/incidents/{id}/acknowledge", tag = "incidents",
    params(IfMatch, ("id" = String, Path, description = "`inc_...`")),
    responses((status = 200, description = "The incident as it is now.", body = ref(of::<Incident>()))))]
async fn acknowledge_incident(
    State(api): State<Arc<Api>>,
    At(id): At<String>,
    seen: IfMatch,
) -> Result<Response, Problem> {
    api.options.engines.incidents.acknowledge(&id, seen.asked()).await?;
    precondition::changed::<Incident>(&api, Incident::COLLECTION, &id)
}

/// How it was resolved.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Resolution {
    /// For the time line.
    note: Option<String>,
}

/// Ends it. The body may be left out.
#[utoipa::path(post, path = "/incidents/{id}/resolve", tag = "incidents",
    request_body(content = ref(taken::<Resolution>()), content_type = "application/json"),
    params(IfMatch, ("id" = String, Path, description = "`inc_...`")),
    responses((status = 200, description = "The incident as it is now.", body = ref(of::<Incident>()))))]
async fn resolve_incident(
    State(api): State<Arc<Api>>,
    At(id): At<String>,
    seen: IfMatch,
    Optional(resolution): Optional<Resolution>,
) -> Result<Response, Problem> {
    api.options.engines.incidents.resolve(&id, seen.asked(), resolution.note.as_deref()).await?;
    precondition::changed::<Incident>(&api, Incident::COLLECTION, &id)
}
