//! The plugins folder as the API changes it, with the lock file that follows it.

use crate::lock::{Granted, LOCK_FILE, Lock, Locked};
use async_trait::async_trait;
use quarterdeck_model::decisions::{Decisions, JournalStatus, Promoted, Refused, Replay, ReplayOptions, Shadow};
use quarterdeck_model::plugin::files::{
    FileError, Install, Installed, PluginFile, PluginFiles, PluginVersion, Removed, RolledBack, Seen,
};
use quarterdeck_model::plugin::{Digest, GrantedTo, InstanceSpec, Registry};
use quarterdeck_runtime::Runtime;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

pub(super) struct Recorded {
    runtime: Arc<Runtime>,
    path: PathBuf,
    writing: Arc<Mutex<()>>,
}

impl Recorded {
    pub(super) fn new(runtime: Arc<Runtime>, data_dir: &Path) -> Arc<Self> {
        Arc::new(Recorded { runtime, path: data_dir.join(LOCK_FILE), writing: Arc::default() })
    }

    /// Something was granted, or taken back. Who never installed anything has no lock file, and needs none.
    pub(super) async fn grants_changed(&self) {
        if self.path.exists() {
            self.write().await;
        }
    }

    /// What was done is done: that it can't be written down is said, and no reason to undo it.
    async fn write(&self) {
        let (runtime, path, writing) = (Arc::clone(&self.runtime), self.path.clone(), Arc::clone(&self.writing));
        let write = move || {
            // What is looked at last is written last.
            let _one = writing.lock().unwrap_or_else(PoisonError::into_inner);
            Lock::of(locked(&*runtime, &*runtime)).write(&path)
        };
        let written = tokio::task::spawn_blocking(write).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(error.into())) {
            warn!("the lock file is not as it should be: {error:#}");
        }
    }
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
