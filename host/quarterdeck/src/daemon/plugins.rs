//! The plugins folder as the API changes it, with the lock file that follows it. It follows what others drop into the folder, too.

use crate::lock::{Granted, LOCK_FILE, Lock, Locked};
use async_trait::async_trait;
use quarterdeck_bus::{Bus, Subscription};
use quarterdeck_model::decisions::{Decisions, JournalStatus, Promoted, Refused, Replay, ReplayOptions, Shadow};
use quarterdeck_model::event::EventFilter;
use quarterdeck_model::plugin::files::{
    FileError, Install, Installed, PluginFile, PluginFiles, PluginVersion, Prospect, Removed, RolledBack, Seen,
};
use quarterdeck_model::plugin::publisher::PublisherKey;
use quarterdeck_model::plugin::{
    Digest, GrantedTo, InstanceSpec, InstanceStatus, PluginRef, PluginState, PluginStatus, Registry,
};
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
/// What a way back leads to that ends in no file.
const BUNDLED: &str = "bundled";

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
            self.write(|_| false).await;
            match shutdown.run_until_cancelled(changes.next(TOGETHER)).await {
                Some(Ok(_)) => {}
                // The end of the host, or of its store, of which others tell.
                Some(Err(_)) | None => return,
            }
        }
    }

    /// Something was granted, or taken back, and nothing else. Who never had a plugin of their own has no lock file, and needs none.
    pub(super) async fn grants_changed(&self) {
        if self.path.exists() {
            self.write(|_| false).await;
        }
    }

    /// What the lock alone still names, since its file was taken away by hand. Nothing else is removed then.
    async fn only_named(&self, file: &str, seen: &Seen) -> Result<Option<Removed>, FileError> {
        let (path, file) = (self.path.clone(), file.to_owned());
        let named = move || Lock::read(&path).ok()?.plugins.into_iter().find(|plugin| plugin.file == file);
        let named = tokio::task::spawn_blocking(named).await.ok().flatten();
        let Some(Locked { file, name, version, digest, .. }) = named else { return Ok(None) };
        seen.check(Some(&digest))?;
        let serves = |plugin: &PluginStatus| {
            plugin.name == name && matches!(plugin.state, PluginState::Active | PluginState::Probation)
        };
        let serving = Registry::plugins(&*self.runtime).into_iter().find(serves);
        let serving =
            serving.map(|serving| PluginRef { name: serving.name, version: serving.version, digest: serving.digest });
        let plugin = Some(PluginRef { name, version, digest: digest.clone() });
        Ok(Some(Removed { file, digest, plugin, serving, bereft: Vec::new() }))
    }

    /// `decided`: of which entries somebody has just asked for what is there now. What is done is done: that it can't be written down is
    /// said, and no reason to undo it.
    async fn write(&self, decided: impl Fn(&Locked) -> bool + Send + 'static) {
        let (runtime, path, writing) = (Arc::clone(&self.runtime), self.path.clone(), Arc::clone(&self.writing));
        let write = move || {
            // What is looked at last is written last.
            let _one = writing.lock().unwrap_or_else(PoisonError::into_inner);
            let instances = runtime.instances();
            let present = Present::of(runtime.files(), &instances);
            if present.usable.is_empty() && !path.exists() {
                return Ok(());
            }
            // One that can't be read is written anew.
            let before = Lock::read(&path).map(|lock| lock.plugins).unwrap_or_default();
            let before = before.into_iter().filter(|plugin| !decided(plugin));
            let before = before.map(|plugin| Locked { granted: still_granted(&plugin, &instances), ..plugin });
            Lock::of(followed(before.collect(), present)).write(&path)
        };
        let written = tokio::task::spawn_blocking(write).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(error.into())) {
            warn!("the lock file is not as it should be: {error:#}");
        }
    }
}

/// What lies in the plugins folder.
struct Present {
    usable: Vec<Locked>,
    /// Files that are there and can't be used, or not yet.
    others: BTreeSet<String>,
}

impl Present {
    fn of(files: Vec<PluginFile>, instances: &[InstanceStatus]) -> Self {
        let mut present = Present { usable: Vec::new(), others: BTreeSet::new() };
        for PluginFile { file, plugin, origin, publisher, .. } in files {
            let Some(plugin) = plugin else {
                present.others.insert(file);
                continue;
            };
            let key = publisher.filter(|publisher| publisher.trusted).map(|publisher| publisher.key);
            let granted = granted(&plugin.name, &plugin.digest, &file, key.as_ref(), instances);
            let PluginRef { name, version, digest } = plugin;
            present.usable.push(Locked { file, name, version, digest, source: origin, granted });
        }
        present
    }
}

/// What was dropped into the folder is named as it lies there. What was installed stays named as it was installed, so that the lock brings it
/// back, until it is installed, removed or gone back on again: whatever became of its file, and also while that is being loaded.
fn followed(before: Vec<Locked>, present: Present) -> Vec<Locked> {
    let Present { usable, others } = present;
    let stays = |before: &Locked| {
        let was_installed = before.source.is_some();
        match usable.iter().find(|plugin| plugin.file == before.file) {
            Some(now) => was_installed && now.digest != before.digest,
            // A file that is there, and can't be used, holds no other plugin.
            None => was_installed || others.contains(&before.file),
        }
    };
    let mut next: Vec<Locked> = before.into_iter().filter(stays).collect();
    let kept: BTreeSet<String> = next.iter().map(|plugin| plugin.file.clone()).collect();
    next.extend(usable.into_iter().filter(|plugin| !kept.contains(&plugin.file)));
    next.sort_by(|a, b| a.file.cmp(&b.file));
    next
}

/// What a content has by now that lies in no file, maybe: who signed it is known from what it had before.
fn still_granted(before: &Locked, instances: &[InstanceStatus]) -> Vec<Granted> {
    let key = before.granted.iter().find_map(|granted| granted.key.as_ref());
    granted(&before.name, &before.digest, &before.file, key, instances)
}

/// The grants that a content in that file has. `key`: of the publisher, who is trusted.
fn granted(
    plugin: &str,
    digest: &Digest,
    file: &str,
    key: Option<&PublisherKey>,
    instances: &[InstanceStatus],
) -> Vec<Granted> {
    let those = instances.iter().filter(|instance| instance.spec.plugin == plugin);
    let granted = those.filter_map(|instance| {
        let to = given_by(&instance.spec, digest, file, key)?;
        let key = if let GrantedTo::Key(key) = to { Some(key.clone()) } else { None };
        Some(Granted { instance: instance.name.clone(), key, grants: instance.spec.grants.clone() })
    });
    granted.collect()
}

/// By which of its names a content has an instance's grants. The narrowest counts: who named the content has given them to no other.
fn given_by<'a>(
    spec: &'a InstanceSpec,
    digest: &Digest,
    file: &str,
    key: Option<&PublisherKey>,
) -> Option<&'a GrantedTo> {
    let is_named = |to: &&GrantedTo| match to {
        GrantedTo::Digest(named) => named == digest,
        GrantedTo::File(named) => named == file,
        GrantedTo::Key(named) => key == Some(named),
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

    async fn look_at(&self, file: &str, bytes: Vec<u8>) -> Result<Prospect, FileError> {
        self.runtime.look_at(file, bytes).await
    }

    async fn install(&self, install: Install) -> Result<Installed, FileError> {
        let installed = self.runtime.install(install).await?;
        let file = installed.file.file.clone();
        self.write(move |plugin| plugin.file == file).await;
        Ok(installed)
    }

    async fn remove(&self, file: &str, seen: &Seen, principal: &str) -> Result<Removed, FileError> {
        let removed = match self.runtime.remove(file, seen, principal).await {
            Err(FileError::NotFound(why)) => self.only_named(file, seen).await?.ok_or(FileError::NotFound(why))?,
            removed => removed?,
        };
        let file = removed.file.clone();
        self.write(move |plugin| plugin.file == file).await;
        Ok(removed)
    }

    fn versions(&self, plugin: &str) -> Result<Vec<PluginVersion>, FileError> {
        self.runtime.versions(plugin)
    }

    async fn roll_back(
        &self,
        plugin: &str,
        to: Option<&str>,
        seen: &Seen,
        principal: &str,
    ) -> Result<RolledBack, FileError> {
        let back = self.runtime.roll_back(plugin, to, seen, principal).await?;
        // The bundled plugin serves where no file of the name does.
        let (name, source) = (back.to.name.clone(), back.source.clone());
        self.write(move |plugin| plugin.file == source || (source == BUNDLED && plugin.name == name)).await;
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

    async fn promote(&self, plugin: &str, seen: Option<&str>, principal: &str) -> Result<Promoted, Refused> {
        let promoted = self.runtime.promote(plugin, seen, principal).await?;
        let file = promoted.file.clone();
        self.write(move |plugin| plugin.file == file).await;
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

    /// Besides the usable ones: files that are there and hold nothing usable.
    fn present(usable: &[&str], others: &[&str]) -> Present {
        Present { usable: plugins(usable), others: others.iter().map(|file| (*file).to_owned()).collect() }
    }

    #[test]
    fn the_lock_follows_what_was_dropped_in_and_keeps_what_was_installed() {
        let check = |before: &[&str], usable: &[&str], others: &[&str], expected: &[&str]| {
            let next = followed(plugins(before), present(usable, others));
            assert_eq!(next, plugins(expected), "{before:?} {usable:?} {others:?}");
        };
        check(&[], &["wave.wasm 1"], &[], &["wave.wasm 1"]);
        check(&["wave.wasm 1"], &["tide.wasm 1", "wave.wasm 2"], &[], &["tide.wasm 1", "wave.wasm 2"]);
        check(&["wave.wasm 1"], &[], &[], &[]);
        check(&["wave.wasm 1"], &[], &["wave.wasm"], &["wave.wasm 1"]);
        check(&["wave.wasm 1 installed"], &["wave.wasm 1 installed"], &[], &["wave.wasm 1 installed"]);
        let beside = ["tide.wasm 1", "wave.wasm 1 installed"];
        check(&["wave.wasm 1 installed"], &["tide.wasm 1", "wave.wasm 2"], &[], &beside);
        check(&["wave.wasm 1 installed"], &[], &[], &["wave.wasm 1 installed"]);
        check(&["wave.wasm 1 installed"], &[], &["wave.wasm"], &["wave.wasm 1 installed"]);
    }

    #[test]
    fn what_lies_in_no_file_any_more_has_the_grants_that_it_is_given_and_no_others() {
        let key = PublisherKey([7; 32]);
        let spec = |granted_to: &[&str]| {
            let spec = serde_json::json!({"plugin": "wave", "grants": {"kv": true}, "granted-to": granted_to});
            serde_json::from_value::<InstanceSpec>(spec).unwrap()
        };
        let digest = Digest(format!("sha256:{}", "1".repeat(64)));
        let (named, other) = (key.to_string(), PublisherKey([8; 32]).to_string());
        let to = |spec: &InstanceSpec, key| given_by(spec, &digest, "wave.wasm", key).map(ToString::to_string);
        assert_eq!(to(&spec(&[]), Some(&key)), None);
        assert_eq!(to(&spec(&[named.as_str(), digest.0.as_str()]), Some(&key)), Some(digest.0.clone()));
        assert_eq!(to(&spec(&[named.as_str()]), Some(&key)), Some(named.clone()));
        assert_eq!(to(&spec(&[named.as_str()]), None), None);
        assert_eq!(to(&spec(&[other.as_str()]), Some(&key)), None);
        assert_eq!(to(&spec(&["file:wave.wasm"]), None).as_deref(), Some("file:wave.wasm"));
    }
}
