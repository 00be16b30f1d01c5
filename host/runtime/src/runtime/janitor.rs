//! Acts on the verdicts of probation: trusts a version, or goes back to the one before.

use super::Runtime;
use crate::plugin::{Again, Version};
use std::sync::{Arc, Weak};
use std::time::Instant;
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
        match order {
            Order::Trust(version) => {
                let _changing = runtime.changing.lock().await;
                runtime.trust(&version);
            }
            // Beside the next order: the version to go back to may have to be compiled first.
            Order::RollBack(version, reason) => {
                let this = Arc::clone(&runtime);
                runtime.spawn(async move { this.roll_back(&version, &reason).await });
            }
        }
    }
}

impl Runtime {
    async fn roll_back(&self, version: &Arc<Version>, reason: &str) {
        let name = &version.reference.name;
        let Some(proven) = self.version_before(version).await else {
            tracing::warn!(plugin = name, reason, "a version failed its probation, and there is none to go back to");
            return;
        };
        let _changing = self.changing.lock().await;
        {
            let mut catalog = self.catalog();
            let Some(named) = catalog.names.get_mut(name).filter(|named| named.is_on(version)) else { return };
            named.banned.insert(version.reference.digest.clone(), reason.to_owned());
            named.fallback = Some(Arc::clone(&proven));
        }
        self.replace_in_files(&version.reference.digest, &proven.reference.digest);
        self.settle(name, Some(reason)).await;
    }

    /// The version to go back to from one that is in use: one that is loaded, or the one that proved itself in an earlier life of
    /// the host.
    async fn version_before(&self, version: &Arc<Version>) -> Option<Arc<Version>> {
        let name = &version.reference.name;
        let mut again = None;
        loop {
            let loaded = {
                let catalog = self.catalog();
                let named = catalog.names.get(name).filter(|named| named.is_on(version))?;
                named.previous.clone().filter(|previous| !previous.is(version)).or_else(|| named.bundled.clone())
            };
            if loaded.is_some() {
                return loaded;
            }
            match self.proven_version(name, &version.reference.digest).await {
                Ok(proven) => return proven,
                // Passing: what failed is the machine, not the version.
                Err(_) => {
                    let next = Again::after(again, Instant::now());
                    tokio::time::sleep_until(next.at.into()).await;
                    again = Some(next);
                }
            }
        }
    }
}
