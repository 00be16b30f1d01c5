//! Runbooks: procedures that can be run.

use super::Routes;
use crate::Api;
use crate::extract::{At, Params};
use crate::paging::{List, Slice, Slicing, part};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::domain::runbook::RunbookSpec;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_runbooks)).routes(routes!(get_runbook))
}

/// A runbook of the configuration.
#[derive(Debug, Serialize, JsonSchema)]
struct Runbook {
    slug: String,
    spec: RunbookSpec,
}

/// Runbooks, by slug.
#[utoipa::path(get, path = "/runbooks", tag = "runbooks", params(Slicing),
    responses((status = 200, description = "Runbooks.", body = ref(of::<List<Runbook>>()))))]
async fn list_runbooks(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Runbook>>, Problem> {
    let catalog = api.options.engines.catalog();
    let runbooks = catalog.runbooks.iter().map(|(slug, spec)| Runbook { slug: slug.clone(), spec: spec.clone() });
    Ok(part(runbooks, &Slice::of(&params)?, |runbook| &runbook.slug))
}

/// One runbook.
#[utoipa::path(get, path = "/runbooks/{slug}", tag = "runbooks",
    params(("slug" = String, Path, description = "Name in the configuration.")),
    responses((status = 200, description = "The runbook.", body = ref(of::<Runbook>()))))]
async fn get_runbook(State(api): State<Arc<Api>>, At(slug): At<String>) -> Result<Json<Runbook>, Problem> {
    match api.options.engines.catalog().runbooks.get(&slug) {
        Some(spec) => Ok(Json(Runbook { slug, spec: spec.clone() })),
        None => Err(Problem::no_document("runbooks", &slug)),
    }
}
