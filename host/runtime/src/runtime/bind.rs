//! Binds an instance's specification to a version: does the configuration fit, is everything granted that is asked for?

use super::Runtime;
use crate::call::words as cut;
use crate::engine::MAX_MEMORY_BYTES;
use crate::instance::Binding;
use crate::plugin::{Again, Refusal, Version};
use quarterdeck_model::Shared;
use quarterdeck_model::plugin::{
    Awaiting, CallError, Capability, Digest, GrantedTo, Grants, InstanceName, InstanceSpec, InstanceState,
};
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
        spec: Shared<InstanceSpec>,
        version: Option<Arc<Version>>,
    ) -> Binding {
        if !spec.enabled {
            return Binding::new(spec, InstanceState::Disabled, None, version);
        }
        let Some(version) = version else {
            let reason = if self.catalog().is_to_come(&spec.plugin) {
                format!("the plugin `{}` is being compiled", spec.plugin)
            } else {
                format!(
                    "no usable plugin is named `{}`; hint: put its `.wasm` file into the plugins folder",
                    spec.plugin
                )
            };
            return Binding::new(spec, InstanceState::MissingPlugin, Some(reason), None);
        };
        let Findings { problems, unchecked } = self.problems(name, &spec, &version).await;
        if !problems.is_empty() {
            let said: Vec<String> = problems
                .iter()
                .map(|(pointer, message)| match pointer.as_str() {
                    "" => message.clone(),
                    pointer => format!("{pointer}: {message}"),
                })
                .collect();
            let reason = cut(said.join("; "));
            return Binding::new(spec, InstanceState::Misconfigured, Some(reason), Some(version));
        }
        if unchecked.is_some() {
            let mut binding = Binding::new(spec, InstanceState::Misconfigured, unchecked, Some(version));
            binding.again = Some(Again::after(None, Instant::now()));
            return binding;
        }
        if let Some(awaiting) = self.awaiting(&spec, &version) {
            let reason = words(&awaiting, name);
            let binding = match self.granted_version(name, &spec, &version).await {
                Some(granted) => {
                    let (used, waiting) = (&granted.reference.version, &version.reference.version);
                    let reason =
                        format!("stays on version {used}, because version {waiting} waits for a grant: {reason}");
                    Binding::new(spec, InstanceState::Active, Some(reason), Some(granted))
                }
                None => Binding::new(spec, InstanceState::AwaitingGrant, Some(reason), Some(version)),
            };
            return Binding { awaiting: Some(awaiting), ..binding };
        }
        Binding::new(spec, InstanceState::Active, None, Some(version))
    }

    /// What keeps the version from having the instance's grants. An instance without grants has none to give away.
    fn awaiting(&self, spec: &InstanceSpec, version: &Version) -> Option<Awaiting> {
        let capabilities = missing(version, &spec.grants);
        let (source, is_bundled) = {
            let catalog = self.catalog();
            (catalog.source(version), catalog.is_bundled(&version.reference.digest))
        };
        let is_named = spec.granted_to.iter().any(|to| match to {
            GrantedTo::Digest(digest) => *digest == version.reference.digest,
            GrantedTo::File(file) => *file == source || *file == version.source,
            // Whoever is trusted no more has nothing that was given while that was so.
            GrantedTo::Key(key) => {
                version.publisher.as_ref().is_some_and(|publisher| publisher.trusted && publisher.key == *key)
            }
        });
        let granted_to_others = !(spec.grants.is_empty() || is_bundled || is_named);
        let waits = !capabilities.is_empty() || granted_to_others;
        let grant_to = match &version.publisher {
            Some(publisher) if publisher.trusted => GrantedTo::Key(publisher.key.clone()),
            _ => GrantedTo::Digest(version.reference.digest.clone()),
        };
        waits.then(|| Awaiting { plugin: version.reference.clone(), source, capabilities, granted_to_others, grant_to })
    }

    /// Another version that may have the grants, while the `waiting` one may not: of those that `granted-to` names the last one that
    /// is still there, else the bundled plugin.
    async fn granted_version(
        &self,
        name: &InstanceName,
        spec: &InstanceSpec,
        waiting: &Version,
    ) -> Option<Arc<Version>> {
        for digest in self.granted_contents(spec) {
            if digest == waiting.reference.digest {
                continue;
            }
            // What can't be loaded now is tried again when the instance is bound the next time.
            let Ok(Some(version)) = self.stored_version(&spec.plugin, &digest).await else { continue };
            if self.may_run(name, spec, &version).await {
                self.keep_for_instances(&version);
                return Some(version);
            }
        }
        let bundled = self.catalog().names.get(&spec.plugin).and_then(|named| named.bundled.clone())?;
        self.may_run(name, spec, &bundled).await.then_some(bundled)
    }

    /// Contents that `granted-to` names, the last one first; of a publisher's those that were in use here, the newest first.
    fn granted_contents(&self, spec: &InstanceSpec) -> Vec<Digest> {
        let mut contents = Vec::new();
        for to in spec.granted_to.iter().rev() {
            match to {
                GrantedTo::Digest(digest) => contents.push(digest.clone()),
                GrantedTo::Key(key) => {
                    // Without a history there is none to stay on.
                    let entries = self.entries(&spec.plugin).unwrap_or_default();
                    let signed =
                        entries.into_iter().filter(|entry| entry.order > 0 && entry.publisher.as_ref() == Some(key));
                    contents.extend(signed.map(|entry| entry.plugin.digest));
                }
                GrantedTo::File(_) => {}
            }
        }
        contents
    }

    async fn may_run(&self, name: &InstanceName, spec: &InstanceSpec, version: &Arc<Version>) -> bool {
        let Findings { problems, unchecked } = self.problems(name, spec, version).await;
        problems.is_empty() && unchecked.is_none() && self.awaiting(spec, version).is_none()
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

/// What the version can't do without and was not given.
fn missing(version: &Version, grants: &Grants) -> Vec<Capability> {
    let asked = version.capabilities.iter().filter(|asked| !asked.optional && !grants.has(&asked.name));
    asked.cloned().collect()
}

/// For whoever is to give what is missing.
fn words(awaiting: &Awaiting, instance: &InstanceName) -> String {
    if !awaiting.capabilities.is_empty() {
        let asked = awaiting.capabilities.iter().map(|asked| format!("`{}` ({})", asked.name, asked.reason));
        return format!("asks for {}; hint: add it under `grants`", asked.collect::<Vec<_>>().join(", "));
    }
    format!(
        "its grants were not given to the content of `{}`; hint: `quarterdeck plugin grant {instance}`, or granted-to = [\"{}\"]",
        awaiting.source, awaiting.grant_to
    )
}
