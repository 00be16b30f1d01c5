//! Instances: plugins put to use under a name.

use super::Routes;
use crate::Api;
use crate::extract::{At, Params};
use crate::paging::{List, Slice, Slicing, part};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::plugin::{InstanceName, InstanceState, InstanceStatus};
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_instances)).routes(routes!(get_instance))
}

/// Instances with their metering, by name.
#[utoipa::path(get, path = "/instances", tag = "plugins",
    params(Slicing,
        ("plugin" = Option<String>, Query, description = "Only those of this plugin."),
        ("state" = Option<String>, Query, description = "Only those in this state, `quarantined`.")),
    responses((status = 200, description = "Instances.", body = ref(of::<List<InstanceStatus>>()))))]
async fn list_instances(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<InstanceStatus>>, Problem> {
    let plugin = params.text("plugin")?;
    let state = params.word::<InstanceState>("state")?;
    let mut instances = api.options.registry.instances();
    instances.retain(|instance| {
        plugin.is_none_or(|plugin| instance.spec.plugin == plugin) && state.is_none_or(|state| instance.state == state)
    });
    instances.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(part(instances, &Slice::of(&params)?, |instance| instance.name.as_str()))
}

/// One instance.
#[utoipa::path(get, path = "/instances/{plugin}/{name}", tag = "plugins",
    params(("plugin" = String, Path, description = "What stands before the slash of the instance's name."),
        ("name" = String, Path, description = "What stands behind it.")),
    responses((status = 200, description = "The instance.", body = ref(of::<InstanceStatus>()))))]
async fn get_instance(
    State(api): State<Arc<Api>>,
    At((plugin, name)): At<(String, String)>,
) -> Result<Json<InstanceStatus>, Problem> {
    let name = InstanceName(format!("{plugin}/{name}"));
    api.options.registry.instance(&name).map(Json).ok_or_else(|| Problem::no_document("instances", name.as_str()))
}
