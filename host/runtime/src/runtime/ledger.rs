//! What is known about versions across the host's lives: which of each name proved itself, and what each file held last. Their
//! bytes are in the component store. Written by whoever holds `Runtime::changing`.

use super::Runtime;
use crate::catalog::COMPONENT_STORE;
use crate::plugin::{Refusal, Version};
use quarterdeck_model::plugin::{Digest, PluginRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    /// The last good digest of each name.
    good: BTreeMap<String, Digest>,
    /// The last usable content of each file.
    files: BTreeMap<String, Held>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    name: String,
    digest: Digest,
}

impl Runtime {
    /// The version passed its probation.
    pub(super) fn trust(&self, version: &Version) {
        tracing::info!(plugin = version.reference.name, version = version.reference.version, "passed its probation");
        self.change_ledger(|ledger| {
            let digest = version.reference.digest.clone();
            ledger.good.insert(version.reference.name.clone(), digest.clone()) != Some(digest)
        });
    }

    /// A plugin that was removed is not to come back.
    pub(super) fn forget(&self, name: &str) {
        self.change_ledger(|ledger| ledger.good.remove(name).is_some());
    }

    /// The file holds that version from now on.
    pub(super) fn remember_file(&self, file: &str, reference: &PluginRef) {
        let held = Held { name: reference.name.clone(), digest: reference.digest.clone() };
        self.change_ledger(|ledger| ledger.files.insert(file.to_owned(), held.clone()) != Some(held));
    }

    /// Files that are not `kept` were removed: what they held is not to come back.
    pub(super) fn forget_files(&self, kept: impl Fn(&str) -> bool) {
        self.change_ledger(|ledger| {
            let before = ledger.files.len();
            ledger.files.retain(|file, _| kept(file));
            ledger.files.len() != before
        });
    }

    pub(super) fn ledger_has(&self, name: &str, digest: &Digest) -> bool {
        self.ledger().good.get(name) == Some(digest)
    }

    pub(super) fn ledger_other(&self, name: &str, digest: &Digest) -> Option<Digest> {
        self.ledger().good.remove(name).filter(|good| good != digest)
    }

    /// Files that hold the `bad` version go back to the good one, should they be broken at the next start.
    pub(super) fn replace_in_files(&self, bad: &Digest, good: &Digest) {
        self.change_ledger(|ledger| {
            let mut changed = false;
            for held in ledger.files.values_mut().filter(|held| held.digest == *bad) {
                held.digest = good.clone();
                changed = true;
            }
            changed
        });
    }

    /// The version that proved itself in an earlier life of the host.
    pub(super) async fn proven_version(&self, name: &str, not: &Digest) -> Result<Option<Arc<Version>>, Refusal> {
        match self.ledger_other(name, not) {
            Some(wanted) => self.stored_version(name, &wanted).await,
            None => Ok(None),
        }
    }

    /// What the file held in an earlier life of the host; where that is gone, what is good for its name.
    pub(super) async fn earlier_version(&self, file: &str) -> Result<Option<Arc<Version>>, Refusal> {
        let mut ledger = self.ledger();
        let Some(held) = ledger.files.remove(file) else { return Ok(None) };
        if let Some(version) = self.stored_version(&held.name, &held.digest).await? {
            return Ok(Some(version));
        }
        match ledger.good.remove(&held.name).filter(|good| *good != held.digest) {
            Some(good) => self.stored_version(&held.name, &good).await,
            None => Ok(None),
        }
    }

    /// `None`: it is gone, or can't be used any more. An error is one that may be over soon.
    pub(super) async fn stored_version(&self, name: &str, wanted: &Digest) -> Result<Option<Arc<Version>>, Refusal> {
        let loaded = self.catalog().by_digest(wanted);
        if loaded.is_some() {
            return Ok(loaded);
        }
        let _room = self.room(self.loader.cache.component_bytes(wanted)).await;
        let Some(bytes) = self.loader.cache.component(wanted) else { return Ok(None) };
        let source = COMPONENT_STORE.to_owned();
        match self.loader.load(&self.ground, bytes.into(), wanted.clone(), source, self.clock.now()).await {
            Ok(version) => Ok(Some(version).filter(|version| version.reference.name == name)),
            Err(refusal) => {
                tracing::warn!(plugin = name, reason = refusal.reason, "the last good version can't be used");
                if refusal.passing { Err(refusal) } else { Ok(None) }
            }
        }
    }

    fn ledger(&self) -> Ledger {
        let Ok(bytes) = std::fs::read(self.loader.cache.ledger_path()) else { return Ledger::default() };
        serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            // Earlier hosts wrote the good versions only.
            let good = serde_json::from_slice(&bytes).unwrap_or_default();
            Ledger { good, ..Ledger::default() }
        })
    }

    /// Writes the ledger anew if `change` says that it did something.
    fn change_ledger(&self, change: impl FnOnce(&mut Ledger) -> bool) {
        let mut ledger = self.ledger();
        if !change(&mut ledger) {
            return;
        }
        let bytes = serde_json::to_vec_pretty(&ledger).unwrap_or_default();
        if let Err(error) = self.loader.cache.write(&self.loader.cache.ledger_path(), &[&bytes]) {
            tracing::warn!(%error, "the list of good versions can't be written");
        }
    }
}
