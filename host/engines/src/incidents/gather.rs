//! One event after another: where does it belong? The answer, the incident and the place in the log are one record, so that each
//! event counts once, whatever happens in between.
//!
//! Incidents that open share a record, as long as nobody has to read one of them: a storm of alerts that no correlator is asked about costs
//! one for hundreds of them. Where the store refuses it, what is in it is decided anew, each event by itself.

use super::trigger::{Trigger, trigger};
use super::{CONSUMER, Incidents, incident};
use crate::results::put_aside;
use crate::{Error, belongings, to_json};
use quarterdeck_bus::Consumer;
use quarterdeck_model::Json;
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::event::{Offset, StoredEvent};
use quarterdeck_model::id::IncidentId;
use quarterdeck_model::kind::correlator::{AlertSummary, Placement};
use quarterdeck_model::plugin::{CallError, CallFailed, PluginRef};
use quarterdeck_model::store::{EventBatch, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, warn};

const BATCH: usize = 256;
/// How often a correlator is asked about one alert before the alert gets an incident of its own, and the waits between.
const WAITS: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];
const AGAIN: Duration = Duration::from_secs(1);
/// Bytes of documents that are enough for one record: an event about each of them is about as large.
const ENOUGH: usize = 512 << 10;
/// An event that can't be gathered for another reason than the store's state is put aside after this many failures.
const FAILURES: u32 = 5;

/// Where something goes, and who says so, or was to say so and failed.
struct Decision {
    placement: Placement,
    plugin: Option<PluginRef>,
    rest: Transition,
    note: Option<String>,
}

/// Incidents that open, and are not in the store yet.
#[derive(Default)]
struct Gathered {
    /// Which event of the batch is looked at.
    at: usize,
    transition: Transition,
    opened: Vec<IncidentId>,
    bytes: usize,
    /// The first event of which something is here.
    begun: Option<usize>,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.begun.is_none()
    }

    fn add(&mut self, part: Transition) {
        self.bytes += part.writes.iter().filter_map(|write| write.value.as_ref()).map(Json::len).sum::<usize>();
        self.transition.absorb(part);
        self.begun.get_or_insert(self.at);
    }

    /// Everything up to there is handled. Durable on return, and nothing is here any more.
    async fn commit(&mut self, incidents: &Incidents, up_to: Offset) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let transition = std::mem::take(&mut self.transition).ack(CONSUMER, up_to);
        incidents.context.commit(transition).await?;
        *self = Gathered { at: self.at, ..Gathered::default() };
        Ok(())
    }

    /// Nothing of it came into the store. Gives the event to go on with.
    fn discard(&mut self, incidents: &Incidents) -> usize {
        let Gathered { at, opened, begun, .. } = std::mem::take(self);
        opened.iter().for_each(|id| incidents.open.remove(id.as_str()));
        begun.unwrap_or(at)
    }
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
        if handle(&incidents, &consumer, &batch, &mut broken).await.is_err() {
            return;
        }
    }
}

/// The host is stopping, or the store is gone.
struct Stopping;

async fn handle(
    incidents: &Incidents,
    consumer: &Consumer,
    batch: &EventBatch,
    broken: &mut bool,
) -> Result<(), Stopping> {
    let context = &incidents.context;
    let mut gathered = Gathered::default();
    let (mut acknowledged, mut failures) = (false, 0);
    // Events before this one go by themselves.
    let mut alone = 0;
    loop {
        let at = gathered.at;
        let stored = batch.events.get(at);
        let handled = match stored {
            Some(stored) => next(incidents, stored, &mut gathered, at < alone, broken).await,
            None if gathered.is_empty() => break,
            None => gathered.commit(incidents, batch.next).await.map(|()| true),
        };
        let error = match handled {
            Ok(done) => {
                (acknowledged, failures) = (done, 0);
                gathered.at = at + 1;
                continue;
            }
            Err(error) => error,
        };
        let first = gathered.discard(incidents);
        alone = alone.max(at + 1);
        failures = if first == at { failures + 1 } else { 0 };
        let offset = stored.map_or(batch.next, |stored| stored.offset);
        warn!(%offset, %error, failures, "an event could not be gathered");
        if let Some(stored) = stored.filter(|_| failures >= FAILURES && !is_transient(&error)) {
            if let Err(error) = put_aside(context, consumer, stored, &error.to_string()).await {
                error!(offset = %stored.offset, %error, "can't put the event aside");
                return Err(Stopping);
            }
            (acknowledged, failures) = (false, 0);
            gathered.at = at + 1;
            continue;
        }
        gathered.at = first;
        tokio::select! {
            () = context.shutdown.cancelled() => return Err(Stopping),
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
    // Events that led to nothing share one acknowledgement: looking at them again does no harm.
    if !acknowledged && let Err(error) = consumer.ack(batch.next).await {
        warn!(%error, "can't acknowledge");
    }
    Ok(())
}

/// Handles one event. True: what came of it was committed, and with it the event acknowledged.
async fn next(
    incidents: &Incidents,
    stored: &StoredEvent,
    gathered: &mut Gathered,
    alone: bool,
    broken: &mut bool,
) -> Result<bool, Error> {
    let acknowledged = gather(incidents, stored, gathered, broken).await?;
    if gathered.is_empty() || !(alone || gathered.bytes >= ENOUGH) {
        return Ok(acknowledged);
    }
    gathered.commit(incidents, stored.offset).await?;
    Ok(true)
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

/// The same, but that incidents that open may be left in `gathered`: false then.
async fn gather(
    incidents: &Incidents,
    stored: &StoredEvent,
    gathered: &mut Gathered,
    broken: &mut bool,
) -> Result<bool, Error> {
    let trigger = trigger(&stored.event);
    let fingerprint = match &trigger {
        Trigger::Begins { alert, .. } => alert.fingerprint.as_str(),
        Trigger::Ends(fingerprint) => fingerprint,
        Trigger::Nothing | Trigger::Malformed(_) => "",
    };
    // Its incident may be among those that are not in the store yet.
    if !gathered.is_empty() && !incidents.open.of(fingerprint).is_empty() {
        gathered.commit(incidents, before(stored)).await?;
    }
    match trigger {
        // Whoever resolved its incident knows of it. One that became worse, and was not worth an incident before, is another matter.
        Trigger::Begins { alert, goes_on: true, .. } if incidents.is_dismissed(&alert)? => Ok(false),
        Trigger::Begins { alert, runbook, .. } => {
            begin(incidents, stored, &alert, runbook.as_deref(), gathered, broken).await
        }
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

/// Everything before it was handled.
fn before(stored: &StoredEvent) -> Offset {
    Offset(stored.offset.0.saturating_sub(1))
}

async fn begin(
    incidents: &Incidents,
    stored: &StoredEvent,
    alert: &AlertSummary,
    runbook: Option<&str>,
    gathered: &mut Gathered,
    broken: &mut bool,
) -> Result<bool, Error> {
    let context = &incidents.context;
    if let Some(known) = incidents.member_of(&alert.fingerprint)? {
        return join(incidents, stored, &known.id, alert, alert.severity, runbook, Decision::own()).await;
    }
    let catalog = context.catalog();
    if alert.severity > catalog.correlation.minimum_severity {
        return Ok(false);
    }
    // Where there is no such instance, nobody looks at what is open.
    let is_there = context.registry.instance(&catalog.correlation.correlator).is_some();
    if is_there {
        gathered.commit(incidents, before(stored)).await?;
    }
    let mut decision = place(incidents, alert, is_there, broken).await?;
    match decision.placement.clone() {
        Placement::Ignore { reason } => {
            let data = serde_json::json!({"fingerprint": alert.fingerprint, "reason": reason, "alert": alert});
            let event = context.event("incident.ignored", &alert.fingerprint).data(data).plugin(decision.plugin);
            let rest = std::mem::take(&mut decision.rest);
            let mut transition = Transition::new().event(event.caused_by(&stored.event));
            transition.absorb(rest);
            gathered.add(transition);
            Ok(false)
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
                .event(event);
            transition.absorb(decision.rest);
            // Before the commit, so that whoever hears of it finds it among those that are open.
            incidents.open.add(&opened);
            gathered.opened.push(opened.id);
            gathered.add(transition);
            Ok(false)
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
async fn place(
    incidents: &Incidents,
    alert: &AlertSummary,
    is_there: bool,
    broken: &mut bool,
) -> Result<Decision, Error> {
    let context = &incidents.context;
    let spec = context.catalog().correlation.clone();
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
            // Said once, until it answers again: the incidents themselves say it, too.
            if !std::mem::replace(broken, true) {
                warn!(correlator = %spec.correlator, alert = alert.fingerprint, reason, "opening incidents without a correlator");
            }
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
