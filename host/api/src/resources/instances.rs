//! Instances: plugins put to use under a name.

use super::Routes;
use crate::Api;
use crate::extract::{At, Params};
use crate::paging::{List, Slice, Slicing, limit, part};
use crate::problem::Problem;
use crate::schema::of;
use crate::security::check_token;
use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::check::CheckStatus;
use quarterdeck_model::kind::collector::Condition;
use quarterdeck_model::plugin::log::{LogLevel, LogLine};
use quarterdeck_model::plugin::{InstanceName, InstanceState, InstanceStatus, Kind};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_instances)).routes(routes!(get_instance)).routes(routes!(list_instance_logs))
}

/// An instance, and what it says about its target.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Instance {
    #[serde(flatten)]
    pub(crate) status: InstanceStatus,
    /// Collectors: what was said about the target last. `null` where nothing was asked yet.
    pub(crate) health: Option<InstanceHealth>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InstanceHealth {
    pub(crate) state: Condition,
    pub(crate) message: String,
    /// When it came into this state.
    pub(crate) since: Timestamp,
    pub(crate) checked_at: Timestamp,
    /// Where the instance has a `check`: how that is, and the runs that it has started.
    pub(crate) check: Option<CheckStatus>,
}

/// Sets beside each instance what its collector says.
pub(crate) fn with_health(api: &Api, instances: Vec<InstanceStatus>) -> Vec<Instance> {
    let known = api.options.engines.monitoring.health();
    // A part of a list is a hundredth of all there are.
    let meant: BTreeSet<_> = instances.iter().map(|instance| &instance.name).collect();
    let known = known.into_iter().filter(|said| meant.contains(&said.instance));
    let mut known: BTreeMap<_, _> = known.map(|said| (said.instance.clone(), said)).collect();
    let with = |status: InstanceStatus| {
        let health = known.remove(&status.name).map(|said| InstanceHealth {
            state: said.health.state,
            message: said.health.message,
            since: said.since,
            checked_at: said.checked_at,
            check: said.check,
        });
        Instance { status, health }
    };
    instances.into_iter().map(with).collect()
}

/// Instances with their metering, by name.
#[utoipa::path(get, path = "/instances", tag = "plugins",
    params(Slicing,
        ("plugin" = Option<String>, Query, description = "Only those of this plugin."),
        ("kind" = Option<String>, Query, description = "Only those of this kind, `collector`."),
        ("name" = Option<String>, Query, description = "Only those whose name has this in it."),
        ("state" = Option<Vec<String>>, Query, description = "Only those in this state, `quarantined`. Repeatable.")),
    responses((status = 200, description = "Instances.", body = ref(of::<List<Instance>>()))))]
async fn list_instances(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Instance>>, Problem> {
    read(&api, &params).map(Json)
}

/// Also for the console.
pub(crate) fn read(api: &Api, params: &Params) -> Result<List<Instance>, Problem> {
    let (plugin, name) = (params.text("plugin")?, params.text("name")?);
    let (kind, states) = (params.word::<Kind>("kind")?, params.words::<InstanceState>("state")?);
    let slice = Slice::of(params)?;
    let registry = &api.options.registry;
    let mut names = registry.instance_names();
    names.retain(|of| {
        name.is_none_or(|name| of.as_str().contains(name))
            && slice.after.as_deref().is_none_or(|after| of.as_str() > after)
    });
    names.sort_unstable();
    // Of ten thousand the metering of those that are shown, and not that of all for each part. One may have gone meanwhile.
    let instances = names.iter().filter_map(|name| registry.instance(name)).filter(|instance| {
        plugin.is_none_or(|plugin| instance.spec.plugin == plugin)
            && kind.is_none_or(|kind| instance.kinds.contains(&kind))
            && (states.is_empty() || states.contains(&instance.state))
    });
    let Json(List { items, next_cursor, unreadable }) = part(instances, &slice, |instance| instance.name.as_str());
    Ok(List { items: with_health(api, items), next_cursor, unreadable })
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

/// A part of what an instance has logged.
#[derive(Debug, Serialize, JsonSchema)]
struct LogPage {
    items: Vec<LogLine>,
    /// Hand it back as `cursor` for the next part; `null` at the end.
    next_cursor: Option<String>,
    /// The newest line that was looked at: `after` for what comes later.
    next: u64,
    /// The oldest line that is still kept; 0: there is none.
    oldest: u64,
}

/// What the instance's plugin has logged and printed since the daemon's start, oldest first: its newest thousand lines, as far as there is
/// room for them. Needs the token also at this machine: what programs print is not meant for everybody.
#[utoipa::path(get, path = "/instances/{plugin}/{name}/logs", tag = "plugins", security(("token" = [])),
    params(("plugin" = String, Path, description = "What stands before the slash of the instance's name."),
        ("name" = String, Path, description = "What stands behind it."),
        ("level" = Option<String>, Query, description = "Only lines at least as loud: `trace`, `debug`, `info`, `warn`, `error`."),
        ("after" = Option<u64>, Query, description = "Only lines behind the one of this number."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Lines at most; 100 unless given."),
        ("newest" = Option<bool>, Query, description = "`true`: newest first."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the part before.")),
    responses((status = 200, description = "Lines.", body = ref(of::<LogPage>()))))]
async fn list_instance_logs(
    State(api): State<Arc<Api>>,
    At((plugin, name)): At<(String, String)>,
    params: Params,
    headers: HeaderMap,
) -> Result<Json<LogPage>, Problem> {
    check_token(&headers, api.options.token.as_deref())?;
    let (limit, level) = (limit(&params)?, params.word::<LogLevel>("level")?);
    let newest = params.parsed("newest", "`true` or `false`", |text| text.parse().ok())?.unwrap_or(false);
    let (cursor, after) = (params.number::<u64>("cursor")?, params.number::<u64>("after")?.unwrap_or(0));
    let instance = InstanceName(format!("{plugin}/{name}"));
    if api.options.registry.instance(&instance).is_none() {
        return Err(Problem::no_document("instances", instance.as_str()));
    }
    let mut lines = api.options.registry.log(&instance);
    let oldest = lines.first().map_or(0, |line| line.number);
    let newest_number = lines.last().map_or(after, |line| line.number.max(after));
    if newest {
        lines.reverse();
    }
    let is_behind = |line: &LogLine| {
        line.number > after
            && cursor.is_none_or(|cursor| if newest { line.number < cursor } else { line.number > cursor })
            && level.is_none_or(|level| line.level >= level)
    };
    let mut wanted = lines.into_iter().filter(is_behind).peekable();
    let items: Vec<LogLine> = wanted.by_ref().take(limit).collect();
    let last = items.last().map(|line| line.number);
    let next_cursor = wanted.peek().and(last).map(|last| last.to_string());
    let next = if next_cursor.is_some() && !newest { last.unwrap_or(after) } else { newest_number };
    Ok(Json(LogPage { items, next_cursor, next, oldest }))
}
