//! Asks plugins about a configuration without a daemon: a runtime over a scratch folder, with those plugins alone that have
//! something to say about what was written. Compiled ones come from the daemon's cache where this user owns one.

use super::configuration::{to_be_asked, unfit};
use super::folders::Folders;
use super::{Parts, load, secrets, start_runtime, vitals};
use crate::arguments::Global;
use anyhow::{Context, Result};
use quarterdeck_config::{Loaded, Problem};
use quarterdeck_model::clock::Clock;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::Registry;
use quarterdeck_model::store::Store;
use quarterdeck_scheduler::SystemClock;
use quarterdeck_storage::Database;
use quarterdeck_supervisor::Supervisor;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Removed in the end, whatever that is.
struct Scratch(PathBuf);

impl Scratch {
    /// One that nobody else could have made.
    fn make() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("quarterdeck-check-{}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("failed to make {}", folder.display()))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What plugins have against the configuration. Bundled ones and those of the plugins folder are asked.
///
/// # Errors
/// They could not be asked.
pub(crate) fn unfit_offline(global: &Global, loaded: &Loaded) -> Result<Vec<Problem>> {
    let only = to_be_asked(loaded);
    if only.is_empty() {
        return Ok(Vec::new());
    }
    super::install_crypto();
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let scratch = Scratch::make()?;
    let found = threads.block_on(async {
        let settings = &loaded.settings;
        let config_dir = load::config_dir(global).unwrap_or_else(|| scratch.0.clone());
        let named = std::env::var_os("QUARTERDECK_CACHE_DIR").map(PathBuf::from);
        let cache = named.unwrap_or_else(|| settings.data_dir.join("cache"));
        let cache = if is_own(&cache) { cache } else { scratch.0.join("cache") };
        let folders = Folders { data: scratch.0.clone(), cache };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids = Arc::new(IdSource::random());
        let mut options = quarterdeck_storage::Options::new(scratch.0.join("store"), clock.clone());
        options.free_space_floor_bytes = 0;
        let database = Database::open(options)?;
        let store: Arc<dyn Store> = database.clone();
        let shutdown = CancellationToken::new();
        let supervisor = Supervisor::start(quarterdeck_supervisor::Options {
            store: store.clone(),
            clock: clock.clone(),
            shutdown: shutdown.clone(),
            log_dir: scratch.0.join("processes"),
            // Nothing is started for a check.
            allowed: Arc::new(|_, _| false),
        })
        .await?;
        let plugins_dir = settings.plugins_folder(Some(&config_dir));
        let plugins_dir = if plugins_dir.is_dir() { plugins_dir } else { scratch.0.clone() };
        let runtime = start_runtime(Parts {
            settings,
            folders: &folders,
            plugins_dir: &plugins_dir,
            database: &database,
            clock: &clock,
            ids: &ids,
            supervisor,
            signs: vitals::Signs::new(store),
            secrets: Arc::new(secrets::Sources::default()),
            address: settings.listen,
            shutdown: shutdown.clone(),
            only: Some(only),
        })
        .await?;
        let registry: Arc<dyn Registry> = runtime.clone();
        let resolved = settings.resolve(&format!("http://{}", settings.listen), &config_dir, &settings.data_dir);
        let found = unfit(&*registry, loaded, &resolved).await;
        shutdown.cancel();
        runtime.shutdown(Duration::from_secs(1)).await;
        database.close().await;
        anyhow::Ok(found)
    });
    threads.shutdown_timeout(Duration::from_millis(200));
    found
}

/// Compiled code is run as it is found: only what this user keeps is trusted.
fn is_own(folder: &Path) -> bool {
    let owner = std::fs::metadata(folder).ok().filter(std::fs::Metadata::is_dir).map(|folder| folder.uid());
    owner == Some(rustix::process::geteuid().as_raw())
}
