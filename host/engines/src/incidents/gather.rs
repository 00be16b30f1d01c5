//! One event after another: where does it belong? The answer, the incident and the place in the log are one record, so that each
//! event counts once, whatever happens in between.

use super::trigger::{Trigger, trigger};
use super::{CONSUMER, Incidents, incident};
use crate::results::put_aside;
use crate::{Error, belongings, to_json};
use quarterdeck_bus::Consumer;
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::event::StoredEvent;
use quarterdeck_model::id::IncidentId;
use quarterdeck_model::kind::correlator::{AlertSummary, Placement};
use quarterdeck_model::plugin::{CallError, CallFailed, PluginRef};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::{Expected, Transition};
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, warn};

const BATCH: usize = 256;
/// How often a correlator is asked about one alert before the alert gets an incident of its own, and the waits between.
const WAITS: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];
const AGAIN: Duration = Duration::from_secs(1);
/// An event that can't be gathered for another reason than the store's state is put aside after this many failures.
const FAILURES: u32 = 5;

/// Where something goes, and who says so, or was to say so and failed.
struct Decision {
    placement: Placement,
    plugin: Option<PluginRef>,
    rest: Transition,
    note: Option<String>,
}

pub(super) async fn run(incidents: Arc<Incidents>, mut consumer: Consumer) {
    let shutdown = incidents.context.shutdown.clone();
    // The correlator's last answer was a failure: it is asked only once per alert until it answers again.
    let mut broken = false;
    loop {
        let batch = tokio::select! {
            () = shutdown.cancelled() => return,
            batch = consumer.next(BATCH) => batch,
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                error!(%error, "incidents can't follow the bus");
                return;
            }
        };
        let mut acknowledged = false;
        for stored in &batch.events {
            let mut failures = 0;
            acknowledged = loop {
                let error = match gather(&incidents, stored, &mut broken).await {
                    Ok(acknowledged) => break acknowledged,
                    Err(error) => error,
                };
                failures += 1;
                warn!(offset = %stored.offset, %error, failures, "an event could not be gathered");
                if failures >= FAILURES && !is_transient(&error) {
                    let context = &incidents.context;
                    if let Err(error) = put_aside(context, &consumer, stored, &error.to_string()).await {
                        error!(offset = %stored.offset, %error, "can't put the event aside");
                        return;
                    }
                    break false;
                }
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            };
        }
        // Events that led to nothing share one acknowledgement: looking at them again does no harm.
        if !acknowledged && let Err(error) = consumer.ack(batch.next).await {
            warn!(%error, "can't acknowledge");
        }
    }
}

/// Whether waiting may help, and nothing is gained by going on without the event.
fn is_transient(error: &Error) -> bool {
    use StoreError::{Closed, DiskFull, Io};
    match error {
        Error::Store(error) => matches!(error, DiskFull { .. } | Io(_) | Closed),
        Error::Call(failed) => failed.error == CallError::Cancelled,
        _ => false,
    }
}

/// Handles one event. True: what came of it was committed, and with it the event acknowledged.
async fn gather(incidents: &Incidents, stored: &StoredEvent, broken: &mut bool) -> Result<bool, Error> {
    match trigger(&stored.event) {
        // Whoever resolved its incident knows of it. One that became worse, and was not worth an incident before, is another matter.
        Trigger::Begins { alert, goes_on: true, .. } if incidents.is_dismissed(&alert)? => Ok(false),
        Trigger::Begins { alert, runbook, .. } => begin(incidents, stored, &alert, runbook.as_deref(), broken).await,
        Trigger::Ends(fingerprint) => {
            incidents.with_dismissed(|dismissed| dismissed.remove(&fingerprint));
            end(incidents, stored, &fingerprint).await
        }
        Trigger::Nothing => Ok(false),
        Trigger::Malformed(reason) => {
            warn!(event = %stored.event.id, reason, "an event is not what its type promises");
            Ok(false)
        }
    }
}

async fn begin(
    incidents: &Incidents,
    stored: &StoredEvent,
    alert: &AlertSummary,
    runbook: Option<&str>,
    broken: &mut bool,
) -> Result<bool, Error> {
    let context = &incidents.context;
    if let Some(known) = incidents.member_of(&alert.fingerprint)? {
        return join(incidents, stored, &known.id, alert, alert.severity, runbook, Decision::own()).await;
    }
    let minimum = context.catalog().correlation.minimum_severity;
    if alert.severity > minimum {
        return Ok(false);
    }
    let mut decision = place(incidents, alert, broken).await?;
    match decision.placement.clone() {
        Placement::Ignore { reason } => {
            let data = serde_json::json!({"fingerprint": alert.fingerprint, "reason": reason, "alert": alert});
            let event = context.event("incident.ignored", &alert.fingerprint).data(data).plugin(decision.plugin);
            let rest = std::mem::take(&mut decision.rest);
            let mut transition = Transition::new().event(event.caused_by(&stored.event)).ack(CONSUMER, stored.offset);
            transition.absorb(rest);
            context.commit(transition).await?;
            Ok(true)
        }
        Placement::Join { incident, severity } => {
            let id = IncidentId(incident);
            join(incidents, stored, &id, alert, severity, runbook, decision).await
        }
        Placement::Open { key, title, severity } => {
            let now = context.now();
            let id = IncidentId::new(&context.ids, now);
            let note = decision.note.take().unwrap_or_else(|| format!("opened: {}", alert.summary));
            let mut opened = incident::open(id, key, title, severity, &note, now);
            incident::join(&mut opened, alert, severity, runbook, now);
            let event = incidents.event(Incident::OPENED, &opened)?.plugin(decision.plugin).caused_by(&stored.event);
            let mut transition = Transition::new()
                .put(Incident::COLLECTION, opened.id.as_str(), Expected::Absent, to_json(&opened)?)
                .event(event)
                .ack(CONSUMER, stored.offset);
            transition.absorb(decision.rest);
            // Before the commit, so that whoever hears of it finds it among those that are open.
            incidents.open.add(&opened);
            let committed = context.commit(transition).await;
            if committed.is_err() {
                incidents.open.remove(opened.id.as_str());
            }
            committed?;
            Ok(true)
        }
    }
}

impl Decision {
    /// Nobody had to be asked.
    fn own() -> Self {
        let placement = Placement::Ignore { reason: String::new() };
        Decision { placement, plugin: None, rest: Transition::new(), note: None }
    }
}

async fn join(
    incidents: &Incidents,
    stored: &StoredEvent,
    id: &IncidentId,
    alert: &AlertSummary,
    severity: quarterdeck_model::Severity,
    runbook: Option<&str>,
    decision: Decision,
) -> Result<bool, Error> {
    let context = &incidents.context;
    loop {
        let document = context.store.get(Incident::COLLECTION, id.as_str())?;
        let Some(document) = document else {
            return Err(Error::not_found(format!("incident `{id}`")));
        };
        let mut joined: Incident = document.decode()?;
        if !incident::is_open(&joined) {
            // Someone resolved it in the meantime: asked again, from the start.
            return Err(Error::conflict(format!("incident `{id}` was resolved meanwhile")));
        }
        let told = incident::join(&mut joined, alert, severity, runbook, context.now());
        incidents.open.add(&joined);
        let mut transition = Transition::new().ack(CONSUMER, stored.offset);
        if let Some(told) = told {
            let event = incidents.event(told, &joined)?.plugin(decision.plugin.clone()).caused_by(&stored.event);
            let expected = Expected::Revision(document.revision);
            transition = transition.put(Incident::COLLECTION, id.as_str(), expected, to_json(&joined)?).event(event);
        }
        transition.absorb(decision.rest.clone());
        match context.commit(transition).await {
            Err(StoreError::Conflict { .. }) => {}
            result => return Ok(result.map(|_| true)?),
        }
    }
}

async fn end(incidents: &Incidents, stored: &StoredEvent, fingerprint: &str) -> Result<bool, Error> {
    let context = &incidents.context;
    let Some(member_of) = incidents.member_of(fingerprint)? else { return Ok(false) };
    let id = member_of.id.as_str();
    let ended = context
        .update::<Incident, _>(Incident::COLLECTION, id, |found| {
            let mut ended = found.ok_or_else(|| Error::not_found(format!("incident `{id}`")))?;
            let told = incident::ended(&mut ended, fingerprint, context.now());
            let mut transition = Transition::new().ack(CONSUMER, stored.offset);
            if let Some(told) = told {
                transition = transition.event(incidents.event(told, &ended)?.caused_by(&stored.event));
            }
            Ok(Some((ended, transition)))
        })
        .await?;
    if ended.is_some_and(|ended| !incident::is_open(&ended)) {
        incidents.open.remove(id);
    }
    Ok(true)
}

/// Asks the correlator; if it goes on failing, decides plainly.
async fn place(incidents: &Incidents, alert: &AlertSummary, broken: &mut bool) -> Result<Decision, Error> {
    let context = &incidents.context;
    let spec = context.catalog().correlation.clone();
    // Where there is no such instance, nobody looks at what is open.
    let is_there = context.registry.instance(&spec.correlator).is_some();
    let open = if is_there { incidents.read_open()? } else { Vec::new() };
    let shown: Vec<_> = open.iter().filter(|open| !incident::is_full(open)).map(incident::as_open).collect();
    drop(open);
    let waits = if *broken { WAITS.get(..0) } else { WAITS.get(..) }.unwrap_or_default();
    let mut waits = waits.iter();
    loop {
        let answer = context.plugins.correlator.correlate(&spec.correlator, alert, &shown, context.now()).await;
        let (reason, plugin) = match answer {
            Ok(mut called) => {
                let unknown = match &called.value {
                    Placement::Join { incident, .. } => !shown.iter().any(|shown| shown.id == *incident),
                    _ => false,
                };
                if !unknown {
                    *broken = false;
                    let rest = belongings(&mut called);
                    return Ok(Decision { placement: called.value, plugin: Some(called.plugin), rest, note: None });
                }
                ("it named an incident that is not open".to_owned(), Some(called.plugin))
            }
            Err(failed) => (failed.to_string(), failed.plugin),
        };
        if context.shutdown.is_cancelled() {
            return Err(cancelled());
        }
        let Some(wait) = waits.next() else {
            warn!(correlator = %spec.correlator, alert = alert.fingerprint, reason, "opening an incident without a correlator");
            *broken = true;
            return Ok(alone(alert, &reason, plugin));
        };
        tokio::select! {
            // Nothing was decided; the next start asks again.
            () = context.shutdown.cancelled() => return Err(cancelled()),
            () = tokio::time::sleep(*wait) => {}
        }
    }
}

fn cancelled() -> Error {
    CallFailed::from(CallError::Cancelled).into()
}

/// An incident for this alert alone, so that paging goes on whatever a plugin does. `plugin`: the one that failed.
fn alone(alert: &AlertSummary, reason: &str, plugin: Option<PluginRef>) -> Decision {
    let placement = Placement::Open {
        key: format!("alone/{}", alert.fingerprint),
        title: if alert.summary.is_empty() { alert.name.clone() } else { alert.summary.clone() },
        severity: alert.severity,
    };
    let note = format!("opened without correlation: {reason}");
    Decision { placement, plugin, rest: Transition::new(), note: Some(note) }
}
