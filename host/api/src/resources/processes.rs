//! Processes that the host runs for instances.

use super::Routes;
use crate::Api;
use crate::extract::{At, Params, bad};
use crate::paging::{List, Slice, Slicing, blocking, part};
use crate::problem::Problem;
use crate::schema::of;
use crate::security::check_token;
use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::process::{Process, ProcessLog, ProcessPhase};
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_processes)).routes(routes!(get_process_log))
}

/// Processes that the host owns for instances, by id: those that run, and those that have ended of late.
#[utoipa::path(get, path = "/processes", tag = "plugins",
    params(Slicing,
        ("instance" = Option<String>, Query, description = "Only those of this instance, `haproxy/web`."),
        ("state" = Option<String>, Query, description = "Only those in this state: `starting`, `healthy`, `unhealthy`, `stopping` or `exited`.")),
    responses((status = 200, description = "Processes.", body = ref(of::<List<Process>>()))))]
async fn list_processes(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Process>>, Problem> {
    read(&api, &params).map(Json)
}

/// Also for the console.
pub(crate) fn read(api: &Api, params: &Params) -> Result<List<Process>, Problem> {
    let instance = params.text("instance")?;
    let state = params.word::<ProcessPhase>("state")?;
    let mut processes = api.options.processes.list();
    processes.retain(|process| {
        instance.is_none_or(|instance| process.instance.as_str() == instance)
            && state.is_none_or(|state| process.state == state)
    });
    let Json(list) = part(processes, &Slice::of(params)?, |process| &process.id);
    Ok(list)
}

/// Lines of a log, unless it is said how many; and at most.
const LINES: usize = 100;
const MOST_LINES: usize = 10_000;

/// The end of what a process printed. It may have ended long ago. Needs the token also at this machine: what programs print is not
/// meant for everybody.
#[utoipa::path(get, path = "/processes/{plugin}/{name}/{process}/log", tag = "plugins", security(("token" = [])),
    params(("plugin" = String, Path, description = "What stands before the slash of the instance's name."),
        ("name" = String, Path, description = "What stands behind it."),
        ("process" = String, Path, description = "The process's name."),
        ("lines" = Option<u32>, Query, minimum = 1, maximum = 10000, description = "Lines at most; 100 unless given. No more than a mebibyte.")),
    responses((status = 200, description = "The last lines.", body = ref(of::<ProcessLog>()))))]
async fn get_process_log(
    State(api): State<Arc<Api>>,
    At((plugin, name, process)): At<(String, String, String)>,
    params: Params,
    headers: HeaderMap,
) -> Result<Json<ProcessLog>, Problem> {
    check_token(&headers, api.options.token.as_deref())?;
    let lines = match params.number("lines")? {
        None => LINES,
        Some(lines) if (1..=MOST_LINES).contains(&lines) => lines,
        Some(_) => return Err(bad("lines", &format!("it is out of bounds; hint: give 1 to {MOST_LINES}"))),
    };
    let processes = Arc::clone(&api.options.processes);
    blocking(move || {
        let instance = InstanceName(format!("{plugin}/{name}"));
        let log = processes.log(&instance, &process, lines).map_err(Problem::internal)?;
        log.map(Json).ok_or_else(|| Problem::no_document("processes", &format!("{instance}/{process}")))
    })
    .await
}
