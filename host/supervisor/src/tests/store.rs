//! A store in memory: documents only, which is all that the supervisor asks of one.

use async_trait::async_trait;
use quarterdeck_model::event::{EventFilter, Offset, StoredEvent};
use quarterdeck_model::store::{Committed, Document, EventBatch, Page, Store, StoreError, StoreHealth};
use quarterdeck_model::transition::Transition;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;

#[derive(Default)]
pub(super) struct MemoryStore(Mutex<BTreeMap<(String, String), Value>>);

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, transition: Transition) -> Result<Committed, StoreError> {
        let mut documents = self.0.lock().unwrap();
        for write in transition.writes {
            let key = (write.collection, write.id);
            match write.value {
                Some(value) => documents.insert(key, value.decode().unwrap()),
                None => documents.remove(&key),
            };
        }
        Ok(Committed::default())
    }

    fn get(&self, collection: &str, id: &str) -> Result<Option<Document>, StoreError> {
        let key = (collection.to_owned(), id.to_owned());
        let value = self.0.lock().unwrap().get(&key).cloned();
        Ok(value.map(|value| Document { id: id.to_owned(), revision: 1, value }))
    }

    fn list(&self, collection: &str, _page: &Page) -> Result<Vec<Document>, StoreError> {
        let documents = self.0.lock().unwrap();
        let those = documents.iter().filter(|((of, _), _)| of == collection);
        Ok(those.map(|((_, id), value)| Document { id: id.clone(), revision: 1, value: value.clone() }).collect())
    }

    fn events(&self, after: Offset, _: &EventFilter, _: usize) -> Result<EventBatch, StoreError> {
        Ok(EventBatch { next: after, ..EventBatch::default() })
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
