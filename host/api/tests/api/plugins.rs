//! A host without a usable plugin: every call says so.

use async_trait::async_trait;
use quarterdeck_model::Shared;
use quarterdeck_model::fetch::{Fetch, Fetched};
use quarterdeck_model::kind::Plugins;
use quarterdeck_model::kind::collector::{Collection, Collector};
use quarterdeck_model::kind::correlator::{AlertSummary, Correlator, OpenIncident, Placement};
use quarterdeck_model::kind::deployment_strategy::{Decision, DeploymentStrategy, Question};
use quarterdeck_model::kind::deployment_target::{DeploymentTarget, Observation, Step};
use quarterdeck_model::kind::detector::{Detector, Verdict, Window};
use quarterdeck_model::kind::notifier::{Message, Notifier};
use quarterdeck_model::kind::runbook_action::RunbookAction;
use quarterdeck_model::kind::scanner_rule::{Interest, Reported, ScannerRule, Subject};
use quarterdeck_model::kind::sla_calculator::{Attainment, SlaCalculator, SlaWindow};
use quarterdeck_model::plugin::files::{
    FileError, Install, Installed, PluginFile, PluginFiles, PluginVersion, Prospect, Removed, RolledBack, Seen,
};
use quarterdeck_model::plugin::log::{LogLevel, LogLine};
use quarterdeck_model::plugin::*;
use quarterdeck_model::process::*;
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct Absent;

fn absent<T, E: From<CallError>>() -> Result<T, E> {
    Err(CallError::Unavailable { message: "there are no plugins here".to_owned() }.into())
}

pub(crate) fn none() -> Plugins {
    let absent = Arc::new(Absent);
    Plugins {
        collector: absent.clone(),
        detector: absent.clone(),
        scanner_rule: absent.clone(),
        correlator: absent.clone(),
        notifier: absent.clone(),
        deployment_strategy: absent.clone(),
        deployment_target: absent.clone(),
        runbook_action: absent.clone(),
        sla_calculator: absent,
    }
}

#[async_trait]
impl Collector for Absent {
    async fn collect(&self, _: &InstanceName, _: Timestamp) -> CallResult<Collection> {
        absent()
    }
}

#[async_trait]
impl Detector for Absent {
    async fn evaluate(
        &self,
        _: &InstanceName,
        _: &Map<String, Value>,
        _: &Window,
        _: Option<&[u8]>,
    ) -> CallResult<Verdict> {
        absent()
    }
}

#[async_trait]
impl ScannerRule for Absent {
    async fn interests(&self, _: &InstanceName, _: Timestamp) -> CallResult<Interest> {
        absent()
    }

    async fn scan(&self, _: &InstanceName, _: &[Subject], _: Timestamp) -> CallResult<Vec<Reported>> {
        absent()
    }
}

#[async_trait]
impl Correlator for Absent {
    async fn correlate(
        &self,
        _: &InstanceName,
        _: &AlertSummary,
        _: &[OpenIncident],
        _: Timestamp,
    ) -> CallResult<Placement> {
        absent()
    }
}

#[async_trait]
impl Notifier for Absent {
    async fn notify(&self, _: &InstanceName, _: &Message, _: &str) -> ActResult<Outcome> {
        absent()
    }

    async fn poll(&self, _: &InstanceName, _: &str) -> ActResult<Outcome> {
        absent()
    }
}

#[async_trait]
impl DeploymentStrategy for Absent {
    async fn decide(&self, _: &InstanceName, _: Question<'_>) -> CallResult<Decision> {
        absent()
    }
}

#[async_trait]
impl DeploymentTarget for Absent {
    async fn observe(&self, _: &InstanceName, _: &str) -> CallResult<Observation> {
        absent()
    }

    async fn apply(&self, _: &InstanceName, _: &str, _: &Step, _: &str) -> ActResult<Outcome> {
        absent()
    }
}

#[async_trait]
impl RunbookAction for Absent {
    async fn plan(&self, _: &InstanceName, _: &Value) -> CallResult<Option<String>> {
        absent()
    }

    async fn run(&self, _: &InstanceName, _: &Value, _: &str, _: Span) -> ActResult<Outcome> {
        absent()
    }

    async fn poll(&self, _: &InstanceName, _: &str) -> ActResult<Outcome> {
        absent()
    }

    async fn cancel(&self, _: &InstanceName, _: &str) -> ActResult<()> {
        absent()
    }
}

#[async_trait]
impl SlaCalculator for Absent {
    async fn fold(
        &self,
        _: &InstanceName,
        _: &Map<String, Value>,
        _: &SlaWindow,
        _: Option<&[u8]>,
    ) -> CallResult<Vec<u8>> {
        absent()
    }

    async fn merge(
        &self,
        _: &InstanceName,
        _: &Map<String, Value>,
        _: &[u8],
        _: &[u8],
        _: Timestamp,
    ) -> CallResult<Vec<u8>> {
        absent()
    }

    async fn finish(&self, _: &InstanceName, _: &Map<String, Value>, _: &[u8], _: Timestamp) -> CallResult<Attainment> {
        absent()
    }
}

#[async_trait]
impl Fetch for Absent {
    async fn get(&self, _: &str, _: &[String], _: usize, _: Option<&str>) -> Result<Fetched, String> {
        Err("there is no network here".to_owned())
    }
}

/// One plugin and one instance, whatever is configured.
pub(crate) struct Listed;

pub(crate) fn plugin() -> PluginStatus {
    PluginStatus {
        name: "http-probe".to_owned(),
        version: "1.0.0".to_owned(),
        summary: "Asks a page".to_owned(),
        digest: Digest(format!("sha256:{}", "0".repeat(64))),
        kinds: vec![Kind::Collector],
        state: PluginState::Active,
        reason: None,
        source: "bundled".to_owned(),
        publisher: None,
        bytes: 100_000,
        loaded_at: Timestamp::from_millis(1_000),
        capabilities: vec![Capability { name: "http".to_owned(), reason: "to ask".to_owned(), optional: false }],
        config_schema: json!({"type": "object"}),
    }
}

pub(crate) fn instance() -> InstanceStatus {
    let plugin = plugin();
    let grants = Grants {
        http: vec!["http://127.0.0.1:7700".to_owned()],
        exec: vec![ProgramGrant { program: "/bin/true".to_owned(), arguments: Vec::new(), environment: Vec::new() }],
        ..Grants::default()
    };
    InstanceStatus {
        name: InstanceName::from("http-probe/api"),
        spec: InstanceSpec {
            plugin: plugin.name.clone(),
            config: Map::new(),
            grants,
            limits: Limits::default(),
            granted_to: Vec::new(),
            every: Some(Span::from_secs(15)),
            journal: None,
            check: None,
            delivery: None,
            enabled: true,
        }
        .into(),
        state: InstanceState::Active,
        reason: None,
        plugin: Some(PluginRef { name: plugin.name, version: plugin.version, digest: plugin.digest }),
        awaiting: None,
        kinds: plugin.kinds,
        usage: Usage {
            calls: 3,
            failures: BTreeMap::from([("deadline".to_owned(), 1)]),
            wall_micros: 1_500_000,
            ..Usage::default()
        },
    }
}

#[async_trait]
impl Processes for Listed {
    async fn start(&self, _: &InstanceName, _: ProcessSpec) -> Result<ProcessStatus, String> {
        Err("no processes here".to_owned())
    }

    async fn status(&self, _: &InstanceName, _: &str) -> Result<ProcessStatus, String> {
        Err("no processes here".to_owned())
    }

    async fn stop(&self, _: &InstanceName, _: &str, _: Span) -> Result<ProcessStatus, String> {
        Err("no processes here".to_owned())
    }

    fn list(&self) -> Vec<Process> {
        let process = |name: &str, state, health, pid| Process {
            id: format!("haproxy/web/{name}"),
            instance: InstanceName::from("haproxy/web"),
            name: name.to_owned(),
            program: "/usr/bin/shop".to_owned(),
            state,
            since: Timestamp::from_millis(2_000),
            health,
            pid,
            exit_code: None,
            restarts: 1,
            started_at: Timestamp::from_millis(1_000),
            last_words: None,
        };
        vec![
            process("s1", ProcessPhase::Healthy, ProcessHealth::Healthy, Some(4711)),
            process("s2", ProcessPhase::Exited, ProcessHealth::Unknown, None),
        ]
    }

    fn log(&self, owner: &InstanceName, name: &str, lines: usize) -> Result<Option<ProcessLog>, String> {
        let id = format!("{owner}/{name}");
        let printed = (id == "haproxy/web/s1").then(|| vec!["a line"; lines].join("\n"));
        Ok(printed.map(|text| ProcessLog { id, text, cut: true }))
    }
}

pub(crate) fn file() -> PluginFile {
    let plugin = plugin();
    PluginFile {
        file: "http-probe.wasm".to_owned(),
        digest: plugin.digest.clone(),
        bytes: plugin.bytes,
        plugin: Some(PluginRef { name: plugin.name, version: plugin.version, digest: plugin.digest }),
        reason: None,
        origin: Some("https://example.com/http-probe.wasm".to_owned()),
        publisher: None,
        serves: true,
        instances: vec![InstanceName::from("http-probe/api")],
        without: None,
    }
}

/// Who changes anything: the holder of the token, and who is signed in to the console.
pub(crate) const PRINCIPALS: [&str; 2] = ["operator", "console"];

/// Takes whatever begins as a component does, and forgets it. What ends with `another` is another plugin.
#[async_trait]
impl PluginFiles for Listed {
    fn files(&self) -> Vec<PluginFile> {
        vec![file()]
    }

    async fn look_at(&self, name: &str, bytes: Vec<u8>) -> Result<Prospect, FileError> {
        if !bytes.starts_with(b"\0asm") {
            return Err(FileError::Refused("it is not a WebAssembly component".to_owned()));
        }
        let held = Some(file()).filter(|file| file.file == name);
        let content = held.as_ref().map(|held| held.digest.clone());
        let digest = Digest(format!("sha256:{}", "1".repeat(64)));
        let comes = if bytes.ends_with(b"another") { "another" } else { "http-probe" };
        let plugin = PluginRef { name: comes.to_owned(), version: "2.0.0".to_owned(), digest };
        let serving = file().plugin.filter(|serving| serving.name == comes);
        Ok(Prospect { plugin, serving, content, held: held.and_then(|held| held.plugin) })
    }

    async fn install(&self, install: Install) -> Result<Installed, FileError> {
        let there = (install.file == file().file).then(|| file().digest);
        install.seen.check(there.as_ref())?;
        install.serving.check_serving(file().plugin.as_ref())?;
        if install.file == "full.wasm" {
            return Err(FileError::Full("the disk is full".to_owned()));
        }
        assert!(PRINCIPALS.contains(&install.principal.as_str()));
        if there.is_some() && install.bytes.ends_with(b"another") && !install.replace {
            return Err(FileError::Conflict("the file holds another plugin".to_owned()));
        }
        if !install.bytes.starts_with(b"\0asm") {
            return Err(FileError::Refused("it is not a WebAssembly component".to_owned()));
        }
        let asks_for = plugin().capabilities.iter().map(Capability::words).collect();
        let file = PluginFile { file: install.file, origin: install.origin, ..file() };
        Ok(Installed { file, replaced: None, asks_for, awaiting: Vec::new() })
    }

    async fn remove(&self, name: &str, seen: &Seen, principal: &str) -> Result<Removed, FileError> {
        assert!(PRINCIPALS.contains(&principal));
        let file = file();
        if name != file.file {
            return Err(FileError::NotFound("there is no such file".to_owned()));
        }
        seen.check(Some(&file.digest))?;
        let (digest, plugin, bereft) = (file.digest, file.plugin, file.instances);
        Ok(Removed { file: file.file, digest, plugin, serving: None, bereft })
    }

    fn versions(&self, name: &str) -> Result<Vec<PluginVersion>, FileError> {
        let PluginFile { file, plugin, origin, .. } = file();
        let version = |plugin| PluginVersion {
            plugin,
            source: file,
            origin,
            used_at: Some(Timestamp::from_millis(1_000)),
            serves: true,
            kept: true,
        };
        Ok(plugin.filter(|plugin| plugin.name == name).map(version).into_iter().collect())
    }

    async fn roll_back(
        &self,
        name: &str,
        _: Option<&str>,
        seen: &Seen,
        principal: &str,
    ) -> Result<RolledBack, FileError> {
        assert!(PRINCIPALS.contains(&principal));
        let to = file().plugin.filter(|plugin| plugin.name == name);
        seen.check_serving(to.as_ref())?;
        let to = to.ok_or_else(|| FileError::Conflict("there is no earlier version".to_owned()))?;
        Ok(RolledBack { from: None, to, source: "bundled".to_owned(), awaiting: Vec::new() })
    }
}

#[async_trait]
impl Registry for Listed {
    fn plugins(&self) -> Vec<PluginStatus> {
        vec![plugin()]
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        vec![instance()]
    }

    fn instance(&self, name: &InstanceName) -> Option<InstanceStatus> {
        Some(instance()).filter(|instance| instance.name == *name)
    }

    fn log(&self, name: &InstanceName) -> Vec<LogLine> {
        let line = |number, level| LogLine {
            number,
            at: Timestamp::from_millis(5_000),
            level,
            digest: plugin().digest,
            message: "asked".to_owned(),
        };
        let lines = [(3, LogLevel::Info), (4, LogLevel::Error), (5, LogLevel::Debug)];
        lines.into_iter().filter(|_| *name == instance().name).map(|(number, level)| line(number, level)).collect()
    }

    async fn configure(&self, _: BTreeMap<InstanceName, Shared<InstanceSpec>>) {}

    async fn check(&self, _: &BTreeMap<InstanceName, Shared<InstanceSpec>>) -> Vec<(InstanceName, String, String)> {
        Vec::new()
    }

    async fn reload(&self) -> Vec<PluginStatus> {
        self.plugins()
    }
}
