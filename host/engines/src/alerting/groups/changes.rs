//! What comes out of a machine: messages, and what has to be made durable.

use super::Reason;
use crate::alerting::key::GroupId;
use crate::alerting::past::Left;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::InstanceName;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A message to a receiver.
#[derive(Clone, Debug)]
pub struct Tell {
    /// `None`: of no single group.
    pub group: Option<GroupId>,
    /// As Alertmanager writes it.
    pub group_key: String,
    pub group_labels: Labels,
    pub receiver: String,
    /// Those of the receiver that are told; `None`: all of them.
    pub only: Option<BTreeSet<InstanceName>>,
    pub reason: Reason,
    pub alerts: Vec<Arc<Alert>>,
    /// Fingerprints of those among them whose end could not be told before.
    pub again: Vec<String>,
    /// Groups whose last message this is.
    pub of: Vec<GroupId>,
}

/// What has to be made durable.
#[derive(Debug, Default)]
pub struct Changes {
    pub groups: BTreeSet<GroupId>,
    pub told: BTreeSet<GroupId>,
    /// Whether something was told of it that stands in a document of its own.
    pub removed: BTreeMap<GroupId, bool>,
    /// Ids of resolved alerts that have to be told still, and of those that are told.
    pub ended: BTreeSet<String>,
    pub forgotten: BTreeSet<String>,
    /// Ids of alerts whose acknowledgement means nothing any more.
    pub unacknowledged: BTreeSet<String>,
    /// Planned work that began or ended.
    pub windows: BTreeSet<String>,
    pub tells: VecDeque<Tell>,
    /// What became of alerts that are over.
    pub left: VecDeque<(GroupId, Left)>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        let ids = [&self.ended, &self.forgotten, &self.unacknowledged, &self.windows];
        self.groups.is_empty()
            && self.removed.is_empty()
            && ids.iter().all(|ids| ids.is_empty())
            && self.tells.is_empty()
            && self.left.is_empty()
    }
}
