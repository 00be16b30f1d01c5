//! Services: what can be deployed.

use super::Routes;
use crate::Api;
use crate::extract::Params;
use crate::paging::{List, Slice, Slicing, part};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::domain::deployment::{ServiceRecord, ServiceSpec};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_services))
}

/// A service, as configured and as it is.
#[derive(Debug, Serialize, JsonSchema)]
struct Service {
    name: String,
    spec: ServiceSpec,
    /// `null`: nothing was deployed yet.
    current: Option<ServiceRecord>,
}

/// Services, by name.
#[utoipa::path(get, path = "/services", tag = "deployments", params(Slicing),
    responses((status = 200, description = "Services.", body = ref(of::<List<Service>>()))))]
async fn list_services(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Service>>, Problem> {
    let catalog = api.options.engines.catalog();
    let mut services = Vec::new();
    for (name, spec) in &catalog.services {
        let found = api.options.store.get(ServiceRecord::COLLECTION, name)?;
        let current = found.map(|document| document.decode()).transpose()?;
        services.push(Service { name: name.clone(), spec: spec.clone(), current });
    }
    Ok(part(services, &Slice::of(&params)?, |service| &service.name))
}
