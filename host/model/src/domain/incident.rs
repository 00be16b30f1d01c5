//! Incidents: what alerts and findings are gathered in, and people work on.

use crate::id::IncidentId;
use crate::kind::correlator::AlertSummary;
use crate::plugin::InstanceName;
use crate::severity::Severity;
use crate::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CorrelationSpec {
    /// Instance of a correlator.
    pub correlator: InstanceName,
    /// Alerts and findings that are less severe open no incident.
    pub minimum_severity: Severity,
}

impl Default for CorrelationSpec {
    fn default() -> Self {
        CorrelationSpec { correlator: InstanceName::from("by-labels/default"), minimum_severity: Severity::Medium }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentState {
    Open,
    Acknowledged,
    Resolved,
}

/// One entry of the time line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineEntry {
    pub at: Timestamp,
    pub principal: String,
    pub text: String,
}

/// An alert as a member of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    #[serde(flatten)]
    pub alert: AlertSummary,
    /// Ended by itself. An incident whose members have all ended resolves.
    pub resolved_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    pub id: IncidentId,
    /// The correlator's name for what belongs together.
    pub key: String,
    pub title: String,
    pub state: IncidentState,
    pub severity: Severity,
    pub opened_at: Timestamp,
    pub acknowledged_at: Option<Timestamp>,
    pub acknowledged_by: Option<String>,
    pub resolved_at: Option<Timestamp>,
    pub resolved_by: Option<String>,
    pub members: Vec<Member>,
    pub timeline: Vec<TimelineEntry>,
    /// Runbooks that the alerts name.
    pub runbooks: Vec<String>,
}

impl Incident {
    pub const COLLECTION: &'static str = "incidents";
    pub const OPENED: &'static str = "incident.opened";
    pub const UPDATED: &'static str = "incident.updated";
    pub const ACKNOWLEDGED: &'static str = "incident.acknowledged";
    pub const RESOLVED: &'static str = "incident.resolved";
}
