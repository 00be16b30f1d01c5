//! Effects: what an engine wants done in the world. The outbox carries them out under the contract written here; the
//! result comes back as an event (`effect.done`, `effect.failed`, `effect.unknown`) whose subject is the effect's owner.

use crate::event::Event;
use crate::id::{EffectId, EventId, IdSource};
use crate::kind::deployment_target::Step;
use crate::kind::notifier::Message;
use crate::plugin::{InstanceName, PluginRef};
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The collection in which the store keeps effects that are not finished.
pub const OUTBOX: &str = "outbox";
/// The collection of effects and events that were given up on, with the reason. Steps of runs and deployments are told by those.
pub const DEAD_LETTERS: &str = "dead-letters";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryClass {
    /// Tried again after a crash or a retryable failure; every attempt carries the same key.
    AtLeastOnce,
    /// Never started twice. One that a crash interrupted becomes `effect.unknown`, and its engine's policy decides.
    AtMostOnce,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    Notify { message: Message },
    RunStep { inputs: Value },
    CancelStep { token: String },
    ApplyStep { service: String, step: Step },
}

/// Attempt `n` waits `first x 2^(n-1)`, at most `cap`, or longer where the plugin asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    pub first: Span,
    pub cap: Span,
    /// Attempts in all, the first one included.
    pub attempts: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { first: Span::from_secs(1), cap: Span::from_secs(300), attempts: 8 }
    }
}

impl Backoff {
    /// Tried once, never again.
    pub const ONCE: Backoff = Backoff { first: Span::ZERO, cap: Span::ZERO, attempts: 1 };

    /// How long to wait before the next attempt after `failed` of them (from 1); `None` when there is none left.
    pub fn delay(&self, failed: u32) -> Option<Span> {
        if failed >= self.attempts {
            return None;
        }
        let factor = 1u64.checked_shl(failed.saturating_sub(1)).unwrap_or(u64::MAX);
        Some(Span::from_millis(self.first.as_millis().saturating_mul(factor).min(self.cap.as_millis())))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    pub id: EffectId,
    /// What the plugin is told to tell repetitions by, where that is not this effect alone: several effects may be attempts at
    /// one thing. See [`Effect::key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who gets the result: `run_...`, `dep_...`, `alert/...`. Subject of the result's event.
    pub owner: String,
    /// What the result is for, within the owner: a step's name.
    pub purpose: String,
    pub instance: InstanceName,
    pub class: DeliveryClass,
    /// Effects of one key are carried out one after another, in the order of their records.
    pub ordering_key: String,
    pub backoff: Backoff,
    /// All attempts together end here.
    pub expires: Timestamp,
    pub action: Action,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<EventId>,
}

impl Effect {
    /// An effect that is tried as often as the default back-off allows within an hour, ordered by its owner.
    pub fn new(
        ids: &IdSource,
        now: Timestamp,
        owner: impl Into<String>,
        instance: InstanceName,
        action: Action,
    ) -> Self {
        let owner = owner.into();
        Effect {
            id: EffectId::new(ids, now),
            key: None,
            ordering_key: owner.clone(),
            owner,
            purpose: String::new(),
            instance,
            class: DeliveryClass::AtLeastOnce,
            backoff: Backoff::default(),
            expires: now.plus(Span::from_secs(3600)),
            action,
            causation: None,
            correlation: None,
        }
    }

    /// The same for every attempt at the same thing; by it, a plugin and whoever it asks can drop a second one.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(self.id.as_str())
    }

    pub fn caused_by(mut self, cause: &Event) -> Self {
        self.correlation = Some(cause.correlation.clone().unwrap_or_else(|| cause.id.clone()));
        self.causation = Some(cause.id.clone());
        self
    }
}

/// How far an effect has come; its document in [`OUTBOX`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    pub effect: Arc<Effect>,
    /// Attempts begun. Written before an attempt of an at-most-once effect starts.
    pub attempts: u32,
    /// Not before this time.
    pub due: Timestamp,
    /// The plugin answered `pending` with this token: poll, don't run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The version that answered `pending`, or failed with `last_error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginRef>,
}

/// Data of the event that ends an effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EffectResult {
    pub effect: EffectId,
    pub purpose: String,
    pub instance: InstanceName,
    pub attempts: u32,
    /// Outputs of a `done`, as a JSON object.
    #[serde(default)]
    pub outputs: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
