//! The configuration in force: loaded, checked against the plugins, applied in one step, kept.

use super::secrets::Sources;
use crate::arguments::Global;
use async_trait::async_trait;
use quarterdeck_config::{Loaded, Settings};
use quarterdeck_engines::Engines;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::Event;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::Registry;
use quarterdeck_model::store::Store;
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use tracing::{info, warn};

/// Every applied version, by the time at which it was applied.
const COLLECTION: &str = "configurations";

pub(super) struct Configuration {
    pub(super) global: Global,
    pub(super) host_url: String,
    pub(super) config_dir: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<IdSource>,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) secrets: Arc<Sources>,
    /// Set when the engines stand.
    pub(super) engines: OnceLock<Arc<Engines>>,
    pub(super) current: RwLock<Arc<Loaded>>,
    /// One reload at a time.
    pub(super) reloading: tokio::sync::Mutex<()>,
}

impl Configuration {
    pub(super) fn resolved(&self, settings: &Settings) -> Settings {
        settings.resolve(&self.host_url, &self.config_dir, &self.data_dir)
    }

    fn current(&self) -> Arc<Loaded> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts instances and catalog in force and keeps the version, unless it is the one that was kept last.
    pub(super) async fn apply(&self, loaded: Arc<Loaded>, principal: &str) {
        let settings = self.resolved(&loaded.settings);
        self.secrets.set(settings.secrets.clone());
        self.registry.configure(settings.instances.clone()).await;
        if let Some(engines) = self.engines.get() {
            engines.apply(settings.catalog());
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded.clone();
        if let Err(error) = self.keep(&loaded, principal).await {
            warn!(%error, "the applied configuration could not be kept");
        }
    }

    async fn keep(&self, loaded: &Loaded, principal: &str) -> Result<(), quarterdeck_model::store::StoreError> {
        let newest = self.store.list(COLLECTION, &quarterdeck_model::store::Page::newest(1))?;
        if newest.first().is_some_and(|document| document.value.get("digest") == Some(&json!(loaded.digest))) {
            return Ok(());
        }
        let now = self.clock.now();
        let id = now.to_string();
        let event = Event::new(&self.ids, now, "configuration.applied", id.clone())
            .principal(principal)
            .data(json!({"digest": loaded.digest}));
        let version =
            json!({"digest": loaded.digest, "applied_at": now, "principal": principal, "value": loaded.value});
        self.store.commit(Transition::new().put(COLLECTION, &id, Expected::Any, version).event(event)).await?;
        Ok(())
    }

    /// Reads the files again. A bad one changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong, a line each.
    pub(super) async fn reload_files(&self, principal: &str) -> Result<Value, Vec<String>> {
        let _one = self.reloading.lock().await;
        let global = self.global.clone();
        let loaded = tokio::task::spawn_blocking(move || super::load_configuration(&global))
            .await
            .map_err(|error| vec![error.to_string()])?
            .map_err(|problems| problems.to_string().lines().map(str::to_owned).collect::<Vec<_>>())?;
        let settings = self.resolved(&loaded.settings);
        let unfit: Vec<String> = self
            .registry
            .check(&settings.instances)
            .await
            .into_iter()
            .map(|(instance, pointer, message)| {
                let name = instance.as_str().replace('~', "~0").replace('/', "~1");
                loaded.problem(&format!("/instances/{name}/config{pointer}"), message).to_string()
            })
            .collect();
        if !unfit.is_empty() {
            return Err(unfit);
        }
        let before = self.current();
        let changed = before.digest != loaded.digest;
        if changed {
            for (name, same) in [
                ("listen", before.settings.listen == loaded.settings.listen),
                ("storage", before.settings.storage == loaded.settings.storage),
                ("runtime", before.settings.runtime == loaded.settings.runtime),
                ("api", before.settings.api == loaded.settings.api),
            ] {
                if !same {
                    warn!(setting = name, "changed in the files; takes effect at the next start");
                }
            }
            let digest = loaded.digest.clone();
            self.apply(Arc::new(loaded), principal).await;
            info!(digest, "configuration applied");
        }
        Ok(json!({"changed": changed, "digest": self.current().digest}))
    }
}

#[async_trait]
impl quarterdeck_api::Configuration for Configuration {
    fn effective(&self) -> Value {
        self.current().value.clone()
    }

    fn origin(&self, pointer: &str) -> Option<String> {
        Some(self.current().place(pointer)).filter(|place| !place.is_empty())
    }

    async fn reload(&self) -> Result<Value, Vec<String>> {
        self.reload_files("operator").await
    }
}
