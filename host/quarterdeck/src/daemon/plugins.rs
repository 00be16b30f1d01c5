//! The plugins folder as the API changes it, with the lock file that follows it. It follows what others drop into the folder, too.

use crate::lock::{Granted, LOCK_FILE, Lock, Locked};
use async_trait::async_trait;
use quarterdeck_bus::{Bus, Subscription};
use quarterdeck_model::decisions::{Decisions, JournalStatus, Promoted, Refused, Replay, ReplayOptions, Shadow};
use quarterdeck_model::event::EventFilter;
use quarterdeck_model::plugin::files::{
    FileError, Install, Installed, PluginFile, PluginFiles, PluginVersion, Removed, RolledBack, Seen,
};
use quarterdeck_model::plugin::{Digest, GrantedTo, InstanceSpec, Registry};
use quarterdeck_runtime::Runtime;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// What is said when another content comes into use, or goes. A file beside the one that serves is written down with the next of these.
const MOVES: [&str; 4] = ["plugin.loaded", "plugin.replaced", "plugin.removed", "plugin.retired"];
/// A folder that is filled at once is written down once.
const TOGETHER: usize = 256;

pub(super) struct Recorded {
    runtime: Arc<Runtime>,
    path: PathBuf,
    writing: Arc<Mutex<()>>,
}

impl Recorded {
    pub(super) fn new(runtime: Arc<Runtime>, data_dir: &Path) -> Arc<Self> {
        Arc::new(Recorded { runtime, path: data_dir.join(LOCK_FILE), writing: Arc::default() })
    }

    /// Told of what happens to plugins from now on.
    pub(super) fn changes(bus: &Bus) -> Subscription {
        bus.subscribe(bus.store().head(), EventFilter::types(MOVES))
    }

    /// Writes down what was dropped into the folder, or taken out of it, without the API; also while no host ran.
    pub(super) async fn follow(self: Arc<Self>, mut changes: Subscription, shutdown: CancellationToken) {
        loop {
            self.write_down(followed).await;
            match shutdown.run_until_cancelled(changes.next(TOGETHER)).await {
                Some(Ok(_)) => {}
                // The end of the host, or of its store, of which others tell.
                Some(Err(_)) | None => return,
            }
        }
    }

    /// Something was granted, or taken back. Who never had a plugin of their own has no lock file, and needs none.
    pub(super) async fn grants_changed(&self) {
        if self.path.exists() {
            self.write().await;
        }
    }

    /// What was asked for, as it is now.
    async fn write(&self) {
        self.write_down(|_, present| present).await;
    }

    /// What was done is done: that it can't be written down is said, and no reason to undo it.
    async fn write_down(&self, next: impl FnOnce(Vec<Locked>, Vec<Locked>) -> Vec<Locked> + Send + 'static) {
        let (runtime, path, writing) = (Arc::clone(&self.runtime), self.path.clone(), Arc::clone(&self.writing));
        let write = move || {
            // What is looked at last is written last.
            let _one = writing.lock().unwrap_or_else(PoisonError::into_inner);
            let present = locked(&*runtime, &*runtime);
            if present.is_empty() && !path.exists() {
                return Ok(());
            }
            // One that can't be read is written anew.
            let before = Lock::read(&path).map(|lock| lock.plugins).unwrap_or_default();
            Lock::of(next(before, present)).write(&path)
        };
        let written = tokio::task::spawn_blocking(write).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(error.into())) {
            warn!("the lock file is not as it should be: {error:#}");
        }
    }
}

/// What was dropped into the folder is named as it lies there. What was installed stays named as it was installed, so that the lock brings it
/// back, until it is installed, removed or gone back on again.
fn followed(before: Vec<Locked>, present: Vec<Locked>) -> Vec<Locked> {
    let differs = |installed: &Locked| {
        let now = present.iter().find(|plugin| plugin.file == installed.file);
        installed.source.is_some() && now.is_none_or(|now| now.digest != installed.digest)
    };
    let mut next: Vec<Locked> = before.into_iter().filter(differs).collect();
    let kept: BTreeSet<String> = next.iter().map(|plugin| plugin.file.clone()).collect();
    next.extend(present.into_iter().filter(|plugin| !kept.contains(&plugin.file)));
    next.sort_by(|a, b| a.file.cmp(&b.file));
    next
}

/// What lies in the folder, and what it was given.
fn locked(files: &dyn PluginFiles, registry: &dyn Registry) -> Vec<Locked> {
    let instances = registry.instances();
    let usable = files.files().into_iter().filter_map(|file| Some((file.plugin.clone()?, file)));
    let locked = usable.map(|(plugin, file)| {
        let those = instances.iter().filter(|instance| instance.spec.plugin == plugin.name);
        let granted = those.filter_map(|instance| {
            let to = given_by(&instance.spec, &plugin.digest, &file)?;
            let key = if let GrantedTo::Key(key) = to { Some(key.clone()) } else { None };
            Some(Granted { instance: instance.name.clone(), key, grants: instance.spec.grants.clone() })
        });
        let granted = granted.collect();
        let PluginFile { file, origin, .. } = file;
        Locked { file, name: plugin.name, version: plugin.version, digest: plugin.digest, source: origin, granted }
    });
    locked.collect()
}

/// By which of its names a content has an instance's grants. The narrowest counts: who named the content has given them to no other.
fn given_by<'a>(spec: &'a InstanceSpec, digest: &Digest, file: &PluginFile) -> Option<&'a GrantedTo> {
    let is_named = |to: &&GrantedTo| match to {
        GrantedTo::Digest(named) => named == digest,
        GrantedTo::File(named) => *named == file.file,
        GrantedTo::Key(key) => file.publisher.as_ref().is_some_and(|publisher| publisher.key == *key),
    };
    let named = spec.granted_to.iter().filter(is_named).filter(|_| !spec.grants.is_empty());
    named.min_by_key(|to| match to {
        GrantedTo::Digest(_) => 0,
        GrantedTo::File(_) => 1,
        GrantedTo::Key(_) => 2,
    })
}

#[async_trait]
impl PluginFiles for Recorded {
    fn files(&self) -> Vec<PluginFile> {
        self.runtime.files()
    }

    async fn install(&self, install: Install) -> Result<Installed, FileError> {
        let installed = self.runtime.install(install).await?;
        self.write().await;
        Ok(installed)
    }

    async fn remove(&self, file: &str, seen: &Seen, principal: &str) -> Result<Removed, FileError> {
        let removed = self.runtime.remove(file, seen, principal).await?;
        self.write().await;
        Ok(removed)
    }

    fn versions(&self, plugin: &str) -> Result<Vec<PluginVersion>, FileError> {
        self.runtime.versions(plugin)
    }

    async fn roll_back(&self, plugin: &str, to: Option<&str>, principal: &str) -> Result<RolledBack, FileError> {
        let back = self.runtime.roll_back(plugin, to, principal).await?;
        self.write().await;
        Ok(back)
    }
}

/// Only a promotion changes the folder.
#[async_trait]
impl Decisions for Recorded {
    async fn journals(&self, plugin: Option<&str>) -> Result<Vec<JournalStatus>, Refused> {
        self.runtime.journals(plugin).await
    }

    async fn replay(&self, name: &str, component: Vec<u8>, options: ReplayOptions) -> Result<Replay, Refused> {
        self.runtime.replay(name, component, options).await
    }

    fn shadows(&self) -> Vec<Shadow> {
        self.runtime.shadows()
    }

    async fn shadow(&self, plugin: &str, component: Vec<u8>) -> Result<Shadow, Refused> {
        self.runtime.shadow(plugin, component).await
    }

    async fn end_shadow(&self, plugin: &str) -> Result<Shadow, Refused> {
        self.runtime.end_shadow(plugin).await
    }

    async fn promote(&self, plugin: &str, principal: &str) -> Result<Promoted, Refused> {
        let promoted = self.runtime.promote(plugin, principal).await?;
        self.write().await;
        Ok(promoted)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// `wave.wasm 1 installed`: a file, the number of its content, and whether it was installed.
    fn plugins(lines: &[&str]) -> Vec<Locked> {
        let plugin = |line: &&str| {
            let mut words = line.split(' ');
            let (file, content) = (words.next().unwrap().to_owned(), words.next().unwrap());
            Locked {
                name: file.replace(".wasm", ""),
                file,
                version: "1.0.0".to_owned(),
                digest: Digest(format!("sha256:{content}")),
                source: words.next().map(|_| "https://example.com/a.wasm".to_owned()),
                granted: Vec::new(),
            }
        };
        lines.iter().map(plugin).collect()
    }

    #[test]
    fn the_lock_follows_what_was_dropped_in_and_keeps_what_was_installed() {
        let check = |before: &[&str], present: &[&str], expected: &[&str]| {
            assert_eq!(followed(plugins(before), plugins(present)), plugins(expected), "{before:?} {present:?}");
        };
        check(&[], &["wave.wasm 1"], &["wave.wasm 1"]);
        check(&["wave.wasm 1"], &["tide.wasm 1", "wave.wasm 2"], &["tide.wasm 1", "wave.wasm 2"]);
        check(&["wave.wasm 1"], &[], &[]);
        check(&["wave.wasm 1 installed"], &["wave.wasm 1 installed"], &["wave.wasm 1 installed"]);
        check(&["wave.wasm 1 installed"], &["tide.wasm 1", "wave.wasm 2"], &["tide.wasm 1", "wave.wasm 1 installed"]);
        check(&["wave.wasm 1 installed"], &[], &["wave.wasm 1 installed"]);
    }
}
