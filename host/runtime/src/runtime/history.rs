//! Which versions of each plugin were in use, in which order, and where they were installed from. In the store, so that it outlives the
//! cache that holds their bytes; those may be gone, then a version can't be gone back to.

use super::Runtime;
use crate::plugin::Version;
use quarterdeck_model::Timestamp;
use quarterdeck_model::plugin::files::PluginVersion;
use quarterdeck_model::plugin::publisher::PublisherKey;
use quarterdeck_model::plugin::{Digest, PluginRef};
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Of each plugin; the one that was in use longest ago goes first.
const VERSIONS: usize = 100;
/// A store that does not answer holds up nobody: what is missing then is a line of the history.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) const COLLECTION: &str = "plugin-versions";

/// A line of the history. Id: `<plugin>/<digest>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) plugin: PluginRef,
    pub(super) source: String,
    #[serde(default)]
    pub(super) origin: Option<String>,
    /// Who signed it.
    #[serde(default)]
    pub(super) publisher: Option<PublisherKey>,
    pub(super) used_at: Option<Timestamp>,
    /// Grows with every change of what is in use: clocks may be set back. 0: it was never in use.
    #[serde(default)]
    pub(super) order: u64,
}

fn id(plugin: &PluginRef) -> String {
    format!("{}/{}", plugin.name, plugin.digest)
}

impl Runtime {
    /// Of that plugin, the one that came into use last first.
    pub(super) fn entries(&self, plugin: &str) -> Result<Vec<Entry>, StoreError> {
        let prefix = format!("{plugin}/");
        let documents = self.store.list(COLLECTION, &Page { prefix: prefix.clone(), ..Page::all() })?;
        // What can't be read is no line of a history.
        let entries = documents.into_iter().filter(|document| document.id.starts_with(&prefix));
        let mut entries: Vec<Entry> = entries.filter_map(|document| document.decode().ok()).collect();
        entries.sort_by(|a, b| b.order.cmp(&a.order).then_with(|| a.plugin.digest.cmp(&b.plugin.digest)));
        Ok(entries)
    }

    /// It comes into use now. Bundled plugins are written down where they take a file's place only: most are never replaced.
    pub(super) async fn note_use(&self, version: &Version, source: &str) {
        let entries = match self.entries(&version.reference.name) {
            Ok(entries) => entries,
            Err(error) => return tracing::warn!(%error, "the history of a plugin can't be read"),
        };
        let newest = entries.first();
        let is_newest =
            newest.is_some_and(|newest| newest.order > 0 && newest.plugin.digest == version.reference.digest);
        if is_newest && newest.is_some_and(|newest| newest.source == source) {
            return;
        }
        let order = newest.map_or(0, |newest| newest.order).saturating_add(1);
        let before = entries.iter().find(|entry| entry.plugin.digest == version.reference.digest);
        let entry = Entry {
            plugin: version.reference.clone(),
            source: source.to_owned(),
            origin: before.and_then(|before| before.origin.clone()),
            publisher: version.publisher.as_ref().map(|publisher| publisher.key.clone()),
            used_at: Some(self.clock.now()),
            order,
        };
        let old = entries.iter().filter(|old| old.plugin.digest != entry.plugin.digest).skip(VERSIONS - 1);
        let transition =
            old.fold(Transition::new(), |all, old| all.delete(COLLECTION, &id(&old.plugin), Expected::Any));
        if let Err(error) = self.write_entry(entry, transition).await {
            tracing::warn!(%error, "the history of a plugin can't be written");
        }
    }

    /// Where a content was installed from, whether it comes into use or not.
    pub(super) async fn note_origin(
        &self,
        plugin: &PluginRef,
        file: &str,
        origin: Option<String>,
    ) -> Result<(), StoreError> {
        let before = self.entry(plugin);
        if before.as_ref().is_some_and(|before| before.origin == origin) {
            return Ok(());
        }
        let new = Entry {
            plugin: plugin.clone(),
            source: file.to_owned(),
            origin: None,
            publisher: None,
            used_at: None,
            order: 0,
        };
        self.write_entry(Entry { origin, ..before.unwrap_or(new) }, Transition::new()).await
    }

    pub(super) fn entry(&self, plugin: &PluginRef) -> Option<Entry> {
        self.store.get(COLLECTION, &id(plugin)).ok().flatten()?.decode().ok()
    }

    /// What the store refuses is an error; one that is late is only said.
    async fn write_entry(&self, entry: Entry, transition: Transition) -> Result<(), StoreError> {
        let value = serde_json::to_value(&entry).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let written = self.store.commit(transition.put(COLLECTION, &id(&entry.plugin), Expected::Any, value));
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(written) => written.map(|_| ()),
            Err(_) => {
                tracing::warn!("the history of a plugin is not written yet");
                Ok(())
            }
        }
    }

    /// For people: with the bundled plugin, and what of it is still kept.
    pub(super) fn history(&self, plugin: &str) -> Result<Vec<PluginVersion>, StoreError> {
        let entries = self.entries(plugin)?;
        let (current, bundled) = {
            let catalog = self.catalog();
            (catalog.current(plugin), catalog.names.get(plugin).and_then(|named| named.bundled.clone()))
        };
        let serves = |digest: &Digest| current.as_ref().is_some_and(|current| current.reference.digest == *digest);
        let is_bundled = |digest: &Digest| bundled.as_ref().is_some_and(|own| own.reference.digest == *digest);
        let mut versions: Vec<PluginVersion> = entries
            .into_iter()
            .map(|entry| PluginVersion {
                serves: serves(&entry.plugin.digest),
                kept: is_bundled(&entry.plugin.digest) || self.loader.cache.component_bytes(&entry.plugin.digest) > 0,
                plugin: entry.plugin,
                source: entry.source,
                origin: entry.origin,
                used_at: entry.used_at,
            })
            .collect();
        // Whatever is known from elsewhere has no line yet.
        for version in [&current, &bundled].into_iter().flatten() {
            if !versions.iter().any(|known| known.plugin.digest == version.reference.digest) {
                versions.push(PluginVersion {
                    plugin: version.reference.clone(),
                    source: version.source.clone(),
                    origin: None,
                    used_at: None,
                    serves: serves(&version.reference.digest),
                    kept: true,
                });
            }
        }
        Ok(versions)
    }
}
