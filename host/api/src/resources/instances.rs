//! Instances: plugins put to use under a name.

use super::Routes;
use crate::Api;
use crate::extract::{At, Params};
use crate::paging::{List, Slice, Slicing, part};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::collector::Condition;
use quarterdeck_model::plugin::{InstanceName, InstanceState, InstanceStatus};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_instances)).routes(routes!(get_instance))
}

/// An instance, and what it says about its target.
#[derive(Debug, Serialize, JsonSchema)]
struct Instance {
    #[serde(flatten)]
    status: InstanceStatus,
    /// Collectors: what was said about the target last. `null` where nothing was asked yet.
    health: Option<InstanceHealth>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct InstanceHealth {
    state: Condition,
    message: String,
    /// When it came into this state.
    since: Timestamp,
    checked_at: Timestamp,
}

/// Sets beside each instance what its collector says.
fn with_health(api: &Api, instances: Vec<InstanceStatus>) -> Vec<Instance> {
    let known = api.options.engines.monitoring.health();
    let mut known: BTreeMap<_, _> = known.into_iter().map(|said| (said.instance.clone(), said)).collect();
    let with = |status: InstanceStatus| {
        let health = known.remove(&status.name).map(|said| InstanceHealth {
            state: said.health.state,
            message: said.health.message,
            since: said.since,
            checked_at: said.checked_at,
        });
        Instance { status, health }
    };
    instances.into_iter().map(with).collect()
}

/// Instances with their metering, by name.
#[utoipa::path(get, path = "/instances", tag = "plugins",
    params(Slicing,
        ("plugin" = Option<String>, Query, description = "Only those of this plugin."),
        ("state" = Option<String>, Query, description = "Only those in this state, `quarantined`.")),
    responses((status = 200, description = "Instances.", body = ref(of::<List<Instance>>()))))]
async fn list_instances(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Instance>>, Problem> {
    let plugin = params.text("plugin")?;
    let state = params.word::<InstanceState>("state")?;
    let mut instances = api.options.registry.instances();
    instances.retain(|instance| {
        plugin.is_none_or(|plugin| instance.spec.plugin == plugin) && state.is_none_or(|state| instance.state == state)
    });
    instances.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(part(with_health(&api, instances), &Slice::of(&params)?, |instance| instance.status.name.as_str()))
}

/// One instance.
#[utoipa::path(get, path = "/instances/{plugin}/{name}", tag = "plugins",
    params(("plugin" = String, Path, description = "What stands before the slash of the instance's name."),
        ("name" = String, Path, description = "What stands behind it.")),
    responses((status = 200, description = "The instance.", body = ref(of::<Instance>()))))]
async fn get_instance(
    State(api): State<Arc<Api>>,
    At((plugin, name)): At<(String, String)>,
) -> Result<Json<Instance>, Problem> {
    let name = InstanceName(format!("{plugin}/{name}"));
    let found = api.options.registry.instance(&name).into_iter().collect();
    let shown = with_health(&api, found).pop();
    shown.map(Json).ok_or_else(|| Problem::no_document("instances", name.as_str()))
}
