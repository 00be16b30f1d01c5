//! Incidents: what fires, what is found and what is missed, gathered into what people work on.
//!
//! - `trigger`: which events begin or end something; pure
//! - `incident`: one incident; pure
//! - `gather`: asks the correlator where something belongs, one after another
//!
//! Paging does not depend on a correlator: where it goes on failing, each alert opens an incident of its own, and the time line
//! says so.

mod gather;
pub mod incident;
pub mod trigger;

use crate::{Asked, Context, Error, Tasks, to_value};
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::event::{Event, EventFilter};
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::Transition;
use std::collections::BTreeSet;
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
        self.0.change(id, asked, |incident| Ok(incident::resolve(incident, asked.principal, note, now))).await
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
    /// Ids of incidents that may be open; one that is resolved is dropped when it is read.
    open: Mutex<BTreeSet<String>>,
}

pub(crate) async fn start(context: &Context, tasks: &mut Tasks) -> Result<Handle, Error> {
    let known: Vec<Incident> = context.read_all(Incident::COLLECTION, &Page::all())?;
    let open = known.into_iter().filter(incident::is_open).map(|incident| incident.id.0).collect();
    let incidents = Arc::new(Incidents { context: context.clone(), open: Mutex::new(open) });
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
        let ids: Vec<String> = self.with(|open| open.iter().cloned().collect());
        let mut incidents = Vec::new();
        for id in ids {
            match self.context.read::<Incident>(Incident::COLLECTION, &id)? {
                Some(incident) if incident::is_open(&incident) => incidents.push(incident),
                // Just being opened.
                None => {}
                Some(_) => {
                    self.with(|open| open.remove(&id));
                }
            }
        }
        Ok(incidents)
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        act(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
