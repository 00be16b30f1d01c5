//! Reads the configuration again when a file of it has changed. The system's events say it at once; they say nothing of what a link leads
//! to, and nothing any more once the folder itself was replaced. So the files are looked at from time to time, too.

use super::configuration::Configuration;
use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Editors write a file in several steps.
const SETTLE: Duration = Duration::from_millis(200);
/// As often as the plugins folder is looked at, about.
const LOOK_EVERY: Duration = Duration::from_secs(3);

pub(super) async fn run(configuration: Arc<Configuration>, shutdown: CancellationToken) {
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let mut watched = Watched::new(configuration.config_dir.clone(), changed);
    let mut seen = configuration.look().await;
    // The files were read before anything else was made: what was changed since then gave no event.
    if configuration.files_differ().await {
        reload(&configuration).await;
    }
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_told = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(()) = changes.recv() => true,
            _ = looks.tick() => false,
        };
        watched.follow();
        if !is_told && configuration.look().await == seen {
            continue;
        }
        tokio::time::sleep(SETTLE).await;
        while changes.try_recv().is_ok() {}
        // Before they are read: what changes meanwhile is seen the next time.
        seen = configuration.look().await;
        reload(&configuration).await;
    }
}

/// The system's watch over the folder, whichever one stands at its place.
struct Watched {
    folder: PathBuf,
    changed: mpsc::Sender<()>,
    /// Which one it is that is watched.
    identity: Option<Identity>,
    _watcher: Option<RecommendedWatcher>,
}

/// Numbers of files are used again: the time of its making tells one from another.
type Identity = (u64, u64, Option<SystemTime>);

impl Watched {
    fn new(folder: PathBuf, changed: mpsc::Sender<()>) -> Self {
        let mut watched = Watched { folder, changed, identity: None, _watcher: None };
        watched.follow();
        watched
    }

    /// Watches what stands there now, if that is another folder than before.
    fn follow(&mut self) {
        let data = std::fs::metadata(&self.folder).ok();
        let identity = data.map(|data| (data.dev(), data.ino(), data.created().ok()));
        if identity == self.identity {
            return;
        }
        self.identity = identity;
        self._watcher = None;
        if identity.is_some() {
            match self.watch() {
                Ok(watcher) => self._watcher = Some(watcher),
                Err(error) => {
                    let folder = self.folder.display();
                    warn!(%folder, %error, within = ?LOOK_EVERY, "the configuration folder can't be watched; it is looked at instead");
                }
            }
        }
    }

    fn watch(&self) -> notify::Result<RecommendedWatcher> {
        let (below, changed) = (self.folder.clone(), self.changed.clone());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| event.paths.iter().any(|path| matters(&below, event.kind, path))) {
                // A full channel already says it.
                let _ = changed.try_send(());
            }
        })?;
        watcher.watch(&self.folder, RecursiveMode::Recursive)?;
        Ok(watcher)
    }
}

async fn reload(configuration: &Configuration) {
    if let Err(problems) = configuration.reload_files("host").await {
        error!("the changed configuration is not valid; the one before stays in force");
        for problem in problems {
            error!("{problem}");
        }
    }
}

fn matters(folder: &Path, kind: EventKind, path: &Path) -> bool {
    match kind {
        EventKind::Access(_) => false,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
            is_configuration(path) || was_folder(folder, path)
        }
        _ => is_configuration(path),
    }
}

/// Of what is gone nobody can ask whether it was a folder with objects: where one may stand, it counts as one.
fn was_folder(folder: &Path, path: &Path) -> bool {
    let names: Vec<_> = path.strip_prefix(folder).into_iter().flatten().map(|name| name.to_string_lossy()).collect();
    let known = |name: &str| name == "environments" || quarterdeck_config::sections().any(|section| section == name);
    names.len() <= 2
        && names.first().is_some_and(|name| known(name))
        && !names.iter().any(|name| name.starts_with('.'))
        && path.extension().is_none()
}

/// A new folder counts too: what was written into it before it was watched gives no event of its own.
fn is_configuration(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let known =
        path.extension().is_some_and(|extension| extension == "toml" || extension == "yaml" || extension == "yml");
    !hidden && (known || path.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, DataChange, RemoveKind, RenameMode};

    #[test]
    fn files_and_folders_of_the_configuration_matter_and_so_does_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("rules")).unwrap();
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let moved = EventKind::Modify(ModifyKind::Name(RenameMode::From));
        let removed = EventKind::Remove(RemoveKind::Folder);
        let made = EventKind::Create(CreateKind::Any);
        for (kind, path, wanted) in [
            (written, "quarterdeck.toml", true),
            (written, "rules/slow.yaml", true),
            (written, "rules/.slow.yaml.swp", false),
            (written, "plugins/a.wasm", false),
            (made, "rules", true),
            (made, "rules/4913", false),
            // Gone: nothing says any more what it was.
            (moved, "instances", true),
            (moved, "instances/http-probe", true),
            (removed, "slos", true),
            (removed, "environments", true),
            (removed, "rules/slow.toml", true),
            (removed, "plugins", false),
            (removed, "plugins/a.wasm", false),
            (removed, "rules/.git", false),
            (EventKind::Access(notify::event::AccessKind::Any), "rules", false),
        ] {
            assert_eq!(matters(root, kind, &root.join(path)), wanted, "{kind:?} {path}");
        }
    }
}
