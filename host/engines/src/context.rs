//! What every shell holds: the ports, the catalog in force, and the loop of reading, deciding and committing.

use crate::monitoring::scrape::Outside;
use crate::outbox::Outlet;
use crate::{Asked, Error};
use quarterdeck_model::clock::Clock;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::event::Event;
use quarterdeck_model::fetch::Fetch;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::kind::Plugins;
use quarterdeck_model::plugin::{Called, Registry};
use quarterdeck_model::series::Series;
use quarterdeck_model::series::ingest::Ingest;
use quarterdeck_model::series::query::Querier;
use quarterdeck_model::store::{Committed, Document, Page, RawDocument, Store, StoreError};
use quarterdeck_model::transition::{Expected, Transition, Write};
use quarterdeck_model::{Json, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often a decision is made again because someone else wrote first.
const CONFLICTS: u32 = 32;

#[derive(Clone)]
pub struct Context {
    pub store: Arc<dyn Store>,
    pub series: Arc<dyn Series>,
    pub ingest: Arc<dyn Ingest>,
    pub querier: Arc<dyn Querier>,
    pub bus: quarterdeck_bus::Bus,
    pub scheduler: quarterdeck_scheduler::Handle,
    pub plugins: Plugins,
    pub registry: Arc<dyn Registry>,
    pub fetch: Arc<dyn Fetch>,
    /// Where samples are scraped from.
    pub outside: Outside,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<IdSource>,
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// Where people reach this host, without a slash at the end.
    pub public_url: String,
    /// Cancelled when the flows are to end.
    pub shutdown: CancellationToken,
    pub(crate) outlet: Outlet,
    /// What notifiers were told lately.
    pub(crate) lately: Arc<crate::notifications::ledger::Ledger>,
}

impl Context {
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The catalog in force.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.borrow().clone()
    }

    pub fn event(&self, event_type: &str, subject: impl Into<String>) -> Event {
        Event::new(&self.ids, self.now(), event_type, subject)
    }

    /// Commits, and hands the effects to the outbox once they are durable. Flows commit through this and never past it.
    ///
    /// # Errors
    /// What the store says; [`StoreError::Conflict`] where an expected revision was not met.
    pub async fn commit(&self, transition: Transition) -> Result<Committed, StoreError> {
        if transition.is_empty() {
            // What was read led to nothing: that is an answer as well, and must not be taken back by a power cut.
            self.store.settled().await?;
            return Ok(Committed::default());
        }
        let wanted = Outlet::entries(&transition.effects);
        let committed = self.store.commit(transition).await?;
        self.outlet.offer(wanted);
        Ok(committed)
    }

    /// Reads one document, lets `decide` look at it, and commits what it says: the new document, and whatever else
    /// belongs in the same record. Where someone else wrote first it all happens again on what they wrote, so `decide`
    /// must do nothing but decide. `None` changes nothing, and returns when what it was decided on is on the disk.
    ///
    /// Gives the document as it is afterwards.
    ///
    /// # Errors
    /// What `decide` or the store says.
    pub async fn update<T, F>(&self, collection: &str, id: &str, decide: F) -> Result<Option<T>, Error>
    where
        T: Serialize + DeserializeOwned + Clone,
        F: FnMut(Option<T>) -> Result<Option<(T, Transition)>, Error>,
    {
        self.update_as(Asked::from("host"), collection, id, decide).await
    }

    /// The same for someone who may have said what they saw of the document.
    ///
    /// # Errors
    /// As [`Context::update`], and [`Error::Changed`] where the document is at another revision.
    pub async fn update_as<T, F>(
        &self,
        asked: Asked<'_>,
        collection: &str,
        id: &str,
        mut decide: F,
    ) -> Result<Option<T>, Error>
    where
        T: Serialize + DeserializeOwned + Clone,
        F: FnMut(Option<T>) -> Result<Option<(T, Transition)>, Error>,
    {
        let mut conflicts = 0;
        loop {
            let document = self.find_raw(collection, id)?;
            if let Some(document) = &document {
                asked.check(id, document.revision)?;
            }
            let current = document.as_ref().map(|document| document.decode::<T>()).transpose()?;
            let Some((value, rest)) = decide(current.clone())? else {
                self.store.settled().await?;
                return Ok(current);
            };
            let expected = document.map_or(Expected::Absent, |document| Expected::Revision(document.revision));
            let mut transition = Transition::new().put(collection, id, expected, to_json(&value)?);
            transition.absorb(rest);
            match self.commit(transition).await {
                Ok(_) => return Ok(Some(value)),
                Err(StoreError::Conflict { .. }) if conflicts < CONFLICTS => conflicts += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The document that somebody from outside named. A store refuses malformed ids and those that are too long; here they are merely
    /// unknown.
    ///
    /// # Errors
    /// What else the store says.
    pub fn find(&self, collection: &str, id: &str) -> Result<Option<Document>, StoreError> {
        match self.store.get(collection, id) {
            Err(StoreError::Invalid(_)) => Ok(None),
            found => found,
        }
    }

    fn find_raw(&self, collection: &str, id: &str) -> Result<Option<RawDocument>, StoreError> {
        match self.store.raw(collection, id) {
            Err(StoreError::Invalid(_)) => Ok(None),
            found => found,
        }
    }

    /// One document, decoded, as [`Context::find`] finds it.
    ///
    /// # Errors
    /// What the store says; [`StoreError::Corrupt`] if the document has another shape.
    pub fn read<T: DeserializeOwned>(&self, collection: &str, id: &str) -> Result<Option<T>, StoreError> {
        self.find_raw(collection, id)?.map(|document| document.decode()).transpose()
    }

    /// A part of a collection, decoded.
    ///
    /// # Errors
    /// As [`Context::read`].
    pub fn read_all<T: DeserializeOwned>(&self, collection: &str, page: &Page) -> Result<Vec<T>, StoreError> {
        self.store.list(collection, page)?.iter().map(|document| document.decode()).collect()
    }
}

/// A value as events hold it.
///
/// # Errors
/// [`StoreError::Invalid`] for what JSON can't hold.
pub fn to_value<T: Serialize>(value: &T) -> Result<Value, StoreError> {
    serde_json::to_value(value).map_err(|error| StoreError::Invalid(format!("can't be kept as JSON: {error}")))
}

/// The same for a document: written at once, without a tree of values on the way.
///
/// # Errors
/// As [`to_value`].
pub fn to_json<T: Serialize>(value: &T) -> Result<Json, StoreError> {
    Json::of(value).map_err(|error| StoreError::Invalid(format!("can't be kept as JSON: {error}")))
}

/// A document to be written, whatever is there now.
///
/// # Errors
/// As [`to_value`].
pub fn write<T: Serialize>(collection: &str, id: &str, value: &T) -> Result<Write, StoreError> {
    Ok(Write {
        collection: collection.to_owned(),
        id: id.to_owned(),
        expected: Expected::Any,
        value: Some(to_json(value)?),
    })
}

/// What a call wrote and published, to be committed together with what is made of its value.
pub fn belongings<T>(called: &mut Called<T>) -> Transition {
    Transition {
        writes: std::mem::take(&mut called.writes),
        events: std::mem::take(&mut called.events),
        ..Transition::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, Fake, START, until};
    use serde_json::json;

    #[tokio::test]
    async fn a_change_to_what_was_seen_is_refused_once_somebody_else_has_written_even_in_the_middle_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::open(folder.path(), &Fake::default(), Catalog::default(), START);
        let context = &bench.context;
        let put = |value: u32| context.commit(Transition::new().put("c", "x", Expected::Any, json!(value)));
        put(1).await.unwrap();
        let asked = Asked { principal: "ann", seen: Some(&[1]) };
        // Somebody else writes between the look at the revision and the commit.
        let mut looked = 0;
        let changed = context
            .update_as::<u32, _>(asked, "c", "x", |found| {
                looked += 1;
                let other = Transition::new().put("c", "x", Expected::Any, json!(7));
                let store = context.store.clone();
                std::thread::spawn(move || futures::executor::block_on(store.commit(other))).join().unwrap().unwrap();
                Ok(found.map(|found| (found + 1, Transition::new())))
            })
            .await;
        assert!(matches!(changed, Err(Error::Changed { revision: 2, .. })), "{changed:?}");
        assert_eq!((looked, context.read::<u32>("c", "x").unwrap()), (1, Some(7)));
        let asked = Asked { principal: "ann", seen: Some(&[9, 2]) };
        let changed = context.update_as::<u32, _>(asked, "c", "x", |_| Ok(Some((3, Transition::new()))));
        assert_eq!(changed.await.unwrap(), Some(3));
    }

    #[tokio::test]
    async fn an_answer_that_changes_nothing_waits_until_what_it_follows_from_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::open(folder.path(), &Fake::default(), Catalog::default(), START);
        let context = &bench.context;
        let held = bench.faults.hold_syncs();
        let transition = Transition::new().put("c", "x", Expected::Any, json!(1));
        let mut first = Box::pin(context.commit(transition));
        assert!(futures::poll!(&mut first).is_pending());
        until("the first one's document", || context.read::<u32>("c", "x").unwrap().is_some()).await;
        let mut second = Box::pin(context.update::<u32, _>("c", "x", |found| {
            assert_eq!(found, Some(1));
            Ok(None)
        }));
        let mut nothing = Box::pin(context.commit(Transition::new()));
        assert!(futures::poll!(&mut second).is_pending(), "a power cut would take the first one back");
        assert!(futures::poll!(&mut nothing).is_pending());
        drop(held);
        assert_eq!(second.await.unwrap(), Some(1));
        nothing.await.unwrap();
        first.await.unwrap();
    }
}
