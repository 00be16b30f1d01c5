//! Ports that hold nothing: what a runtime needs beside plugins, for the benchmark and the compiler's test.

use async_trait::async_trait;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::{EventFilter, Offset, StoredEvent};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::process::{ProcessSpec, ProcessStatus, Processes};
use quarterdeck_model::secret::Secrets;
use quarterdeck_model::series::{Part, PartOfRange, Sample, Selector, Series, SeriesData};
use quarterdeck_model::store::{Committed, Document, EventBatch, Page, Store, StoreError, StoreHealth};
use quarterdeck_model::transition::Transition;
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_runtime::Options;
use quarterdeck_runtime::imports::{DoorsOptions, Vitals};
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::SystemTime;
use tokio::sync::broadcast;

struct Nothing;

/// Options of a runtime that keeps nothing but its cache.
pub fn options(folder: &Path) -> Options {
    let ids = Arc::new(IdSource::seeded(1));
    let doors = DoorsOptions {
        store: Arc::new(Nothing),
        series: Arc::new(Nothing),
        processes: Arc::new(Nothing),
        secrets: Arc::new(Nothing),
        clock: Arc::new(Nothing),
        ids: Arc::clone(&ids),
        own_origin: Arc::new(RwLock::new(None)),
        tls_roots: Vec::new(),
        vitals: Arc::new(Vitals::default),
    };
    Options::new(folder.join("cache"), doors, Arc::new(Nothing), Arc::new(Nothing), ids)
}

impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(0))
    }
}

impl Secrets for Nothing {
    fn secret(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

#[async_trait]
impl Series for Nothing {
    async fn append(&self, _: Vec<Sample>) -> Result<(), StoreError> {
        Ok(())
    }

    fn latest(&self, _: &Selector, _: Timestamp, _: Span) -> Vec<Sample> {
        Vec::new()
    }

    fn range(&self, _: &Selector, _: Timestamp, _: Timestamp) -> Result<Vec<SeriesData>, StoreError> {
        Ok(Vec::new())
    }

    fn part_of_range(&self, _: &Selector, _: Timestamp, _: Timestamp, _: &Part) -> Result<PartOfRange, StoreError> {
        Ok(PartOfRange::default())
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

#[async_trait]
impl Processes for Nothing {
    async fn start(&self, _: &InstanceName, _: ProcessSpec) -> Result<ProcessStatus, String> {
        Err("no processes here".to_owned())
    }

    async fn status(&self, _: &InstanceName, _: &str) -> Result<ProcessStatus, String> {
        Err("no processes here".to_owned())
    }

    async fn stop(&self, _: &InstanceName, _: &str, _: Span) -> Result<ProcessStatus, String> {
        Err("no processes here".to_owned())
    }
}

#[async_trait]
impl Store for Nothing {
    async fn commit(&self, _: Transition) -> Result<Committed, StoreError> {
        Ok(Committed::default())
    }

    fn get(&self, _: &str, _: &str) -> Result<Option<Document>, StoreError> {
        Ok(None)
    }

    fn list(&self, _: &str, _: &Page) -> Result<Vec<Document>, StoreError> {
        Ok(Vec::new())
    }

    fn events(&self, _: Offset, _: &EventFilter, _: usize) -> Result<EventBatch, StoreError> {
        Ok(EventBatch::default())
    }

    fn head(&self) -> Offset {
        Offset(0)
    }

    fn tail(&self) -> Offset {
        Offset(0)
    }

    fn cursor(&self, _: &str) -> Result<Offset, StoreError> {
        Ok(Offset(0))
    }

    fn live(&self) -> broadcast::Receiver<Arc<Vec<StoredEvent>>> {
        broadcast::channel(1).1
    }

    fn health(&self) -> StoreHealth {
        StoreHealth { writable: true, ..StoreHealth::default() }
    }
}
