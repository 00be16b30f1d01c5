//! Acts on the verdicts of probation: trusts a version, or goes back to the one before.

use super::Runtime;
use crate::cache::digest;
use crate::plugin::Version;
use quarterdeck_model::plugin::Digest;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(super) enum Order {
    /// It passed its probation.
    Trust(Arc<Version>),
    /// It failed, for this reason.
    RollBack(Arc<Version>, String),
}

pub(super) async fn run(
    runtime: Weak<Runtime>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    shutdown: CancellationToken,
) {
    while let Some(Some(order)) = shutdown.run_until_cancelled(orders.recv()).await {
        let Some(runtime) = runtime.upgrade() else { return };
        let _changing = runtime.changing.lock().await;
        match order {
            Order::Trust(version) => runtime.trust(&version),
            Order::RollBack(version, reason) => runtime.roll_back(&version, &reason).await,
        }
    }
}

impl Runtime {
    fn trust(&self, version: &Version) {
        tracing::info!(plugin = version.reference.name, version = version.reference.version, "passed its probation");
        let mut ledger = self.ledger();
        ledger.insert(version.reference.name.clone(), version.reference.digest.clone());
        self.write_ledger(&ledger);
    }

    async fn roll_back(&self, version: &Arc<Version>, reason: &str) {
        let name = version.reference.name.clone();
        let proven = {
            let mut catalog = self.catalog();
            let Some(named) = catalog.names.get_mut(&name) else { return };
            if !named.current.as_ref().is_some_and(|current| current.is(version)) {
                return;
            }
            named.previous.clone().filter(|previous| !previous.is(version)).or_else(|| named.bundled.clone())
        };
        let proven = match proven {
            Some(proven) => Some(proven),
            None => self.proven_version(&name, &version.reference.digest).await,
        };
        let Some(proven) = proven else {
            tracing::warn!(plugin = name, reason, "a version failed its probation, and there is none to go back to");
            return;
        };
        {
            let mut catalog = self.catalog();
            let Some(named) = catalog.names.get_mut(&name) else { return };
            named.banned.insert(version.reference.digest.clone(), reason.to_owned());
            named.fallback = Some(proven);
        }
        self.settle(&name, Some(reason)).await;
    }

    /// The version that proved itself in an earlier life of the daemon, from the component store.
    async fn proven_version(&self, name: &str, not: &Digest) -> Option<Arc<Version>> {
        let wanted = self.ledger_other(name, not)?;
        let bytes = self.loader.cache.component(&wanted)?;
        let source = "component store".to_owned();
        let found = digest(&bytes);
        match self.loader.load(&self.ground, bytes.into(), found, source, self.clock.now()).await {
            Ok(version) if version.reference.name == name => Some(version),
            Ok(_) => None,
            Err(reason) => {
                tracing::warn!(plugin = name, reason, "the last good version can't be used any more");
                None
            }
        }
    }

    /// The last good digest of each name.
    fn ledger(&self) -> BTreeMap<String, Digest> {
        std::fs::read(self.loader.cache.ledger_path())
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    fn write_ledger(&self, ledger: &BTreeMap<String, Digest>) {
        let bytes = serde_json::to_vec_pretty(ledger).unwrap_or_default();
        if let Err(error) = self.loader.cache.write(&self.loader.cache.ledger_path(), &[&bytes]) {
            tracing::warn!(%error, "the list of good versions can't be written");
        }
    }

    pub(super) fn ledger_has(&self, name: &str, digest: &Digest) -> bool {
        self.ledger().get(name) == Some(digest)
    }

    pub(super) fn ledger_other(&self, name: &str, digest: &Digest) -> Option<Digest> {
        self.ledger().remove(name).filter(|good| good != digest)
    }

    /// A plugin that was removed is not to come back.
    pub(super) fn forget(&self, name: &str) {
        let mut ledger = self.ledger();
        if ledger.remove(name).is_some() {
            self.write_ledger(&ledger);
        }
    }
}
