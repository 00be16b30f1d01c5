//! A candidate takes the place of the version in use: it becomes a file of the plugins folder, as if it had been dropped in.

use super::Runtime;
use super::announce::PLUGIN_PROMOTED;
use crate::plugin::Version;
use quarterdeck_model::decisions::{Promoted, Refused};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

impl Runtime {
    pub(super) async fn promoted(&self, plugin: &str) -> Result<Promoted, Refused> {
        let shadow = self.shadow_of(plugin)?;
        let version = Arc::clone(&shadow.candidate.version);
        let Some(folder) = self.plugins_dir.clone() else {
            return Err(Refused::Conflict("this host has no plugins folder".to_owned()));
        };
        let Some(bytes) = self.loader.cache.component(&version.reference.digest) else {
            let what = "the component store does not hold the candidate any more; hint: shadow it again";
            return Err(Refused::Conflict(what.to_owned()));
        };
        let before = self.catalog().current(plugin);
        let file = self.file_for(plugin, before.as_deref());
        let (at, name) = (folder.clone(), file.clone());
        let written = tokio::task::spawn_blocking(move || replace(&at, &name, &bytes)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = written {
            let path = folder.join(&file);
            return Err(Refused::Conflict(format!("{} can't be written: {error}", path.display())));
        }
        self.scan_until_quiet().await;
        let current = self.catalog().current(plugin);
        if !current.as_ref().is_some_and(|current| current.is(&version)) {
            return Err(Refused::Conflict(format!(
                "`{file}` holds the candidate now, and is not in use; hint: `quarterdeck plugin show {plugin}` says why"
            )));
        }
        let (plugin_ref, before) = (version.reference.clone(), before.map(|version| version.reference.clone()));
        let data = json!({"from": before, "to": plugin_ref, "file": file});
        self.announcer.say(PLUGIN_PROMOTED, plugin, Some(plugin_ref.clone()), data);
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

/// Durably, and whole at every moment: under a name that the host does not look at until it is renamed.
fn replace(folder: &Path, file: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!(".{file}.{}", std::process::id()));
    let result = (|| {
        let mut written = File::create(&temporary)?;
        written.write_all(bytes)?;
        written.sync_all()?;
        fs::rename(&temporary, folder.join(file))?;
        File::open(folder)?.sync_all()
    })();
    if result.is_err() {
        // It may not exist; what matters is reported by `result`.
        let _ = fs::remove_file(&temporary);
    }
    result
}
