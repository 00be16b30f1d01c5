//! Planned work as it begins and ends, and what is told of it then.

use super::look::Looked;
use super::{Machine, Member, Reason, Tell, Told};
use crate::alerting::key::{GroupId, Key};
use crate::alerting::windows::Window;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::label::Labels;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Planned work begins and ends with full minutes, or after its duration.
const MINUTE: i64 = 60_000;
/// Groups and alerts of one message about planned work: what was told of them stands in one record with it. More of them are told of in
/// several messages.
const TOGETHER: usize = 64_000;
/// What a group counts for, beside its alerts.
const GROUP: usize = 64;

impl Machine {
    /// Begins and ends planned work.
    pub(super) fn look_at_windows(&mut self, now: Timestamp) {
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
        let mut by_receiver: BTreeMap<String, Vec<(GroupId, BTreeSet<Key>)>> = BTreeMap::new();
        let mut ids: Vec<GroupId> = self.groups.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(group) = self.groups.get(&id) else { continue };
            let Some(route) = self.tree.as_ref().and_then(|tree| tree.route(group.route)) else { continue };
            if self.route_muted(route, now).is_some() {
                // What fires on is told when the route is not muted any more.
                continue;
            }
            let unknown = |key: &&Key| {
                let Some(member) = self.members.get(*key) else { return false };
                let labels = &member.alert.labels;
                let told = group.told.as_ref().is_some_and(|told| told.firing.contains(*key));
                window.matches(labels) && !(member.fires() && told) && self.muted(labels, now).is_none()
            };
            let found: BTreeSet<Key> = group.members.iter().filter(unknown).copied().collect();
            if !found.is_empty() {
                by_receiver.entry(route.receiver.clone()).or_default().push((id, found));
            }
        }
        for (receiver, groups) in by_receiver {
            for (part, groups) in self.parts(groups).into_iter().enumerate() {
                self.tell_together(name, part, &receiver, groups, now);
            }
        }
    }

    /// As many groups together as fit into one record.
    fn parts(&self, groups: Vec<(GroupId, BTreeSet<Key>)>) -> Vec<Vec<(GroupId, BTreeSet<Key>)>> {
        let mut parts = vec![Vec::new()];
        let mut weight = 0;
        for (id, found) in groups {
            let own = GROUP + self.groups.get(&id).map_or(0, |group| group.members.len());
            if weight > 0 && weight + own > TOGETHER {
                parts.push(Vec::new());
                weight = 0;
            }
            weight += own;
            if let Some(part) = parts.last_mut() {
                part.push((id, found));
            }
        }
        parts
    }

    fn tell_together(
        &mut self,
        name: &str,
        part: usize,
        receiver: &str,
        groups: Vec<(GroupId, BTreeSet<Key>)>,
        now: Timestamp,
    ) {
        let send_resolved = self.receiver(receiver).is_none_or(|receiver| receiver.send_resolved);
        let keys: BTreeSet<Key> = groups.iter().flat_map(|(_, found)| found).copied().collect();
        let alerts = self.wanted(&keys, send_resolved);
        let of = groups.iter().map(|(id, _)| *id).collect();
        for (id, found) in groups {
            let alerts = self.wanted(&found, send_resolved);
            self.told_together(id, &found, &alerts, now);
        }
        if !alerts.is_empty() {
            let labels = if part == 0 { String::new() } else { format!("part=\"{}\"", part + 1) };
            self.changes.tells.push_back(Tell {
                group: None,
                group_key: format!("maintenance/{name}:{{{labels}}}"),
                group_labels: Labels::new(),
                receiver: receiver.to_owned(),
                only: None,
                reason: Reason::Maintenance,
                alerts,
                again: Vec::new(),
                of,
            });
        }
    }

    /// What a receiver is told of these.
    fn wanted(&self, keys: &BTreeSet<Key>, send_resolved: bool) -> Vec<Arc<Alert>> {
        let members = keys.iter().filter_map(|key| self.members.get(key));
        members.filter(|member| send_resolved || member.fires()).map(|member| member.alert.clone()).collect()
    }

    /// These alerts of a group are told with others. Those that are over leave it.
    fn told_together(&mut self, id: GroupId, found: &BTreeSet<Key>, alerts: &[Arc<Alert>], now: Timestamp) {
        let (firing, resolved): (BTreeSet<Key>, BTreeSet<Key>) =
            found.iter().partition(|key| self.members.get(key).is_some_and(Member::fires));
        let Some(group) = self.groups.get_mut(&id) else { return };
        let before = group.told.take().map(|told| *told);
        let mut told =
            before.clone().unwrap_or_else(|| Told::of(Reason::Maintenance, BTreeSet::new(), BTreeSet::new(), now));
        told.at = now;
        told.reason = Reason::Maintenance;
        // Who could not be told before is told of that at the next look: this message is about other alerts.
        (told.sent, told.put_aside) = Default::default();
        let earlier = std::mem::take(&mut told.ends);
        told.remember_ends(earlier, alerts);
        told.firing.extend(&firing);
        told.firing.retain(|key| !resolved.contains(key));
        told.resolved.extend(&resolved);
        group.told = Some(Box::new(told));
        let route = group.route;
        self.changes.groups.insert(id);
        self.changes.told.insert(id);
        let over: Vec<_> =
            resolved.iter().filter_map(|key| Some((*key, self.members.get(key)?.alert.clone(), None))).collect();
        let route = self.tree.as_ref().and_then(|tree| tree.route(route)).cloned();
        if let Some(route) = route.filter(|_| !over.is_empty()) {
            let before = before.as_ref();
            let looked = Looked { id, route: &route, before, route_muted: None, is_told: true, silent: None };
            self.remember(looked, over, now);
        }
        for key in &resolved {
            if self.groups.get_mut(&id).is_some_and(|group| group.members.remove(key)) {
                self.leave(*key, id);
            }
        }
        if self.groups.get(&id).is_some_and(|group| group.members.is_empty()) {
            self.remove(id);
        }
    }

    pub(super) fn consolidates(&self, window: &str) -> bool {
        self.windows.get(window).is_some_and(Window::consolidates)
    }
}
