//! The host at a glance.

use super::Routes;
use super::health::{Check, Readiness};
use crate::Api;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::deployment::{Deployment, DeploymentState};
use quarterdeck_model::domain::incident::{Incident, IncidentState};
use quarterdeck_model::domain::runbook::{Run, RunState};
use quarterdeck_model::domain::slo::{SloState, SloStatus};
use quarterdeck_model::event::Offset;
use quarterdeck_model::store::{Page, Store};
use quarterdeck_model::{Span, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::routes;

/// Documents of a collection that are looked at, the newest ones. What is open is seldom older.
const LOOK_AT: usize = 1000;

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
    /// Among the newest 1000 of each.
    pub(crate) open: Open,
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
    pub(crate) async fn of(api: &Api) -> Result<Self, Problem> {
        let store = Arc::clone(&api.options.store);
        let (log, health, open) = blocking(move || {
            let log = LogStatus { head: store.head(), tail: store.tail() };
            Ok((log, store.health(), open(&*store)?))
        })
        .await?;
        let Readiness { ready, checks } = Readiness::of(api);
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
            plugins: tally(api.options.registry.plugins().into_iter().map(|plugin| plugin.state)),
            instances: tally(api.options.registry.states().into_iter()),
            jobs: JobsStatus { jobs: wide(depth.jobs), running: wide(depth.running), queued: wide(depth.queued) },
            open,
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

fn tally(states: impl Iterator<Item = impl Serialize>) -> BTreeMap<String, u64> {
    states.fold(BTreeMap::new(), |mut counts, state| {
        *counts.entry(word(state)).or_default() += 1;
        counts
    })
}

fn open(store: &dyn Store) -> Result<Open, Problem> {
    Ok(Open {
        alerts: count(store, Alert::COLLECTION, |alert: &Alert| alert.state == AlertState::Firing)?,
        incidents: count(store, Incident::COLLECTION, |incident: &Incident| incident.state != IncidentState::Resolved)?,
        deployments: count(store, Deployment::COLLECTION, |deployment: &Deployment| {
            !DeploymentState::is_final(deployment.state)
        })?,
        runs: count(store, Run::COLLECTION, |run: &Run| run.state == RunState::Running)?,
        slos: count(store, SloStatus::COLLECTION, |slo: &SloStatus| slo.state == SloState::Breached)?,
    })
}

fn count<T: DeserializeOwned>(
    store: &dyn Store,
    collection: &str,
    is_open: impl Fn(&T) -> bool,
) -> Result<u64, Problem> {
    let mut open = 0;
    for document in store.list(collection, &Page::newest(LOOK_AT))? {
        open += u64::from(is_open(&document.decode()?));
    }
    Ok(open)
}
