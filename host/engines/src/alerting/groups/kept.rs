//! What is kept of groups: their documents, and what a machine begins with.

use super::{Ends, Group, Machine, Reason, Told};
use crate::alerting::key::{GroupId, pack, unpack};
use crate::alerting::silence::Silences;
use crate::size;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::InstanceName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What was told of more alerts, or of ends, stands in a document of its own.
const INSIDE: usize = 64;
/// Bytes of a group's labels, and of its route, that its document shows to people. Neither is read again.
const SHOWN: usize = 1 << 10;

/// A group's document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupRecord {
    pub route: String,
    pub labels: Labels,
    pub since: Timestamp,
    pub next: Timestamp,
    pub flushed: bool,
    /// Where it is large it stands in a document of its own: that changes less often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<ToldRecord>,
}

/// What was told of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToldRecord {
    pub at: Timestamp,
    pub firing: String,
    pub resolved: String,
    pub reason: Reason,
    /// Ids of the notifications, as older versions have written them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notifications: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sent: BTreeMap<InstanceName, Vec<String>>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub failed: BTreeSet<InstanceName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_aside: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<Ends>,
}

impl From<&Told> for ToldRecord {
    fn from(told: &Told) -> Self {
        ToldRecord {
            at: told.at,
            firing: pack(&told.firing),
            resolved: pack(&told.resolved),
            reason: told.reason,
            notifications: Vec::new(),
            sent: told.sent.clone(),
            failed: told.failed.clone(),
            put_aside: told.put_aside.clone(),
            ends: told.ends.clone(),
        }
    }
}

impl From<ToldRecord> for Told {
    fn from(record: ToldRecord) -> Self {
        let mut sent = record.sent;
        if !record.notifications.is_empty() {
            // Whom they went to is not known: they are shown, and nobody is told again because of them.
            sent.insert("".into(), record.notifications);
        }
        Told {
            at: record.at,
            firing: unpack(&record.firing),
            resolved: unpack(&record.resolved),
            reason: record.reason,
            sent,
            failed: record.failed,
            put_aside: record.put_aside,
            ends: record.ends,
        }
    }
}

/// What was kept, as far as the machine needs it.
#[derive(Default)]
pub struct Kept {
    /// Those that fire.
    pub alerts: Vec<Arc<Alert>>,
    /// Those that were resolved, and have to be told still.
    pub ended: Vec<Arc<Alert>>,
    /// Those that are resolved by their documents. Of one that was told as firing, nobody may have been told the end: the host was killed
    /// before it came to that.
    pub resolved: Vec<Arc<Alert>>,
    pub acknowledged: HashMap<String, Timestamp>,
    pub groups: Vec<(GroupId, GroupRecord, Option<ToldRecord>)>,
    /// What was told of groups that ended without a word.
    pub silent: Vec<(GroupId, ToldRecord)>,
    pub silences: Silences,
    /// Planned work that went on, since when.
    pub open: BTreeMap<String, Timestamp>,
}

impl Group {
    /// As its documents have it; `told`: that of its own.
    pub(super) fn of(record: GroupRecord, told: Option<ToldRecord>) -> Self {
        let GroupRecord { since, next, flushed, told: inside, .. } = record;
        let apart = told.is_some();
        let told = inside.or(told).map(|told| Box::new(told.into()));
        let (route, members, kept) = (usize::MAX, BTreeSet::new(), Some(next));
        Group { route, members, since, next, flushed, told, apart, kept }
    }
}

impl Machine {
    /// A group's document.
    pub fn record(&self, id: GroupId) -> Option<GroupRecord> {
        let group = self.groups.get(&id)?;
        let route = self.tree.as_ref().and_then(|tree| tree.route(group.route));
        let is_small = |told: &&Told| told.ends.is_empty() && told.firing.len() + told.resolved.len() <= INSIDE;
        let inside = group.told.as_deref().filter(is_small);
        Some(GroupRecord {
            route: route.map(|route| size::cut_visibly(&route.key, SHOWN)).unwrap_or_default(),
            labels: size::labels(&self.labels(group), SHOWN),
            since: group.since,
            next: group.next,
            flushed: group.flushed,
            told: inside.map(ToldRecord::from),
        })
    }

    /// The document is written: with that moment.
    pub fn is_kept(&mut self, id: GroupId) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.kept = Some(group.next);
        }
    }

    /// What was told of the group stands in a document of its own from now on, or does no more; whether it did so before.
    pub fn stands_apart(&mut self, id: GroupId, apart: bool) -> bool {
        self.groups.get_mut(&id).is_some_and(|group| std::mem::replace(&mut group.apart, apart))
    }

    /// There is a document of its end from now on.
    pub fn keeps_end(&mut self, id: &str) {
        if let Some(member) = self.members.get_mut(&crate::alerting::key::Key::of(id)) {
            member.kept = true;
        }
    }
}
