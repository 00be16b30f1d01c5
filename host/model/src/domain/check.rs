//! A collector's answers, judged over time: when its target counts as failed, what is told to whoever may mend it, and when they are
//! asked no more.

use crate::domain::runbook::RunState;
use crate::id::{EventId, RunId};
use crate::plugin::InstanceName;
use crate::severity::Severity;
use crate::time::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When the target of a collector counts as failed: then `check.failed` is published, which a runbook may be started by (`on`). Told
/// again after `cool-down` while it stays so; after `attempts` of these within `per`, `check.given-up` opens an incident instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CheckSpec {
    /// Failed answers, one after another, before it counts as failed.
    pub failures: u32,
    /// ... and for how long at least it has to have given none but those.
    #[serde(rename = "for")]
    pub hold: Span,
    /// Good answers, one after another, before it counts as well again.
    pub recoveries: u32,
    /// A degraded target is counted as a failed one.
    pub degraded: bool,
    /// Between one `check.failed` and the next, also where the target was well in between.
    pub cool_down: Span,
    /// So many `check.failed` within `per`; none: it is given up at once, and no runbook is started.
    pub attempts: u32,
    pub per: Span,
    /// Of the events, and of the incident.
    pub severity: Severity,
}

impl Default for CheckSpec {
    fn default() -> Self {
        CheckSpec {
            failures: 3,
            hold: Span::from_secs(0),
            recoveries: 1,
            degraded: false,
            cool_down: Span::from_secs(300),
            attempts: 3,
            per: Span::from_secs(3600),
            severity: Severity::High,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckPhase {
    #[default]
    Passing,
    /// It answers that it failed, and not yet often or long enough; or the last `check.failed` is too short a while ago.
    Failing,
    /// `check.failed` was told.
    Failed,
    /// `check.given-up` was told.
    GivenUp,
}

/// What is kept of a check. Id: the instance's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub instance: InstanceName,
    pub phase: CheckPhase,
    /// Failed answers, one after another.
    pub failures: u32,
    /// Good answers, one after another, since it counts as failed.
    pub recoveries: u32,
    pub failing_since: Option<Timestamp>,
    /// Within the last `per`, the newest one last.
    pub attempts: Vec<Attempt>,
}

/// A `check.failed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub event: EventId,
    pub at: Timestamp,
}

impl Check {
    pub const COLLECTION: &'static str = "checks";
    pub const FAILED: &'static str = "check.failed";
    pub const GIVEN_UP: &'static str = "check.given-up";
    pub const RECOVERED: &'static str = "check.recovered";

    /// One of which nothing is known yet.
    pub fn new(instance: InstanceName) -> Self {
        Check {
            instance,
            phase: CheckPhase::Passing,
            failures: 0,
            recoveries: 0,
            failing_since: None,
            attempts: Vec::new(),
        }
    }
}

/// How a check is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckStatus {
    pub phase: CheckPhase,
    /// Failed answers, one after another.
    pub failures: u32,
    pub failing_since: Option<Timestamp>,
    /// `check.failed` within the last `per`.
    pub attempts: u32,
    /// Before then no other one is told.
    pub next_attempt: Option<Timestamp>,
    /// What those have started, the newest first.
    pub runs: Vec<CheckRun>,
}

/// A run that a check has started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckRun {
    pub run: RunId,
    /// Slug.
    pub runbook: String,
    pub state: RunState,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub error: Option<String>,
}
