//! Watches the plugins folder. The kernel's notices say when to look; a look every two seconds finds what they miss (the
//! target of a link that changed, a network folder, a bundled plugin that is due for another try).

use super::Runtime;
use super::folder::is_meant;
use super::scan::LOOK_AGAIN;
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{EventKind, RecursiveMode, Watcher};
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const LOOK: Duration = Duration::from_secs(2);

/// Quiet time after a write that is not yet said to be the last one.
const DEBOUNCE: Duration = Duration::from_millis(60);

enum Notice {
    /// A file is whole: it was renamed into place, or its writer closed it.
    Whole,
    /// Something is going on.
    Activity,
}

pub(super) async fn run(runtime: Weak<Runtime>, shutdown: CancellationToken) {
    let known = runtime.upgrade().map(|runtime| (runtime.plugins_dir.clone(), Arc::clone(&runtime.load_ended)));
    let Some((folder, load_ended)) = known else { return };
    let (notices, mut noticed) = mpsc::channel(64);
    let _watcher = folder.and_then(|folder| watch(folder, notices));
    // What came before the watcher did is found by this look.
    scan(&runtime).await;
    loop {
        // Made before the question: a load that ends in between is not missed.
        let ended = load_ended.notified();
        let Some(is_restless) = runtime.upgrade().map(|runtime| runtime.catalog().is_restless()) else { return };
        let wait = if is_restless { LOOK_AGAIN } else { LOOK };
        let at = tokio::select! {
            () = shutdown.cancelled() => return,
            notice = noticed.recv() => match notice {
                Some(Notice::Whole) => Instant::now(),
                Some(Notice::Activity) => Instant::now() + DEBOUNCE,
                // Without a watcher the regular look remains.
                None => { tokio::time::sleep(wait).await; Instant::now() }
            },
            () = tokio::time::sleep(wait) => Instant::now(),
            // It may have found its file still being written.
            () = ended => continue,
        };
        if quiet(&mut noticed, at, &shutdown).await.is_none() {
            return;
        }
        scan(&runtime).await;
    }
}

async fn scan(runtime: &Weak<Runtime>) {
    if let Some(runtime) = runtime.upgrade() {
        runtime.scan().await;
    }
}

/// Waits until `at`, later if there is more activity, no longer if a file is said to be whole. `None`: shutting down.
async fn quiet(noticed: &mut mpsc::Receiver<Notice>, mut at: Instant, shutdown: &CancellationToken) -> Option<()> {
    while at > Instant::now() {
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep_until(at) => return Some(()),
            notice = noticed.recv() => match notice {
                Some(Notice::Activity) => at = Instant::now() + DEBOUNCE,
                Some(Notice::Whole) | None => return Some(()),
            },
        }
    }
    Some(())
}

fn watch(folder: PathBuf, notices: mpsc::Sender<Notice>) -> Option<notify::RecommendedWatcher> {
    let handler = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let concerns_plugin = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_meant);
        if !event.paths.iter().any(concerns_plugin) {
            return;
        }
        let notice = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Notice::Whole,
            EventKind::Access(_) => return,
            _ => Notice::Activity,
        };
        // A full channel means that a look is due anyway.
        let _ = notices.try_send(notice);
    };
    let watcher = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(folder = %folder.display(), %error, "the plugins folder can't be watched: it is looked at every two seconds");
            None
        }
    }
}
