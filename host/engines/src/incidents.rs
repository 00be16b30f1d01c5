//! Incidents: what fires, what is found and what is missed, gathered into what people work on.
//!
//! - `trigger`: which events begin or end something; pure
//! - `incident`: one incident; pure
//! - `gather`: asks the correlator where something belongs, one after another
//! - `known`: which are open, and what is in them, without a look at the store
//!
//! Paging does not depend on a correlator: where it goes on failing, each alert opens an incident of its own, and the time line
//! says so.

mod gather;
pub mod incident;
mod known;
pub mod trigger;

use crate::{Asked, Context, Error, Tasks, to_value};
use known::Known;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::event::{Event, EventFilter};
use quarterdeck_model::kind::correlator::AlertSummary;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::Transition;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Name of the durable consumer.
pub const CONSUMER: &str = "incidents";

#[derive(Clone)]
pub struct Handle(Arc<Incidents>);

impl Handle {
    /// Someone works on it. A second time changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], and [`Error::Conflict`] if it is resolved.
    pub async fn acknowledge(&self, id: &str, asked: impl Into<Asked<'_>>) -> Result<Incident, Error> {
        let (asked, now) = (asked.into(), self.0.context.now());
        self.0.change(id, asked, |incident| incident::acknowledge(incident, asked.principal, now)).await
    }

    /// Someone says that it is over. A second time changes nothing. An alert that goes on firing opens another one only when it
    /// starts to fire anew.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`].
    pub async fn resolve(&self, id: &str, asked: impl Into<Asked<'_>>, note: Option<&str>) -> Result<Incident, Error> {
        let (asked, now) = (asked.into(), self.0.context.now());
        // Before the commit, so that news of its alerts that come behind it open nothing. As long as it is open, they join it anyway.
        if let Some(incident) = self.0.context.read::<Incident>(Incident::COLLECTION, id)? {
            self.0.dismiss(&incident);
        }
        let resolve = |incident: &mut Incident| Ok(incident::resolve(incident, asked.principal, note, now));
        let resolved = self.0.change(id, asked, resolve).await?;
        self.0.dismiss(&resolved);
        self.0.open.remove(id);
        Ok(resolved)
    }

    /// Adds an entry to the time line.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn note(&self, id: &str, principal: &str, text: &str) -> Result<Incident, Error> {
        let now = self.0.context.now();
        self.0.change(id, principal.into(), |incident| Ok(Some(incident::remark(incident, principal, text, now)))).await
    }

    /// Those that are not resolved, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub fn open(&self) -> Result<Vec<Incident>, Error> {
        Ok(self.0.read_open()?)
    }
}

pub(crate) struct Incidents {
    context: Context,
    open: Known,
    /// What went on when a person resolved its incident: fingerprints, and since when it was active then.
    dismissed: Mutex<BTreeMap<String, Timestamp>>,
}

pub(crate) async fn start(context: &Context, tasks: &mut Tasks) -> Result<Handle, Error> {
    let known: Vec<Incident> = context.read_all(Incident::COLLECTION, &Page::all())?;
    let incidents =
        Arc::new(Incidents { context: context.clone(), open: Known::default(), dismissed: Mutex::default() });
    for incident in &known {
        if incident::is_open(incident) {
            incidents.open.add(incident);
        } else {
            incidents.dismiss(incident);
        }
    }
    let consumer = context.bus.consumer(CONSUMER, EventFilter::types(trigger::EVENTS))?;
    tasks.spawn("incidents", gather::run(incidents.clone(), consumer));
    Ok(Handle(incidents))
}

impl Incidents {
    async fn change<F>(&self, id: &str, asked: Asked<'_>, mut act: F) -> Result<Incident, Error>
    where
        F: FnMut(&mut Incident) -> Result<Option<incident::Told>, Error>,
    {
        let absent = || Error::not_found(format!("incident `{id}`"));
        let changed = self.context.update_as::<Incident, _>(asked, Incident::COLLECTION, id, |incident| {
            let mut incident = incident.ok_or_else(absent)?;
            let Some(told) = act(&mut incident)? else { return Ok(None) };
            let event = self.event(told, &incident)?.principal(asked.principal);
            Ok(Some((incident, Transition::new().event(event))))
        });
        changed.await?.ok_or_else(absent)
    }

    /// The incident, and the labels that all of its members have: what routes and triggers look at.
    fn event(&self, told: &str, incident: &Incident) -> Result<Event, StoreError> {
        let mut data = to_value(incident)?;
        if let Some(data) = data.as_object_mut() {
            data.insert("labels".to_owned(), to_value(&incident::labels(incident))?);
        }
        Ok(self.context.event(told, incident.id.as_str()).data(data))
    }

    fn read_open(&self) -> Result<Vec<Incident>, StoreError> {
        self.read_those(self.open.ids())
    }

    /// The open incident that the alert is in.
    fn member_of(&self, fingerprint: &str) -> Result<Option<Incident>, StoreError> {
        let open = self.read_those(self.open.of(fingerprint))?;
        Ok(open.into_iter().find(|open| incident::has(open, fingerprint)))
    }

    fn read_those(&self, ids: Vec<Arc<str>>) -> Result<Vec<Incident>, StoreError> {
        let mut incidents = Vec::new();
        for id in ids {
            match self.context.read::<Incident>(Incident::COLLECTION, &id)? {
                Some(incident) if incident::is_open(&incident) => incidents.push(incident),
                // Just being opened.
                None => {}
                Some(_) => self.open.remove(&id),
            }
        }
        Ok(incidents)
    }

    fn dismiss(&self, incident: &Incident) {
        let going_on = incident.members.iter().filter(|member| member.resolved_at.is_none());
        self.with_dismissed(|dismissed| {
            dismissed.extend(going_on.map(|member| (member.alert.fingerprint.clone(), member.alert.active_at)));
        });
    }

    /// Whether a person has resolved the incident of this alert, which has not begun anew since.
    fn is_dismissed(&self, alert: &AlertSummary) -> Result<bool, StoreError> {
        let since = self.with_dismissed(|dismissed| dismissed.get(&alert.fingerprint).copied());
        if since != Some(alert.active_at) {
            return Ok(false);
        }
        Ok(self.member_of(&alert.fingerprint)?.is_none())
    }

    fn with_dismissed<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Timestamp>) -> T) -> T {
        act(&mut self.dismissed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
