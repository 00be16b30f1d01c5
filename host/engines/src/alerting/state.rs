//! What is in memory, what of it is kept in documents, and what one step makes of it.

use super::Command;
use super::explain::{self, Explanation};
use super::groups::{Changes, GroupRecord, Kept, Machine, Member, Muted, Tell, ToldRecord, starts_at};
use super::inhibit::Inhibited;
use super::key::{GroupId, Key, fingerprint};
use super::message::message;
use super::posted::{self, Incoming, KEEP_RESOLVED};
use super::silence::{Refusal, Silences, warnings};
use crate::notifications::deliver;
use crate::{Context, Error, to_value};
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::alerting::{Acknowledgement, MaintenanceSpec, Matcher, all_match};
use quarterdeck_model::domain::silence::Silence;
use quarterdeck_model::label::Labels;
use quarterdeck_model::store::{EventBatch, Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use tracing::warn;

/// Groups, by their ids; what was told of them; resolved alerts that have to be told still; planned work that goes on.
const GROUPS: &str = "alert-groups";
const TOLD: &str = "alert-groups-told";
const ENDED: &str = "alerts-ended";
const OPEN: &str = "maintenance-open";

/// Sent when the record is on the disk, or is not.
pub(crate) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

pub(crate) struct State {
    pub(crate) machine: Machine,
    /// Alerts that other programs have made: those that fire, and those that ended a short while ago.
    posted: HashMap<Key, Arc<Alert>>,
    /// When each of them ends or is forgotten. A moment that is another one by now counts for nothing.
    ends: BinaryHeap<Reverse<(Timestamp, Key)>>,
}

#[derive(Serialize, Deserialize)]
struct OpenWindow {
    since: Timestamp,
}

/// When something is to be done with an alert that was sent here.
fn moment(alert: &Alert) -> Option<Timestamp> {
    let posted = alert.posted.as_ref()?;
    Some(match alert.state {
        AlertState::Resolved => alert.resolved_at.unwrap_or(alert.last_evaluated).plus(KEEP_RESOLVED),
        AlertState::Firing | AlertState::Pending => posted.ends_at,
    })
}

impl State {
    pub(crate) fn load(context: &Context) -> Result<Self, Error> {
        let mut kept = Kept::default();
        let mut posted = HashMap::new();
        // Nobody could send them again while the host was down: that they were not sent says nothing before they had the time to.
        let in_time = context.now().plus(context.catalog().alerting.resolve_timeout);
        for document in context.store.list(Alert::COLLECTION, &Page::all())? {
            let mut alert: Alert = document.decode()?;
            if let Some(posted) = alert.posted.as_mut().filter(|_| alert.state == AlertState::Firing) {
                posted.ends_at = posted.ends_at.max(in_time);
            }
            let alert = Arc::new(alert);
            if alert.posted.is_some() {
                posted.insert(Key::of(&alert.fingerprint), alert.clone());
            }
            if alert.state == AlertState::Firing {
                kept.alerts.push(alert);
            }
        }
        kept.ended = context.read_all::<Alert>(ENDED, &Page::all())?.into_iter().map(Arc::new).collect();
        let mut told: HashMap<String, ToldRecord> = HashMap::new();
        for document in context.store.list(TOLD, &Page::all())? {
            told.insert(document.id.clone(), document.decode()?);
        }
        for document in context.store.list(GROUPS, &Page::all())? {
            let Some(id) = GroupId::parse(&document.id) else { continue };
            kept.groups.push((id, document.decode::<GroupRecord>()?, told.remove(&document.id)));
        }
        for document in context.store.list(Acknowledgement::COLLECTION, &Page::all())? {
            let acknowledgement: Acknowledgement = document.decode()?;
            let mut alerts = kept.alerts.iter();
            if alerts.any(|a| a.fingerprint == document.id && a.active_at == acknowledgement.active_at) {
                kept.acknowledged.insert(document.id, acknowledgement.until);
            }
        }
        for document in context.store.list(OPEN, &Page::all())? {
            let open: OpenWindow = document.decode()?;
            kept.open.insert(document.id, open.since);
        }
        kept.silences = Silences::new(context.read_all::<Silence>(Silence::COLLECTION, &Page::all())?);
        let spec = Arc::new(context.catalog().alerting.clone());
        let machine = Machine::new(spec, kept, context.now());
        let ends = posted.iter().filter_map(|(key, alert)| Some(Reverse((moment(alert)?, *key)))).collect();
        Ok(State { machine, posted, ends })
    }

    /// When something is to be done next.
    pub(crate) fn next(&mut self) -> Option<Timestamp> {
        let end = self.next_end().map(|(at, _)| at);
        self.machine.next_at().into_iter().chain(end).min()
    }

    fn next_end(&mut self) -> Option<(Timestamp, Key)> {
        while let Some(Reverse((at, key))) = self.ends.peek().copied() {
            if self.posted.get(&key).and_then(|alert| moment(alert)) == Some(at) {
                return Some((at, key));
            }
            self.ends.pop();
        }
        None
    }

    /// Everything that follows from orders, events and the time, as one record.
    pub(crate) fn decide(
        &mut self,
        context: &Context,
        commands: Vec<Command>,
        events: Option<&EventBatch>,
        replies: &mut Vec<Reply>,
        now: Timestamp,
        limit: usize,
    ) -> Result<Transition, StoreError> {
        let mut transition = Transition::new();
        for stored in events.iter().flat_map(|batch| &batch.events) {
            match Alert::deserialize(&stored.event.data) {
                // Those are ours: what is known here is newer.
                Ok(alert) if alert.posted.is_some() => {}
                Ok(alert) => self.machine.take(Arc::new(alert), now),
                Err(error) => warn!(event = %stored.event.id, %error, "not an alert"),
            }
        }
        for command in commands {
            transition = self.obey(context, command, transition, replies, now)?;
        }
        for _ in 0..limit {
            let Some((_, key)) = self.next_end().filter(|(at, _)| *at <= now) else { break };
            self.ends.pop();
            transition = self.end(context, key, transition, now)?;
        }
        self.machine.advance(now, limit);
        self.keep(context, transition, now)
    }

    fn obey(
        &mut self,
        context: &Context,
        command: Command,
        mut transition: Transition,
        replies: &mut Vec<Reply>,
        now: Timestamp,
    ) -> Result<Transition, StoreError> {
        match command {
            Command::Post(alerts, done) => {
                for incoming in alerts {
                    transition = self.receive(context, incoming, transition, now)?;
                }
                replies.push(Box::new(|committed| drop(done.send(committed.map_err(Error::from)))));
            }
            Command::SetSilence(draft, by, done) => {
                let set = self.machine.silences.draft(draft, now, || context.ids.uuid(now));
                let silence = match set {
                    Ok(set) => {
                        for silence in set.ended.into_iter().chain([set.silence.clone()]) {
                            let event = if silence.ends_at <= now { Silence::EXPIRED } else { Silence::SET };
                            transition = self.put_silence(context, silence, event, &by, transition)?;
                        }
                        Ok(set.silence)
                    }
                    Err(refusal) => Err(refusal),
                };
                replies.push(Box::new(|committed| {
                    drop(done.send(committed.map(|()| silence).map_err(Error::from)));
                }));
            }
            Command::ExpireSilence(id, by, done) => {
                let expired = self.machine.silences.expire(&id, now);
                let silence = match expired {
                    Ok(Some(silence)) => {
                        transition = self.put_silence(context, silence.clone(), Silence::EXPIRED, &by, transition)?;
                        Ok(silence)
                    }
                    Ok(None) => self.machine.silences.get(&id).cloned().ok_or(Refusal::NotFound),
                    Err(refusal) => Err(refusal),
                };
                replies.push(Box::new(|committed| {
                    drop(done.send(committed.map(|()| silence).map_err(Error::from)));
                }));
            }
            Command::Acknowledge { id, by, until, done } => {
                let acknowledged = self.acknowledge(context, &id, &by, until, now);
                let answer = match acknowledged {
                    Ok(part) => {
                        transition.absorb(part);
                        Ok(())
                    }
                    Err(Error::Store(failure)) => return Err(failure),
                    Err(error) => Err(error),
                };
                replies.push(Box::new(|committed| drop(done.send(committed.map_err(Error::from).and(answer)))));
            }
            Command::Resolve { id, by, done } => {
                let answer = match self.posted.get(&Key::of(&id)).cloned() {
                    None => Err(Error::not_found(format!("alert `{id}`"))),
                    Some(alert) if alert.state == AlertState::Resolved => Ok(()),
                    Some(alert) => {
                        let over = posted::over(&alert, &format!("resolved by {by}"), now);
                        transition = self.changed(context, Some(&alert), over, &by, transition, now)?;
                        Ok(())
                    }
                };
                replies.push(Box::new(|committed| drop(done.send(committed.map_err(Error::from).and(answer)))));
            }
        }
        Ok(transition)
    }

    fn put_silence(
        &mut self,
        context: &Context,
        silence: Silence,
        event: &str,
        by: &str,
        transition: Transition,
    ) -> Result<Transition, StoreError> {
        let value = to_value(&silence)?;
        let event = context.event(event, &silence.id).data(value.clone()).principal(by);
        let mut transition = transition.put(Silence::COLLECTION, &silence.id, Expected::Any, value).event(event);
        let now = context.now();
        self.machine.silences.put(silence);
        for id in self.machine.silences.forget(now) {
            transition = transition.delete(Silence::COLLECTION, &id, Expected::Any);
        }
        Ok(transition)
    }

    fn receive(
        &mut self,
        context: &Context,
        incoming: Incoming,
        transition: Transition,
        now: Timestamp,
    ) -> Result<Transition, StoreError> {
        let known = self.posted.get(&Key::of(&fingerprint(&incoming.labels))).cloned();
        match posted::receive(known.as_deref(), incoming, self.machine.spec.resolve_timeout, now) {
            Some(alert) => self.changed(context, known.as_deref(), alert, "host", transition, now),
            None => Ok(transition),
        }
    }

    /// A new state of an alert that was sent here.
    fn changed(
        &mut self,
        context: &Context,
        known: Option<&Alert>,
        alert: Alert,
        by: &str,
        mut transition: Transition,
        now: Timestamp,
    ) -> Result<Transition, StoreError> {
        let fired = known.is_some_and(|known| known.state == AlertState::Firing);
        let fires = alert.state == AlertState::Firing;
        let event = match (fired, fires) {
            (false, true) => Some(Alert::FIRING),
            (true, false) => Some(Alert::RESOLVED),
            (true, true) if known.is_some_and(|known| known.severity != alert.severity) => Some("alert.updated"),
            _ => None,
        };
        let value = to_value(&alert)?;
        if let Some(event) = event {
            transition.events.push(context.event(event, &alert.fingerprint).data(value.clone()).principal(by));
        }
        transition = transition.put(Alert::COLLECTION, &alert.fingerprint, Expected::Any, value);
        let (key, alert) = (Key::of(&alert.fingerprint), Arc::new(alert));
        if let Some(at) = moment(&alert) {
            self.ends.push(Reverse((at, key)));
        }
        self.posted.insert(key, alert.clone());
        self.machine.take(alert, now);
        Ok(transition)
    }

    /// The moment of an alert that was sent here has come.
    fn end(
        &mut self,
        context: &Context,
        key: Key,
        transition: Transition,
        now: Timestamp,
    ) -> Result<Transition, StoreError> {
        let Some(alert) = self.posted.get(&key).cloned() else { return Ok(transition) };
        if alert.state == AlertState::Resolved {
            self.posted.remove(&key);
            return Ok(transition.delete(Alert::COLLECTION, &alert.fingerprint, Expected::Any));
        }
        let by_timeout = alert.posted.as_ref().is_some_and(|posted| posted.by_timeout);
        let reason = if by_timeout { "nobody has sent it again" } else { "its end has come" };
        self.changed(context, Some(&alert), posted::over(&alert, reason, now), "host", transition, now)
    }

    fn acknowledge(
        &mut self,
        context: &Context,
        id: &str,
        by: &str,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Transition, Error> {
        let mut transition = Transition::new();
        let posted = self.posted.get(&Key::of(id)).cloned();
        if let Some(alert) = &posted {
            if alert.state == AlertState::Resolved {
                return Err(Error::conflict("the alert is resolved already"));
            }
            if alert.acknowledged_by.is_none() {
                let acknowledged = Alert { acknowledged_by: Some(by.to_owned()), ..Alert::clone(alert) };
                let event = context.event("alert.acknowledged", id).data(to_value(&acknowledged)?).principal(by);
                transition = self.changed(context, Some(alert), acknowledged, by, transition, now)?.event(event);
            }
        }
        let Some(member) = self.machine.member(id).filter(|member| member.fires()) else { return Ok(transition) };
        match until {
            Some(until) => {
                let kept = Acknowledgement { active_at: member.alert.active_at, until };
                transition = transition.put(Acknowledgement::COLLECTION, id, Expected::Any, to_value(&kept)?);
            }
            None if member.acknowledged_until.is_some() => {
                transition = transition.delete(Acknowledgement::COLLECTION, id, Expected::Any);
            }
            None => {}
        }
        self.machine.acknowledge(id, until);
        Ok(transition)
    }

    /// What has become of groups, as documents, notifications and effects.
    fn keep(
        &mut self,
        context: &Context,
        mut transition: Transition,
        now: Timestamp,
    ) -> Result<Transition, StoreError> {
        let changes: Changes = self.machine.take_changes();
        for tell in changes.tells.iter().map(|tell| refreshed(context, tell)) {
            let tell = &tell;
            let id = tell.group.map(|id| id.to_string()).unwrap_or_default();
            let message = message(tell, &id, &context.public_url, now);
            let receiver = self.machine.receiver(&tell.receiver).cloned().unwrap_or_default();
            let mut notifications = Vec::new();
            for instance in &receiver.notify {
                let route = format!("alerting/{}", tell.receiver);
                let order = format!("notify/{instance}/group/{id}");
                let (notification, part) = deliver(context, &route, instance, message.clone(), order, None)?;
                notifications.push(notification.id.0);
                transition.absorb(part);
            }
            for id in &tell.of {
                self.machine.notified(*id, &notifications);
            }
        }
        for id in &changes.groups {
            let Some(record) = self.machine.record(*id) else { continue };
            let (name, is_inside) = (id.to_string(), record.told.is_some());
            transition = transition.put(GROUPS, &name, Expected::Any, to_value(&record)?);
            let told = self.machine.group(*id).and_then(|group| group.told.as_deref()).map(ToldRecord::from);
            match told.filter(|_| !is_inside) {
                Some(told) if changes.told.contains(id) => {
                    self.machine.stands_apart(*id, true);
                    transition = transition.put(TOLD, &name, Expected::Any, to_value(&told)?);
                }
                Some(_) => {}
                None => {
                    if self.machine.stands_apart(*id, false) {
                        transition = transition.delete(TOLD, &name, Expected::Any);
                    }
                }
            }
        }
        for (id, apart) in changes.removed.iter().filter(|(id, _)| self.machine.group(**id).is_none()) {
            transition = transition.delete(GROUPS, &id.to_string(), Expected::Any);
            if *apart {
                transition = transition.delete(TOLD, &id.to_string(), Expected::Any);
            }
        }
        for id in &changes.ended {
            if let Some(member) = self.machine.member(id) {
                transition = transition.put(ENDED, id, Expected::Any, to_value(&*member.alert)?);
                self.machine.keeps_end(id);
            }
        }
        for id in &changes.forgotten {
            transition = transition.delete(ENDED, id, Expected::Any);
        }
        for id in &changes.unacknowledged {
            transition = transition.delete(Acknowledgement::COLLECTION, id, Expected::Any);
        }
        for name in &changes.windows {
            transition = match self.machine.open_since(name) {
                Some(since) => transition.put(OPEN, name, Expected::Any, to_value(&OpenWindow { since })?),
                None => transition.delete(OPEN, name, Expected::Any),
            };
        }
        Ok(transition)
    }

    pub(crate) fn is_posted(&self, id: &str) -> bool {
        self.posted.contains_key(&Key::of(id))
    }

    pub(crate) fn preview(&self, matchers: &[Matcher]) -> Preview {
        let firing: Vec<&Member> = self.machine.members().filter(|member| member.fires()).collect();
        let mut matched: Vec<&Member> =
            firing.iter().filter(|member| all_match(matchers, &member.alert.labels)).copied().collect();
        matched.sort_by(|a, b| a.alert.fingerprint.cmp(&b.alert.fingerprint));
        Preview {
            firing: firing.len(),
            matched: matched.len(),
            warnings: warnings(matchers, matched.len(), firing.len()),
            alerts: matched.iter().take(PREVIEWED).map(|member| Matched::of(&member.alert)).collect(),
        }
    }

    pub(crate) fn shown(&self, member: &Member, now: Timestamp) -> Shown {
        let labels = &member.alert.labels;
        let tree = self.machine.tree.as_ref();
        let indices = tree.map(|tree| tree.matching(labels)).unwrap_or_default();
        let routes = indices.iter().filter_map(|index| tree?.route(*index));
        let mut receivers: Vec<String> = routes.map(|route| route.receiver.clone()).collect();
        receivers.dedup();
        let mut shown = Shown {
            alert: member.alert.clone(),
            receivers,
            silenced_by: self.machine.silences.silencing(labels, now).iter().map(|s| s.id.clone()).collect(),
            inhibited_by: Vec::new(),
        };
        if let Some(Inhibited { by, .. }) = self.machine.inhibitor.inhibited(labels) {
            shown.inhibited_by.extend(self.machine.member_of(by).map(|by| fingerprint(&by.alert.labels)));
        }
        if let Some(name) = self.machine.maintained(labels) {
            shown.silenced_by.push(format!("maintenance/{name}"));
        }
        shown
    }

    pub(crate) fn alerts(&self, now: Timestamp) -> Vec<Shown> {
        let firing = self.machine.members().filter(|member| member.fires());
        let mut shown: Vec<Shown> = firing.map(|member| self.shown(member, now)).collect();
        shown.sort_by_cached_key(|shown| fingerprint(&shown.alert.labels));
        shown
    }

    pub(crate) fn groups(&self, now: Timestamp) -> Vec<ShownGroup> {
        let shown = self.machine.groups().filter_map(|(id, group)| {
            let route = self.machine.tree.as_ref()?.route(group.route)?;
            let members = group.members.iter().filter_map(|key| self.machine.member_of(*key));
            let mut alerts: Vec<Shown> =
                members.filter(|member| member.fires()).map(|member| self.shown(member, now)).collect();
            alerts.sort_by_cached_key(|shown| (starts_at(&shown.alert), fingerprint(&shown.alert.labels)));
            let labels = self.machine.labels(group);
            Some(ShownGroup {
                id: id.to_string(),
                key: route.group_key(&labels),
                labels,
                receiver: route.receiver.clone(),
                since: group.since,
                next: group.next,
                told_at: group.told.as_ref().map(|told| told.at),
                alerts,
            })
        });
        let mut groups: Vec<ShownGroup> = shown.collect();
        groups.sort_by(|a, b| (&a.labels, &a.receiver, &a.id).cmp(&(&b.labels, &b.receiver, &b.id)));
        groups
    }

    pub(crate) fn maintenance(&self, now: Timestamp) -> Vec<WindowStatus> {
        let status = |(name, spec): (&String, &MaintenanceSpec)| {
            let open = self.machine.windows.get(name).and_then(|window| window.open(&self.machine.intervals, now));
            WindowStatus {
                name: name.clone(),
                active: open.is_some(),
                since: open.and_then(|open| open.since.or_else(|| self.machine.open_since(name))),
                until: open.and_then(|open| open.until),
                matched: self
                    .machine
                    .members()
                    .filter(|member| member.fires() && all_match(&spec.matchers, &member.alert.labels))
                    .count(),
                spec: spec.clone(),
            }
        };
        self.machine.spec.maintenance.iter().map(status).collect()
    }

    pub(crate) fn explain(&self, id: &str, now: Timestamp) -> Option<Explanation> {
        explain::explain(&self.machine, id, now)
    }
}

/// Alerts of a message whose documents are read anew.
const REFRESHED: usize = 100;

/// A rule's alert is news when it begins and ends; how it has gone on since - its value, its annotations - stands in its document.
fn refreshed(context: &Context, tell: &Tell) -> Tell {
    let mut tell = tell.clone();
    let own = tell.alerts.iter_mut().filter(|alert| alert.posted.is_none() && alert.state == AlertState::Firing);
    for alert in own.take(REFRESHED) {
        let found = context.read::<Alert>(Alert::COLLECTION, &alert.fingerprint).ok().flatten();
        let newer = |found: &Alert| found.state == alert.state && found.last_evaluated > alert.last_evaluated;
        if let Some(found) = found.filter(newer) {
            *alert = Arc::new(found);
        }
    }
    tell
}

/// Alerts of a preview that are named.
const PREVIEWED: usize = 100;

/// What a silence would match.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "SilencePreview")]
pub struct Preview {
    /// How many alerts fire now.
    pub firing: usize,
    /// How many of them it would match.
    pub matched: usize,
    /// Why it may be too much.
    pub warnings: Vec<String>,
    /// The first hundred that it would match.
    pub alerts: Vec<Matched>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "MatchedAlert")]
pub struct Matched {
    pub fingerprint: String,
    pub labels: Labels,
    pub summary: String,
    pub since: Timestamp,
}

impl Matched {
    fn of(alert: &Alert) -> Self {
        Matched {
            fingerprint: alert.fingerprint.clone(),
            labels: alert.labels.clone(),
            summary: alert.summary.clone(),
            since: starts_at(alert),
        }
    }
}

/// An alert with what becomes of it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub alert: Arc<Alert>,
    pub receivers: Vec<String>,
    /// Ids of silences, and `maintenance/<name>`.
    pub silenced_by: Vec<String>,
    /// Fingerprints as Alertmanager computes them.
    pub inhibited_by: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct ShownGroup {
    pub id: String,
    pub key: String,
    pub labels: Labels,
    pub receiver: String,
    pub since: Timestamp,
    pub next: Timestamp,
    pub told_at: Option<Timestamp>,
    pub alerts: Vec<Shown>,
}

/// Planned work, and whether it goes on.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "MaintenanceWindow")]
pub struct WindowStatus {
    pub name: String,
    pub active: bool,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Alerts that fire and that it is about.
    pub matched: usize,
    pub spec: MaintenanceSpec,
}

/// In words, for people.
pub(crate) fn in_words(machine: &Machine, muted: &Muted) -> String {
    match muted {
        Muted::Silenced(ids) => format!("silenced by {}", ids.join(", ")),
        Muted::Inhibited(Inhibited { by, rule }) => {
            let by = machine.member_of(*by).map(|by| format!("{} {}", by.alert.rule, by.alert.labels));
            format!("inhibited by {} (inhibit rule {})", by.unwrap_or_default(), rule + 1)
        }
        Muted::Maintenance(name) => format!("under planned work `{name}`"),
    }
}
