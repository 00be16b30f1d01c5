//! Deployments: a new revision of a service, brought in step by step.

use super::{PRINCIPAL, Routes};
use crate::extract::{At, Body, Optional, Params};
use crate::paging::{List, Order, Slice, Slicing, stored};
use crate::precondition::{IfMatch, IfNoneMatch};
use crate::problem::Problem;
use crate::schema::{of, taken};
use crate::{Api, precondition};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use quarterdeck_engines::deployments::StartDeployment;
use quarterdeck_model::domain::deployment::{Deployment, DeploymentState};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_deployments, start_deployment))
        .routes(routes!(get_deployment))
        .routes(routes!(promote_deployment))
        .routes(routes!(abort_deployment))
}

/// What to deploy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewDeployment {
    service: String,
    /// What the deployment target understands as one: a version, a digest, a path.
    revision: String,
}

/// Deployments, newest first.
#[utoipa::path(get, path = "/deployments", tag = "deployments",
    params(Slicing,
        ("service" = Option<String>, Query, description = "Name of the service."),
        ("state" = Option<Vec<String>>, Query, description = "`progressing`, `paused`, `rolling-back`, `succeeded`, `rolled-back` or `failed`. Repeatable.")),
    responses((status = 200, description = "Deployments.", body = ref(of::<List<Deployment>>()))))]
async fn list_deployments(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Deployment>>, Problem> {
    read(&api, &params).await.map(Json)
}

/// The part of the list that is asked for.
pub(crate) async fn read(api: &Api, params: &Params) -> Result<List<Deployment>, Problem> {
    let service = params.text("service")?.map(str::to_owned);
    let states = params.words::<DeploymentState>("state")?;
    let Json(list) =
        stored(api, Deployment::COLLECTION, Order::Newest, Slice::of(params)?, move |deployment: &Deployment| {
            service.as_ref().is_none_or(|service| deployment.service == *service)
                && (states.is_empty() || states.contains(&deployment.state))
        })
        .await?;
    Ok(list)
}

/// One deployment with its moves.
#[utoipa::path(get, path = "/deployments/{id}", tag = "deployments",
    params(IfNoneMatch, ("id" = String, Path, description = "`dep_...`")),
    responses((status = 200, description = "The deployment.", body = ref(of::<Deployment>()))))]
async fn get_deployment(
    State(api): State<Arc<Api>>,
    At(id): At<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    precondition::show::<Deployment>(&api, &headers, Deployment::COLLECTION, &id)
}

/// Starts a deployment. Answers when it is under way; a service has one at a time. The revision that the service runs already is taken
/// only where its target sees that replicas of it are missing or not healthy: it is brought back.
#[utoipa::path(post, path = "/deployments", tag = "deployments",
    request_body(content = ref(taken::<NewDeployment>()), content_type = "application/json"),
    responses((status = 201, description = "The deployment.", body = ref(of::<Deployment>()),
        headers(("Location" = String, description = "Where it is found.")))))]
async fn start_deployment(State(api): State<Arc<Api>>, Body(new): Body<NewDeployment>) -> Result<Response, Problem> {
    let request = StartDeployment { revision: new.revision, principal: PRINCIPAL.to_owned() };
    let deployment = api.options.engines.deployments.start(&new.service, request).await?;
    precondition::created(&api, Deployment::COLLECTION, deployment.id.as_str(), &deployment)
}

/// How far a deployment is promoted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Promote {
    /// Skips every step, hold and pause that is left, whether the deployment is paused or progressing. A candidate that is found
    /// to be bad is rolled back all the same.
    full: bool,
}

/// Lets a paused deployment go on; with `full`, past all the steps that are left. One that is progressing is refused without it: it waits
/// for nobody. The body may be left out.
#[utoipa::path(post, path = "/deployments/{id}/promote", tag = "deployments",
    request_body(content = ref(taken::<Promote>()), content_type = "application/json"),
    params(IfMatch, ("id" = String, Path, description = "`dep_...`")),
    responses((status = 200, description = "The deployment as it is now.", body = ref(of::<Deployment>()))))]
async fn promote_deployment(
    State(api): State<Arc<Api>>,
    At(id): At<String>,
    seen: IfMatch,
    Optional(promote): Optional<Promote>,
) -> Result<Response, Problem> {
    api.options.engines.deployments.promote(&id, seen.asked(), promote.full).await?;
    precondition::changed::<Deployment>(&api, Deployment::COLLECTION, &id)
}

/// Why a deployment is rolled back.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Abort {
    reason: Option<String>,
}

/// Rolls a deployment back. The body may be left out.
#[utoipa::path(post, path = "/deployments/{id}/abort", tag = "deployments",
    request_body(content = ref(taken::<Abort>()), content_type = "application/json"),
    params(IfMatch, ("id" = String, Path, description = "`dep_...`")),
    responses((status = 200, description = "The deployment as it is now.", body = ref(of::<Deployment>()))))]
async fn abort_deployment(
    State(api): State<Arc<Api>>,
    At(id): At<String>,
    seen: IfMatch,
    Optional(abort): Optional<Abort>,
) -> Result<Response, Problem> {
    let reason = abort.reason.as_deref().unwrap_or("a person asked for it");
    api.options.engines.deployments.abort(&id, seen.asked(), reason).await?;
    precondition::changed::<Deployment>(&api, Deployment::COLLECTION, &id)
}
