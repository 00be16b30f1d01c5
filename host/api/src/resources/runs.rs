//! Runs of runbooks.

use super::{PRINCIPAL, Routes};
use crate::extract::{At, Body, Params};
use crate::paging::{List, Order, Slice, Slicing, stored};
use crate::precondition::{IfMatch, IfNoneMatch};
use crate::problem::Problem;
use crate::schema::{of, taken};
use crate::{Api, precondition};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use quarterdeck_engines::runbooks::StartRun;
use quarterdeck_model::domain::runbook::{Run, RunState};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_runs, start_run)).routes(routes!(get_run)).routes(routes!(cancel_run))
}

/// What to run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewRun {
    /// Slug of the runbook.
    runbook: String,
    /// Laid over the runbook's defaults.
    #[serde(default)]
    inputs: BTreeMap<String, Value>,
    /// Only say what would be done.
    #[serde(default)]
    dry_run: bool,
    /// What it is for: the id of an incident or an alert.
    #[serde(default)]
    cause: Option<String>,
}

/// Runs, newest first.
#[utoipa::path(get, path = "/runs", tag = "runbooks",
    params(Slicing,
        ("runbook" = Option<String>, Query, description = "Slug of the runbook."),
        ("state" = Option<String>, Query, description = "`running`, `succeeded`, `failed`, `cancelled`, `timed-out` or `planned`.")),
    responses((status = 200, description = "Runs.", body = ref(of::<List<Run>>()))))]
async fn list_runs(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Run>>, Problem> {
    read(&api, &params).await.map(Json)
}

/// The part of the list that is asked for.
pub(crate) async fn read(api: &Api, params: &Params) -> Result<List<Run>, Problem> {
    let runbook = params.text("runbook")?.map(str::to_owned);
    let state = params.word::<RunState>("state")?;
    let Json(list) = stored(api, Run::COLLECTION, Order::Newest, Slice::of(params)?, move |run: &Run| {
        runbook.as_ref().is_none_or(|runbook| run.runbook == *runbook) && state.is_none_or(|state| run.state == state)
    })
    .await?;
    Ok(list)
}

/// One run with its steps.
#[utoipa::path(get, path = "/runs/{id}", tag = "runbooks",
    params(IfNoneMatch, ("id" = String, Path, description = "`run_...`")),
    responses((status = 200, description = "The run.", body = ref(of::<Run>()))))]
async fn get_run(State(api): State<Arc<Api>>, At(id): At<String>, headers: HeaderMap) -> Result<Response, Problem> {
    precondition::show::<Run>(&api, &headers, Run::COLLECTION, &id)
}

/// Starts a run. Answers when it is under way.
#[utoipa::path(post, path = "/runs", tag = "runbooks",
    request_body(content = ref(taken::<NewRun>()), content_type = "application/json"),
    responses((status = 201, description = "The run.", body = ref(of::<Run>()),
        headers(("Location" = String, description = "Where it is found.")))))]
async fn start_run(State(api): State<Arc<Api>>, Body(new): Body<NewRun>) -> Result<Response, Problem> {
    let request = StartRun {
        inputs: new.inputs,
        dry_run: new.dry_run,
        principal: PRINCIPAL.to_owned(),
        cause: new.cause,
        ancestors: Vec::new(),
    };
    let run = api.options.engines.runbooks.start(&new.runbook, request).await?;
    precondition::created(&api, Run::COLLECTION, run.id.as_str(), &run)
}

/// Ends a run early. What a step has done stays done.
#[utoipa::path(post, path = "/runs/{id}/cancel", tag = "runbooks",
    params(IfMatch, ("id" = String, Path, description = "`run_...`")),
    responses((status = 200, description = "The run as it is now.", body = ref(of::<Run>()))))]
async fn cancel_run(State(api): State<Arc<Api>>, At(id): At<String>, seen: IfMatch) -> Result<Response, Problem> {
    api.options.engines.runbooks.cancel(&id, seen.asked()).await?;
    precondition::changed::<Run>(&api, Run::COLLECTION, &id)
}
