//! The configuration in force, its objects and its versions.

pub(crate) mod objects;
pub(crate) mod versions;

use super::Routes;
use crate::Api;
use crate::configuration::Standing;
use crate::extract::{Params, bad};
use crate::problem::{Mistake, Problem};
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(get_configuration))
        .routes(routes!(reload_configuration))
        .routes(routes!(export_configuration))
        .merge(objects::routes())
        .merge(versions::routes())
}

/// The configuration in force, or a part of it.
#[derive(Debug, Serialize, JsonSchema)]
struct EffectiveConfiguration {
    /// JSON pointer of the part; empty: all of it.
    pointer: String,
    /// Secrets are not shown.
    value: Value,
    /// Where it comes from: a file with its line, the API, a variable, a flag, or the defaults.
    origin: Option<String>,
    #[serde(flatten)]
    standing: Standing,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Reloaded {
    /// What is different now.
    changed: Value,
    /// What is in force, and can't work as things stand.
    warnings: Vec<Mistake>,
}

/// The configuration in force.
#[utoipa::path(get, path = "/configuration", tag = "configuration",
    params(("pointer" = Option<String>, Query, description = "JSON pointer of a part: `/storage/retention`.")),
    responses((status = 200, description = "The configuration.", body = ref(of::<EffectiveConfiguration>()))))]
async fn get_configuration(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Json<EffectiveConfiguration>, Problem> {
    let pointer = params.text("pointer")?.unwrap_or_default().to_owned();
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err(bad(
            "pointer",
            "it is no JSON pointer; hint: begin it with `/`, as in `/storage/retention`, or leave it out for all of it",
        ));
    }
    let configuration = &api.options.configuration;
    match configuration.effective().pointer(&pointer) {
        None => Err(Problem::not_found(format!(
            "there is no `{pointer}` in the configuration; hint: ask without `pointer` for all of it"
        ))),
        Some(value) => {
            let origin = configuration.origin(&pointer);
            let standing = configuration.standing();
            Ok(Json(EffectiveConfiguration { value: value.clone(), origin, standing, pointer }))
        }
    }
}

/// Reads the configuration's files again and puts them in force. A mistake in them changes nothing.
#[utoipa::path(post, path = "/configuration/reload", tag = "configuration",
    responses((status = 200, description = "It is in force.", body = ref(of::<Reloaded>()))))]
async fn reload_configuration(State(api): State<Arc<Api>>) -> Result<Json<Reloaded>, Problem> {
    let configuration = &api.options.configuration;
    let changed = configuration.reload().await?;
    Ok(Json(Reloaded { changed, warnings: configuration.standing().warnings }))
}

/// The effective configuration as files.
#[derive(Debug, Serialize, JsonSchema)]
struct ConfigurationExport {
    files: Vec<ExportedFile>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ExportedFile {
    /// Below the configuration folder: `quarterdeck.toml`.
    path: String,
    text: String,
}

/// The effective configuration as files: in an empty folder they give the same settings. Secrets are named, never told.
#[utoipa::path(get, path = "/configuration/export", tag = "configuration",
    responses((status = 200, description = "The files.", body = ref(of::<ConfigurationExport>()))))]
async fn export_configuration(State(api): State<Arc<Api>>) -> Result<Json<ConfigurationExport>, Problem> {
    let files = api.options.configuration.export().map_err(Problem::internal)?;
    let files = files.into_iter().map(|file| ExportedFile { path: file.path, text: file.text }).collect();
    Ok(Json(ConfigurationExport { files }))
}
