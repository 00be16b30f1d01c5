//! Who is told what.

use crate::id::EffectId;
use crate::label::Labels;
use crate::plugin::InstanceName;
use crate::severity::Severity;
use crate::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RouteSpec {
    /// Types of events, as in an event filter: `alert`, `incident.opened`, `deployment.`. Of what is told about telling, only
    /// `notification.failed` can be had, by other recipients than the one that it is about.
    pub events: Vec<String>,
    /// Instances of notifiers.
    pub notify: Vec<InstanceName>,
    /// Only what is at least this severe.
    #[serde(default = "info")]
    pub minimum_severity: Severity,
    /// Only what has all of these labels.
    #[serde(default)]
    pub labels: Labels,
    /// Switched off, it is shown, and does nothing: as if it were not there.
    #[serde(default = "crate::domain::yes", skip_serializing_if = "crate::domain::is_yes")]
    pub enabled: bool,
}

impl RouteSpec {
    /// What is told about telling would be told about for ever.
    const SILENT: [&'static str; 4] = ["notification.", "effect.", "audit.", "dead-letter."];

    /// Whether events of this type are told at all, whatever a route says.
    pub fn may_tell(event_type: &str) -> bool {
        event_type == Notification::FAILED || !Self::SILENT.iter().any(|prefix| event_type.starts_with(prefix))
    }
}

const fn info() -> Severity {
    Severity::Info
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    Pending,
    Delivered,
    Failed,
    /// Its recipient is not to be told now: it waits, whole.
    Held,
    /// Told with others as one message: `digest`.
    Digested,
    /// Its recipient could not be told, and another one was: `fallback`.
    FallenBack,
}

/// One message to one recipient. Id: the effect's, which is also the idempotency key of every attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Notification {
    pub id: EffectId,
    pub route: String,
    pub instance: InstanceName,
    pub event_type: String,
    pub subject: String,
    pub title: String,
    pub state: DeliveryState,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    /// Deliveries that were tried, also while it is pending.
    pub attempts: u32,
    /// Why it failed; while it is pending, why it has not arrived yet.
    pub error: Option<String>,
    /// Why it is, or was, held back; or who is told instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until then at least, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Timestamp>,
    /// The notification that told of it with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<EffectId>,
    /// The notification to somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<EffectId>,
    /// Of a fallback: who could not be told before, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<InstanceName>,
}

impl Notification {
    pub const COLLECTION: &'static str = "notifications";
    pub const DELIVERED: &'static str = "notification.delivered";
    pub const FAILED: &'static str = "notification.failed";
    pub const HELD: &'static str = "notification.held";
    pub const DIGESTED: &'static str = "notification.digested";
    pub const FALLEN_BACK: &'static str = "notification.fallen-back";
}
