//! The plugins that came with the binary. Those that are in the cache, or that the configuration uses, are there when the start ends; the
//! others are compiled after it, or as soon as somebody asks for them: the first figures don't wait for what nobody uses.

use super::Runtime;
use super::loading::Job;
use crate::catalog::{Awaited, BUNDLED_FILE, Found, Stamp};
use crate::compile::unhurried;
use crate::options::Bundled;
use crate::plugin::{Again, BUNDLED, Refusal, Version};
use quarterdeck_model::Timestamp;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Bundled plugins that are still to be compiled, by name.
#[derive(Default)]
pub(super) struct Later(Mutex<VecDeque<(String, Job)>>);

impl Later {
    fn put(&self, jobs: impl IntoIterator<Item = (String, Job)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(jobs);
    }

    fn next(&self) -> Option<Job> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().map(|(_, job)| job)
    }

    fn take(&self, name: &str) -> Option<Job> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = jobs.iter().position(|(of, _)| of == name)?;
        jobs.remove(at).map(|(_, job)| job)
    }
}

impl Runtime {
    /// Loads those that are compiled already or named in `first`, and gives back the others.
    pub(super) async fn load_bundled(&self, bundled: Vec<Bundled>, first: Option<&BTreeSet<String>>) -> Vec<Bundled> {
        let is_compiled = |plugin: &Bundled| self.loader.cache.may_hold(&plugin.digest);
        let (now, later): (Vec<_>, Vec<_>) = bundled
            .into_iter()
            .partition(|plugin| first.is_none_or(|first| first.contains(&plugin.name)) || is_compiled(plugin));
        let to_compile = now.iter().filter(|plugin| !is_compiled(plugin)).count();
        if to_compile > 0 {
            let others =
                if later.is_empty() { String::new() } else { format!(", and {} others afterwards", later.len()) };
            tracing::info!("compiling {to_compile} plugins{others}, once: the next start takes them from the cache");
        }
        let at = self.clock.now();
        let loads = now.into_iter().map(async |plugin| {
            let (bytes, digest) = (plugin.bytes.clone(), plugin.digest.clone());
            let version = self.loader.load(&self.ground, bytes, digest, BUNDLED.to_owned(), at).await;
            (plugin, version)
        });
        let mut names = Vec::new();
        for (plugin, loaded) in futures::future::join_all(loads).await {
            names.extend(self.enter_bundled(plugin, loaded, at));
        }
        if !names.is_empty() {
            tracing::info!(plugins = names.len(), "the bundled plugins are loaded");
        }
        for name in names {
            self.settle(&name, None).await;
        }
        later
    }

    /// The name, if it can be used.
    fn enter_bundled(&self, plugin: Bundled, loaded: Result<Arc<Version>, Refusal>, at: Timestamp) -> Option<String> {
        let mut catalog = self.catalog();
        match loaded {
            Ok(version) => {
                let name = version.reference.name.clone();
                catalog.names.entry(name.clone()).or_default().bundled = Some(version);
                Some(name)
            }
            Err(Refusal { reason, passing }) => {
                tracing::error!(plugin = plugin.name, reason, "a bundled plugin can't be used");
                let found = Found {
                    stamp: stamp(&plugin),
                    digest: Some(plugin.digest.clone()),
                    version: None,
                    refused: Some(reason),
                    again: passing.then(|| Again::after(None, Instant::now())),
                    bundled: Some(plugin.clone()),
                    at,
                    missing_since: None,
                };
                catalog.files.insert(file_of(&plugin.name), found);
                None
            }
        }
    }

    /// Compiles them one after another, and when the processors have nothing better to do.
    pub(super) fn load_later(&self, bundled: Vec<Bundled>) {
        let Some(this) = self.this.upgrade().filter(|_| !bundled.is_empty()) else { return };
        let now = self.clock.now();
        let jobs = bundled.into_iter().map(|plugin| {
            let job = Job::bundled(&file_of(&plugin.name), stamp(&plugin), &plugin);
            job.enter(&mut self.catalog(), now, Awaited::Nobody);
            (plugin.name, job)
        });
        self.later.put(jobs);
        self.spawn(async move {
            while let Some(job) = this.later.next() {
                unhurried(this.load(&job)).await;
            }
        });
    }

    /// Those of these plugins that came with the binary and are still to be compiled are compiled now. Returns when they are.
    pub(super) async fn ask_for<'a>(&self, plugins: impl IntoIterator<Item = &'a str>) {
        let plugins: BTreeSet<&str> = plugins.into_iter().collect();
        let wanted: BTreeSet<String> = {
            let catalog = self.catalog();
            plugins.iter().map(|name| file_of(name)).filter(|file| catalog.loading.contains_key(file)).collect()
        };
        if wanted.is_empty() {
            return;
        }
        let jobs: Vec<Job> = plugins.into_iter().filter_map(|name| self.later.take(name)).collect();
        futures::future::join_all(jobs.iter().map(|job| self.load(job))).await;
        // Those that were under way already.
        self.loads_over(|file, _| wanted.contains(file)).await;
    }
}

/// What stands for a bundled plugin among the files.
fn file_of(name: &str) -> String {
    format!("{BUNDLED_FILE}{name}")
}

fn stamp(plugin: &Bundled) -> Stamp {
    Stamp { bytes: u64::try_from(plugin.bytes.len()).unwrap_or(u64::MAX), ..Stamp::default() }
}
