//! A look at a group: whether something of it is told, and what became of the alerts that leave it.

use super::kept::ToldRecord;
use super::{Group, Machine, Member, Muted, Reason, Tell, Told, in_words, starts_at};
use crate::alerting::key::{GroupId, Key};
use crate::alerting::past::{self, Before, Left, Over};
use crate::alerting::route::Route;
use crate::size;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::{Span, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of a group's key, where it is shown to people.
const SHOWN_KEY: usize = 512;
/// Messages that are remembered of one look.
const MESSAGES: usize = 50;

/// A look at a group, as far as it matters for those that leave it.
pub(super) struct Looked<'a> {
    pub(super) id: GroupId,
    pub(super) route: &'a Route,
    pub(super) before: Option<&'a Told>,
    pub(super) route_muted: Option<String>,
    pub(super) is_told: bool,
    /// What was told of a group that ends without a word.
    pub(super) silent: Option<Box<ToldRecord>>,
}

/// An alert that is over, as it is remembered.
fn over_as(alert: &Alert, told_firing: bool, end: String, now: Timestamp) -> Over {
    Over {
        fingerprint: alert.fingerprint.clone(),
        labels: size::labels(&alert.labels, past::LABELS),
        since: starts_at(alert),
        until: alert.resolved_at.unwrap_or(now),
        told_firing,
        end: size::cut_visibly(&end, SHOWN_KEY),
    }
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

impl Machine {
    /// Looks at a group.
    pub(super) fn flush(&mut self, id: GroupId, now: Timestamp) {
        let Some(mut group) = self.groups.remove(&id) else { return };
        let Some(route) = self.tree.as_ref().and_then(|tree| tree.route(group.route)).cloned() else {
            self.groups.insert(id, group);
            return self.remove(id);
        };
        group.next = now.plus(route.group_interval);
        group.flushed = true;
        let route_muted = self.route_muted(&route, now);
        let (mut seen, mut gone, mut over) = (Vec::new(), Vec::new(), Vec::new());
        for key in &group.members {
            let Some(member) = self.members.get(key) else {
                gone.push(*key);
                continue;
            };
            let muted = self.muted(&member.alert.labels, now);
            let held = matches!(&muted, Some(Muted::Maintenance(name)) if self.consolidates(name));
            if !member.fires() && !held {
                gone.push(*key);
                over.push((*key, member.alert.clone(), muted.as_ref().map(|muted| in_words(self, muted))));
            }
            if route_muted.is_none() && muted.is_none() {
                seen.push((*key, member.clone()));
            }
        }
        let before = group.told.clone().filter(|_| !over.is_empty());
        let owes = route_muted.is_none() && group.told.as_ref().is_some_and(|told| told.owed().next().is_some());
        let is_told = (!seen.is_empty() || owes) && self.tell(id, &mut group, &route, &seen, now);
        if !over.is_empty() {
            let ends = gone.len() == group.members.len();
            let silent = if ends { self.silent_end(id, &group) } else { None };
            let looked = Looked { id, route: &route, before: before.as_deref(), route_muted, is_told, silent };
            self.remember(looked, over, now);
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

    /// Whether something is told.
    fn tell(&mut self, id: GroupId, group: &mut Group, route: &Route, seen: &[(Key, Member)], now: Timestamp) -> bool {
        let keys = |fires: bool| seen.iter().filter(|(_, m)| m.fires() == fires).map(|(key, _)| *key).collect();
        let (firing, resolved): (BTreeSet<Key>, BTreeSet<Key>) = (keys(true), keys(false));
        let send_resolved = self.receiver(&route.receiver).is_none_or(|receiver| receiver.send_resolved);
        let all_seen = seen.iter().filter(|(_, member)| member.fires()).all(|(_, member)| member.is_acknowledged(now));
        let repeat = (!all_seen).then_some(route.repeat_interval);
        let told = group.told.as_deref();
        let owed = told.filter(|_| send_resolved).map(|told| self.owed(told, &group.members, now)).unwrap_or_default();
        // Where nothing is seen it is because it may not be told now, and not because it is over.
        let worth =
            if seen.is_empty() { None } else { worth_telling(told, &firing, &resolved, send_resolved, repeat, now) };
        let is_left = !firing.is_empty() || !owed.is_empty();
        let (reason, only, mut earlier) = match (worth, group.told.as_deref_mut()) {
            (Some(reason), told) => {
                let earlier = told.map(|told| std::mem::take(&mut told.ends)).unwrap_or_default();
                group.told = Some(Box::new(Told::of(reason, firing, resolved, now)));
                (reason, None, earlier)
            }
            // The others know it: to them it was told when it was told.
            (None, Some(told)) if !told.failed.is_empty() && is_left => {
                // What fires and may not be told now is told to them later.
                let later = if firing.is_empty() { told.failed.clone() } else { BTreeSet::new() };
                let only = std::mem::replace(&mut told.failed, later);
                (Reason::Undelivered, Some(only), std::mem::take(&mut told.ends))
            }
            (None, _) => return false,
        };
        self.changes.groups.insert(id);
        self.changes.told.insert(id);
        let wanted = seen.iter().filter(|(_, member)| send_resolved || member.fires());
        let mut alerts: Vec<Arc<Alert>> = wanted.map(|(_, member)| member.alert.clone()).collect();
        let again = owed.iter().map(|alert| alert.fingerprint.clone()).collect();
        alerts.extend(owed);
        if let Some(told) = &mut group.told {
            earlier.retain(|ends| ends.untold.is_empty());
            told.remember_ends(earlier, &alerts);
        }
        if let Some(first) = alerts.first() {
            let labels = route.group_labels(&first.labels);
            self.changes.tells.push_back(Tell {
                group: Some(id),
                group_key: route.group_key(&labels),
                group_labels: labels,
                receiver: route.receiver.clone(),
                only,
                reason,
                alerts,
                again,
                of: vec![id],
            });
        }
        true
    }

    /// Keeps what became of alerts that leave a group.
    pub(super) fn remember(
        &mut self,
        looked: Looked<'_>,
        over: Vec<(Key, Arc<Alert>, Option<String>)>,
        now: Timestamp,
    ) {
        let Looked { id, route, before, route_muted, is_told, silent } = looked;
        let send_resolved = self.receiver(&route.receiver).is_none_or(|receiver| receiver.send_resolved);
        let group = over.first().map(|(_, alert, _)| route.group_key(&route.group_labels(&alert.labels)));
        let alerts = over.into_iter().take(past::ALERTS_OF_A_LOOK).map(|(key, alert, muted)| {
            let told_firing = before.is_some_and(|told| told.firing.contains(&key));
            let end = match (&route_muted, muted) {
                (Some(why), _) => format!("not told that it is over: the route is {why}"),
                (None, Some(why)) => format!("not told that it is over: {why}"),
                _ if is_told && send_resolved => "told that it is over".to_owned(),
                _ if !send_resolved => "not told that it is over: the receiver does not want to know".to_owned(),
                _ if !told_firing => "not told: it was over before its group was told of it".to_owned(),
                _ => "not told that it is over: nothing of its group was to be told".to_owned(),
            };
            over_as(&alert, told_firing, end, now)
        });
        let before = before.map(|told| Before {
            at: told.at,
            reason: told.reason,
            notifications: told.notifications().take(MESSAGES).cloned().collect(),
        });
        let left = Left {
            at: now,
            group: size::cut_visibly(&group.unwrap_or_default(), SHOWN_KEY),
            receiver: size::cut_visibly(&route.receiver, SHOWN_KEY),
            before,
            silent,
            notifications: Vec::new(),
            sent: BTreeMap::new(),
            untold: BTreeMap::new(),
            put_aside: None,
            alerts: alerts.collect(),
        };
        self.changes.left.push_back((id, left));
    }
}
