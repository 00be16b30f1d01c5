//! Plugins (files), instances (uses of them), what an instance may touch, and why a call failed. `files`: what an operator does with
//! the plugins folder; `log`: what plugins log; `publisher`: who
//! signed them; `variables`: what plugins may set for programs.

mod call;
pub mod files;
mod granted_to;
mod grants;
mod limits;
pub mod log;
pub mod publisher;
mod status;
pub mod variables;

pub use call::{ActResult, CallError, CallFailed, CallResult, Called, Outcome};
pub use granted_to::GrantedTo;
pub use limits::{Budget, Limits};
pub use status::{
    Awaiting, Bucket, Calls, Capability, InstanceState, InstanceStatus, PluginState, PluginStatus, Usage, Window,
};

use crate::domain::check::CheckSpec;
use crate::domain::delivery::DeliverySpec;
use crate::shared::Shared;
use crate::time::Span;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// SHA-256 of a component file, `sha256:<64 hex>`: what a plugin is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Digest(pub String);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Which version of which plugin decided or acted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PluginRef {
    pub name: String,
    pub version: String,
    pub digest: Digest,
}

/// A plugin put to use under a name: `http-probe/api`. What stands before the slash is by custom the plugin's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct InstanceName(pub String);

impl InstanceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Lower-case letters, digits and dashes, in two parts around one slash.
    pub fn is_valid(&self) -> bool {
        let part = |p: &str| {
            !p.is_empty()
                && p.len() <= 64
                && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !p.starts_with('-')
        };
        self.0.split_once('/').is_some_and(|(plugin, name)| part(plugin) && part(name))
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for InstanceName {
    fn from(text: &str) -> Self {
        InstanceName(text.to_owned())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Collector,
    Detector,
    ScannerRule,
    Correlator,
    Notifier,
    DeploymentStrategy,
    DeploymentTarget,
    RunbookAction,
    SlaCalculator,
}

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::Collector,
        Kind::Detector,
        Kind::ScannerRule,
        Kind::Correlator,
        Kind::Notifier,
        Kind::DeploymentStrategy,
        Kind::DeploymentTarget,
        Kind::RunbookAction,
        Kind::SlaCalculator,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Collector => "collector",
            Kind::Detector => "detector",
            Kind::ScannerRule => "scanner-rule",
            Kind::Correlator => "correlator",
            Kind::Notifier => "notifier",
            Kind::DeploymentStrategy => "deployment-strategy",
            Kind::DeploymentTarget => "deployment-target",
            Kind::RunbookAction => "runbook-action",
            Kind::SlaCalculator => "sla-calculator",
        }
    }

    /// Decides from its input alone; gets no capability that acts or that reads the world.
    pub const fn is_pure(self) -> bool {
        matches!(
            self,
            Kind::Detector | Kind::ScannerRule | Kind::Correlator | Kind::DeploymentStrategy | Kind::SlaCalculator
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an instance may touch. An absent capability is not granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Grants {
    /// Origins that `wasi:http` may reach: `https://api.example.com`, `http://127.0.0.1:8080`, `https://*.example.com`,
    /// or `*` for any public address. Naming a private or loopback address literally grants it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// The instance's own key-value space.
    #[serde(skip_serializing_if = "is_false")]
    pub kv: bool,
    /// Reading series.
    #[serde(skip_serializing_if = "is_false")]
    pub metrics: bool,
    /// Prefixes of event types that may be published: `custom.`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// Facts about the host machine.
    #[serde(skip_serializing_if = "is_false")]
    pub system: bool,
    /// Programs that may be run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec: Vec<ProgramGrant>,
    /// `host:port`, `host:*`, or `unix:/path/to.sock`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<String>,
    /// Programs that may be started as processes that the host owns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub process: Vec<ProgramGrant>,
    /// Names of secrets that the host may use for the instance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secret: Vec<String>,
    /// Names of secrets that are handed over to the instance, for protocols in which the plugin has to say them itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reveal: Vec<String>,
    /// Files that may be read: `/var/log/app.log`, or all below a folder, `/var/log/app/`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Files that lines may be appended to: `/var/log/alerts.jsonl`, or all below a folder, `/var/log/alerts/`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub append: Vec<String>,
}

impl Grants {
    pub fn is_empty(&self) -> bool {
        *self == Grants::default()
    }

    /// Whether anything of that capability is granted.
    pub fn has(&self, capability: &str) -> bool {
        match capability {
            "log" => true,
            "http" => !self.http.is_empty(),
            "kv" => self.kv,
            "metrics" => self.metrics,
            "events" => !self.events.is_empty(),
            "system" => self.system,
            "exec" => !self.exec.is_empty(),
            "tcp" => !self.tcp.is_empty(),
            "process" => !self.process.is_empty(),
            "secret" => !self.secret.is_empty(),
            "reveal" => !self.reveal.is_empty(),
            "files" => !self.files.is_empty(),
            "append" => !self.append.is_empty(),
            _ => false,
        }
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// A program, what its arguments may be, and which variables may be set for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProgramGrant {
    /// Absolute path.
    pub program: String,
    /// One glob per argument; `...` as the last one stands for any further arguments. Absent: no arguments at all.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Names of variables that the plugin may set for it, to any value: `LANG`. Absent: none. Many variables make a program read other files
    /// or do other things, so name only those whose values you would leave to the plugin. What loads code (`LD_PRELOAD`, `PATH`,
    /// `TAR_OPTIONS`, ...) can't be granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
}

/// An instance as it is configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InstanceSpec {
    /// Name of the plugin.
    pub plugin: String,
    /// Handed to every call; checked against the plugin's schema.
    #[serde(default)]
    pub config: Map<String, Value>,
    #[serde(default)]
    pub grants: Grants,
    /// Which files of the name may have the grants, beside the bundled plugin: `sha256:<64 hex>` (what `quarterdeck plugin grant`
    /// writes), `key:<64 hex>` for what that publisher has signed, also later, while it is trusted (`[plugins] trusted`), or `file:<name>.wasm` for whatever that file of the plugins
    /// folder holds, while it is being developed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted_to: Vec<GrantedTo>,
    #[serde(default)]
    pub limits: Limits,
    /// Collectors: how often. Unless given, 15 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Kinds that decide: what they are asked and what they answer is kept, for `quarterdeck plugin replay`. Unless given, nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalSpec>,
    /// Collectors: when the target counts as failed, which may start a runbook. Unless given, its health is told, and nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckSpec>,
    /// Notifiers: when messages are held back, gathered, and sent another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliverySpec>,
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// How much of an instance's decisions is kept. What is over goes, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct JournalSpec {
    /// How long a decision is kept.
    pub keep: Span,
    /// How large the journal may grow.
    pub max_bytes: u64,
}

impl Default for JournalSpec {
    fn default() -> Self {
        JournalSpec { keep: Span::from_secs(7 * 86_400), max_bytes: 64 << 20 }
    }
}

fn yes() -> bool {
    true
}

/// The registry, as engines, API and configuration see it.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// Of several of one name the one that serves comes first.
    fn plugins(&self) -> Vec<PluginStatus>;

    /// The state of each of them, without all that a [`PluginStatus`] says besides.
    fn plugin_states(&self) -> Vec<PluginState> {
        self.plugins().into_iter().map(|plugin| plugin.state).collect()
    }

    /// Files that were there at the start and are still being loaded for the first time.
    fn awaited(&self) -> Vec<String> {
        Vec::new()
    }

    fn instances(&self) -> Vec<InstanceStatus>;

    /// Who they are, in no order.
    fn instance_names(&self) -> Vec<InstanceName> {
        self.instances().into_iter().map(|instance| instance.name).collect()
    }

    /// The state of each, without all that an [`InstanceStatus`] says besides.
    fn states(&self) -> Vec<InstanceState> {
        self.instances().into_iter().map(|instance| instance.state).collect()
    }

    fn instance(&self, name: &InstanceName) -> Option<InstanceStatus>;

    /// Since the start, those of instances that are not there any more included: it only ever grows.
    fn calls(&self) -> Calls {
        let instances = self.instances();
        Calls {
            made: instances.iter().map(|instance| instance.usage.calls).sum(),
            failed: instances.iter().flat_map(|instance| instance.usage.failures.values()).sum(),
        }
    }

    /// Records of what plugins did that were lost since the start, and are in no event.
    fn audit_records_lost(&self) -> u64 {
        0
    }

    /// The newest lines that the instance has logged, oldest first.
    fn log(&self, _: &InstanceName) -> Vec<log::LogLine> {
        Vec::new()
    }

    /// Replaces the whole set, in one step; instances that stay the same are left alone.
    async fn configure(&self, instances: BTreeMap<InstanceName, Shared<InstanceSpec>>);

    /// The input of that class and digest, which was poison, is offered to the instance again.
    fn release(&self, _instance: &InstanceName, _class: &str, _input: &str) {}

    /// What is wrong with these instances on the plugins that are loaded now: `(instance, JSON pointer, message)`.
    async fn check(
        &self,
        instances: &BTreeMap<InstanceName, Shared<InstanceSpec>>,
    ) -> Vec<(InstanceName, String, String)>;

    /// Looks at the plugins folder again, now, also at what was refused for a reason that may be over. Returns when what is found
    /// there is in use, or refused, or after twenty seconds.
    async fn reload(&self) -> Vec<PluginStatus>;
}
