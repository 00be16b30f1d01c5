//! Groups of alerts: who is told when. Pure: time and alerts are handed in, what has to be kept and told comes out.
//!
//! Grouping
//! - An alert that fires joins a group of each route that it takes: the route, and the labels that the route groups by.
//! - A new group waits for `group-wait`; but where the alert has been firing for longer than that, it is due at once.
//! - A group that was looked at is looked at again after each `group-interval`. An alert that joins it waits for that.
//! - A resolved alert stays in its groups until they are looked at. A group without alerts ends.
//!
//! Telling, when a group is looked at
//! - Alerts that are silenced, inhibited or under maintenance are left out; in a route that is muted now, all are.
//! - Something is told if an alert fires that was not told as firing; if nothing fires any more and something was told as firing; or if
//!   more was resolved than was told, and the receiver wants to know.
//! - Else the same is told again after `repeat-interval`, unless all that fires has been acknowledged.
//! - What a recipient could not be told - the delivery was given up on - is told to that one again, as long as something fires; ends of alerts
//!   that have left the group since are told with it.
//! - So a group of resolved alerts is told only if it was told that they fired, and nothing is told twice.
//! - Where nobody could be told of the end, since it was silenced, the same alerts are no news when they fire again.
//!
//! Maintenance
//! - What is under maintenance is not told. At the end of planned work that consolidates, each receiver gets one message about all that
//!   fired and was not told, and all that was resolved meanwhile; not of a route that is muted then, as ever.
//!
//! Elsewhere: `look`, a look at a group; `changes`, what comes out; `kept`, what of it is in documents; `maintenance`, planned work as it begins
//! and ends; `muted`, what is not told now; `silent`, ends that nobody was told of; `delivered`, what became of messages; `ends`, ends
//! that may have to be told again; `external`, labels of this host; `clock`, one that is set back.

mod changes;
mod clock;
mod delivered;
mod ends;
mod external;
mod kept;
mod look;
mod maintenance;
mod muted;
mod silent;

pub use changes::{Changes, Tell};
pub use delivered::Delivered;
pub use ends::Ends;
pub use kept::{GroupRecord, Kept, ToldRecord};
pub use look::worth_telling;
pub use muted::{Muted, in_words};

use super::inhibit::Inhibitor;
use super::key::{GroupId, Key};
use super::route::Tree;
use super::silence::Silences;
use super::windows::{self, Intervals, Window};
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::alerting::{AlertingSpec, Receiver};
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::InstanceName;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

/// An alert that fires, or was resolved and has to be told still.
#[derive(Clone, Debug)]
pub struct Member {
    pub alert: Arc<Alert>,
    pub groups: Vec<GroupId>,
    /// When its acknowledgement ends, if it ends before the alert.
    pub acknowledged_until: Option<Timestamp>,
    /// There is a document of its end.
    pub kept: bool,
    /// What this host has added to its labels.
    pub added: Labels,
}

impl Member {
    pub fn fires(&self) -> bool {
        self.alert.state == AlertState::Firing
    }

    pub fn is_acknowledged(&self, now: Timestamp) -> bool {
        self.alert.acknowledged_by.is_some() && self.acknowledged_until.is_none_or(|until| now < until)
    }
}

/// Since when it fires.
pub fn starts_at(alert: &Alert) -> Timestamp {
    if alert.posted.is_some() { alert.active_at } else { alert.fired_at.unwrap_or(alert.active_at) }
}

#[derive(Clone, Debug)]
pub struct Group {
    /// Index of its route.
    pub route: usize,
    /// Never none, while nothing changes. What it is grouped by follows from any of them ([`Machine::labels`]).
    pub members: BTreeSet<Key>,
    pub since: Timestamp,
    /// When it is looked at next.
    pub next: Timestamp,
    /// Whether it was looked at.
    pub flushed: bool,
    pub told: Option<Box<Told>>,
    /// What was told stands in a document of its own.
    pub apart: bool,
    /// The moment that its document holds; `None`: there is none.
    pub kept: Option<Timestamp>,
}

/// What was last told of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub at: Timestamp,
    pub firing: BTreeSet<Key>,
    pub resolved: BTreeSet<Key>,
    pub reason: Reason,
    /// Ids of the notifications by the instance that was to be told, and of those that took their place.
    pub sent: BTreeMap<InstanceName, Vec<String>>,
    /// Instances that could not be told: their delivery was given up on.
    pub failed: BTreeSet<InstanceName>,
    /// Why there is no message: it could not be kept.
    pub put_aside: Option<String>,
    /// Ends in this message and in earlier ones.
    pub ends: Vec<Ends>,
}

impl Told {
    pub fn notifications(&self) -> impl Iterator<Item = &String> {
        self.sent.values().flatten()
    }
}

/// Why something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// An alert fires that was not told.
    NewAlerts,
    /// Nothing fires any more.
    AllResolved,
    /// Some of it does not fire any more.
    Resolved,
    /// The repeat interval is over.
    Repeat,
    /// Planned work is over.
    Maintenance,
    /// Somebody could not be told the last time.
    Undelivered,
}

impl Told {
    fn of(reason: Reason, firing: BTreeSet<Key>, resolved: BTreeSet<Key>, at: Timestamp) -> Self {
        let (sent, failed) = (BTreeMap::new(), BTreeSet::new());
        Told { at, firing, resolved, reason, sent, failed, put_aside: None, ends: Vec::new() }
    }
}

pub struct Machine {
    pub spec: Arc<AlertingSpec>,
    pub tree: Option<Tree>,
    pub intervals: Intervals,
    pub windows: BTreeMap<String, Window>,
    pub silences: Silences,
    pub inhibitor: Inhibitor,
    members: HashMap<Key, Member>,
    groups: HashMap<GroupId, Group>,
    /// What was told of groups that ended without a word.
    silent: HashMap<GroupId, Box<Told>>,
    /// Moments of groups; one that is not the group's `next` counts for nothing.
    due: BinaryHeap<Reverse<(Timestamp, GroupId)>>,
    open: BTreeMap<String, Timestamp>,
    look_at_windows: Timestamp,
    /// What the clock said last.
    seen_at: Timestamp,
    pub changes: Changes,
}

impl Machine {
    pub fn new(spec: Arc<AlertingSpec>, kept: Kept, now: Timestamp) -> Self {
        let mut machine = Machine {
            tree: None,
            intervals: Intervals::new(),
            windows: BTreeMap::new(),
            silences: kept.silences,
            inhibitor: Inhibitor::default(),
            members: HashMap::new(),
            groups: HashMap::new(),
            silent: HashMap::new(),
            due: BinaryHeap::new(),
            open: kept.open,
            look_at_windows: now,
            seen_at: now,
            changes: Changes::default(),
            spec: spec.clone(),
        };
        for (id, record, told) in kept.groups {
            machine.due.push(Reverse((record.next, id)));
            machine.groups.insert(id, Group::of(record, told));
        }
        let silent = kept.silent.into_iter().filter(|(id, _)| !machine.groups.contains_key(id));
        machine.silent = silent.map(|(id, told)| (id, Box::new(told.into()))).collect();
        let ended = kept.ended.into_iter().map(|alert| (alert, true));
        for (alert, is_kept) in kept.alerts.into_iter().map(|alert| (alert, false)).chain(ended) {
            let acknowledged_until = kept.acknowledged.get(&alert.fingerprint).copied();
            let (alert, added) = machine.seen_outside(alert);
            let fingerprint = alert.fingerprint.clone();
            let member = Member { alert, groups: Vec::new(), acknowledged_until, kept: is_kept, added };
            // One that fires again has been resolved in vain.
            machine.members.entry(Key::of(&fingerprint)).or_insert(member).kept = is_kept;
        }
        let told: HashSet<Key> =
            machine.groups.values().filter_map(|group| group.told.as_ref()).flat_map(|t| &t.firing).copied().collect();
        for alert in kept.resolved {
            let key = Key::of(&alert.fingerprint);
            if told.contains(&key) {
                let (alert, added) = machine.seen_outside(alert);
                let member = Member { alert, groups: Vec::new(), acknowledged_until: None, kept: false, added };
                machine.members.entry(key).or_insert(member);
            }
        }
        machine.configure(spec, now);
        // It may have been set back while the host was down.
        machine.wait_no_longer(now);
        let unkept = machine.members.values().filter(|member| !member.fires() && !member.kept);
        machine.changes.ended = unkept.map(|member| member.alert.fingerprint.clone()).collect();
        machine
    }

    /// Another configuration holds. Groups that there are in it too stay as they are, with their moments and what was told of them.
    pub fn configure(&mut self, spec: Arc<AlertingSpec>, now: Timestamp) {
        self.tree = Tree::new(&spec);
        self.intervals = windows::intervals(&spec);
        self.windows = windows::windows(&spec);
        self.inhibitor = Inhibitor::new(&spec.inhibit_rules);
        let is_relabelled = self.spec.external_labels != spec.external_labels;
        self.spec = spec;
        if is_relabelled {
            self.relabel();
        }
        self.look_at_windows = now;
        self.groups.values_mut().for_each(|group| group.members.clear());
        let mut keys: Vec<Key> = self.members.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            if let Some(member) = self.members.get_mut(&key) {
                member.groups.clear();
                if member.fires() {
                    self.inhibitor.fires(key, &member.alert.labels);
                }
            }
            self.join(key, now);
        }
        let empty: Vec<GroupId> =
            self.groups.iter().filter(|(_, group)| group.members.is_empty()).map(|(id, _)| *id).collect();
        for id in empty {
            self.remove(id);
        }
        // Of those that nobody waits for.
        let ended: Vec<Key> = self
            .members
            .iter()
            .filter(|(_, member)| !member.fires() && member.groups.is_empty())
            .map(|(key, _)| *key)
            .collect();
        ended.into_iter().for_each(|key| self.drop_member(key));
    }

    /// News of an alert that may be older than what is known, and counts for nothing then. The same twice changes nothing.
    pub fn take(&mut self, alert: Arc<Alert>, now: Timestamp) {
        let known = self.members.get(&Key::of(&alert.fingerprint));
        if known.is_none_or(|known| known.alert.last_evaluated <= alert.last_evaluated) {
            self.follow(alert, now);
        }
    }

    /// News of an alert that is newer than what is known, whatever the clock says: it may have been set back.
    pub fn follow(&mut self, alert: Arc<Alert>, now: Timestamp) {
        let (alert, added) = self.seen_outside(alert);
        let key = Key::of(&alert.fingerprint);
        let known = self.members.get(&key);
        match alert.state {
            AlertState::Pending => {}
            AlertState::Firing => {
                let before = known.map(Member::fires);
                self.inhibitor.fires(key, &alert.labels);
                match self.members.get_mut(&key) {
                    Some(member) => (member.alert, member.added) = (alert.clone(), added),
                    None => {
                        let (groups, acknowledged_until) = (Vec::new(), None);
                        let member = Member { alert: alert.clone(), groups, acknowledged_until, kept: false, added };
                        self.members.insert(key, member);
                    }
                }
                if before == Some(false) {
                    self.forget_end(key);
                }
                if before != Some(true) {
                    self.join(key, now);
                }
            }
            AlertState::Resolved => {
                let Some(member) = self.members.get_mut(&key) else { return };
                if member.acknowledged_until.take().is_some() {
                    self.changes.unacknowledged.insert(alert.fingerprint.clone());
                }
                (member.alert, member.added) = (alert.clone(), added);
                let waits = !member.groups.is_empty();
                self.inhibitor.ends(key, &alert.labels);
                if waits {
                    self.changes.forgotten.remove(&alert.fingerprint);
                    self.changes.ended.insert(alert.fingerprint.clone());
                } else {
                    self.drop_member(key);
                }
            }
        }
    }

    /// Somebody has seen it, for so long.
    pub fn acknowledge(&mut self, id: &str, until: Option<Timestamp>) {
        if let Some(member) = self.members.get_mut(&Key::of(id)) {
            member.acknowledged_until = until;
        }
    }

    /// Puts the alert into the groups of the routes that it takes. A resolved one makes no group.
    fn join(&mut self, key: Key, now: Timestamp) {
        let (Some(tree), Some(member)) = (&self.tree, self.members.get_mut(&key)) else { return };
        let fires = member.fires();
        for index in tree.matching(&member.alert.labels) {
            let Some(route) = tree.route(index) else { continue };
            let id = route.group(&route.group_labels(&member.alert.labels));
            if !fires && !self.groups.contains_key(&id) {
                continue;
            }
            let spoken = if self.groups.contains_key(&id) { None } else { self.silent.remove(&id) };
            let group = self.groups.entry(id).or_insert_with(|| {
                let next = now.plus(route.group_wait);
                self.due.push(Reverse((next, id)));
                let apart = self.changes.removed.remove(&id).unwrap_or(false);
                let told = spoken.filter(|told| told.at >= now.minus(route.repeat_interval));
                if told.is_some() {
                    self.changes.told.insert(id);
                }
                let (members, kept) = (BTreeSet::new(), None);
                Group { route: index, members, since: now, next, flushed: false, told, apart, kept }
            });
            group.route = index;
            if fires && !group.flushed && group.next > now && starts_at(&member.alert).plus(route.group_wait) < now {
                group.next = now;
                self.due.push(Reverse((now, id)));
            }
            // Looks at which nothing is told are not written down: the moment may be newer than the document.
            if group.members.insert(key) && fires && group.kept != Some(group.next) {
                self.changes.groups.insert(id);
            }
            if !member.groups.contains(&id) {
                member.groups.push(id);
            }
        }
    }

    /// When something is to be done next.
    pub fn next_at(&mut self) -> Option<Timestamp> {
        while let Some(Reverse((at, id))) = self.due.peek() {
            if self.groups.get(id).is_some_and(|group| group.next == *at) {
                break;
            }
            self.due.pop();
        }
        let group = self.due.peek().map(|Reverse((at, _))| *at);
        let window = (!self.windows.is_empty() || !self.open.is_empty()).then_some(self.look_at_windows);
        group.into_iter().chain(window).min()
    }

    /// Does what is due, for at most so many groups. Whether all of it is done.
    pub fn advance(&mut self, now: Timestamp, limit: usize) -> bool {
        if self.look_at_windows <= now {
            self.look_at_windows(now);
        }
        for _ in 0..limit {
            self.next_at();
            match self.due.peek() {
                Some(Reverse((at, id))) if *at <= now => {
                    let id = *id;
                    self.due.pop();
                    self.flush(id, now);
                }
                _ => return true,
            }
        }
        self.next_at().is_none_or(|next| next > now)
    }

    #[cfg(test)]
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    fn leave(&mut self, key: Key, id: GroupId) {
        let Some(member) = self.members.get_mut(&key) else { return };
        member.groups.retain(|group| *group != id);
        if member.groups.is_empty() && !member.fires() {
            self.drop_member(key);
        }
    }

    fn drop_member(&mut self, key: Key) {
        self.forget_end(key);
        self.members.remove(&key);
    }

    /// Nobody has to be told of its end any more.
    fn forget_end(&mut self, key: Key) {
        let Some(member) = self.members.get_mut(&key) else { return };
        self.changes.ended.remove(&member.alert.fingerprint);
        if std::mem::take(&mut member.kept) {
            self.changes.forgotten.insert(member.alert.fingerprint.clone());
        }
    }

    fn remove(&mut self, id: GroupId) {
        let apart = self.groups.remove(&id).is_some_and(|group| group.apart);
        self.changes.groups.remove(&id);
        self.changes.told.remove(&id);
        self.changes.removed.insert(id, apart);
    }

    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.spec.receivers.get(name)
    }

    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(&Key::of(id))
    }

    pub fn member_of(&self, key: Key) -> Option<&Member> {
        self.members.get(&key)
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(&id)
    }

    pub fn groups(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.groups.iter().map(|(id, group)| (*id, group))
    }

    /// The labels that all alerts of a group share, and that it is grouped by.
    pub fn labels(&self, group: &Group) -> Labels {
        let route = self.tree.as_ref().and_then(|tree| tree.route(group.route));
        let member = group.members.iter().find_map(|key| self.members.get(key));
        route.zip(member).map(|(route, member)| route.group_labels(&member.alert.labels)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
