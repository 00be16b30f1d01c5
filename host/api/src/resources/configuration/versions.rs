//! Versions of the configuration: the newest ones that were in force.

use super::Routes;
use crate::Api;
use crate::configuration::{IfMatch, Kept, Restored, Version};
use crate::extract::{At, Params};
use crate::paging::{List, Order, Slice, Slicing, blocking, read};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_config::{Difference, compare};
use quarterdeck_model::Timestamp;
use quarterdeck_model::store::Document;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_configuration_versions))
        .routes(routes!(get_configuration_version))
        .routes(routes!(compare_configuration_versions))
        .routes(routes!(restore_configuration_version))
}

/// A version without its values.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VersionSummary {
    pub(crate) id: String,
    pub(crate) digest: String,
    pub(crate) applied_at: Timestamp,
    pub(crate) principal: String,
}

/// What is different between two versions.
#[derive(Debug, Serialize, JsonSchema)]
struct Differences {
    from: String,
    to: String,
    items: Vec<Difference>,
}

pub(crate) async fn find(api: &Api, id: String) -> Result<Version, Problem> {
    let store = Arc::clone(&api.options.store);
    blocking(move || {
        let unknown = || Problem::not_found(format!("there is no version `{id}`; hint: list `configuration/versions`"));
        Version::find(&*store, &id)?.ok_or_else(unknown)
    })
    .await
}

/// Versions, newest first. The newest 200 are kept; of those, the older ones as long as `storage.keep-ended` says.
#[utoipa::path(get, path = "/configuration/versions", tag = "configuration", params(Slicing),
    responses((status = 200, description = "Versions.", body = ref(of::<List<VersionSummary>>()))))]
async fn list_configuration_versions(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Json<List<VersionSummary>>, Problem> {
    list(&api, &params).await.map(Json)
}

/// Also for the console.
pub(crate) async fn list(api: &Api, params: &Params) -> Result<List<VersionSummary>, Problem> {
    let (store, told, slice) = (Arc::clone(&api.options.store), Arc::clone(&api.unreadable), Slice::of(params)?);
    blocking(move || {
        let summary = |document: &Document| {
            let Kept { digest, applied_at, principal, .. } = document.decode()?;
            Ok(VersionSummary { id: document.id.clone(), digest, applied_at, principal })
        };
        let Json(list) = read(&*store, &told, Version::COLLECTION, Order::Newest, slice, summary, |_| true)?;
        Ok(list)
    })
    .await
}

/// One version with all of its values.
#[utoipa::path(get, path = "/configuration/versions/{id}", tag = "configuration",
    params(("id" = String, Path, description = "`cfg_...`")),
    responses((status = 200, description = "The version.", body = ref(of::<Version>()))))]
async fn get_configuration_version(State(api): State<Arc<Api>>, At(id): At<String>) -> Result<Json<Version>, Problem> {
    find(&api, id).await.map(Json)
}

/// What is different between this version and another one, or the configuration in force.
#[utoipa::path(get, path = "/configuration/versions/{id}/differences", tag = "configuration",
    params(("id" = String, Path, description = "`cfg_...`, the one before."),
        ("to" = Option<String>, Query, description = "`cfg_...`, the one after; what is in force unless given.")),
    responses((status = 200, description = "Differences.", body = ref(of::<Differences>()))))]
async fn compare_configuration_versions(
    State(api): State<Arc<Api>>,
    At(id): At<String>,
    params: Params,
) -> Result<Json<Differences>, Problem> {
    let before = find(&api, id).await?;
    let (to, after) = match params.text("to")? {
        Some(to) => {
            let after = find(&api, to.to_owned()).await?;
            (after.id, Arc::new(after.value))
        }
        None => (api.options.configuration.standing().version, api.options.configuration.effective()),
    };
    Ok(Json(Differences { from: before.id, to, items: compare(&before.value, &after) }))
}

/// Makes every object what it was in this version, by setting and deleting objects over what the files say. Settings that are no
/// objects stand in files, variables and flags: those that differ are listed, and stay.
#[utoipa::path(post, path = "/configuration/versions/{id}/restore", tag = "configuration",
    params(("id" = String, Path, description = "`cfg_...`")),
    responses((status = 200, description = "It is in force.", body = ref(of::<Restored>()))))]
async fn restore_configuration_version(
    State(api): State<Arc<Api>>,
    At(id): At<String>,
) -> Result<Json<Restored>, Problem> {
    // Who has not looked at what is in force asks for this version whatever that is.
    Ok(Json(api.options.configuration.restore(&id, IfMatch::default()).await?))
}
