//! Watches the configuration folder, and reads it again when a file has changed.

use super::configuration::Configuration;
use notify::{RecursiveMode, Watcher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Editors write a file in several steps.
const SETTLE: Duration = Duration::from_millis(200);

pub(super) async fn run(configuration: Arc<Configuration>, shutdown: CancellationToken) {
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let folder = configuration.config_dir.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(|path| is_configuration(path))) {
            // A full channel already says it.
            let _ = changed.try_send(());
        }
    })
    .and_then(|mut watcher| watcher.watch(&folder, RecursiveMode::Recursive).map(|()| watcher));
    let _watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            warn!(folder = %folder.display(), %error, "the configuration folder can't be watched; hint: use `quarterdeck config reload`");
            return;
        }
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            change = changes.recv() => if change.is_none() { return },
        }
        tokio::time::sleep(SETTLE).await;
        while changes.try_recv().is_ok() {}
        if let Err(problems) = configuration.reload_files("host").await {
            error!("the changed configuration is not valid; the one before stays in force");
            for problem in problems {
                error!("{problem}");
            }
        }
    }
}

/// A new folder counts too: what was written into it before it was watched gives no event of its own.
fn is_configuration(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let known =
        path.extension().is_some_and(|extension| extension == "toml" || extension == "yaml" || extension == "yml");
    !hidden && (known || path.is_dir())
}
