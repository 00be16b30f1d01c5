//! A candidate takes the place of the version in use: it becomes a file of the plugins folder, as if it had been dropped in.

use super::Runtime;
use super::announce::{PLUGIN_PROMOTED, Said};
use crate::plugin::Version;
use quarterdeck_model::decisions::{Promoted, Refused};
use quarterdeck_model::plugin::files::FileError;
use serde_json::json;
use std::sync::Arc;

impl Runtime {
    pub(super) async fn promoted(
        &self,
        plugin: &str,
        seen: Option<&str>,
        principal: &str,
    ) -> Result<Promoted, Refused> {
        // The same door as that of an install: one at a time.
        let _one = self.placing.lock().await;
        let shadow = self.shadow_of(plugin)?;
        let version = Arc::clone(&shadow.candidate.version);
        if seen.is_some_and(|seen| seen != version.reference.digest.0) {
            return Err(Refused::Changed);
        }
        let Some(folder) = self.plugins_dir.clone() else {
            return Err(Refused::Conflict("this host has no plugins folder".to_owned()));
        };
        let Some(bytes) = self.loader.cache.component(&version.reference.digest) else {
            let what = "the component store does not hold the candidate any more; hint: shadow it again";
            return Err(Refused::Conflict(what.to_owned()));
        };
        let before = self.catalog().current(plugin);
        let file = self.file_for(plugin, before.as_deref());
        let refused = |error: FileError| match error {
            FileError::Store(error) => Refused::Store(error),
            other => Refused::Conflict(format!("`{file}` can't be written: {other}")),
        };
        // What was banned after a failed probation is wanted now.
        self.put(&folder, &file, bytes, &version).await.map_err(refused)?;
        self.taken_up(&file, &version.reference.digest).await.map_err(refused)?;
        let current = self.catalog().current(plugin);
        if !current.as_ref().is_some_and(|current| current.is(&version)) {
            return Err(Refused::Conflict(format!(
                "`{file}` holds the candidate now, and is not in use; hint: `quarterdeck plugin show {plugin}` says why"
            )));
        }
        let (plugin_ref, before) = (version.reference.clone(), before.map(|version| version.reference.clone()));
        let data = json!({"from": before, "to": plugin_ref, "file": file});
        let said = Said { event_type: PLUGIN_PROMOTED, subject: plugin, principal };
        self.announcer.say_of(said, Some(plugin_ref.clone()), data);
        self.stop_shadow(plugin).await?;
        Ok(Promoted { plugin: plugin_ref, before, file })
    }

    /// The file that the version in use comes from. Where it comes from none, one of the plugin's name, unless that holds another plugin.
    fn file_for(&self, plugin: &str, current: Option<&Version>) -> String {
        let catalog = self.catalog();
        let source = current.map(|version| catalog.source(version));
        if let Some(source) = source.filter(|source| catalog.files.get(source).is_some_and(|f| f.bundled.is_none())) {
            return source;
        }
        let holds_another = |file: &str| {
            let found = catalog.files.get(file).and_then(|found| found.version.as_ref());
            found.is_some_and(|version| version.reference.name != plugin)
        };
        let plain = format!("{plugin}.wasm");
        if holds_another(&plain) { format!("{plugin}-promoted.wasm") } else { plain }
    }
}
