//! What plugins decided, and what another version of them would have: journals, replays, shadows. A port, implemented by the runtime.
//!
//! Only kinds that decide ([`Kind::is_pure`](crate::plugin::Kind::is_pure)) are concerned: the same input gives the same answer, so that
//! the past can be asked again, and a candidate can be asked beside the version that is in use.

use crate::plugin::{InstanceName, JournalSpec, PluginRef};
use crate::store::StoreError;
use crate::time::{Span, Timestamp};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is kept of an instance's decisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalStatus {
    pub instance: InstanceName,
    /// Its bounds. `null`: it is not written any more; what is there goes with age.
    pub spec: Option<JournalSpec>,
    /// Decisions that are kept, and their bytes.
    pub decisions: u64,
    pub bytes: u64,
    /// Since the daemon's start: decisions that came faster than they could be written, or that the store had no room for.
    pub left_out: u64,
}

/// Which part of the past is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayOptions {
    /// Only decisions that were made since then.
    pub since: Option<Timestamp>,
    /// At most so many, from the oldest on.
    pub limit: u64,
    /// Differences that are shown.
    pub samples: usize,
}

/// How long decisions took, in microseconds of the guest's thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Durations {
    pub p50_micros: u64,
    pub p99_micros: u64,
    pub mean_micros: u64,
}

/// How answers of a candidate compare with those of the version that decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    pub decisions: u64,
    /// The same decision.
    pub same: u64,
    /// Of those: the plugin's own state, which it is handed back unread, is another one.
    pub other_state: u64,
    /// Another decision, or a failure on one of the two sides, or another failure.
    pub differ: u64,
    /// Of those: the candidate gave no answer where there was one.
    pub new_failures: u64,
    /// Of those: the candidate gave an answer where there was none.
    pub answered_now: u64,
    /// The candidate trapped, or went over a limit.
    pub misbehaved: u64,
}

/// An answer, for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Decision(Value),
    /// Why there was none.
    Failure(String),
}

/// A question that got two different answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    pub instance: InstanceName,
    /// When the question was put.
    pub at: Timestamp,
    /// The function of the plugin: `evaluate`, `correlate`, ...
    pub function: String,
    /// Long texts and contents are cut.
    pub input: Value,
    /// The configuration of the call.
    pub config: Value,
    /// By the version that decided.
    pub plugin: PluginRef,
    pub then: Answer,
    pub now: Answer,
}

/// What a version would have decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replay {
    pub candidate: PluginRef,
    /// Those that have kept decisions of the plugin, whatever they run on by now.
    pub instances: Vec<InstanceName>,
    /// When the first and the last of the decisions were made.
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    #[serde(flatten)]
    pub comparison: Comparison,
    pub then: Durations,
    pub now: Durations,
    /// Entries that another version of the host wrote and this one can't read, or that are about a kind that the candidate is not.
    pub unreadable: u64,
    /// Why the rest was not asked, where the candidate was not worth it.
    pub stopped: Option<String>,
    pub took: Span,
    pub samples: Vec<Difference>,
}

/// Whether a candidate is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShadowState {
    /// It is asked what the version in use is asked.
    #[default]
    Asked,
    /// The host has started, and reads it, or compiles it.
    Loading,
    /// It could not be loaded after a start, for a reason that may be over soon: it is tried again.
    Waiting,
    /// It misbehaved again and again. It skips what comes, but for a trial from time to time.
    LeftAlone,
}

/// A candidate that is asked what the version in use is asked. What it answers is compared, and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shadow {
    /// Name of the plugin.
    pub plugin: String,
    pub candidate: PluginRef,
    /// What decides meanwhile.
    pub active: Option<PluginRef>,
    pub since: Timestamp,
    pub state: ShadowState,
    /// Why it is not asked now, and when it is tried again.
    pub reason: Option<String>,
    /// Since the daemon's start, or since then.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// Questions that it was not asked: it was busy with those before, or left alone after it had misbehaved again and again.
    pub skipped: u64,
    pub then: Durations,
    pub now: Durations,
    /// The newest differences, the newest first.
    pub samples: Vec<Difference>,
}

/// What took the place of what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Promoted {
    pub plugin: PluginRef,
    pub before: Option<PluginRef>,
    /// The file of the plugins folder that holds it now.
    pub file: String,
}

/// Why nothing came of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Missing(String),
    /// The component.
    #[error("{0}")]
    Unusable(String),
    #[error("{0}")]
    Conflict(String),
    #[error("the candidate is another one by now; hint: look at it, and decide again")]
    Changed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[async_trait]
pub trait Decisions: Send + Sync + 'static {
    /// The journals of a plugin's instances, or of all instances.
    async fn journals(&self, plugin: Option<&str>) -> Result<Vec<JournalStatus>, Refused>;

    /// Asks a component what the plugin of that name was asked, by whatever instance; or what the instance of that name asked the plugin
    /// that the component names itself.
    async fn replay(&self, name: &str, component: Vec<u8>, options: ReplayOptions) -> Result<Replay, Refused>;

    /// All candidates, also those that can't be asked now.
    fn shadows(&self) -> Vec<Shadow>;

    /// From now on, also after a restart, the component is asked beside the version that is in use, in place of a candidate before it.
    async fn shadow(&self, plugin: &str, component: Vec<u8>) -> Result<Shadow, Refused>;

    /// Ends that. Gives how it stood.
    async fn end_shadow(&self, plugin: &str) -> Result<Shadow, Refused>;

    /// Puts the candidate into the plugins folder, in place of the version in use, and ends the shadow. `seen`: this candidate, and no other.
    /// `principal`: who asked.
    async fn promote(&self, plugin: &str, seen: Option<&str>, principal: &str) -> Result<Promoted, Refused>;
}
