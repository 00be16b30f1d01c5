//! Asks plugins about a configuration without a daemon: those alone that have something to say about what was written.

use super::configuration::{all_doubts, doubts_without_plugins, to_be_asked, unfit, unfit_by_itself};
use super::load;
use super::scratch::{Folder, ScratchHost};
use crate::arguments::Global;
use anyhow::Result;
use quarterdeck_config::{Loaded, Problem};
use quarterdeck_model::plugin::Registry;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What there is to say about a configuration that is valid by itself.
pub(crate) struct Asked {
    /// What plugins have against it. An error: they could not be asked.
    pub(crate) unfit: Result<Vec<Problem>>,
    /// What is taken, and can't work as things stand here.
    pub(crate) doubts: Vec<Problem>,
}

/// Asks bundled plugins and those of the plugins folder.
pub(crate) fn ask_offline(global: &Global, loaded: &Loaded) -> Asked {
    let only = to_be_asked(loaded);
    if only.is_empty() {
        let unfit = unfit_by_itself(loaded, &loaded.settings);
        return Asked { unfit: Ok(unfit), doubts: doubts_without_plugins(loaded) };
    }
    match ask(global, loaded, only) {
        Ok((unfit, doubts)) => Asked { unfit: Ok(unfit), doubts },
        Err(error) => Asked { unfit: Err(error), doubts: doubts_without_plugins(loaded) },
    }
}

/// What plugins have against it, and what is doubtful.
fn ask(global: &Global, loaded: &Loaded, only: BTreeSet<String>) -> Result<(Vec<Problem>, Vec<Problem>)> {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = Folder::make()?;
    let found = threads.block_on(async {
        let settings = &loaded.settings;
        let config_dir = load::config_dir(global).unwrap_or_else(|| folder.path().to_owned());
        let plugins_dir = settings.plugins_folder(Some(&config_dir));
        let plugins_dir = if plugins_dir.is_dir() { plugins_dir } else { folder.path().to_owned() };
        let host = ScratchHost::start(settings, &folder, &plugins_dir, only).await?;
        let registry: Arc<dyn Registry> = host.runtime.clone();
        let resolved = settings.resolve(&format!("http://{}", settings.listen), &config_dir, &settings.data_dir);
        let found = (unfit(&*registry, loaded, &resolved).await, all_doubts(&*registry, loaded));
        host.stop().await;
        anyhow::Ok(found)
    });
    threads.shutdown_timeout(Duration::from_millis(200));
    found
}
