//! Plugins: the component files that are loaded.

use super::{PRINCIPAL, Routes};
use crate::Api;
use crate::extract::{At, Optional, Params};
use crate::paging::{List, Slice, Slicing, blocking, part};
use crate::precondition::{seen, tagged};
use crate::problem::Problem;
use crate::schema::{of, taken};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use quarterdeck_model::plugin::files::{PluginVersion, RolledBack};
use quarterdeck_model::plugin::{Kind, PluginStatus};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_plugins))
        .routes(routes!(reload_plugins))
        .routes(routes!(get_plugin))
        .routes(routes!(list_plugin_versions))
        .routes(routes!(roll_back_plugin))
}

pub(crate) fn sorted(api: &Api) -> Vec<PluginStatus> {
    // A draining version stands behind the one that took its place, which may be the older one, and keeps standing there.
    let mut plugins = api.options.registry.plugins();
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    plugins.dedup_by(|next, first| next.name == first.name);
    plugins
}

/// Plugins that are loaded, on their way or refused, by name.
#[utoipa::path(get, path = "/plugins", tag = "plugins",
    params(Slicing, ("kind" = Option<String>, Query, description = "Only those of this kind, `collector`.")),
    responses((status = 200, description = "Plugins.", body = ref(of::<List<PluginStatus>>()))))]
async fn list_plugins(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<PluginStatus>>, Problem> {
    read(&api, &params).map(Json)
}

/// Also for the console.
pub(crate) fn read(api: &Api, params: &Params) -> Result<List<PluginStatus>, Problem> {
    let kind = params.word::<Kind>("kind")?;
    let wanted = |plugin: &PluginStatus| kind.is_none_or(|kind| plugin.kinds.contains(&kind));
    let Json(list) = part(sorted(api).into_iter().filter(wanted), &Slice::of(params)?, |plugin| &plugin.name);
    Ok(list)
}

/// One plugin.
#[utoipa::path(get, path = "/plugins/{name}", tag = "plugins",
    params(("name" = String, Path, description = "Name that the plugin gives itself.")),
    responses((status = 200, description = "The plugin.", body = ref(of::<PluginStatus>()))))]
async fn get_plugin(State(api): State<Arc<Api>>, At(name): At<String>) -> Result<Json<PluginStatus>, Problem> {
    let found = sorted(&api).into_iter().find(|plugin| plugin.name == name);
    found.map(Json).ok_or_else(|| Problem::no_document("plugins", &name))
}

/// Versions of a plugin that were in use here, the one that came into use last first.
#[utoipa::path(get, path = "/plugins/{name}/versions", tag = "plugins",
    params(Slicing, ("name" = String, Path, description = "Name that the plugin gives itself.")),
    responses((status = 200, description = "Versions.", body = ref(of::<List<PluginVersion>>()))))]
async fn list_plugin_versions(
    State(api): State<Arc<Api>>,
    At(name): At<String>,
    params: Params,
) -> Result<Json<List<PluginVersion>>, Problem> {
    let slice = Slice::of(&params)?;
    let (files, plugin) = (Arc::clone(&api.options.files), name.clone());
    let versions = blocking(move || Ok(files.versions(&plugin)?)).await?;
    if versions.is_empty() {
        return Err(Problem::no_document("plugins", &name));
    }
    // They come in an order of their own.
    let numbered = versions.into_iter().enumerate().map(|(index, version)| (format!("{index:06}"), version));
    let Json(List { items, next_cursor, unreadable }) = part(numbered, &slice, |(key, _)| key);
    Ok(Json(List { items: items.into_iter().map(|(_, version)| version).collect(), next_cursor, unreadable }))
}

/// Where to go back to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Rollback {
    /// A digest (or its first characters), or a version's number. Unless given: the version that was in use before.
    to: Option<String>,
}

/// Makes an earlier version the active file again, out of the component store. It is in use, and on the disk, when this answers. The body may
/// be left out. With `If-Match` only in place of what was seen.
#[utoipa::path(post, path = "/plugins/{name}/rollback", tag = "plugins",
    request_body(content = ref(taken::<Rollback>()), content_type = "application/json"),
    params(("name" = String, Path, description = "Name that the plugin gives itself."),
        ("If-Match" = Option<String>, Header, description = "Digest of the version in use as it was seen (or the ETag of its file), in quotes.")),
    responses((status = 200, description = "What is in use now.", body = ref(of::<RolledBack>()))))]
async fn roll_back_plugin(
    State(api): State<Arc<Api>>,
    At(name): At<String>,
    headers: HeaderMap,
    Optional(Rollback { to }): Optional<Rollback>,
) -> Result<Response, Problem> {
    let back = api.options.files.roll_back(&name, to.as_deref(), &seen(&headers), PRINCIPAL).await?;
    Ok(tagged(&HeaderMap::new(), StatusCode::OK, &back.to.digest.tag(), &back))
}

/// Looks at the plugins folder again, now, also at what was refused for a reason that may be over. Answers when what is found there is
/// in use, or refused, or after twenty seconds.
#[utoipa::path(post, path = "/plugins/reload", tag = "plugins",
    responses((status = 200, description = "All plugins as they are now.", body = ref(of::<List<PluginStatus>>()))))]
async fn reload_plugins(State(api): State<Arc<Api>>) -> Json<List<PluginStatus>> {
    api.options.registry.reload().await;
    Json(List { items: sorted(&api), next_cursor: None, unreadable: Vec::new() })
}
