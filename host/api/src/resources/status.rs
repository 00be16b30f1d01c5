//! The host at a glance.

use super::Routes;
use super::health::{Check, Readiness};
use crate::Api;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::schema::of;
use crate::unreadable::Unreadable;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::domain::alert::AlertState;
use quarterdeck_model::domain::slo::SloState;
use quarterdeck_model::event::Offset;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::routes;

/// Documents that can't be read that are named.
const NAMED: usize = 100;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(get_status))
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) started_at: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) uptime: Span,
    pub(crate) ready: bool,
    pub(crate) checks: Vec<Check>,
    pub(crate) configuration: ConfigurationStatus,
    pub(crate) store: StoreStatus,
    pub(crate) log: LogStatus,
    pub(crate) audit: AuditStatus,
    /// How many plugins are in which state.
    pub(crate) plugins: BTreeMap<String, u64>,
    /// How many instances are in which state.
    pub(crate) instances: BTreeMap<String, u64>,
    pub(crate) jobs: JobsStatus,
    pub(crate) open: Open,
    /// Documents that were found to be unreadable, the first hundred of them: `open` does not count them. The log names all.
    pub(crate) unreadable: Vec<Unreadable>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConfigurationStatus {
    /// Mistakes for which the files as they stand are refused; what they said before is in force.
    pub(crate) refused: u64,
    /// The first of them.
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StoreStatus {
    pub(crate) writable: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
    pub(crate) free_bytes: u64,
    pub(crate) size_bytes: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LogStatus {
    /// Offset of the newest event.
    pub(crate) head: Offset,
    /// Everything up to here was removed by retention.
    pub(crate) tail: Offset,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AuditStatus {
    /// Records of what plugins did that were lost since the start: the store refused them for too long. The log has the others (`audit.`).
    pub(crate) lost: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct JobsStatus {
    pub(crate) jobs: u64,
    pub(crate) running: u64,
    /// Due, and waiting for a free slot.
    pub(crate) queued: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Open {
    /// Firing.
    pub(crate) alerts: u64,
    /// Not resolved.
    pub(crate) incidents: u64,
    /// Not at their end.
    pub(crate) deployments: u64,
    pub(crate) runs: u64,
    /// Breached.
    pub(crate) slos: u64,
}

/// The host at a glance.
#[utoipa::path(get, path = "/status", tag = "host",
    responses((status = 200, description = "How it is.", body = ref(of::<Status>()))))]
async fn get_status(State(api): State<Arc<Api>>) -> Result<Json<Status>, Problem> {
    Status::of(&api).await.map(Json)
}

impl Status {
    pub(crate) async fn of(api: &Arc<Api>) -> Result<Self, Problem> {
        let asked = Arc::clone(api);
        let (log, health, readiness, plugins, instances, open, unreadable) = blocking(move || {
            let (store, registry) = (&asked.options.store, &asked.options.registry);
            let log = LogStatus { head: store.head(), tail: store.tail() };
            let health = store.health();
            let readiness = Readiness::of(&**registry, &health);
            let (plugins, instances) = (tally(registry.plugin_states()), tally(registry.states()));
            let open = open(&asked)?;
            let mut unreadable = asked.glances.unreadable();
            unreadable.truncate(NAMED);
            Ok((log, health, readiness, plugins, instances, open, unreadable))
        })
        .await?;
        let Readiness { ready, checks } = readiness;
        let refused = api.options.configuration.refused();
        let configuration = ConfigurationStatus {
            refused: wide(refused.len()),
            reason: refused.into_iter().next().map(|mistake| mistake.detail),
        };
        let (now, depth) = (api.now(), api.options.scheduler.depth());
        Ok(Status {
            version: api.options.version.to_owned(),
            started_at: api.options.started_at,
            now,
            uptime: now.since(api.options.started_at),
            ready,
            checks,
            configuration,
            store: StoreStatus {
                writable: health.writable,
                reason: health.reason,
                free_bytes: health.free_bytes,
                size_bytes: health.size_bytes,
            },
            log,
            audit: AuditStatus { lost: api.options.registry.audit_records_lost() },
            plugins,
            instances,
            jobs: JobsStatus { jobs: wide(depth.jobs), running: wide(depth.running), queued: wide(depth.queued) },
            open,
            unreadable,
        })
    }
}

pub(super) fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The word by which a state is known in JSON.
pub(crate) fn word(state: impl Serialize) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// How many there are of each. Counted before they are made words: there may be ten thousand of the same.
pub(crate) fn tally<S: Serialize + PartialEq>(states: impl IntoIterator<Item = S>) -> BTreeMap<String, u64> {
    let mut counts: Vec<(S, u64)> = Vec::new();
    for state in states {
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    counts.into_iter().map(|(state, count)| (word(state), count)).collect()
}

/// Of all that there are, see [`crate::glances`].
fn open(api: &Api) -> Result<Open, StoreError> {
    let (store, glances) = (&*api.options.store, &api.glances);
    Ok(Open {
        alerts: glances.alerts.count(store, |at| at.alert.state == AlertState::Firing)?,
        incidents: glances.incidents.count(store, |incident| incident.is_open)?,
        deployments: glances.deployments.count(store, |deployment| deployment.is_in_flight)?,
        runs: glances.runs.count(store, |run| run.is_running)?,
        slos: glances.slos.count(store, |slo| slo.state == SloState::Breached)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::plugin::InstanceState;

    #[test]
    fn states_are_counted_by_their_words() {
        let states = [InstanceState::Active, InstanceState::AwaitingGrant, InstanceState::Active];
        let expected = [("active".to_owned(), 2), ("awaiting-grant".to_owned(), 1)];
        assert_eq!(tally(states), BTreeMap::from(expected));
        assert_eq!(tally([] as [InstanceState; 0]), BTreeMap::new());
    }
}
