//! How plugins and their instances stand.

use super::publisher::Publisher;
use super::{Digest, GrantedTo, InstanceName, InstanceSpec, Kind, PluginRef};
use crate::shared::Shared;
use crate::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

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

/// Calls of plugins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub made: u64,
    pub failed: u64,
}
