//! What an author does with a component before a daemon has it: call it, judge it, and make a new one. In the runtime that the
//! daemon has, over a scratch folder; the component gets nothing that it was not given on the command line.
//!
//! - `call`: the functions of each kind, with JSON in and out
//! - `check`: judges a component
//! - `limits`: shows that its limits hold
//! - `samples`: what `check` calls each kind with
//! - `scaffold`: a new plugin's folder
//! - `language`: what the tools of its language do with it

pub(crate) mod call;
pub(crate) mod check;
pub(crate) mod language;
mod limits;
mod samples;
pub(crate) mod scaffold;

use crate::daemon::scratch::{Folder, ScratchHost};
use anyhow::{Context, Result, bail};
use quarterdeck_config::Settings;
use quarterdeck_model::kind::Plugins;
use quarterdeck_model::plugin::{
    GrantedTo, InstanceName, InstanceSpec, InstanceState, InstanceStatus, PluginState, PluginStatus, Registry,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

const FILE: &str = "candidate.wasm";

/// What is wrong with a component, so that there is nothing to work on. Any other error is the host's, and says nothing about it.
#[derive(Debug)]
struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

/// A component in a host of its own.
pub(crate) struct Workbench {
    host: ScratchHost,
    folder: Folder,
    pub(crate) plugin: PluginStatus,
}

impl Workbench {
    /// Loads the component.
    ///
    /// # Errors
    /// [`Unusable`] where the host refuses what the file holds, with the reason. Else there is no such file, no room to work in, or no time.
    async fn open(settings: &Settings, file: &Path) -> Result<Self> {
        let folder = Folder::make()?;
        let plugins = folder.path().join("plugins");
        std::fs::create_dir(&plugins)?;
        std::fs::copy(file, plugins.join(FILE)).with_context(|| format!("failed to read {}", file.display()))?;
        let host = ScratchHost::start(settings, &folder, &plugins, BTreeSet::new()).await?;
        // An interpreter that is compiled on a busy machine takes longer than one look at the folder.
        let patience = Instant::now() + settings.runtime.compile_timeout.as_duration();
        let plugin = loop {
            let statuses = Registry::reload(&*host.runtime).await;
            let Some(plugin) = statuses.into_iter().find(|status| status.source == FILE) else {
                host.stop().await;
                let what = format!("{} is no component", file.display());
                return Err(
                    Unusable(format!("{what}\nhint: `quarterdeck plugin build` makes one, a `.wasm` file")).into()
                );
            };
            if plugin.state != PluginState::Loading || Instant::now() >= patience {
                break plugin;
            }
        };
        match plugin.state {
            PluginState::Active | PluginState::Probation => Ok(Workbench { host, folder, plugin }),
            PluginState::Loading => {
                host.stop().await;
                bail!(
                    "it is not loaded in time; hint: is it much larger than others? `[runtime] compile-timeout` is what it may take"
                )
            }
            PluginState::Draining | PluginState::Refused => {
                let reason = plugin.reason.unwrap_or_else(|| "it is refused".to_owned());
                host.stop().await;
                Err(Unusable(format!("{} can't be used: {reason}", file.display())).into())
            }
        }
    }

    /// Puts the component to use; what an earlier call of this set is gone.
    ///
    /// # Errors
    /// What is wrong with the instance: its configuration, or a grant that the plugin asks for and does not get.
    async fn instance(&self, spec: InstanceSpec) -> Result<InstanceStatus, InstanceStatus> {
        let name = self.name();
        self.host.runtime.configure(BTreeMap::from([(name.clone(), spec.clone().into())])).await;
        let absent = || InstanceStatus {
            name: name.clone(),
            spec: spec.into(),
            state: InstanceState::MissingPlugin,
            reason: None,
            plugin: None,
            awaiting: None,
            kinds: Vec::new(),
            usage: Default::default(),
        };
        let status = self.status().unwrap_or_else(absent);
        if status.state == InstanceState::Active { Ok(status) } else { Err(status) }
    }

    /// Whoever tries a component says what it gets.
    fn itself(&self) -> Vec<GrantedTo> {
        vec![GrantedTo::Digest(self.plugin.digest.clone())]
    }

    fn name(&self) -> InstanceName {
        InstanceName(format!("{}/workbench", self.plugin.name))
    }

    fn status(&self) -> Option<InstanceStatus> {
        Registry::instance(&*self.host.runtime, &self.name())
    }

    fn plugins(&self) -> Plugins {
        self.host.runtime.plugins()
    }

    async fn close(self) {
        let Workbench { host, folder, .. } = self;
        host.stop().await;
        drop(folder);
    }
}

/// Runs `work` on a component, in an async runtime of its own.
fn with<T>(settings: &Settings, file: &Path, work: impl AsyncFnOnce(&Workbench) -> Result<T>) -> Result<T> {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = threads.block_on(async {
        let bench = Workbench::open(settings, file).await?;
        let result = work(&bench).await;
        bench.close().await;
        result
    });
    threads.shutdown_timeout(Duration::from_millis(200));
    result
}
