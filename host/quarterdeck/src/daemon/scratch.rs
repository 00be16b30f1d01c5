//! A host over a folder of its own, which is removed in the end: for what is asked of plugins without a daemon.

use super::folders::Folders;
use super::{Parts, Wanted, secrets, start_runtime, vitals};
use anyhow::{Context, Result};
use quarterdeck_config::Settings;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::publisher::Unsigned;
use quarterdeck_model::store::Store;
use quarterdeck_runtime::Runtime;
use quarterdeck_scheduler::SystemClock;
use quarterdeck_storage::Database;
use quarterdeck_supervisor::Supervisor;
use std::collections::BTreeSet;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Removed when it is dropped, whatever happened.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// One that nobody else could have made.
    pub(crate) fn make() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("quarterdeck-scratch-{}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("failed to make {}", folder.display()))?;
        Ok(Folder(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What runs, and on what.
pub(crate) struct ScratchHost {
    pub(crate) runtime: Arc<Runtime>,
    database: Arc<Database>,
    shutdown: CancellationToken,
}

impl ScratchHost {
    /// Loads the bundled plugins that are named in `only`, and those of `plugins_dir`. Compiled ones come from the daemon's cache
    /// where this user owns one.
    pub(crate) async fn start(
        settings: &Settings,
        folder: &Folder,
        plugins_dir: &Path,
        only: BTreeSet<String>,
    ) -> Result<Self> {
        super::install_crypto();
        // Whoever tries a component has chosen it: it is judged, signed or not.
        let mut settings = settings.clone();
        settings.plugins.unsigned = Unsigned::Allow;
        let settings = &settings;
        let named = std::env::var_os("QUARTERDECK_CACHE_DIR").map(PathBuf::from);
        let cache = named.unwrap_or_else(|| settings.data_dir.join("cache"));
        let cache = if is_own(&cache) { cache } else { folder.path().join("cache") };
        let folders = Folders { data: folder.path().to_owned(), cache };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut options = quarterdeck_storage::Options::new(folder.path().join("store"), clock.clone());
        options.free_space_floor_bytes = 0;
        let database = Database::open(options)?;
        let store: Arc<dyn Store> = database.clone();
        let shutdown = CancellationToken::new();
        let supervisor = Supervisor::start(quarterdeck_supervisor::Options {
            store: store.clone(),
            clock: clock.clone(),
            shutdown: shutdown.clone(),
            log_dir: folder.path().join("processes"),
            // Nothing is left running behind.
            allowed: Arc::new(|_, _| false),
        })
        .await?;
        let runtime = start_runtime(Parts {
            settings,
            folders: &folders,
            plugins_dir,
            database: &database,
            clock: &clock,
            ids: &Arc::new(IdSource::random()),
            supervisor,
            signs: vitals::Signs::new(store),
            secrets: Arc::new(secrets::Sources::default()),
            address: settings.listen,
            shutdown: shutdown.clone(),
            bundled: Wanted::Only(only),
        })
        .await?;
        Ok(ScratchHost { runtime, database, shutdown })
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.runtime.shutdown(Duration::from_secs(1)).await;
        self.database.close().await;
    }
}

/// Compiled code is run as it is found: only what this user keeps is trusted.
fn is_own(folder: &Path) -> bool {
    let owner = std::fs::metadata(folder).ok().filter(std::fs::Metadata::is_dir).map(|folder| folder.uid());
    owner == Some(rustix::process::geteuid().as_raw())
}
