//! Asks plugins about a configuration without a daemon: those alone that have something to say about what was written.

use super::configuration::{to_be_asked, unfit};
use super::load;
use super::scratch::{Folder, ScratchHost};
use crate::arguments::Global;
use anyhow::Result;
use quarterdeck_config::{Loaded, Problem};
use quarterdeck_model::plugin::Registry;
use std::sync::Arc;
use std::time::Duration;

/// What plugins have against the configuration. Bundled ones and those of the plugins folder are asked.
///
/// # Errors
/// They could not be asked.
pub(crate) fn unfit_offline(global: &Global, loaded: &Loaded) -> Result<Vec<Problem>> {
    let only = to_be_asked(loaded);
    if only.is_empty() {
        return Ok(Vec::new());
    }
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
        let found = unfit(&*registry, loaded, &resolved).await;
        host.stop().await;
        anyhow::Ok(found)
    });
    threads.shutdown_timeout(Duration::from_millis(200));
    found
}
