//! Processes that the host runs for instances.

use super::Routes;
use crate::Api;
use crate::extract::Params;
use crate::paging::{List, Slice, Slicing, part};
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::process::{Process, ProcessPhase};
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_processes))
}

/// Processes that the host owns for instances, by id: those that run, and those that have ended of late.
#[utoipa::path(get, path = "/processes", tag = "plugins",
    params(Slicing,
        ("instance" = Option<String>, Query, description = "Only those of this instance, `haproxy/web`."),
        ("state" = Option<String>, Query, description = "Only those in this state: `starting`, `healthy`, `unhealthy`, `stopping` or `exited`.")),
    responses((status = 200, description = "Processes.", body = ref(of::<List<Process>>()))))]
async fn list_processes(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Process>>, Problem> {
    let instance = params.text("instance")?;
    let state = params.word::<ProcessPhase>("state")?;
    let mut processes = api.options.processes.list();
    processes.retain(|process| {
        instance.is_none_or(|instance| process.instance.as_str() == instance)
            && state.is_none_or(|state| process.state == state)
    });
    Ok(part(processes, &Slice::of(&params)?, |process| &process.id))
}
