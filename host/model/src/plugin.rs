//! Plugins (files), instances (uses of them), what an instance may touch, and why a call failed. `files`: what an operator does with
//! the plugins folder; `log`: what plugins log; `publisher`: who
//! signed them; `variables`: what plugins may set for programs.

pub mod files;
mod grants;
pub mod log;
pub mod publisher;
pub mod variables;

use self::publisher::{Publisher, PublisherKey};
use crate::domain::check::CheckSpec;
use crate::domain::delivery::DeliverySpec;
use crate::event::Event;
use crate::shared::Shared;
use crate::time::{Span, Timestamp};
use crate::transition::Write;
use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

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

/// What a call may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Linear memory of one sandbox.
    pub memory_bytes: u64,
    /// Wall time of one call, host calls included. The world is waited for a little less (half a second, or a tenth), so that what
    /// hangs can still be told. A runbook action gets its step's `timeout` (at most 10 minutes) where that is more.
    pub deadline: Span,
    /// Calls at once.
    pub concurrency: u32,
    /// Host calls in one call.
    pub host_calls: u32,
    /// Log lines in one call: what it logs and what it prints, together.
    pub log_lines: u32,
    /// Bytes that one call may hand out or get back, each (see [`Budget::bytes_out`]; lines of the log have `log-lines`).
    pub io_bytes: u64,
    /// Bytes of one value that the plugin hands over: its answer, or what it gives to a host call (but not the body of a request).
    /// Ten thousand samples with their labels take some 3 MB. Not more than `io-bytes`.
    pub result_bytes: u64,
    /// Keys and values together.
    pub kv_bytes: u64,
    /// Collectors: different series within a day or two. Samples of further ones are refused.
    pub series: u32,
    /// What all its calls may use together. Unless given, there is no such bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

/// What the calls of an instance may use together within a window of time. Windows follow one another, from the start of the
/// epoch; once one's budget is used up no call begins until the next window. Calls under way then go on, so it can be
/// exceeded by as much as those use. It is counted since the daemon's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Budget {
    /// Length of a window.
    pub per: Span,
    /// Time for which its code ran, by the clock (see [`Usage::guest_micros`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Span>,
    /// Bytes handed out: requests with their addresses, headers and bodies, what is written to connections and files, names of hosts, events,
    /// written values, what programs and processes are started with and read, lines of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_calls: Option<u64>,
}

impl Budget {
    /// Of windows where none is given.
    pub const PER: Span = Span::from_secs(3600);

    /// What of it is used up, for a person; `None` while there is some of everything.
    pub fn used_up(&self, window: &Window) -> Option<String> {
        let micros = |span: &Span| span.as_millis().saturating_mul(1000);
        if let Some(cpu) = self.cpu.as_ref().filter(|cpu| window.guest_micros >= micros(cpu)) {
            return Some(format!("{cpu} of running time"));
        }
        if let Some(bytes) = self.bytes_out.filter(|bytes| window.bytes_out >= *bytes) {
            return Some(format!("{bytes} bytes out"));
        }
        self.host_calls.filter(|calls| window.host_calls >= *calls).map(|calls| format!("{calls} host calls"))
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget { per: Budget::PER, cpu: None, bytes_out: None, host_calls: None }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory_bytes: 64 << 20,
            deadline: Span::from_secs(10),
            concurrency: 8,
            host_calls: 10_000,
            log_lines: 100,
            io_bytes: 16 << 20,
            result_bytes: 4 << 20,
            kv_bytes: 1 << 20,
            series: 10_000,
            budget: None,
        }
    }
}

/// Who may have an instance's grants: a name that a file gives itself inherits none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantedTo {
    /// The component of that content, wherever it comes from.
    Digest(Digest),
    /// Whatever that file of the plugins folder holds.
    File(String),
    /// Whatever that publisher has signed.
    Key(PublisherKey),
}

impl JsonSchema for GrantedTo {
    fn schema_name() -> Cow<'static, str> {
        "GrantedTo".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "`sha256:<64 hex>`, `key:<64 hex>` of a publisher, or `file:<name>.wasm`.",
            "pattern": "^(sha256:[0-9a-f]{64}|key:[0-9a-f]{64}|file:[^/]*\\.wasm)$"
        })
    }
}

impl fmt::Display for GrantedTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GrantedTo::Digest(digest) => digest.fmt(f),
            GrantedTo::File(file) => write!(f, "file:{file}"),
            GrantedTo::Key(key) => key.fmt(f),
        }
    }
}

impl FromStr for GrantedTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = |hex: &&str| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.strip_prefix("sha256:").filter(hex).is_some() {
            return Ok(GrantedTo::Digest(Digest(text.to_owned())));
        }
        if text.starts_with("key:") {
            return text.parse().map(GrantedTo::Key);
        }
        match text.strip_prefix("file:") {
            Some(file) if file.ends_with(".wasm") && !file.contains('/') => Ok(GrantedTo::File(file.to_owned())),
            _ => Err(format!(
                "`{text}` is neither `sha256:` nor `key:` and 64 hexadecimal digits in lower case, nor `file:<name>.wasm`"
            )),
        }
    }
}

impl Serialize for GrantedTo {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GrantedTo {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// Being verified, compiled and described.
    Loading,
    Active,
    /// First calls of a new version are watched; failures bring the last good one back.
    Probation,
    /// Old version, finishing its calls.
    Draining,
    /// The file can't be used; `reason` says why.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    Active,
    /// No usable file of that name (yet).
    MissingPlugin,
    /// Asks for a capability that it was not given.
    AwaitingGrant,
    /// The configuration does not fit the plugin.
    Misconfigured,
    /// Failed again and again: tried again from time to time.
    Quarantined,
    Disabled,
}

/// A plugin as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PluginStatus {
    pub name: String,
    pub version: String,
    pub summary: String,
    pub digest: Digest,
    pub kinds: Vec<Kind>,
    pub state: PluginState,
    /// Why it is in this state, where that needs saying: why a file was refused, while `digest` goes on.
    pub reason: Option<String>,
    /// `bundled`, or the file's name in the plugins folder.
    pub source: String,
    /// Who signed it; `null`: nobody, or it came with the host.
    #[serde(default)]
    pub publisher: Option<Publisher>,
    pub bytes: u64,
    pub loaded_at: Timestamp,
    pub capabilities: Vec<Capability>,
    pub config_schema: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capability {
    pub name: String,
    pub reason: String,
    pub optional: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceStatus {
    pub name: InstanceName,
    pub spec: Shared<InstanceSpec>,
    pub state: InstanceState,
    pub reason: Option<String>,
    /// The version that the next call will run on.
    pub plugin: Option<PluginRef>,
    /// A version that waits for a grant: this instance stays on `plugin`, or has none, until somebody gives it.
    pub awaiting: Option<Awaiting>,
    pub kinds: Vec<Kind>,
    pub usage: Usage,
}

/// What an instance's plugin waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Awaiting {
    pub plugin: PluginRef,
    /// The file in the plugins folder.
    pub source: String,
    /// What it can't do without and was not given.
    pub capabilities: Vec<Capability>,
    /// The instance's grants were given to another content: `granted-to` does not name this one.
    pub granted_to_others: bool,
    /// What a grant would be given to: the key of a publisher who is trusted, else this content.
    pub grant_to: GrantedTo,
}

/// Metering of one instance since the daemon's start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    pub calls: u64,
    /// By [`CallError::code`].
    pub failures: BTreeMap<String, u64>,
    /// Time for which its code ran, microseconds by the clock: on a busy machine that is more than the processors gave it. Waiting for the
    /// world does not count, nor does a call that was cancelled.
    pub guest_micros: u64,
    /// Time from start to end, host calls included.
    pub wall_micros: u64,
    pub host_calls: BTreeMap<String, u64>,
    /// Handed in by host calls: bodies of answers, values that were read.
    pub bytes_in: u64,
    /// Handed out: requests with their addresses, headers and bodies, what was written to connections and files, names of hosts, events,
    /// written values, what programs and processes were started with and read, lines of the log.
    pub bytes_out: u64,
    pub log_lines: u64,
    pub memory_high_water_bytes: u64,
    pub in_flight: u32,
    pub last_error: Option<String>,
    /// How long calls took from start to end: how many took at most so long. The rest took longer. Empty before the first.
    pub latency: Vec<Bucket>,
    /// The window of [`Budget`] that is now, of an hour where the instance has no budget.
    pub window: Window,
}

/// Calls that took at most so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    pub up_to_micros: u64,
    /// Those of all smaller buckets included.
    pub calls: u64,
}

/// What an instance has used within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Its beginning, or the daemon's start where that was later.
    pub since: Timestamp,
    pub calls: u64,
    /// As in [`Usage::guest_micros`].
    pub guest_micros: u64,
    pub bytes_out: u64,
    pub host_calls: u64,
}

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum CallError {
    /// The plugin says: configuration or input are wrong.
    #[error("{message}")]
    Rejected { message: String },
    /// The plugin says: it may work later.
    #[error("{message}")]
    Retry { message: String, after: Option<Span> },
    #[error("{message}")]
    Other { message: String },
    #[error("the plugin trapped: {reason}")]
    Trapped { reason: String },
    #[error("the call took longer than its budget of {budget}")]
    Deadline { budget: Span },
    #[error("the call wanted more than its {limit_bytes} bytes of memory")]
    OutOfMemory { limit_bytes: u64 },
    /// A limit other than time and memory.
    #[error("{message}")]
    Limited { message: String },
    /// There is nothing to call: no such instance, wrong kind, disabled, quarantined, awaiting a grant.
    #[error("{message}")]
    Unavailable { message: String },
    /// The host is stopping, or the call was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl CallError {
    pub const fn code(&self) -> &'static str {
        match self {
            CallError::Rejected { .. } => "rejected",
            CallError::Retry { .. } => "retry",
            CallError::Other { .. } => "other",
            CallError::Trapped { .. } => "trapped",
            CallError::Deadline { .. } => "deadline",
            CallError::OutOfMemory { .. } => "out-of-memory",
            CallError::Limited { .. } => "limited",
            CallError::Unavailable { .. } => "unavailable",
            CallError::Cancelled => "cancelled",
        }
    }

    /// Whether trying the same again may help.
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, CallError::Rejected { .. } | CallError::Other { .. })
    }

    /// How long the plugin asked to be left alone.
    pub const fn retry_after(&self) -> Option<Span> {
        match self {
            CallError::Retry { after, .. } => *after,
            _ => None,
        }
    }

    /// Whether the plugin misbehaved, as opposed to reporting a failure in its own words.
    pub const fn is_misbehaviour(&self) -> bool {
        matches!(
            self,
            CallError::Trapped { .. }
                | CallError::Deadline { .. }
                | CallError::OutOfMemory { .. }
                | CallError::Limited { .. }
        )
    }
}

/// A result, and what belongs to it. The caller commits `writes` and `events` with what it makes of the value; a call
/// that failed has none.
#[derive(Clone, Debug)]
pub struct Called<T> {
    pub value: T,
    pub plugin: PluginRef,
    /// The call's writes to its key-value space.
    pub writes: Vec<Write>,
    /// Events that the plugin published.
    pub events: Vec<Event>,
}

/// A call that failed, and the version that it ran on. `None`: it never came to a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct CallFailed {
    pub error: CallError,
    pub plugin: Option<PluginRef>,
}

impl From<CallError> for CallFailed {
    fn from(error: CallError) -> Self {
        CallFailed { error, plugin: None }
    }
}

/// The answer of a call: what was decided, seen or done, or tried, names its version either way.
pub type CallResult<T> = Result<Called<T>, CallFailed>;

/// The same, of calls that act.
pub type ActResult<T> = CallResult<T>;

/// What finished or goes on; the answer of kinds that act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Outputs, a JSON object.
    Done(Value),
    Pending {
        token: String,
        after: Span,
    },
}

/// Calls of plugins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub made: u64,
    pub failed: u64,
}

/// The registry, as engines, API and configuration see it.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// Of several of one name the one that serves comes first.
    fn plugins(&self) -> Vec<PluginStatus>;

    /// Files that were there at the start and are still being loaded for the first time.
    fn awaited(&self) -> Vec<String> {
        Vec::new()
    }

    fn instances(&self) -> Vec<InstanceStatus>;

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
