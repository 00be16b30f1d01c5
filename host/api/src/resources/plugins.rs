//! Plugins: the component files that are loaded.

use super::Routes;
use crate::Api;
use crate::extract::{At, Params};
use crate::paging::{List, Slice, Slicing, part};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::plugin::{Kind, PluginStatus};
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_plugins)).routes(routes!(reload_plugins)).routes(routes!(get_plugin))
}

fn sorted(api: &Api) -> Vec<PluginStatus> {
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
    let kind = params.word::<Kind>("kind")?;
    let wanted = |plugin: &PluginStatus| kind.is_none_or(|kind| plugin.kinds.contains(&kind));
    Ok(part(sorted(&api).into_iter().filter(wanted), &Slice::of(&params)?, |plugin| &plugin.name))
}

/// One plugin.
#[utoipa::path(get, path = "/plugins/{name}", tag = "plugins",
    params(("name" = String, Path, description = "Name that the plugin gives itself.")),
    responses((status = 200, description = "The plugin.", body = ref(of::<PluginStatus>()))))]
async fn get_plugin(State(api): State<Arc<Api>>, At(name): At<String>) -> Result<Json<PluginStatus>, Problem> {
    let found = sorted(&api).into_iter().find(|plugin| plugin.name == name);
    found.map(Json).ok_or_else(|| Problem::no_document("plugins", &name))
}

/// Looks at the plugins folder again, now, also at what was refused for a reason that may be over. Answers when what is found there is
/// in use, or refused, or after twenty seconds.
#[utoipa::path(post, path = "/plugins/reload", tag = "plugins",
    responses((status = 200, description = "All plugins as they are now.", body = ref(of::<List<PluginStatus>>()))))]
async fn reload_plugins(State(api): State<Arc<Api>>) -> Json<List<PluginStatus>> {
    api.options.registry.reload().await;
    Json(List { items: sorted(&api), next_cursor: None })
}
