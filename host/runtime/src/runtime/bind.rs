//! Binds an instance's specification to a version: does the configuration fit, is everything granted that is asked for?

use super::Runtime;
use crate::engine::MAX_MEMORY_BYTES;
use crate::instance::Binding;
use crate::plugin::Version;
use quarterdeck_model::plugin::{CallError, Capability, Grants, InstanceName, InstanceSpec, InstanceState};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Something that is wrong with a specification: JSON pointer below the instance, and what.
pub(super) type Problem = (String, String);

impl Runtime {
    pub(super) async fn binding(
        &self,
        name: &InstanceName,
        spec: InstanceSpec,
        version: Option<Arc<Version>>,
    ) -> Binding {
        if !spec.enabled {
            return Binding::new(spec, InstanceState::Disabled, None, version);
        }
        let Some(version) = version else {
            let reason = format!(
                "no usable plugin is named `{}`; hint: put its `.wasm` file into the plugins folder",
                spec.plugin
            );
            return Binding::new(spec, InstanceState::MissingPlugin, Some(reason), None);
        };
        let problems = self.problems(name, &spec, &version).await;
        if !problems.is_empty() {
            let words: Vec<String> = problems
                .iter()
                .map(|(pointer, message)| match pointer.as_str() {
                    "" => message.clone(),
                    pointer => format!("{pointer}: {message}"),
                })
                .collect();
            return Binding::new(spec, InstanceState::Misconfigured, Some(words.join("; ")), Some(version));
        }
        if let Some(reason) = ungranted(&version, &spec.grants) {
            return Binding::new(spec, InstanceState::AwaitingGrant, Some(reason), Some(version));
        }
        Binding::new(spec, InstanceState::Active, None, Some(version))
    }

    /// Everything that is wrong with a specification, on that version.
    pub(super) async fn problems(
        &self,
        name: &InstanceName,
        spec: &InstanceSpec,
        version: &Arc<Version>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !name.is_valid() {
            let message = format!("`{name}` is no name for an instance; hint: write it like `http-probe/api`");
            problems.push((String::new(), message));
        }
        if usize::try_from(spec.limits.memory_bytes).map_or(true, |bytes| bytes > MAX_MEMORY_BYTES) {
            let message =
                format!("{} bytes are more than the {MAX_MEMORY_BYTES} of a sandbox", spec.limits.memory_bytes);
            problems.push(("/limits/memory-bytes".to_owned(), message));
        }
        let below = |pointer: String| format!("/config{pointer}");
        let by_schema = version.check(&spec.config);
        if by_schema.is_empty() {
            let by_plugin = self.validate(version, &spec.config).await;
            problems.extend(by_plugin.into_iter().map(|(pointer, message)| (below(pointer), message)));
        } else {
            problems.extend(by_schema.into_iter().map(|(pointer, message)| (below(pointer), message)));
        }
        problems
    }

    /// Asks the plugin itself: what a schema can't say.
    async fn validate(&self, version: &Arc<Version>, config: &Map<String, Value>) -> Vec<Problem> {
        let config = match serde_json::to_string(config) {
            Ok(config) => config,
            Err(error) => return vec![(String::new(), error.to_string())],
        };
        let used = version.enter();
        let result = self
            .ground
            .run(version.reference.clone(), move |guest| {
                Box::pin(async move {
                    let plugin = used.version().exports.plugin.instantiate_async(&mut guest.store).await?;
                    let plugin = plugin.quarterdeck_plugin_plugin();
                    Ok(Ok(plugin.call_validate_configuration(&mut guest.store, &config).await?))
                })
            })
            .await;
        match result {
            Ok(Ok(())) | Err(CallError::Cancelled) => Vec::new(),
            Ok(Err(problems)) => problems.into_iter().map(|problem| (problem.pointer, problem.message)).collect(),
            Err(error) => vec![(String::new(), format!("the plugin could not check it: {error}"))],
        }
    }
}

/// What the plugin can't do without and was not given, in words for whoever grants it.
fn ungranted(version: &Version, grants: &Grants) -> Option<String> {
    let needs_grant = |capability: &&Capability| !capability.optional && !is_granted(&capability.name, grants);
    let asked: Vec<String> = version
        .capabilities
        .iter()
        .filter(needs_grant)
        .map(|capability| format!("`{}` ({})", capability.name, capability.reason))
        .collect();
    (!asked.is_empty()).then(|| format!("asks for {}; hint: add it under `grants`", asked.join(", ")))
}

fn is_granted(capability: &str, grants: &Grants) -> bool {
    match capability {
        "log" => true,
        "http" => !grants.http.is_empty(),
        "kv" => grants.kv,
        "metrics" => grants.metrics,
        "events" => !grants.events.is_empty(),
        "system" => grants.system,
        "exec" => !grants.exec.is_empty(),
        "tcp" => !grants.tcp.is_empty(),
        "process" => !grants.process.is_empty(),
        "secret" => !grants.secret.is_empty(),
        _ => false,
    }
}
