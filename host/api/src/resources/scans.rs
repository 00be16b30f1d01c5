//! Scans: one pass of scanner rules over files and pages each.

use super::{PRINCIPAL, Routes};
use crate::extract::{At, Body, Params};
use crate::paging::{List, Order, Slice, Slicing, stored};
use crate::precondition::IfNoneMatch;
use crate::problem::Problem;
use crate::schema::{of, taken};
use crate::{Api, precondition};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use quarterdeck_model::domain::scan::{Scan, ScanState};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_scans, start_scan)).routes(routes!(get_scan))
}

/// Which scan to start.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewScan {
    /// Name in the configuration.
    name: String,
}

/// Scans, newest first.
#[utoipa::path(get, path = "/scans", tag = "scans",
    params(Slicing,
        ("name" = Option<String>, Query, description = "Name in the configuration."),
        ("state" = Option<String>, Query, description = "`running`, `succeeded`, `partial` or `failed`.")),
    responses((status = 200, description = "Scans.", body = ref(of::<List<Scan>>()))))]
async fn list_scans(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Scan>>, Problem> {
    read(&api, &params).await.map(Json)
}

/// The part of the list that is asked for.
pub(crate) async fn read(api: &Api, params: &Params) -> Result<List<Scan>, Problem> {
    let name = params.text("name")?.map(str::to_owned);
    let state = params.word::<ScanState>("state")?;
    let Json(list) = stored(api, Scan::COLLECTION, Order::Newest, Slice::of(params)?, move |scan: &Scan| {
        name.as_ref().is_none_or(|name| scan.name == *name) && state.is_none_or(|state| scan.state == state)
    })
    .await?;
    Ok(list)
}

/// One scan.
#[utoipa::path(get, path = "/scans/{id}", tag = "scans",
    params(IfNoneMatch, ("id" = String, Path, description = "`scan_...`")),
    responses((status = 200, description = "The scan.", body = ref(of::<Scan>()))))]
async fn get_scan(State(api): State<Arc<Api>>, At(id): At<String>, headers: HeaderMap) -> Result<Response, Problem> {
    precondition::show::<Scan>(&api, &headers, Scan::COLLECTION, &id)
}

/// Starts a scan that the configuration names. Answers when it is under way.
#[utoipa::path(post, path = "/scans", tag = "scans",
    request_body(content = ref(taken::<NewScan>()), content_type = "application/json"),
    responses((status = 201, description = "The scan.", body = ref(of::<Scan>()),
        headers(("Location" = String, description = "Where it is found.")))))]
async fn start_scan(State(api): State<Arc<Api>>, Body(new): Body<NewScan>) -> Result<Response, Problem> {
    let scan = api.options.engines.scans.start(&new.name, PRINCIPAL).await?;
    precondition::created(&api, Scan::COLLECTION, scan.id.as_str(), &scan)
}
