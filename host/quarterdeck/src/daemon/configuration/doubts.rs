//! What is taken, and can't work as things stand: plugins that are not there, grants that are missing, secrets that can't be read.
//! Warnings, since each may be mended without a change of the configuration.

use quarterdeck_config::{Loaded, Problem, SecretSource, nearest, push};
use quarterdeck_model::plugin::{PluginState, PluginStatus, Registry};
use std::collections::BTreeMap;
use std::path::Path;

/// Everything that is doubtful. Looks at the files of secrets.
pub(crate) fn all(registry: &dyn Registry, loaded: &Loaded) -> Vec<Problem> {
    let mut found = without_plugins(loaded);
    found.extend(about_plugins(registry, loaded));
    found
}

/// What can be told without asking plugins.
pub(crate) fn without_plugins(loaded: &Loaded) -> Vec<Problem> {
    let mut found = loaded.warnings.clone();
    for (name, source) in &loaded.settings.secrets {
        if let Some((key, reason)) = unreadable(source) {
            let at = format!("{}/{key}", push("/secrets", name));
            found.push(loaded.problem(&at, reason));
        }
    }
    found
}

/// Which key of the source is to blame, and why.
fn unreadable(source: &SecretSource) -> Option<(&'static str, String)> {
    match source {
        SecretSource::Env(variable) => {
            let missing = std::env::var_os(variable).is_none();
            missing.then(|| ("env", format!("the variable `{variable}` is not set")))
        }
        SecretSource::File(path) => {
            let error = open(path).err()?;
            Some(("file", format!("{} can't be read: {error}", path.display())))
        }
    }
}

/// What is no plain file is not opened: a pipe would wait for its writer.
fn open(path: &Path) -> std::io::Result<()> {
    if std::fs::metadata(path)?.is_file() { std::fs::File::open(path).map(drop) } else { Ok(()) }
}

fn about_plugins(registry: &dyn Registry, loaded: &Loaded) -> Vec<Problem> {
    let plugins = registry.plugins();
    let bundled = || quarterdeck_bundle::COMPONENTS.iter().map(|component| component.name);
    // A file that is being loaded has not said its name yet.
    let is_nameless = |plugin: &PluginStatus| !bundled().any(|known| known == plugin.name);
    let is_loading = !registry.awaited().is_empty()
        || plugins.iter().any(|plugin| plugin.state == PluginState::Loading && is_nameless(plugin));
    let mut usable: BTreeMap<&str, &PluginStatus> = BTreeMap::new();
    for plugin in plugins.iter().filter(|plugin| is_usable(plugin.state)) {
        // The one that serves comes first.
        usable.entry(&plugin.name).or_insert(plugin);
    }
    let mut found = Vec::new();
    for (name, instance) in loaded.settings.instances.iter().filter(|(_, instance)| instance.enabled) {
        let (at, plugin) = (push("/instances", name.as_str()), instance.plugin.as_str());
        if let Some(status) = usable.get(plugin) {
            let asked = status.capabilities.iter().filter(|capability| !capability.optional);
            for capability in asked.filter(|capability| !instance.grants.has(&capability.name)) {
                let message =
                    format!("`{plugin}` asks for `{}` ({}), which is not granted", capability.name, capability.reason);
                let hint = "add it under `grants`; the instance does nothing without it";
                found.push(hinted(loaded.problem(&format!("{at}/grants"), message), hint.to_owned()));
            }
        } else if !bundled().any(|known| known == plugin) && !is_loading {
            let refused = plugins.iter().find(|status| status.name == plugin).and_then(|status| status.reason.as_ref());
            let message = match refused {
                Some(reason) => format!("the plugin `{plugin}` can't be used: {reason}"),
                None => format!("there is no plugin `{plugin}`"),
            };
            let hint = match nearest(plugin, bundled().chain(usable.keys().copied())) {
                Some(meant) if refused.is_none() => format!("did you mean `{meant}`?"),
                _ => "put its `.wasm` file into the plugins folder".to_owned(),
            };
            found.push(hinted(loaded.problem(&format!("{at}/plugin"), message), hint));
        }
    }
    found
}

fn is_usable(state: PluginState) -> bool {
    matches!(state, PluginState::Active | PluginState::Probation | PluginState::Draining)
}

fn hinted(mut problem: Problem, hint: String) -> Problem {
    problem.hint = Some(hint);
    problem
}
