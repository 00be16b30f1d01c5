//! What an operator does with the plugins folder through the host. A file that is put there this way is verified first, and then
//! taken up as one that was dropped in is: the folder says what is in use, at the next start too.

use super::announce::{PLUGIN_INSTALLED, PLUGIN_REMOVED, Said};
use super::place::{self, check_name};
use super::scan::QUIET;
use super::{Runtime, folder};
use crate::cache::digest;
use crate::catalog::{Awaited, BUNDLED_FILE, stem};
use crate::compile::MAX_COMPONENT_BYTES;
use crate::plugin::{BUNDLED, Refusal, Version};
use async_trait::async_trait;
use quarterdeck_model::plugin::files::{
    FileError, Install, Installed, PluginFile, PluginFiles, PluginVersion, Prospect, Removed, RolledBack, Seen, Waiting,
};
use quarterdeck_model::plugin::{Capability, Digest, InstanceName, InstanceState, PluginRef};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often a file that was put into the folder is looked for there, at the latest.
const LOOK: Duration = Duration::from_millis(200);

#[async_trait]
impl PluginFiles for Runtime {
    fn files(&self) -> Vec<PluginFile> {
        let mut files = {
            let catalog = self.catalog();
            let found = catalog.files.iter().filter(|(file, _)| !file.starts_with(BUNDLED_FILE));
            let mut files: Vec<PluginFile> = found
                .map(|(file, found)| {
                    let usable = found.version.as_ref().filter(|_| found.refused.is_none());
                    let others = usable.and_then(|version| catalog.without(&version.reference.name, file));
                    PluginFile {
                        file: file.clone(),
                        digest: found.digest.clone().unwrap_or(Digest(String::new())),
                        bytes: found.stamp.bytes,
                        serves: usable.is_some_and(|version| catalog.serves(file, version)),
                        plugin: usable.map(|version| version.reference.clone()),
                        reason: found.refused.clone().or_else(|| catalog.passed_over(file)),
                        origin: None,
                        publisher: usable.and_then(|version| version.publisher.clone()),
                        instances: Vec::new(),
                        without: others.map(|version| version.reference.clone()),
                    }
                })
                .collect();
            let first = catalog
                .loading
                .iter()
                .filter(|(file, _)| !catalog.files.contains_key(*file) && !file.starts_with(BUNDLED_FILE));
            files.extend(first.map(|(file, loading)| PluginFile {
                file: file.clone(),
                digest: Digest(String::new()),
                bytes: loading.stamp.bytes,
                plugin: None,
                reason: None,
                origin: None,
                publisher: None,
                serves: false,
                instances: Vec::new(),
                without: None,
            }));
            files
        };
        let instances = self.instances_by_plugin();
        for file in &mut files {
            let Some(plugin) = &file.plugin else { continue };
            file.origin = self.entry(plugin).and_then(|entry| entry.origin);
            file.instances = instances.get(&plugin.name).cloned().unwrap_or_default();
        }
        files.sort_by(|a, b| a.file.cmp(&b.file));
        files
    }

    async fn look_at(&self, file: &str, bytes: Vec<u8>) -> Result<Prospect, FileError> {
        check_name(file).map_err(FileError::Invalid)?;
        let folder = self.folder()?;
        let (bytes, found) = digested(bytes).await?;
        // What is just being put there is waited for.
        let _one = self.placing.lock().await;
        let content = self.on_the_disk(folder, file).await?;
        let version = self.verified(bytes, &found, file).await?;
        let held = match &content {
            Some(content) => self.held_by(file, content).await,
            None => None,
        };
        let serving = self.serving(&version.reference.name).await;
        Ok(Prospect { plugin: version.reference.clone(), serving, content, held })
    }

    async fn install(&self, install: Install) -> Result<Installed, FileError> {
        let Install { file, bytes, digest: wanted, origin, seen, serving, replace, principal } = install;
        check_name(&file).map_err(FileError::Invalid)?;
        let folder = self.folder()?;
        let (bytes, found) = digested(bytes).await?;
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            return Err(FileError::Invalid(format!("the content is {found}, not {wanted}: nothing was replaced")));
        }
        let _one = self.placing.lock().await;
        let before = self.on_the_disk(folder, &file).await?;
        seen.check(before.as_ref())?;
        if before.as_ref() != Some(&found) {
            // The component store takes a copy of what is verified.
            self.store.check_room(size(&bytes))?;
        }
        let version = self.verified(bytes.clone(), &found, &file).await?;
        if serving != Seen::Any {
            serving.check_serving(self.serving(&version.reference.name).await.as_ref())?;
        }
        if let Some(before) = before.as_ref().filter(|before| !replace && **before != found) {
            self.check_same_plugin(&file, before, &version.reference).await?;
        }
        let is_there = before.as_ref() == Some(&found) && self.catalog().serves(&file, &version);
        let replaced = before.filter(|before| *before != found).and_then(|before| self.known(&file, &before));
        self.note_origin(&version.reference, &file, origin.clone()).await?;
        // The same again is no change; but one that stands behind another file of its name comes to the front.
        if !is_there {
            self.put(folder, &file, bytes, &version).await?;
        }
        let data = json!({"file": file, "digest": found, "version": version.reference.version, "origin": origin, "replaced": replaced});
        let said = Said { event_type: PLUGIN_INSTALLED, subject: &version.reference.name, principal: &principal };
        self.announcer.say_of(said, Some(version.reference.clone()), data);
        self.taken_up(&file, &found).await?;
        let Some(file) = PluginFiles::files(self).into_iter().find(|one| one.file == file) else {
            return Err(FileError::Unavailable("somebody else has taken the file away again".to_owned()));
        };
        let asks_for = version.capabilities.iter().map(Capability::words).collect();
        let awaiting = self.waiting(&version.reference);
        Ok(Installed { file, replaced, asks_for, awaiting })
    }

    async fn remove(&self, file: &str, seen: &Seen, principal: &str) -> Result<Removed, FileError> {
        let folder = self.folder()?;
        let _one = self.placing.lock().await;
        // What was dropped in under another kind of name can be taken away, too, if it is there.
        let is_there = folder::is_meant(file) && !file.contains('/') && self.catalog().files.contains_key(file);
        let before = if is_there || check_name(file).is_ok() { self.on_the_disk(folder, file).await? } else { None };
        let Some(before) = before else {
            if is_there {
                return Err(FileError::Conflict(format!(
                    "`{}` is gone, or {}; hint: take it out of the plugins folder by hand",
                    file.escape_debug(),
                    folder::DANGLING
                )));
            }
            return Err(FileError::NotFound(format!(
                "there is no file `{}` in the plugins folder; hint: list `plugin-files` to see what there is",
                file.escape_debug()
            )));
        };
        seen.check(Some(&before))?;
        self.take_away(folder, file, before, principal).await
    }

    fn versions(&self, plugin: &str) -> Result<Vec<PluginVersion>, FileError> {
        Ok(self.history(plugin)?)
    }

    async fn roll_back(
        &self,
        plugin: &str,
        to: Option<&str>,
        seen: &Seen,
        principal: &str,
    ) -> Result<RolledBack, FileError> {
        self.go_back(plugin, to, seen, principal).await
    }
}

impl Runtime {
    pub(super) fn folder(&self) -> Result<&Path, FileError> {
        let none = || FileError::Conflict("this host has no plugins folder".to_owned());
        self.plugins_dir.as_deref().ok_or_else(none)
    }

    /// Digest of what the file holds, whatever was last found in it. What is no file is nobody's to replace or take away.
    async fn on_the_disk(&self, folder: &Path, file: &str) -> Result<Option<Digest>, FileError> {
        let (path, name) = (folder.join(file), file.escape_debug().to_string());
        // A link that leads nowhere holds nothing, and is in nobody's way.
        let odd = blocking(move || folder::odd(&path)).await?.filter(|odd| *odd != folder::DANGLING);
        if let Some(odd) = odd {
            return Err(FileError::Conflict(format!(
                "`{name}` is {odd}, and no file: nothing was changed; hint: take it out of the plugins folder by hand"
            )));
        }
        let (folder, file) = (folder.to_owned(), file.to_owned());
        let read = move || place::content(&folder, &file, MAX_COMPONENT_BYTES + 1);
        blocking(move || Ok(read()?.map(|bytes| digest(&bytes)))).await
    }

    /// What an earlier content of the file was.
    fn known(&self, file: &str, content: &Digest) -> Option<PluginRef> {
        let catalog = self.catalog();
        let held = catalog.files.get(file).and_then(|found| found.version.as_ref());
        held.filter(|version| version.reference.digest == *content).map(|version| version.reference.clone())
    }

    /// The same, where it may have been changed a moment ago. What is still not known after that holds nothing that is in use.
    async fn held_by(&self, file: &str, content: &Digest) -> Option<PluginRef> {
        let is_known = self.catalog().files.get(file).is_some_and(|found| found.digest.as_ref() == Some(content));
        if !is_known {
            let _ = self.taken_up(file, content).await;
        }
        self.known(file, content)
    }

    /// What serves under that name, also where it came with the binary and was not asked for until now.
    async fn serving(&self, plugin: &str) -> Option<PluginRef> {
        self.ask_for([plugin]).await;
        self.catalog().current(plugin).map(|version| version.reference.clone())
    }

    /// An install means the plugin that it names. That another one loses its file is never by the way.
    async fn check_same_plugin(&self, file: &str, held: &Digest, comes: &PluginRef) -> Result<(), FileError> {
        match self.held_by(file, held).await.filter(|held| held.name != comes.name) {
            None => Ok(()),
            Some(other) => Err(FileError::Conflict(format!(
                "`{file}` holds another plugin, {} {}, and not {}: nothing was replaced; hint: give the file another name, or take it away with \
                 `quarterdeck plugin remove {file}`; `--replace` (`replace=true`) says that {} is to go",
                other.name, other.version, comes.name, other.name
            ))),
        }
    }

    /// As every file is, before it comes into use: it compiles, and describes itself as a plugin of this host.
    pub(super) async fn verified(
        &self,
        bytes: Vec<u8>,
        digest: &Digest,
        file: &str,
    ) -> Result<Arc<Version>, FileError> {
        let loaded = self.catalog().by_digest(digest);
        if let Some(version) = loaded {
            return Ok(version);
        }
        let _room = self.room(size(&bytes)).await;
        let loaded = self.loader.load(&self.ground, bytes.into(), digest.clone(), file.to_owned(), self.clock.now());
        loaded.await.map_err(|Refusal { reason, passing }| {
            let said = format!("`{file}` can't be used: {reason}");
            if passing { FileError::Unavailable(said) } else { FileError::Refused(said) }
        })
    }

    /// Whoever puts a version there by name wants it, also where it has failed before.
    pub(super) async fn put(
        &self,
        folder: &Path,
        file: &str,
        bytes: Vec<u8>,
        version: &Version,
    ) -> Result<(), FileError> {
        self.store.check_room(size(&bytes))?;
        if let Some(named) = self.catalog().names.get_mut(&version.reference.name) {
            named.banned.remove(&version.reference.digest);
        }
        let (folder, file) = (folder.to_owned(), file.to_owned());
        blocking(move || place::put(&folder, &file, &bytes)).await
    }

    /// Returns when the file's content is in use, or stands behind a newer file of its name.
    pub(super) async fn taken_up(&self, file: &str, content: &Digest) -> Result<(), FileError> {
        let folder = self.folder()?;
        let over = async {
            loop {
                // Made before the look: an end in between is not missed.
                let ended = self.load_ended.notified();
                let held = {
                    let catalog = self.catalog();
                    let held = catalog.files.get(file).filter(|found| found.digest.as_ref() == Some(content));
                    held.filter(|_| !catalog.loading.contains_key(file)).map(|found| found.stamp)
                };
                // The same content may have been put there anew: the younger of two files is in use.
                if let Some(stamp) = held {
                    let path = folder.join(file);
                    if blocking(move || Ok(folder::is_still(&path, stamp))).await? {
                        return Ok(());
                    }
                }
                self.look_for_work(Awaited::Look);
                // It may have been found still being written.
                let _ = tokio::time::timeout(LOOK, ended).await;
            }
        };
        let late = |_| FileError::Unavailable("it is in its place, and not in use after twenty seconds".to_owned());
        tokio::time::timeout(QUIET, over).await.map_err(late)?
    }

    /// Unlike one that somebody else took away it is not waited for.
    pub(super) async fn take_away(
        &self,
        folder: &Path,
        file: &str,
        before: Digest,
        principal: &str,
    ) -> Result<Removed, FileError> {
        let plugin = self.known(file, &before);
        let (in_folder, name) = (folder.to_owned(), file.to_owned());
        blocking(move || place::remove(&in_folder, &name)).await?;
        let subject = plugin.as_ref().map_or_else(|| stem(file), |plugin| &plugin.name);
        let said = Said { event_type: PLUGIN_REMOVED, subject, principal };
        self.announcer.say_of(said, plugin.clone(), json!({"file": file, "digest": before}));
        {
            let _changing = self.changing.lock().await;
            self.forget_files(|kept| kept != file);
            for name in self.let_go(vec![file.to_owned()]) {
                self.settle(&name, None).await;
                if self.catalog().current(&name).is_none() {
                    self.forget(&name);
                }
            }
        }
        let serving = plugin.as_ref().and_then(|plugin| self.catalog().current(&plugin.name));
        let bereft = match (&plugin, &serving) {
            (Some(plugin), None) => self.instances_by_plugin().remove(&plugin.name).unwrap_or_default(),
            _ => Vec::new(),
        };
        let serving = serving.map(|version| version.reference.clone());
        Ok(Removed { file: file.to_owned(), digest: before, plugin, serving, bereft })
    }

    /// By plugin. Those that are switched off have no use for it.
    fn instances_by_plugin(&self) -> BTreeMap<String, Vec<InstanceName>> {
        let mut by_plugin: BTreeMap<String, Vec<InstanceName>> = BTreeMap::new();
        for instance in self.all_instances().values() {
            let binding = instance.binding();
            if binding.spec.enabled {
                by_plugin.entry(binding.spec.plugin.clone()).or_default().push(instance.name.clone());
            }
        }
        by_plugin.values_mut().for_each(|instances| instances.sort());
        by_plugin
    }

    pub(super) fn waiting(&self, plugin: &PluginRef) -> Vec<Waiting> {
        let instances = self.all_instances();
        let those = instances.values().filter_map(|instance| {
            let binding = instance.binding();
            let awaiting = binding.awaiting.clone().filter(|awaiting| awaiting.plugin.digest == plugin.digest)?;
            let runs = binding.version.as_ref().filter(|_| binding.state == InstanceState::Active);
            let meanwhile = runs.map(|version| version.reference.clone());
            Some(Waiting { instance: instance.name.clone(), meanwhile, awaiting })
        });
        let mut waiting: Vec<Waiting> = those.collect();
        waiting.sort_by(|a, b| a.instance.cmp(&b.instance));
        waiting
    }

    /// What holds the version now, for people.
    pub(super) fn holder(&self, version: &Version) -> String {
        if version.source == BUNDLED { BUNDLED.to_owned() } else { self.catalog().source(version) }
    }
}

async fn digested(bytes: Vec<u8>) -> Result<(Vec<u8>, Digest), FileError> {
    blocking(move || {
        let found = digest(&bytes);
        Ok((bytes, found))
    })
    .await
}

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Disks are slow. What fails there says so.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, FileError> {
    let failed = |error: String| FileError::Unavailable(format!("the plugins folder can't be used: {error}"));
    match tokio::task::spawn_blocking(work).await {
        // That of the store has its floor; the folder may lie on another one.
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            Err(FileError::Full(format!("the disk of the plugins folder is full: {error}; hint: free space there")))
        }
        Ok(done) => done.map_err(|error| failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}
