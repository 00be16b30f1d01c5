//! The port to decisions, as the API sees it.

use super::Runtime;
use crate::cache::digest;
use crate::plugin::Version;
use async_trait::async_trait;
use quarterdeck_model::decisions::{Decisions, JournalStatus, Promoted, Refused, Replay, ReplayOptions, Shadow};
use quarterdeck_model::plugin::{InstanceName, Kind};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Runtime {
    /// Loads a component that somebody wants to try. It is in use nowhere, and has no grants.
    pub(super) async fn candidate(&self, component: Vec<u8>, source: &str) -> Result<Arc<Version>, Refused> {
        let bytes = u64::try_from(component.len()).unwrap_or(u64::MAX);
        let _room = self.room(bytes).await;
        let digest = digest(&component);
        if self.loader.cache.component_bytes(&digest) == 0 {
            // The component store takes a copy.
            self.store.check_room(bytes)?;
        }
        let loaded = self.version(component.into(), &digest, source).await;
        loaded.map_err(|refusal| Refused::Unusable(refusal.reason))
    }

    /// Instances that have a journal, or had one.
    fn journalled(&self, plugin: Option<&str>) -> Result<Vec<JournalStatus>, Refused> {
        let Some(journal) = &self.journal else { return Ok(Vec::new()) };
        let instances = self.all_instances();
        let mut names: BTreeSet<InstanceName> = journal.store().journals()?.into_iter().map(InstanceName).collect();
        names.extend(instances.values().filter(|of| of.binding().spec.journal.is_some()).map(|of| of.name.clone()));
        let mut statuses = Vec::new();
        for name in names {
            let instance = instances.get(&name);
            let binding = instance.map(|instance| instance.binding());
            let of = binding.as_ref().map_or_else(
                || name.as_str().split('/').next().unwrap_or_default().to_owned(),
                |binding| binding.spec.plugin.clone(),
            );
            let decides = binding.as_ref().and_then(|binding| binding.version.as_ref());
            let decides = decides.is_none_or(|version| version.kinds.iter().copied().any(Kind::is_pure));
            if plugin.is_some_and(|plugin| plugin != of) || !decides {
                continue;
            }
            let extent = journal.store().extent(name.as_str())?;
            statuses.push(JournalStatus {
                spec: binding.and_then(|binding| binding.spec.journal),
                decisions: extent.entries,
                bytes: extent.bytes,
                left_out: instance.map_or(0, |instance| instance.journal.left_out()),
                instance: name,
            });
        }
        Ok(statuses)
    }
}

#[async_trait]
impl Decisions for Runtime {
    async fn journals(&self, plugin: Option<&str>) -> Result<Vec<JournalStatus>, Refused> {
        // What waits is written first: whoever asks sees what was decided before.
        if let Some(journal) = &self.journal {
            journal.write().await;
        }
        self.journalled(plugin)
    }

    async fn replay(&self, name: &str, component: Vec<u8>, options: ReplayOptions) -> Result<Replay, Refused> {
        if let Some(journal) = &self.journal {
            journal.write().await;
        }
        self.replayed(name, component, options).await
    }

    fn shadows(&self) -> Vec<Shadow> {
        self.all_shadows()
    }

    async fn shadow(&self, plugin: &str, component: Vec<u8>) -> Result<Shadow, Refused> {
        self.begin_shadow(plugin, component).await
    }

    async fn end_shadow(&self, plugin: &str) -> Result<Shadow, Refused> {
        self.stop_shadow(plugin).await
    }

    async fn promote(&self, plugin: &str, seen: Option<&str>, principal: &str) -> Result<Promoted, Refused> {
        self.promoted(plugin, seen, principal).await
    }
}
