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
//! - So a group of resolved alerts is told only if it was told that they fired, and nothing is told twice.
//!
//! Maintenance
//! - What is under maintenance is not told. At the end of planned work that consolidates, each receiver gets one message about all that
//!   fired and was not told, and all that was resolved meanwhile.

use super::inhibit::{Inhibited, Inhibitor};
use super::key::{GroupId, Key, pack, unpack};
use super::route::{Route, Tree};
use super::silence::Silences;
use super::windows::{self, Intervals, Window};
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::alerting::{AlertingSpec, Receiver};
use quarterdeck_model::label::Labels;
use quarterdeck_model::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

/// Planned work begins and ends with full minutes, or after its duration.
const MINUTE: i64 = 60_000;
/// What was told of more alerts stands in a document of its own.
const INSIDE: usize = 64;

/// An alert that fires, or was resolved and has to be told still.
#[derive(Clone, Debug)]
pub struct Member {
    pub alert: Arc<Alert>,
    pub groups: Vec<GroupId>,
    /// When its acknowledgement ends, if it ends before the alert.
    pub acknowledged_until: Option<Timestamp>,
    /// There is a document of its end.
    pub kept: bool,
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
}

/// What was last told of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub at: Timestamp,
    pub firing: BTreeSet<Key>,
    pub resolved: BTreeSet<Key>,
    pub reason: Reason,
    /// Ids of the notifications.
    pub notifications: Vec<String>,
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
}

/// Alertmanager's rule for what is worth telling.
pub fn worth_telling(
    told: Option<&Told>,
    firing: &BTreeSet<Key>,
    resolved: &BTreeSet<Key>,
    send_resolved: bool,
    repeat: Option<Span>,
    now: Timestamp,
) -> Option<Reason> {
    let Some(told) = told else { return (!firing.is_empty()).then_some(Reason::NewAlerts) };
    if !firing.is_subset(&told.firing) {
        return Some(Reason::NewAlerts);
    }
    if firing.is_empty() {
        // Also where the receiver does not want to know: what fires next is new to it.
        return (!told.firing.is_empty()).then_some(Reason::AllResolved);
    }
    if send_resolved && !resolved.is_subset(&told.resolved) {
        return Some(Reason::Resolved);
    }
    let repeat = repeat?;
    (told.at < now.minus(repeat)).then_some(Reason::Repeat)
}

/// Why an alert is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Muted {
    Silenced(Vec<String>),
    Inhibited(Inhibited),
    /// Name of the planned work.
    Maintenance(String),
}

/// A message to a receiver.
#[derive(Clone, Debug)]
pub struct Tell {
    /// `None`: of no single group.
    pub group: Option<GroupId>,
    /// As Alertmanager writes it.
    pub group_key: String,
    pub group_labels: Labels,
    pub receiver: String,
    pub reason: Reason,
    pub alerts: Vec<Arc<Alert>>,
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
    pub tells: Vec<Tell>,
}

/// A group's document.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToldRecord {
    pub at: Timestamp,
    pub firing: String,
    pub resolved: String,
    pub reason: Reason,
    pub notifications: Vec<String>,
}

impl From<&Told> for ToldRecord {
    fn from(told: &Told) -> Self {
        ToldRecord {
            at: told.at,
            firing: pack(&told.firing),
            resolved: pack(&told.resolved),
            reason: told.reason,
            notifications: told.notifications.clone(),
        }
    }
}

impl From<ToldRecord> for Told {
    fn from(record: ToldRecord) -> Self {
        Told {
            at: record.at,
            firing: unpack(&record.firing),
            resolved: unpack(&record.resolved),
            reason: record.reason,
            notifications: record.notifications,
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
    pub acknowledged: HashMap<String, Timestamp>,
    pub groups: Vec<(GroupId, GroupRecord, Option<ToldRecord>)>,
    pub silences: Silences,
    /// Planned work that went on, since when.
    pub open: BTreeMap<String, Timestamp>,
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
    /// Moments of groups; one that is not the group's `next` counts for nothing.
    due: BinaryHeap<Reverse<(Timestamp, GroupId)>>,
    open: BTreeMap<String, Timestamp>,
    look_at_windows: Timestamp,
    changes: Changes,
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
            due: BinaryHeap::new(),
            open: kept.open,
            look_at_windows: now,
            changes: Changes::default(),
            spec: spec.clone(),
        };
        for (id, record, told) in kept.groups {
            let GroupRecord { since, next, flushed, told: inside, .. } = record;
            let apart = told.is_some();
            let told = inside.or(told).map(|told| Box::new(told.into()));
            let group = Group { route: usize::MAX, members: BTreeSet::new(), since, next, flushed, told, apart };
            machine.due.push(Reverse((next, id)));
            machine.groups.insert(id, group);
        }
        let ended = kept.ended.into_iter().map(|alert| (alert, true));
        for (alert, is_kept) in kept.alerts.into_iter().map(|alert| (alert, false)).chain(ended) {
            let acknowledged_until = kept.acknowledged.get(&alert.fingerprint).copied();
            let member = Member { alert: alert.clone(), groups: Vec::new(), acknowledged_until, kept: is_kept };
            // One that fires again has been resolved in vain.
            machine.members.entry(Key::of(&alert.fingerprint)).or_insert(member).kept = is_kept;
        }
        machine.configure(spec, now);
        machine
    }

    /// Another configuration holds. Groups that there are in it too stay as they are, with their moments and what was told of them.
    pub fn configure(&mut self, spec: Arc<AlertingSpec>, now: Timestamp) {
        self.tree = Tree::new(&spec);
        self.intervals = windows::intervals(&spec);
        self.windows = windows::windows(&spec);
        self.inhibitor = Inhibitor::new(&spec.inhibit_rules);
        self.spec = spec;
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

    /// News of an alert. The same twice changes nothing, and what is older than what is known counts for nothing.
    pub fn take(&mut self, alert: Arc<Alert>, now: Timestamp) {
        let key = Key::of(&alert.fingerprint);
        let known = self.members.get(&key);
        if known.is_some_and(|known| known.alert.last_evaluated > alert.last_evaluated) {
            return;
        }
        match alert.state {
            AlertState::Pending => {}
            AlertState::Firing => {
                let before = known.map(Member::fires);
                self.inhibitor.fires(key, &alert.labels);
                match self.members.get_mut(&key) {
                    Some(member) => member.alert = alert.clone(),
                    None => {
                        let (groups, acknowledged_until) = (Vec::new(), None);
                        let member = Member { alert: alert.clone(), groups, acknowledged_until, kept: false };
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
                member.alert = alert.clone();
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
            let group = self.groups.entry(id).or_insert_with(|| {
                let next = now.plus(route.group_wait);
                self.due.push(Reverse((next, id)));
                let apart = self.changes.removed.remove(&id).unwrap_or(false);
                self.changes.groups.insert(id);
                let members = BTreeSet::new();
                Group { route: index, members, since: now, next, flushed: false, told: None, apart }
            });
            group.route = index;
            if group.members.insert(key) && fires {
                self.changes.groups.insert(id);
            }
            if fires && !group.flushed && group.next > now && starts_at(&member.alert).plus(route.group_wait) < now {
                group.next = now;
                self.due.push(Reverse((now, id)));
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

    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Looks at a group.
    fn flush(&mut self, id: GroupId, now: Timestamp) {
        let Some(mut group) = self.groups.remove(&id) else { return };
        let Some(route) = self.tree.as_ref().and_then(|tree| tree.route(group.route)).cloned() else {
            self.groups.insert(id, group);
            return self.remove(id);
        };
        group.next = now.plus(route.group_interval);
        group.flushed = true;
        let is_muted = self.route_muted(&route, now).is_some();
        let (mut seen, mut gone) = (Vec::new(), Vec::new());
        for key in &group.members {
            let Some(member) = self.members.get(key) else {
                gone.push(*key);
                continue;
            };
            let muted = self.muted(&member.alert.labels, now);
            let held = matches!(&muted, Some(Muted::Maintenance(name)) if self.consolidates(name));
            if !is_muted && muted.is_none() {
                seen.push((*key, member.clone()));
            }
            if !member.fires() && !held {
                gone.push(*key);
            }
        }
        if !seen.is_empty() {
            self.tell(id, &mut group, &route, &seen, now);
        }
        for key in gone {
            group.members.remove(&key);
            self.leave(key, id);
        }
        let is_empty = group.members.is_empty();
        self.due.push(Reverse((group.next, id)));
        self.groups.insert(id, group);
        if is_empty {
            self.remove(id);
        }
    }

    fn tell(&mut self, id: GroupId, group: &mut Group, route: &Route, seen: &[(Key, Member)], now: Timestamp) {
        let keys = |fires: bool| seen.iter().filter(|(_, m)| m.fires() == fires).map(|(key, _)| *key).collect();
        let (firing, resolved): (BTreeSet<Key>, BTreeSet<Key>) = (keys(true), keys(false));
        let send_resolved = self.receiver(&route.receiver).is_none_or(|receiver| receiver.send_resolved);
        let all_seen = seen.iter().filter(|(_, member)| member.fires()).all(|(_, member)| member.is_acknowledged(now));
        let repeat = (!all_seen).then_some(route.repeat_interval);
        let told = group.told.as_deref();
        let Some(reason) = worth_telling(told, &firing, &resolved, send_resolved, repeat, now) else { return };
        group.told = Some(Box::new(Told { at: now, firing, resolved, reason, notifications: Vec::new() }));
        self.changes.groups.insert(id);
        self.changes.told.insert(id);
        let wanted = seen.iter().filter(|(_, member)| send_resolved || member.fires());
        let alerts: Vec<Arc<Alert>> = wanted.map(|(_, member)| member.alert.clone()).collect();
        if let Some(first) = alerts.first() {
            let labels = route.group_labels(&first.labels);
            self.changes.tells.push(Tell {
                group: Some(id),
                group_key: route.group_key(&labels),
                group_labels: labels,
                receiver: route.receiver.clone(),
                reason,
                alerts,
                of: vec![id],
            });
        }
    }

    /// Under which ids the last message about a group is kept.
    pub fn notified(&mut self, id: GroupId, notifications: &[String]) {
        if let Some(told) = self.groups.get_mut(&id).and_then(|group| group.told.as_mut()) {
            told.notifications = notifications.to_vec();
        }
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

    /// There is a document of its end from now on.
    pub fn keeps_end(&mut self, id: &str) {
        if let Some(member) = self.members.get_mut(&Key::of(id)) {
            member.kept = true;
        }
    }

    /// What was told of the group stands in a document of its own from now on, or does no more; whether it did so before.
    pub fn stands_apart(&mut self, id: GroupId, apart: bool) -> bool {
        self.groups.get_mut(&id).is_some_and(|group| std::mem::replace(&mut group.apart, apart))
    }

    fn remove(&mut self, id: GroupId) {
        let apart = self.groups.remove(&id).is_some_and(|group| group.apart);
        self.changes.groups.remove(&id);
        self.changes.told.remove(&id);
        self.changes.removed.insert(id, apart);
    }

    /// Begins and ends planned work.
    fn look_at_windows(&mut self, now: Timestamp) {
        let minute = now.as_millis().div_euclid(MINUTE).saturating_add(1).saturating_mul(MINUTE);
        self.look_at_windows = Timestamp::from_millis(minute);
        let mut ended: Vec<String> =
            self.open.keys().filter(|name| !self.windows.contains_key(*name)).cloned().collect();
        for (name, window) in &self.windows {
            match window.open(&self.intervals, now) {
                Some(open) => {
                    if let Some(until) = open.until {
                        self.look_at_windows = self.look_at_windows.min(until);
                    }
                    if !self.open.contains_key(name) {
                        self.open.insert(name.clone(), open.since.unwrap_or(now));
                        self.changes.windows.insert(name.clone());
                    }
                }
                None if self.open.contains_key(name) => ended.push(name.clone()),
                None => {}
            }
        }
        for name in ended {
            self.open.remove(&name);
            self.changes.windows.insert(name.clone());
            if let Some(window) = self.windows.get(&name).cloned().filter(Window::consolidates) {
                self.consolidate(&name, &window, now);
            }
        }
    }

    /// One message to each receiver about what happened under planned work.
    fn consolidate(&mut self, name: &str, window: &Window, now: Timestamp) {
        let mut by_receiver: BTreeMap<String, (BTreeSet<Key>, Vec<GroupId>)> = BTreeMap::new();
        let mut ids: Vec<GroupId> = self.groups.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(group) = self.groups.get(&id) else { continue };
            let Some(route) = self.tree.as_ref().and_then(|tree| tree.route(group.route)) else { continue };
            let unknown = |key: &&Key| {
                let Some(member) = self.members.get(*key) else { return false };
                let labels = &member.alert.labels;
                let told = group.told.as_ref().is_some_and(|told| told.firing.contains(*key));
                window.matches(labels) && !(member.fires() && told) && self.muted(labels, now).is_none()
            };
            let found: BTreeSet<Key> = group.members.iter().filter(unknown).copied().collect();
            if !found.is_empty() {
                let entry = by_receiver.entry(route.receiver.clone()).or_default();
                entry.0.extend(found);
                entry.1.push(id);
            }
        }
        for (receiver, (keys, groups)) in by_receiver {
            let send_resolved = self.receiver(&receiver).is_none_or(|receiver| receiver.send_resolved);
            let members: Vec<&Member> = keys.iter().filter_map(|key| self.members.get(key)).collect();
            let alerts: Vec<Arc<Alert>> = members
                .iter()
                .filter(|member| send_resolved || member.fires())
                .map(|member| member.alert.clone())
                .collect();
            let (firing, resolved): (BTreeSet<Key>, BTreeSet<Key>) =
                keys.iter().partition(|key| self.members.get(key).is_some_and(Member::fires));
            for id in &groups {
                let Some(group) = self.groups.get_mut(id) else { continue };
                let mut told = group.told.take().map(|told| *told).unwrap_or(Told {
                    at: now,
                    firing: BTreeSet::new(),
                    resolved: BTreeSet::new(),
                    reason: Reason::Maintenance,
                    notifications: Vec::new(),
                });
                told.at = now;
                told.reason = Reason::Maintenance;
                told.firing.extend(firing.intersection(&group.members));
                told.firing.retain(|key| !resolved.contains(key));
                told.resolved.extend(resolved.intersection(&group.members));
                group.told = Some(Box::new(told));
                self.changes.groups.insert(*id);
                self.changes.told.insert(*id);
                for key in &resolved {
                    if self.groups.get_mut(id).is_some_and(|group| group.members.remove(key)) {
                        self.leave(*key, *id);
                    }
                }
                if self.groups.get(id).is_some_and(|group| group.members.is_empty()) {
                    self.remove(*id);
                }
            }
            if !alerts.is_empty() {
                self.changes.tells.push(Tell {
                    group: None,
                    group_key: format!("maintenance/{name}:{{}}"),
                    group_labels: Labels::new(),
                    receiver,
                    reason: Reason::Maintenance,
                    alerts,
                    of: groups,
                });
            }
        }
    }

    fn consolidates(&self, window: &str) -> bool {
        self.windows.get(window).is_some_and(Window::consolidates)
    }

    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.spec.receivers.get(name)
    }

    /// The interval that keeps a whole route from telling anything, or the words for its being in none.
    pub fn route_muted(&self, route: &Route, now: Timestamp) -> Option<String> {
        if let Some(name) = windows::holding(&self.intervals, &route.mute_time_intervals, now) {
            return Some(format!("muted in the time interval `{name}`"));
        }
        let outside = !route.active_time_intervals.is_empty()
            && windows::holding(&self.intervals, &route.active_time_intervals, now).is_none();
        outside.then(|| format!("told only in {}", route.active_time_intervals.join(", ")))
    }

    /// Why an alert with these labels is not told now.
    pub fn muted(&self, labels: &Labels, now: Timestamp) -> Option<Muted> {
        if let Some(inhibited) = self.inhibitor.inhibited(labels) {
            return Some(Muted::Inhibited(inhibited));
        }
        let silencing = self.silences.silencing(labels, now);
        if !silencing.is_empty() {
            return Some(Muted::Silenced(silencing.iter().map(|silence| silence.id.clone()).collect()));
        }
        self.maintained(labels).map(|name| Muted::Maintenance(name.to_owned()))
    }

    /// The planned work that the labels are under.
    pub fn maintained(&self, labels: &Labels) -> Option<&str> {
        let matches = |name: &&String| self.windows.get(*name).is_some_and(|window| window.matches(labels));
        self.open.keys().find(matches).map(String::as_str)
    }

    pub fn open_since(&self, window: &str) -> Option<Timestamp> {
        self.open.get(window).copied()
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

    /// A group's document.
    pub fn record(&self, id: GroupId) -> Option<GroupRecord> {
        let group = self.groups.get(&id)?;
        let route = self.tree.as_ref().and_then(|tree| tree.route(group.route));
        let inside = group.told.as_deref().filter(|told| told.firing.len() + told.resolved.len() <= INSIDE);
        Some(GroupRecord {
            route: route.map(|route| route.key.clone()).unwrap_or_default(),
            labels: self.labels(group),
            since: group.since,
            next: group.next,
            flushed: group.flushed,
            told: inside.map(ToldRecord::from),
        })
    }
}

#[cfg(test)]
mod tests;
