//! Binds an instance's specification to a version: does the configuration fit, is everything granted that is asked for?

use super::Runtime;
use crate::call::words as cut;
use crate::engine::MAX_MEMORY_BYTES;
use crate::instance::Binding;
use crate::plugin::{Again, Refusal, Version};
use quarterdeck_model::plugin::{CallError, Capability, Grants, InstanceName, InstanceSpec, InstanceState};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Instant;

/// Of those that a plugin names, so many are shown.
const MAX_PROBLEMS: usize = 32;

/// Something that is wrong with a specification: JSON pointer below the instance, and what.
pub(super) type Problem = (String, String);

/// What a look at a specification found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    /// Why the plugin could not be asked now, which says nothing about the specification.
    pub(super) unchecked: Option<String>,
}

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
        let Findings { problems, unchecked } = self.problems(name, &spec, &version).await;
        if !problems.is_empty() {
            let words: Vec<String> = problems
                .iter()
                .map(|(pointer, message)| match pointer.as_str() {
                    "" => message.clone(),
                    pointer => format!("{pointer}: {message}"),
                })
                .collect();
            let reason = cut(words.join("; "));
            return Binding::new(spec, InstanceState::Misconfigured, Some(reason), Some(version));
        }
        if unchecked.is_some() {
            let mut binding = Binding::new(spec, InstanceState::Misconfigured, unchecked, Some(version));
            binding.again = Some(Again::after(None, Instant::now()));
            return binding;
        }
        if let Some(reason) = ungranted(&version, &spec.grants) {
            return Binding::new(spec, InstanceState::AwaitingGrant, Some(reason), Some(version));
        }
        Binding::new(spec, InstanceState::Active, None, Some(version))
    }

    /// Everything that is wrong with a specification, on that version.
    pub(super) async fn problems(&self, name: &InstanceName, spec: &InstanceSpec, version: &Arc<Version>) -> Findings {
        let (mut problems, mut unchecked) = (Vec::new(), None);
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
            unchecked = by_plugin.unchecked;
            problems.extend(by_plugin.problems.into_iter().map(|(pointer, message)| (below(pointer), message)));
        } else {
            problems.extend(by_schema.into_iter().map(|(pointer, message)| (below(pointer), message)));
        }
        Findings { problems, unchecked }
    }

    /// Asks the plugin itself: what a schema can't say.
    async fn validate(&self, version: &Arc<Version>, config: &Map<String, Value>) -> Findings {
        let config = match serde_json::to_string(config) {
            Ok(config) => config,
            Err(error) => {
                return Findings { problems: vec![(String::new(), error.to_string())], unchecked: None };
            }
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
            Ok(Ok(())) | Err(CallError::Cancelled) => Findings::default(),
            Ok(Err(problems)) => {
                let problems = problems.into_iter().take(MAX_PROBLEMS);
                let problems = problems.map(|problem| (cut(problem.pointer), cut(problem.message))).collect();
                Findings { problems, unchecked: None }
            }
            Err(error) => {
                let Refusal { reason, passing } = Refusal::of_call("the plugin could not check it", &error);
                if passing {
                    let unchecked = Some(format!("/config: {reason}; it is asked again"));
                    Findings { problems: Vec::new(), unchecked }
                } else {
                    Findings { problems: vec![(String::new(), reason)], unchecked: None }
                }
            }
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
