//! Documents that are in the store and have no shape that this version knows. One of them must not hide the others: lists, counts and the
//! search go on without it, say which it is, and the log says it once.

use quarterdeck_model::store::{Document, StoreError};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// What to do about one.
pub(crate) const HINT: &str = "another version wrote it, or it is damaged: run the version that wrote it, or restore a backup; everything else is as it was";
/// Documents that are remembered as logged. Where there are more, some are logged again.
const REMEMBERED: usize = 10_000;

/// A document that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub(crate) struct Unreadable {
    /// Where it is in the store: collection and id, `incidents/inc_1`.
    pub(crate) key: String,
    /// What is wrong with it, and what to do.
    pub(crate) detail: String,
}

impl Unreadable {
    pub(crate) fn new(collection: &str, document: &Document, error: &StoreError) -> Self {
        Unreadable { key: format!("{collection}/{}", document.id), detail: format!("{error}; hint: {HINT}") }
    }

    /// What the document stands for, or that it stands for nothing.
    pub(crate) fn or<T: DeserializeOwned>(collection: &str, document: &Document) -> Result<T, Self> {
        document.decode().map_err(|error| Unreadable::new(collection, document, &error))
    }
}

/// Which were logged.
#[derive(Default)]
pub(crate) struct Told(Mutex<HashSet<Unreadable>>);

impl Told {
    /// Logs it, unless that was done before. `true` if it was done now.
    pub(crate) fn log(&self, one: &Unreadable) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.contains(one) {
            return false;
        }
        if told.len() >= REMEMBERED {
            told.clear();
        }
        tracing::error!(document = one.key, reason = one.detail, "a document can't be read and is left out");
        told.insert(one.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_that_cannot_be_read_is_logged_once_and_again_when_it_is_wrong_in_another_way() {
        let one = |value| {
            let document = Document { id: "inc_1".to_owned(), revision: 1, value };
            Unreadable::or::<u32>("incidents", &document).unwrap_err()
        };
        let told = Told::default();
        let broken = one(json!("two"));
        assert_eq!(broken.key, "incidents/inc_1");
        assert!(broken.detail.contains("; hint: "), "{}", broken.detail);
        assert_eq!((told.log(&broken), told.log(&broken)), (true, false));
        assert!(told.log(&one(json!(-1))));
    }
}
