//! Services: what can be deployed.

use super::Routes;
use crate::Api;
use crate::extract::{At, Params};
use crate::paging::{List, Slice, Slicing, part};
use crate::problem::Problem;
use crate::schema::of;
use crate::unreadable::Unreadable;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::domain::deployment::{ServiceRecord, ServiceSpec};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_services)).routes(routes!(get_service))
}

/// A service, as configured and as it is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) spec: ServiceSpec,
    /// `null`: nothing was deployed yet.
    pub(crate) current: Option<ServiceRecord>,
}

/// Services, by name.
#[utoipa::path(get, path = "/services", tag = "deployments", params(Slicing),
    responses((status = 200, description = "Services.", body = ref(of::<List<Service>>()))))]
async fn list_services(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Service>>, Problem> {
    read(&api, &params).map(Json)
}

/// The part of the list that is asked for.
pub(crate) fn read(api: &Api, params: &Params) -> Result<List<Service>, Problem> {
    let catalog = api.options.engines.catalog();
    let Json(named) = part(&catalog.services, &Slice::of(params)?, |(name, _)| name.as_str());
    let (mut items, mut unreadable) = (Vec::new(), Vec::new());
    for (name, spec) in named.items {
        let record = api.options.store.get(ServiceRecord::COLLECTION, name)?;
        match record.map(|record| Unreadable::or(ServiceRecord::COLLECTION, &record)).transpose() {
            Ok(current) => items.push(Service { name: name.to_owned(), spec: spec.clone(), current }),
            Err(one) => {
                api.unreadable.log(&one);
                unreadable.push(one);
            }
        }
    }
    Ok(List { items, next_cursor: named.next_cursor, unreadable })
}

pub(crate) fn get(api: &Api, name: &str) -> Result<Service, Problem> {
    match api.options.engines.catalog().services.get(name) {
        Some(spec) => service(api, name, spec),
        None => Err(Problem::no_document("services", name)),
    }
}

/// One service.
#[utoipa::path(get, path = "/services/{name}", tag = "deployments",
    params(("name" = String, Path, description = "Name in the configuration.")),
    responses((status = 200, description = "The service.", body = ref(of::<Service>()))))]
async fn get_service(State(api): State<Arc<Api>>, At(name): At<String>) -> Result<Json<Service>, Problem> {
    get(&api, &name).map(Json)
}

fn service(api: &Api, name: &str, spec: &ServiceSpec) -> Result<Service, Problem> {
    let found = api.options.store.get(ServiceRecord::COLLECTION, name)?;
    let current = found.map(|document| document.decode()).transpose()?;
    Ok(Service { name: name.to_owned(), spec: spec.clone(), current })
}
