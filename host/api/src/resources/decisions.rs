//! What plugins decided, and what another version of them would have: journals, replays, candidates.

use super::{PRINCIPAL, Routes};
use crate::Api;
use crate::extract::{At, Component, Params};
use crate::paging::{List, Slice, Slicing, part};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::Timestamp;
use quarterdeck_model::decisions::{JournalStatus, Promoted, Refused, Replay, ReplayOptions, Shadow};
use std::sync::Arc;
use utoipa_axum::routes;

/// Differences that are shown unless another number is asked for.
const SAMPLES: usize = 10;
const MOST_SAMPLES: usize = 100;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_journals))
        .routes(routes!(replay_plugin))
        .routes(routes!(list_shadows))
        .routes(routes!(get_shadow, put_shadow, delete_shadow))
        .routes(routes!(promote_candidate))
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::Missing(_) => Problem::not_found(detail),
            Refused::Unusable(_) => Problem::invalid(detail),
            Refused::Conflict(_) => Problem::conflict(detail),
            Refused::Changed => Problem::precondition_failed(detail),
            Refused::Store(error) => error.into(),
        }
    }
}

/// What is kept of the decisions of instances, by instance.
#[utoipa::path(get, path = "/journals", tag = "plugins",
    params(Slicing, ("plugin" = Option<String>, Query, description = "Only those of this plugin.")),
    responses((status = 200, description = "Journals.", body = ref(of::<List<JournalStatus>>()))))]
async fn list_journals(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<JournalStatus>>, Problem> {
    let journals = api.options.decisions.journals(params.text("plugin")?).await?;
    Ok(part(journals, &Slice::of(&params)?, |journal| journal.instance.as_str()))
}

/// Asks a component what a plugin was asked, as the journals of instances have it (whatever those run on by now), and compares the answers.
/// Of one instance it is asked what that asked the plugin that it names itself. It has no grants, is in use nowhere, and changes nothing. Answers when all was asked, or after ten minutes.
#[utoipa::path(post, path = "/plugins/{name}/replay", tag = "plugins",
    request_body(description = "The component, 64 MiB at most.", content_type = "application/octet-stream"),
    params(("name" = String, Path, description = "Name of the plugin, or of one instance of it."),
        ("since" = Option<String>, Query, description = "Only decisions since this RFC 3339 time."),
        ("limit" = Option<u64>, Query, description = "At most so many decisions, from the oldest on."),
        ("samples" = Option<u64>, Query, description = "Differences that are shown, 100 at most [default: 10].")),
    responses((status = 200, description = "How the answers compare.", body = ref(of::<Replay>()))))]
async fn replay_plugin(
    State(api): State<Arc<Api>>,
    At(name): At<String>,
    params: Params,
    Component(component): Component,
) -> Result<Json<Replay>, Problem> {
    let options = ReplayOptions {
        since: params.parsed("since", "an RFC 3339 time like `2026-01-31T12:00:00Z`", Timestamp::parse)?,
        limit: params.number("limit")?.unwrap_or(u64::MAX),
        samples: params.number("samples")?.unwrap_or(SAMPLES).min(MOST_SAMPLES),
    };
    Ok(Json(api.options.decisions.replay(&name, component.into(), options).await?))
}

/// Candidates beside the versions in use, by plugin.
#[utoipa::path(get, path = "/shadows", tag = "plugins", params(Slicing),
    responses((status = 200, description = "Candidates.", body = ref(of::<List<Shadow>>()))))]
async fn list_shadows(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Shadow>>, Problem> {
    Ok(part(api.options.decisions.shadows(), &Slice::of(&params)?, |shadow| &shadow.plugin))
}

/// The candidate of a plugin, and how its answers compare.
#[utoipa::path(get, path = "/shadows/{plugin}", tag = "plugins",
    params(("plugin" = String, Path, description = "Name of the plugin.")),
    responses((status = 200, description = "The candidate.", body = ref(of::<Shadow>()))))]
async fn get_shadow(State(api): State<Arc<Api>>, At(plugin): At<String>) -> Result<Json<Shadow>, Problem> {
    let found = api.options.decisions.shadows().into_iter().find(|shadow| shadow.plugin == plugin);
    found.map(Json).ok_or_else(|| Problem::no_document("shadows", &plugin))
}

/// From now on the component is asked what the plugin's instances are asked, beside the version in use: also after a restart, until it is
/// promoted or taken away. Its answers are compared, and nothing else.
#[utoipa::path(put, path = "/shadows/{plugin}", tag = "plugins",
    request_body(description = "The component, 64 MiB at most.", content_type = "application/octet-stream"),
    params(("plugin" = String, Path, description = "Name of the plugin.")),
    responses((status = 200, description = "It is asked from now on.", body = ref(of::<Shadow>()))))]
async fn put_shadow(
    State(api): State<Arc<Api>>,
    At(plugin): At<String>,
    Component(component): Component,
) -> Result<Json<Shadow>, Problem> {
    Ok(Json(api.options.decisions.shadow(&plugin, component.into()).await?))
}

/// The candidate is not asked any more.
#[utoipa::path(delete, path = "/shadows/{plugin}", tag = "plugins",
    params(("plugin" = String, Path, description = "Name of the plugin.")),
    responses((status = 200, description = "How it stood at its end.", body = ref(of::<Shadow>()))))]
async fn delete_shadow(State(api): State<Arc<Api>>, At(plugin): At<String>) -> Result<Json<Shadow>, Problem> {
    Ok(Json(api.options.decisions.end_shadow(&plugin).await?))
}

/// The candidate takes the place of the version in use: its component is put into the plugins folder, as if it had been dropped in.
#[utoipa::path(post, path = "/shadows/{plugin}/promote", tag = "plugins",
    params(("plugin" = String, Path, description = "Name of the plugin.")),
    responses((status = 200, description = "It is in use.", body = ref(of::<Promoted>()))))]
async fn promote_candidate(State(api): State<Arc<Api>>, At(plugin): At<String>) -> Result<Json<Promoted>, Problem> {
    Ok(Json(api.options.decisions.promote(&plugin, None, PRINCIPAL).await?))
}
