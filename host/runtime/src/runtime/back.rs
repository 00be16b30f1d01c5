//! The way back to an earlier version: its content comes out of the component store and becomes the active file again, so that it is what
//! the next start finds, too.

use super::announce::{PLUGIN_ROLLED_BACK, Said};
use super::{Runtime, history::Entry};
use crate::catalog::BUNDLED_FILE;
use crate::plugin::Version;
use quarterdeck_model::plugin::files::{FileError, RolledBack, Seen};
use quarterdeck_model::plugin::{Digest, PluginRef};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// What somebody says a version is: so much of a digest is enough.
const SHORTEST_DIGEST: usize = "sha256:".len() + 8;

impl Runtime {
    pub(super) async fn go_back(
        &self,
        plugin: &str,
        to: Option<&str>,
        seen: &Seen,
        principal: &str,
    ) -> Result<RolledBack, FileError> {
        let folder = self.folder()?;
        let _one = self.placing.lock().await;
        self.ask_for([plugin]).await;
        let (current, bundled) = {
            let catalog = self.catalog();
            (catalog.current(plugin), catalog.names.get(plugin).and_then(|named| named.bundled.clone()))
        };
        let entries = self.entries(plugin)?;
        if current.is_none() && entries.is_empty() {
            return Err(FileError::NotFound(format!(
                "there is no plugin `{plugin}`, and there was none; hint: list `plugins` to see what there is"
            )));
        }
        seen.check_serving(current.as_ref().map(|current| &current.reference))?;
        let target = self.target(plugin, to, entries, current.as_deref(), bundled.as_deref())?;
        let from = current.map(|current| current.reference.clone());
        let back = match bundled.filter(|bundled| bundled.reference.digest == target.digest) {
            Some(bundled) => self.back_to_bundled(folder, bundled, principal).await?,
            None => self.back_to_stored(folder, &target).await?,
        };
        let data = json!({"from": from, "to": back.reference, "reason": "asked for", "source": self.holder(&back)});
        let said = Said { event_type: PLUGIN_ROLLED_BACK, subject: plugin, principal };
        self.announcer.say_of(said, Some(back.reference.clone()), data);
        let awaiting = self.waiting(&back.reference);
        Ok(RolledBack { from, to: back.reference.clone(), source: self.holder(&back), awaiting })
    }

    /// Which version is meant.
    fn target(
        &self,
        plugin: &str,
        to: Option<&str>,
        entries: Vec<Entry>,
        current: Option<&Version>,
        bundled: Option<&Version>,
    ) -> Result<PluginRef, FileError> {
        let banned = |digest: &Digest| {
            let catalog = self.catalog();
            catalog.names.get(plugin).is_some_and(|named| named.banned.contains_key(digest))
        };
        let mut known: Vec<PluginRef> =
            entries.into_iter().filter(|entry| to.is_some() || entry.order > 0).map(|entry| entry.plugin).collect();
        known.extend(bundled.map(|bundled| bundled.reference.clone()));
        let is_current = |digest: &Digest| current.is_some_and(|current| current.reference.digest == *digest);
        let is_kept = |digest: &Digest| {
            bundled.is_some_and(|own| own.reference.digest == *digest) || self.loader.cache.component_bytes(digest) > 0
        };
        let Some(to) = to else {
            let earlier = known.into_iter().find(|known| {
                // One that failed its probation is gone back to by name only.
                !is_current(&known.digest) && is_kept(&known.digest) && !banned(&known.digest)
            });
            return earlier.ok_or_else(|| {
                FileError::Conflict(format!("there is no earlier version of `{plugin}` that is still kept"))
            });
        };
        let by_digest = to.len() >= SHORTEST_DIGEST && to.starts_with("sha256:");
        let meant = |known: &PluginRef| if by_digest { known.digest.0.starts_with(to) } else { known.version == to };
        let candidates: Vec<PluginRef> = known.iter().filter(|known| meant(known)).cloned().collect();
        // Two contents may go by one number: the one that is not in use is meant.
        match candidates.iter().find(|known| !is_current(&known.digest)).or(candidates.first()) {
            None => Err(FileError::NotFound(format!(
                "no version `{to}` of `{plugin}` was in use here; hint: `quarterdeck plugin show {plugin}` lists those that were"
            ))),
            Some(known) if is_current(&known.digest) => {
                Err(FileError::Conflict(format!("version {} of `{plugin}` is in use already", known.version)))
            }
            Some(known) if !is_kept(&known.digest) => Err(FileError::Conflict(format!(
                "the content of version {} of `{plugin}` is not kept any more; hint: install it again",
                known.version
            ))),
            Some(known) => Ok(known.clone()),
        }
    }

    /// The bundled plugin serves where no file does.
    async fn back_to_bundled(
        &self,
        folder: &Path,
        bundled: Arc<Version>,
        principal: &str,
    ) -> Result<Arc<Version>, FileError> {
        for (file, digest) in self.files_of(&bundled.reference.name) {
            self.take_away(folder, &file, digest, principal).await?;
        }
        Ok(bundled)
    }

    async fn back_to_stored(&self, folder: &Path, target: &PluginRef) -> Result<Arc<Version>, FileError> {
        let gone = || {
            FileError::Conflict(format!(
                "the content of version {} of `{}` is damaged; hint: install it again",
                target.version, target.name
            ))
        };
        let bytes = self.loader.cache.component(&target.digest).ok_or_else(gone)?;
        let file = self.place_of(&target.name);
        let version = self.verified(bytes.clone(), &target.digest, &file).await?;
        if version.reference.name != target.name {
            return Err(gone());
        }
        self.put(folder, &file, bytes, &version).await?;
        self.taken_up(&file, &target.digest).await?;
        let serving = self.catalog().current(&target.name);
        match serving.filter(|serving| serving.is(&version)) {
            Some(serving) => Ok(serving),
            None => Err(FileError::Conflict(format!(
                "`{file}` holds it again, and another file of the name is newer; hint: `quarterdeck plugin remove` takes that away"
            ))),
        }
    }

    /// The file that serves under the name now, else one of its name.
    fn place_of(&self, plugin: &str) -> String {
        let files = self.files_of(plugin);
        let serving = {
            let catalog = self.catalog();
            catalog.current(plugin).map(|current| catalog.source(&current))
        };
        let is_it = |(file, _): &&(String, Digest)| serving.as_ref().is_none_or(|serving| serving == file);
        if let Some((file, _)) = files.iter().find(is_it).or(files.first()) {
            return file.clone();
        }
        // A file of the plugin's name may hold another one. What is damaged holds none, and what can't be read is no file, maybe.
        let own = format!("{plugin}.wasm");
        let is_taken = {
            let catalog = self.catalog();
            catalog.files.get(&own).is_some_and(|found| found.version.is_some() || found.digest.is_none())
        };
        if is_taken { format!("{plugin}-rolled-back.wasm") } else { own }
    }

    /// Files of the folder that hold the plugin, and their contents.
    fn files_of(&self, plugin: &str) -> Vec<(String, Digest)> {
        let catalog = self.catalog();
        let held = catalog.files.iter().filter(|(file, found)| {
            let is_it = found.version.as_ref().is_some_and(|version| version.reference.name == plugin);
            is_it && !file.starts_with(BUNDLED_FILE)
        });
        held.filter_map(|(file, found)| Some((file.clone(), found.digest.clone()?))).collect()
    }
}
