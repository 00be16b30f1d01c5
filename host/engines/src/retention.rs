//! Forgets what ended long ago: runs, scans, findings that were fixed, incidents that were resolved, deployments, dead letters.
//!
//! What is open stays, however old it is, and so does what something open refers to: the incident of an alert that fires on (it says
//! that somebody knows), or that a run works on; the run for an incident that is open; the fixed finding in one; the scan that saw a finding
//! that is open. The last scan of a name and the last deployment of a service stay, too: the next one follows from them.
//!
//! A collection is read in pages, and what goes of a page goes in one record, each document only as it was read: one that was written
//! meanwhile is looked at again at the next run. Series, the log and the outbox have bounds of their own.

use crate::incidents::trigger::finding_fingerprint;
use crate::{Context, Error, Tasks};
use async_trait::async_trait;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::deployment::Deployment;
use quarterdeck_model::domain::incident::{Incident, IncidentState};
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::domain::runbook::Run;
use quarterdeck_model::domain::scan::{Finding, FindingState, Scan};
use quarterdeck_model::effect::DEAD_LETTERS;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::Job;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tracing::{info, warn};

const JOB: &str = "retention";
const EVERY: Span = Span::from_secs(3600);
/// Documents that are read, and may go, in one step.
const STEP: usize = 200;

pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    if let Err(error) = context.scheduler.set(JobSpec::every(JOB, EVERY), Arc::new(Sweep(context.clone()))) {
        warn!(%error, "what ended long ago can't be forgotten");
    }
    let context = context.clone();
    tasks.spawn("retention", async move {
        context.shutdown.cancelled().await;
        // The job holds what holds the scheduler: nobody would ever let go.
        context.scheduler.remove(JOB);
    });
}

struct Sweep(Context);

#[async_trait]
impl Job for Sweep {
    async fn run(&self, _planned: Timestamp) -> Result<(), String> {
        tokio::select! {
            () = self.0.shutdown.cancelled() => Ok(()),
            swept = sweep(&self.0) => swept.map_err(|error| error.to_string()),
        }
    }
}

/// A dead letter, as far as it matters here.
#[derive(Deserialize)]
struct Letter {
    at: Timestamp,
    /// Of an input that is poison to an instance.
    instance: Option<InstanceName>,
    class: Option<String>,
    digest: Option<String>,
}

impl Letter {
    fn input(self) -> Option<(InstanceName, String, String)> {
        Some((self.instance?, self.class?, self.digest?))
    }
}

/// What must not go, because something open refers to it.
#[derive(Debug, Default)]
struct Needed {
    /// Alerts that fire, and since when.
    alerts: BTreeMap<String, Timestamp>,
    /// Fingerprints of members of incidents that are open.
    members: BTreeSet<String>,
    /// Ids of incidents that are open, or that a run under way works on.
    incidents: BTreeSet<String>,
    /// Scans that saw a finding that is open, and the last one of each name.
    scans: BTreeSet<String>,
    /// The last one of each service.
    deployments: BTreeSet<String>,
}

/// One run over all collections.
async fn sweep(context: &Context) -> Result<(), Error> {
    let keep = context.catalog().keep_ended;
    if keep == Span::ZERO {
        return Ok(());
    }
    let before = context.now().minus(keep);
    let needed = needed(context).await?;
    let old = |at: Option<Timestamp>| at.is_some_and(|at| at < before);
    let mut forgotten = 0;
    forgotten += forget(context, Run::COLLECTION, |run: &Run| {
        old(run.finished_at) && !run.cause.as_ref().is_some_and(|cause| needed.incidents.contains(cause))
    })
    .await?;
    forgotten += forget(context, Finding::COLLECTION, |finding: &Finding| {
        finding.state == FindingState::Fixed
            && old(finding.resolved_at.or(Some(finding.last_seen)))
            && !needed.members.contains(&finding_fingerprint(&finding.id))
    })
    .await?;
    forgotten += forget(context, Scan::COLLECTION, |scan: &Scan| {
        old(scan.finished_at) && !needed.scans.contains(scan.id.as_str())
    })
    .await?;
    forgotten += forget(context, Incident::COLLECTION, |incident: &Incident| {
        let fires_on = |member: &quarterdeck_model::domain::incident::Member| {
            needed.alerts.get(&member.alert.fingerprint) == Some(&member.alert.active_at)
        };
        incident.state == IncidentState::Resolved
            && old(incident.resolved_at)
            && !needed.incidents.contains(incident.id.as_str())
            && !incident.members.iter().any(fires_on)
    })
    .await?;
    forgotten += forget(context, Deployment::COLLECTION, |deployment: &Deployment| {
        deployment.state.is_final()
            && old(deployment.finished_at)
            && !needed.deployments.contains(deployment.id.as_str())
    })
    .await?;
    let mut inputs = Vec::new();
    each(context, DEAD_LETTERS, |letter: Letter| {
        if old(Some(letter.at)) {
            inputs.extend(letter.input());
        }
    })
    .await?;
    forgotten += forget(context, DEAD_LETTERS, |letter: &Letter| old(Some(letter.at))).await?;
    // Nobody could take up again what has no letter any more.
    for (instance, class, digest) in inputs {
        context.registry.release(&instance, &class, &digest);
    }
    if forgotten > 0 {
        info!(documents = forgotten, %before, "forgot what ended long ago");
    }
    Ok(())
}

async fn needed(context: &Context) -> Result<Needed, Error> {
    let mut needed = Needed::default();
    each(context, Alert::COLLECTION, |alert: Alert| {
        if alert.state != AlertState::Resolved {
            needed.alerts.insert(alert.fingerprint, alert.active_at);
        }
    })
    .await?;
    each(context, Incident::COLLECTION, |incident: Incident| {
        if incident.state != IncidentState::Resolved {
            needed.incidents.insert(incident.id.0);
            needed.members.extend(incident.members.into_iter().map(|member| member.alert.fingerprint));
        }
    })
    .await?;
    each(context, Run::COLLECTION, |run: Run| {
        if run.finished_at.is_none() {
            needed.incidents.extend(run.cause);
        }
    })
    .await?;
    each(context, Finding::COLLECTION, |finding: Finding| {
        if finding.state == FindingState::Open {
            needed.scans.insert(finding.scan.0);
        }
    })
    .await?;
    // In the order of their ids, which is that of their beginnings: the last one stays.
    let (mut scans, mut deployments) = (BTreeMap::new(), BTreeMap::new());
    each(context, Scan::COLLECTION, |scan: Scan| drop(scans.insert(scan.name, scan.id.0))).await?;
    each(context, Deployment::COLLECTION, |deployment: Deployment| {
        deployments.insert(deployment.service, deployment.id.0);
    })
    .await?;
    needed.scans.extend(scans.into_values());
    needed.deployments.extend(deployments.into_values());
    Ok(needed)
}

/// Shows every document that can be read.
async fn each<T: DeserializeOwned>(
    context: &Context,
    collection: &str,
    mut look: impl FnMut(T),
) -> Result<(), StoreError> {
    let mut page = Page { limit: STEP, ..Page::all() };
    loop {
        let documents = context.store.list(collection, &page)?;
        let Some(last) = documents.last() else { return Ok(()) };
        page.after = Some(last.id.clone());
        documents.iter().filter_map(|document| document.decode().ok()).for_each(&mut look);
        tokio::task::yield_now().await;
    }
}

/// Deletes what `is_over` says, and gives how many that were. What can't be read is left alone.
async fn forget<T: DeserializeOwned>(
    context: &Context,
    collection: &str,
    is_over: impl Fn(&T) -> bool,
) -> Result<usize, StoreError> {
    let mut forgotten = 0;
    let mut page = Page { limit: STEP, ..Page::all() };
    loop {
        let documents = context.store.list(collection, &page)?;
        let Some(last) = documents.last() else { return Ok(forgotten) };
        page.after = Some(last.id.clone());
        let mut transition = Transition::new();
        for document in &documents {
            if document.decode::<T>().is_ok_and(|value| is_over(&value)) {
                transition = transition.delete(collection, &document.id, Expected::Revision(document.revision));
            }
        }
        if transition.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        let count = transition.writes.len();
        match context.commit(transition).await {
            Ok(_) => forgotten += count,
            // Somebody has written to one of them.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
