//! From the bytes of a file to a version that can be called, or the reason why not.

use super::{DetectorExport, Exports, Header, Probation, Refusal, Version, header};
use crate::bindings;
use crate::bindings::plugin::exports::quarterdeck::plugin::plugin::Manifest;
use crate::cache::{Cache, deserialize};
use crate::call::{Ground, Guest, MOST_CALLS};
use crate::compile::{MAX_COMPONENT_BYTES, compile};
use crate::kinds::detector::previous::Previous;
use crate::options::Compiler;
use crate::sandbox::Sandbox;
use crate::signature;
use quarterdeck_model::Timestamp;
use quarterdeck_model::plugin::publisher::{Publisher, Trust};
use quarterdeck_model::plugin::{Capability, Digest, Kind, PluginRef};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use tokio::sync::{Notify, Semaphore};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

/// Versions of a package that this host speaks, with any patch: the newest, and the one before it where an adapter carries that.
fn spoken(package: &str) -> &'static [&'static str] {
    match package {
        "detector" => &["0.2", "0.1"],
        _ => &["0.1"],
    }
}

/// Minor version of an interface: `0.1` of `0.1.7`.
fn minor(version: &str) -> &str {
    match version.match_indices('.').nth(1) {
        Some((end, _)) => version.get(..end).unwrap_or(version),
        None => version,
    }
}

/// [`Version::source`] of what came with the binary.
pub(crate) const BUNDLED: &str = "bundled";
const MAX_TEXT_BYTES: usize = 4096;
const MAX_SCHEMA_BYTES: usize = 256 << 10;
const MAX_CAPABILITIES: usize = 32;

pub(crate) struct Loader {
    engine: Engine,
    linker: Linker<Sandbox>,
    compiler: Compiler,
    pub(crate) cache: Cache,
    trust: Trust,
    /// Compilations at once: each takes every core that it gets.
    compiling: Semaphore,
}

impl Loader {
    pub(crate) fn new(engine: Engine, linker: Linker<Sandbox>, compiler: Compiler, cache: Cache, trust: Trust) -> Self {
        Loader { engine, linker, compiler, cache, trust, compiling: Semaphore::new(2) }
    }

    /// Compiles (or takes from the cache) and describes. Touches nothing that runs.
    pub(crate) async fn load(
        &self,
        ground: &Ground,
        bytes: Cow<'static, [u8]>,
        digest: Digest,
        source: String,
        now: Timestamp,
    ) -> Result<Arc<Version>, Refusal> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let publisher = if source == BUNDLED { None } else { self.publisher(&bytes)? };
        let component = match self.cache.artefact(&self.engine, &digest) {
            Some(component) => component,
            None => {
                check(&bytes)?;
                self.compiled(&bytes, &digest).await?
            }
        };
        let kinds = kinds(&component, &self.engine)?;
        let pre = self.linker.instantiate_pre(&component).map_err(|error| self.link_error(&component, &error))?;
        let exports = exports(&pre, &kinds, &self.engine)?;
        let manifest = describe(ground, &exports, &digest, &source).await?;
        let calls_of_a_sandbox = reuse(ground, &component, &self.engine, &exports, &digest, &source).await?;
        let mut version = version(manifest, kinds, exports, digest, source, length, now)?;
        version.calls_of_a_sandbox = calls_of_a_sandbox;
        version.publisher = publisher;
        // What is part of the binary can't get lost.
        if version.source != BUNDLED
            && let Err(error) = self.cache.keep(&version.reference.digest, &bytes)
        {
            tracing::warn!(%error, "the component store can't keep a component");
        }
        Ok(Arc::new(version))
    }

    /// Who signed it, if such a one is taken here.
    fn publisher(&self, bytes: &[u8]) -> Result<Option<Publisher>, String> {
        let publisher = signature::publisher(bytes)?.map(|key| self.trust.publisher(key));
        self.trust.admit(publisher.as_ref())?;
        Ok(publisher)
    }

    async fn compiled(&self, bytes: &[u8], digest: &Digest) -> Result<Component, Refusal> {
        // The semaphore is never closed; were it, compiling without it would do no harm.
        let _permit = self.compiling.acquire().await;
        let artefact = compile(&self.compiler, &self.engine, bytes.to_vec())
            .await
            .map_err(|refusal| refusal.within("it can't be compiled"))?;
        if let Err(error) = self.cache.store_artefact(digest, &artefact) {
            tracing::warn!(%error, "the cache can't keep an artefact: the next start compiles it again");
        }
        // Out of the cache it is mapped; what stays in memory is only what the cache could not keep.
        if let Some(component) = self.cache.artefact(&self.engine, digest) {
            return Ok(component);
        }
        // Compiled it was: what is left is this machine's, or the compiler's file was replaced by that of another version.
        deserialize(&self.engine, &artefact)
            .map_err(|error| Refusal::passing(format!("what was compiled can't be used: {error:#}")))
    }

    /// Names the import that nobody provides, if it is that.
    fn link_error(&self, component: &Component, error: &wasmtime::Error) -> String {
        let shape = component.component_type();
        let imports: Vec<&str> = shape.imports(&self.engine).map(|(name, _)| name).collect();
        not_provided(&imports, &format!("{error:#}"))
    }
}

/// What a component imports that this host does not have, and the way on; `error` is what the linker said.
fn not_provided(imports: &[&str], error: &str) -> String {
    let listed = |names: &[String]| names.join(", ");
    let foreign: Vec<String> = imports
        .iter()
        .filter(|name| !name.starts_with("wasi:") && !name.starts_with("quarterdeck:"))
        .map(|name| format!("`{name}`"))
        .collect();
    if !foreign.is_empty() {
        return format!("it imports {}, which this host does not provide", listed(&foreign));
    }
    let of_another_version: Vec<_> = imports.iter().filter_map(|name| of_another_version(name)).collect();
    if let Some((_, _, newer)) = of_another_version.first() {
        let theirs: Vec<String> = of_another_version.iter().map(|(name, ..)| format!("`{name}`")).collect();
        let mut ours: Vec<String> = of_another_version.iter().map(|(_, ours, _)| ours.clone()).collect();
        ours.dedup();
        return format!(
            "it imports {}, and this host has {}; hint: {}",
            listed(&theirs),
            listed(&ours),
            way_on(*newer)
        );
    }
    // A package of ours may grow: what is missing may stand in an interface that this host has.
    match imports.iter().find(|name| name.starts_with("quarterdeck:") && error.contains(**name)) {
        Some(name) => format!("it imports of `{name}` what this host does not have: {error}; hint: {}", way_on(true)),
        None => format!("it imports what this host does not provide: {error}"),
    }
}

/// Of an import of ours whose version this host does not have: its name, what the host has instead, and whether the import is newer.
fn of_another_version(name: &str) -> Option<(&str, String, bool)> {
    let (interface, version) = name.strip_prefix("quarterdeck:")?.split_once('@')?;
    let (package, interface) = interface.split_once('/')?;
    let spoken = spoken(package);
    if spoken.contains(&minor(version)) {
        return None;
    }
    let ours: Vec<String> =
        spoken.iter().map(|version| format!("`quarterdeck:{package}/{interface}@{version}`")).collect();
    Some((name, ours.join(" and "), is_newer(version, spoken)))
}

/// What somebody can do whose component was built for another host.
fn way_on(component_is_newer: bool) -> &'static str {
    if component_is_newer {
        "update this host, or build the component with the SDK of this host's version"
    } else {
        "build it with the SDK of this host's version"
    }
}

/// Whether the bytes can be a component at all, before anything is made of them.
fn check(bytes: &[u8]) -> Result<(), String> {
    if u64::try_from(bytes.len()).map_or(true, |length| length > MAX_COMPONENT_BYTES) {
        return Err(format!("{} bytes are more than the {MAX_COMPONENT_BYTES} that a component may have", bytes.len()));
    }
    match header(bytes) {
        Header::Component => Ok(()),
        Header::CoreModule => {
            Err("it is a core module, not a component; hint: build it for `wasm32-wasip2`, or wrap it \
                                   with `wasm-tools component new`"
                .to_owned())
        }
        Header::Incomplete => Err("it is not a whole component: it ends in the middle of a section".to_owned()),
        Header::Other => Err("it is not a WebAssembly component".to_owned()),
    }
}

/// The kinds that a component exports, by the names of its interfaces.
fn kinds(component: &Component, engine: &Engine) -> Result<Vec<Kind>, String> {
    let mut kinds = Vec::new();
    let mut has_plugin = false;
    for (name, _) in component.component_type().exports(engine) {
        let Some(rest) = name.strip_prefix("quarterdeck:") else { continue };
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        let (package, interface) = interface.split_once('/').unwrap_or((interface, ""));
        let is_plugin = package == "plugin" && interface == "plugin";
        let is_reuse = package == "plugin" && interface == "reuse";
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == package && kind.as_str() == interface);
        if !is_plugin && !is_reuse && kind.is_none() {
            return Err(format!("it exports `{name}`, a kind that this host does not know"));
        }
        let spoken = spoken(package);
        if !spoken.contains(&minor(version)) {
            let ours: Vec<String> =
                spoken.iter().map(|version| format!("`quarterdeck:{package}/{interface}@{version}`")).collect();
            return Err(format!(
                "it exports `{name}`, and this host speaks {}; hint: {}",
                ours.join(" and "),
                way_on(is_newer(version, spoken))
            ));
        }
        has_plugin |= is_plugin;
        kinds.extend(kind);
    }
    if !has_plugin {
        return Err(format!(
            "it does not export `quarterdeck:plugin/plugin@{}`: it is no plugin for this host; hint: start from the SDK's \
             template",
            spoken("plugin").join("` or `@")
        ));
    }
    if kinds.is_empty() {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        return Err(format!("it exports no kind; hint: export one of {}", known.join(", ")));
    }
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}

/// Whether an interface's version is above all that this host speaks. What is no version is not.
fn is_newer(version: &str, spoken: &[&str]) -> bool {
    let numbers = |version: &str| -> Option<(u32, u32)> {
        let (major, minor) = minor(version).split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let newest = spoken.iter().filter_map(|version| numbers(version)).max();
    numbers(version).zip(newest).is_some_and(|(version, newest)| version > newest)
}

/// The newest version of a detector that it exports.
fn detector(pre: InstancePre<Sandbox>, engine: &Engine) -> Result<DetectorExport, String> {
    let component = pre.component().component_type();
    let names = component.exports(engine).map(|(name, _)| name.to_owned());
    let mut names = names.filter(|name| name.starts_with("quarterdeck:detector/detector@"));
    let is_previous = |name: &String| name.rsplit_once('@').is_some_and(|(_, version)| minor(version) == "0.1");
    match names.try_fold(None, |_, name| if is_previous(&name) { Ok(Some(name)) } else { Err(()) }) {
        Ok(Some(name)) => Previous::new(pre, &name).map(DetectorExport::Previous),
        // There is one of the newest version among them.
        _ => bindings::detector::DetectorPre::new(pre).map(DetectorExport::Current).map_err(shape),
    }
}

fn shape(error: wasmtime::Error) -> String {
    format!("its exports have another shape than this host's interfaces: {error:#}")
}

fn exports(pre: &InstancePre<Sandbox>, kinds: &[Kind], engine: &Engine) -> Result<Exports, String> {
    let has = |kind: Kind| kinds.contains(&kind).then(|| pre.clone());
    Ok(Exports {
        plugin: bindings::plugin::PluginPre::new(pre.clone()).map_err(shape)?,
        collector: has(Kind::Collector).map(bindings::collector::CollectorPre::new).transpose().map_err(shape)?,
        correlator: has(Kind::Correlator).map(bindings::correlator::CorrelatorPre::new).transpose().map_err(shape)?,
        deployment_strategy: has(Kind::DeploymentStrategy)
            .map(bindings::deployment_strategy::DeploymentStrategyPre::new)
            .transpose()
            .map_err(shape)?,
        deployment_target: has(Kind::DeploymentTarget)
            .map(bindings::deployment_target::DeploymentTargetPre::new)
            .transpose()
            .map_err(shape)?,
        detector: has(Kind::Detector).map(|pre| detector(pre, engine)).transpose()?,
        notifier: has(Kind::Notifier).map(bindings::notifier::NotifierPre::new).transpose().map_err(shape)?,
        runbook_action: has(Kind::RunbookAction)
            .map(bindings::runbook_action::RunbookActionPre::new)
            .transpose()
            .map_err(shape)?,
        scanner_rule: has(Kind::ScannerRule)
            .map(bindings::scanner_rule::ScannerRulePre::new)
            .transpose()
            .map_err(shape)?,
        sla_calculator: has(Kind::SlaCalculator)
            .map(bindings::sla_calculator::SlaCalculatorPre::new)
            .transpose()
            .map_err(shape)?,
    })
}

/// Asks the component what it is, without any grant, and looks up every function that the host will call.
async fn describe(ground: &Ground, exports: &Exports, digest: &Digest, source: &str) -> Result<Manifest, Refusal> {
    let reference = PluginRef { name: source.to_owned(), version: String::new(), digest: digest.clone() };
    let plugin = exports.plugin.clone();
    let probes = Probe::of(exports);
    let manifest = ground
        .run(reference.clone(), move |guest| {
            Box::pin(async move {
                let instance = plugin.instantiate_async(&mut guest.store).await?;
                Ok(Ok(instance.quarterdeck_plugin_plugin().call_describe(&mut guest.store).await?))
            })
        })
        .await
        .map_err(|error| Refusal::of_call("`describe` failed", &error))?;
    for probe in probes {
        ground
            .run(reference.clone(), move |guest| Box::pin(async move { probe.instantiate(guest).await.map(Ok) }))
            .await
            .map_err(|error| Refusal::of_call("its exports have another shape than this host's interfaces", &error))?;
    }
    Ok(manifest)
}

/// How many calls one sandbox may serve: what the component asks for, within bounds; 1 where it exports no such question.
async fn reuse(
    ground: &Ground,
    component: &Component,
    engine: &Engine,
    exports: &Exports,
    digest: &Digest,
    source: &str,
) -> Result<u32, Refusal> {
    let shape = component.component_type();
    let name = shape.exports(engine).map(|(name, _)| name).find(|name| name.starts_with("quarterdeck:plugin/reuse@"));
    let Some(name) = name.map(str::to_owned) else { return Ok(1) };
    let reference = PluginRef { name: source.to_owned(), version: String::new(), digest: digest.clone() };
    let plugin = exports.plugin.clone();
    let calls = ground
        .run(reference, move |guest| {
            Box::pin(async move {
                let instance = guest.instance(plugin.instance_pre()).await?;
                let interface = instance.get_export_index(&mut guest.store, None, &name);
                let calls = instance.get_export_index(&mut guest.store, interface.as_ref(), "calls");
                let calls = calls.ok_or_else(|| wasmtime::format_err!("`{name}` has no function `calls`"))?;
                let calls = instance.get_typed_func::<(), (u32,)>(&mut guest.store, calls)?;
                Ok(Ok(calls.call_async(&mut guest.store, ()).await?.0))
            })
        })
        .await
        .map_err(|error| Refusal::of_call("`reuse` failed", &error))?;
    Ok(calls.clamp(1, MOST_CALLS))
}

/// One kind of a component, to be instantiated once, which checks the types of its functions.
enum Probe {
    Collector(bindings::collector::CollectorPre<Sandbox>),
    Correlator(bindings::correlator::CorrelatorPre<Sandbox>),
    DeploymentStrategy(bindings::deployment_strategy::DeploymentStrategyPre<Sandbox>),
    DeploymentTarget(bindings::deployment_target::DeploymentTargetPre<Sandbox>),
    Detector(DetectorExport),
    Notifier(bindings::notifier::NotifierPre<Sandbox>),
    RunbookAction(bindings::runbook_action::RunbookActionPre<Sandbox>),
    ScannerRule(bindings::scanner_rule::ScannerRulePre<Sandbox>),
    SlaCalculator(bindings::sla_calculator::SlaCalculatorPre<Sandbox>),
}

impl Probe {
    fn of(exports: &Exports) -> Vec<Probe> {
        [
            exports.collector.clone().map(Probe::Collector),
            exports.correlator.clone().map(Probe::Correlator),
            exports.deployment_strategy.clone().map(Probe::DeploymentStrategy),
            exports.deployment_target.clone().map(Probe::DeploymentTarget),
            exports.detector.clone().map(Probe::Detector),
            exports.notifier.clone().map(Probe::Notifier),
            exports.runbook_action.clone().map(Probe::RunbookAction),
            exports.scanner_rule.clone().map(Probe::ScannerRule),
            exports.sla_calculator.clone().map(Probe::SlaCalculator),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    async fn instantiate(&self, guest: &mut Guest) -> wasmtime::Result<()> {
        let store = &mut guest.store;
        match self {
            Probe::Collector(pre) => {
                pre.instantiate_async(store).await?;
            }
            Probe::Correlator(pre) => {
                pre.instantiate_async(store).await?;
            }
            Probe::DeploymentStrategy(pre) => {
                pre.instantiate_async(store).await?;
            }
            Probe::DeploymentTarget(pre) => {
                pre.instantiate_async(store).await?;
            }
            Probe::Detector(DetectorExport::Current(pre)) => {
                pre.instantiate_async(store).await?;
            }
            Probe::Detector(DetectorExport::Previous(previous)) => previous.instantiate(guest).await?,
            Probe::Notifier(pre) => {
                pre.instantiate_async(store).await?;
            }
            Probe::RunbookAction(pre) => {
                pre.instantiate_async(store).await?;
            }
            Probe::ScannerRule(pre) => {
                pre.instantiate_async(store).await?;
            }
            Probe::SlaCalculator(pre) => {
                pre.instantiate_async(store).await?;
            }
        }
        Ok(())
    }
}

/// Checks what the component says about itself: it is shown to people, and its name is what instances go by.
fn version(
    manifest: Manifest,
    kinds: Vec<Kind>,
    exports: Exports,
    digest: Digest,
    source: String,
    bytes: u64,
    loaded_at: Timestamp,
) -> Result<Version, String> {
    if !is_kebab_case(&manifest.name) {
        return Err(format!(
            "it names itself `{}`; hint: a name has lower-case letters, digits and single dashes, at most 64, and begins with a letter",
            manifest.name.chars().take(80).collect::<String>().escape_debug()
        ));
    }
    let texts = [&manifest.version, &manifest.summary];
    let reasons = manifest.capabilities.iter().flat_map(|capability| [&capability.name, &capability.reason]);
    if texts.into_iter().chain(reasons).any(|text| text.len() > MAX_TEXT_BYTES)
        || manifest.capabilities.len() > MAX_CAPABILITIES
        || manifest.config_schema.len() > MAX_SCHEMA_BYTES
    {
        return Err("what it says about itself is too long".to_owned());
    }
    let config_schema: Value = serde_json::from_str(&manifest.config_schema)
        .map_err(|error| format!("the schema of its configuration is not JSON: {error}"))?;
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .build(&config_schema)
        .map_err(|error| format!("the schema of its configuration is not a JSON Schema: {error}"))?;
    let capabilities = manifest
        .capabilities
        .into_iter()
        .map(|capability| Capability {
            name: capability.name,
            reason: capability.reason,
            optional: capability.optional,
        })
        .collect();
    Ok(Version {
        reference: PluginRef { name: manifest.name, version: manifest.version, digest },
        summary: manifest.summary,
        kinds,
        capabilities,
        config_schema,
        validator,
        exports,
        calls_of_a_sandbox: 1,
        bytes,
        source,
        publisher: None,
        loaded_at,
        probation: Probation::default(),
        in_flight: AtomicU32::new(0),
        draining: AtomicBool::new(false),
        drained: Notify::new(),
    })
}

fn is_kebab_case(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::{is_kebab_case, not_provided};

    #[test]
    fn what_a_component_imports_in_vain_is_named_with_the_version_that_this_host_has_and_the_way_on() {
        let linker = "component imports instance `quarterdeck:host/kv@0.1.0`, but a matching implementation was not found in the linker: \
                      instance export `rename` has the wrong type";
        for (imports, error, expected) in [
            (
                &["wasi:io/poll@0.2.0", "quarterdeck:host/kv@0.2.0"][..],
                "x",
                "it imports `quarterdeck:host/kv@0.2.0`, and this host has `quarterdeck:host/kv@0.1`; hint: update this host, or build",
            ),
            (
                &["quarterdeck:host/kv@0.2.0", "quarterdeck:types/types@0.3.1", "quarterdeck:host/log@0.1.0"],
                "x",
                "`quarterdeck:types/types@0.3.1`, and this host has `quarterdeck:host/kv@0.1`, `quarterdeck:types/types@0.1`; hint: ",
            ),
            (
                &["quarterdeck:host/kv@0.0.9"],
                "x",
                "and this host has `quarterdeck:host/kv@0.1`; hint: build it with the SDK of this host's version",
            ),
            // One that grew at its number.
            (
                &["quarterdeck:host/log@0.1.0", "quarterdeck:host/kv@0.1.0"],
                linker,
                "it imports of `quarterdeck:host/kv@0.1.0` what",
            ),
            (
                &["quarterdeck:host/kv@0.1.0"],
                linker,
                "`rename` has the wrong type; hint: update this host, or build the component",
            ),
            (
                &["acme:rockets/launch@1.0.0", "quarterdeck:host/kv@0.2.0"],
                "x",
                "it imports `acme:rockets/launch@1.0.0`, which",
            ),
            (&["wasi:io/poll@0.2.0"], "no poll", "it imports what this host does not provide: no poll"),
        ] {
            let said = not_provided(imports, error);
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn names_are_kebab_case() {
        for good in ["a", "http-probe", "x9-2"] {
            assert!(is_kebab_case(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a--b", "A", "a_b", "9a", "a/b", &"a".repeat(65)] {
            assert!(!is_kebab_case(bad), "{bad}");
        }
    }
}
