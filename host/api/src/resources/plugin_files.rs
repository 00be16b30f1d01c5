//! The files of the plugins folder: put there, looked at, taken away.

use super::{PRINCIPAL, Routes};
use crate::Api;
use crate::extract::{At, Component, Params, bad};
use crate::paging::{List, Slice, Slicing, blocking, part};
use crate::precondition::{IfNoneMatch, put_over, seen, tagged};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use quarterdeck_model::plugin::Digest;
use quarterdeck_model::plugin::files::{FileError, Install, Installed, PluginFile, Removed, Seen};
use std::sync::Arc;
use utoipa_axum::routes;

/// Where something comes from is said in a line.
const LONGEST_ORIGIN: usize = 1024;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_plugin_files)).routes(routes!(
        get_plugin_file,
        put_plugin_file,
        delete_plugin_file
    ))
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        let detail = error.to_string();
        match error {
            FileError::NotFound(_) => Problem::not_found(detail),
            FileError::Invalid(_) | FileError::Refused(_) => Problem::invalid(detail),
            FileError::Conflict(_) => Problem::conflict(detail),
            FileError::Changed | FileError::Exists => Problem::precondition_failed(detail),
            FileError::Unavailable(_) => Problem::unavailable(detail),
            FileError::Full(_) => Problem::disk_full(detail),
            FileError::Store(error) => error.into(),
        }
    }
}

/// By name. Also for the console.
pub(crate) async fn all(api: &Api) -> Result<Vec<PluginFile>, Problem> {
    let files = Arc::clone(&api.options.files);
    blocking(move || Ok(files.files())).await
}

/// Files of the plugins folder, by name.
#[utoipa::path(get, path = "/plugin-files", tag = "plugins", params(Slicing),
    responses((status = 200, description = "Files.", body = ref(of::<List<PluginFile>>()))))]
async fn list_plugin_files(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<PluginFile>>, Problem> {
    Ok(part(all(&api).await?, &Slice::of(&params)?, |file| &file.file))
}

/// One file of the plugins folder.
#[utoipa::path(get, path = "/plugin-files/{file}", tag = "plugins",
    params(IfNoneMatch, ("file" = String, Path, description = "`http-probe.wasm`")),
    responses((status = 200, description = "The file.", body = ref(of::<PluginFile>()))))]
async fn get_plugin_file(
    State(api): State<Arc<Api>>,
    At(name): At<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = all(&api).await?.into_iter().find(|file| file.file == name);
    let file = found.ok_or_else(|| Problem::no_document("plugin-files", &name))?;
    Ok(tagged(&headers, StatusCode::OK, &file.digest.tag(), &file))
}

/// Puts a component into the plugins folder. It is verified before it replaces anything, and is in use, and on the disk, when this answers.
/// The same content again changes nothing. A file that holds another plugin is not replaced (409) unless `replace` says so.
#[utoipa::path(put, path = "/plugin-files/{file}", tag = "plugins",
    request_body(description = "The component, 64 MiB at most.", content_type = "application/octet-stream"),
    params(("file" = String, Path, description = "`http-probe.wasm`: letters, digits, `.`, `-` and `_`."),
        ("digest" = Option<String>, Query, description = "`sha256:<64 hex>`: refuse any other content."),
        ("origin" = Option<String>, Query, description = "Where it comes from: a URL, an OCI reference. It is kept and shown."),
        ("replace" = Option<bool>, Query, description = "Also where the file holds another plugin, which has no file then."),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no file of that name. Takes nothing else."),
        ("If-Match" = Option<String>, Header, description = "ETag of the file as it was seen.")),
    responses((status = 200, description = "It took the place of another content, or was there.", body = ref(of::<Installed>())),
        (status = 201, description = "The file is new.", body = ref(of::<Installed>()))))]
async fn put_plugin_file(
    State(api): State<Arc<Api>>,
    At(file): At<String>,
    params: Params,
    headers: HeaderMap,
    Component(bytes): Component,
) -> Result<Response, Problem> {
    let digest = params.text("digest")?.map(|text| Digest(text.to_owned()));
    let origin = params.text("origin")?.map(str::to_owned);
    if origin.as_ref().is_some_and(|origin| origin.len() > LONGEST_ORIGIN || origin.chars().any(char::is_control)) {
        return Err(bad(
            "origin",
            &format!("it is too long, or has line breaks in it; hint: give one line of at most {LONGEST_ORIGIN} bytes"),
        ));
    }
    let replace = params.parsed("replace", "`true` or `false`", |text| text.parse().ok())?.unwrap_or(false);
    let is_new = !all(&api).await?.iter().any(|one| one.file == file);
    let seen = put_over(&headers)?;
    let (bytes, principal) = (bytes.into(), PRINCIPAL.to_owned());
    let install = Install { file, bytes, digest, origin, seen, serving: Seen::Any, replace, principal };
    let installed = api.options.files.install(install).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(tagged(&HeaderMap::new(), status, &installed.file.digest.tag(), &installed))
}

/// Takes a file out of the plugins folder. Its content stays in the component store, to be gone back to. Whoever wants to know before
/// which instances lose their plugin looks at the file. Of one that was taken away by hand the lock file forgets what was installed there.
#[utoipa::path(delete, path = "/plugin-files/{file}", tag = "plugins",
    params(("file" = String, Path, description = "`http-probe.wasm`"),
        ("If-Match" = Option<String>, Header, description = "ETag of the file as it was seen.")),
    responses((status = 200, description = "It is gone.", body = ref(of::<Removed>()))))]
async fn delete_plugin_file(
    State(api): State<Arc<Api>>,
    At(file): At<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let removed = api.options.files.remove(&file, &seen(&headers), PRINCIPAL).await?;
    Ok(tagged(&HeaderMap::new(), StatusCode::OK, &removed.digest.tag(), &removed))
}
