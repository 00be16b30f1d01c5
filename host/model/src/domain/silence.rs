//! Silences: alerts that nobody wants to hear of for a while.

use super::alerting::{Matcher, all_match};
use crate::label::Labels;
use crate::time::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SilenceState {
    Active,
    Pending,
    Expired,
}

/// One silence. Id: a UUID, as Alertmanager's clients expect it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Silence {
    pub id: String,
    /// All of them have to match.
    pub matchers: Vec<Matcher>,
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub updated_at: Timestamp,
    pub created_by: String,
    pub comment: String,
}

impl Silence {
    pub const COLLECTION: &'static str = "silences";
    pub const SET: &'static str = "silence.set";
    pub const EXPIRED: &'static str = "silence.expired";
    /// How long one is shown after its end.
    pub const KEEP: Span = Span::from_secs(120 * 3600);

    pub fn state(&self, now: Timestamp) -> SilenceState {
        if now < self.starts_at {
            SilenceState::Pending
        } else if now < self.ends_at {
            SilenceState::Active
        } else {
            SilenceState::Expired
        }
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        all_match(&self.matchers, labels)
    }
}
