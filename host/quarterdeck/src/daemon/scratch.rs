//! A host over a folder of its own, which is removed in the end: for what is asked of plugins without a daemon.
//!
//! With a daemon it shares machine code, which is expensive to make and the same for both, and nothing else: which versions proved
//! themselves, and what files held, is the daemon's to know, and what is tried here is none of its past.

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
use rand::TryRngCore;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, mpsc};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports of a command that a signal has ended: this, and the number of the signal.
const SIGNALLED: i32 = 128;
/// How often the removal of a folder begins anew into which somebody still writes.
const REMOVALS: u32 = 50;
/// Between these.
const PAUSE: Duration = Duration::from_millis(2);

/// Removed when it is dropped, whatever happened, and when somebody interrupts.
pub(crate) struct Folder(PathBuf);

/// Those that are there.
static FOLDERS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn folders() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Folder {
    /// One that nobody else could have made.
    ///
    /// # Errors
    /// There is no randomness for its name, or it can't be made.
    pub(crate) fn make() -> Result<Self> {
        remove_when_interrupted();
        loop {
            let mut bytes = [0_u8; 8];
            rand::rngs::OsRng.try_fill_bytes(&mut bytes).context("the system gives no randomness")?;
            let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let folder = std::env::temp_dir().join(format!("quarterdeck-scratch-{name}"));
            // Whoever removes them sees either none or one that is listed.
            let mut folders = folders();
            match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => {
                    folders.insert(folder.clone());
                    return Ok(Folder(folder));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("failed to make {}", folder.display())),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
        folders().remove(&self.0);
    }
}

/// A task that has not ended may write there meanwhile.
fn remove(folder: &Path) {
    for _ in 0..REMOVALS {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => std::thread::sleep(PAUSE),
            Ok(()) | Err(_) => return,
        }
    }
}

/// From here on an interrupted program ends as it did without that, and leaves no folder behind.
fn remove_when_interrupted() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let (watching, watched) = mpsc::channel::<()>();
        // Owned by nobody: it waits for the end of the program, and is that.
        let thread = std::thread::Builder::new().name("interrupts".to_owned()).spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
                let (Ok(mut interrupted), Ok(mut terminated)) = (signal(interrupt), signal(terminate)) else { return };
                drop(watching);
                let kind = tokio::select! {
                    _ = interrupted.recv() => interrupt,
                    _ = terminated.recv() => terminate,
                };
                // Held to the end: no new one is made.
                let folders = folders();
                folders.iter().for_each(|folder| remove(folder));
                std::process::exit(SIGNALLED + kind.as_raw_value());
            });
        });
        if thread.is_ok() {
            // Told by its end, from either side: a signal ends the program from now on as it is meant to, or as it always did.
            let _ = watched.recv();
        }
    });
}

/// What runs, and on what.
pub(crate) struct ScratchHost {
    pub(crate) runtime: Arc<Runtime>,
    database: Arc<Database>,
    shutdown: CancellationToken,
}

impl ScratchHost {
    /// Loads the bundled plugins that are named in `only`, and those of `plugins_dir`. Machine code is shared with the daemon where this
    /// user owns its cache.
    ///
    /// # Errors
    /// There is no room to work in. A component that can't be used is refused instead.
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
        let folders = Folders {
            data: folder.path().to_owned(),
            cache: folder.path().join("cache"),
            artefacts: shared_cache(settings).map(|cache| cache.join("aot")).filter(|aot| !aot.exists() || is_own(aot)),
        };
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

/// The daemon's cache, or one that the environment names, if this user owns it.
pub(crate) fn shared_cache(settings: &Settings) -> Option<PathBuf> {
    let named = std::env::var_os("QUARTERDECK_CACHE_DIR").map(PathBuf::from);
    Some(named.unwrap_or_else(|| settings.data_dir.join("cache"))).filter(|cache| is_own(cache))
}

/// Compiled code is run as it is found: only what this user keeps is trusted.
fn is_own(folder: &Path) -> bool {
    let owner = std::fs::metadata(folder).ok().filter(std::fs::Metadata::is_dir).map(|folder| folder.uid());
    owner == Some(rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_is_another_one_and_gone_with_its_owner() {
        let (first, second) = (Folder::make().unwrap(), Folder::make().unwrap());
        assert_ne!(first.path(), second.path());
        std::fs::create_dir(first.path().join("cache")).unwrap();
        std::fs::write(first.path().join("cache/file"), b"x").unwrap();
        let (path, kept) = (first.path().to_owned(), second.path().to_owned());
        drop(first);
        assert!(!path.exists() && kept.exists());
        assert!(!folders().contains(&path) && folders().contains(&kept));
    }
}
