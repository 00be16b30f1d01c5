//! Why somebody was told of an alert, or was not: step by step, with times. Pure but for [`complete`], which adds how deliveries went.
//! `words` says it for people.

mod words;

use super::groups::{Group, Machine, Member, Reason, in_words, starts_at};
use super::key::Key;
use super::past::{Left, Over, Past};
use super::route::{Route, Verdict};
use crate::{Context, Error};
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::notification::Notification;
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::Page;
use schemars::JsonSchema;
use serde::Serialize;

/// Notifications among which those that `[routes]` made are looked for.
const LOOKED_AT: usize = 1000;

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Explanation {
    pub fingerprint: String,
    pub labels: Labels,
    pub state: AlertState,
    pub since: Timestamp,
    /// The answer in one sentence.
    pub summary: String,
    /// What keeps it from being told now, in words.
    pub muted: Vec<String>,
    /// Whether a silence matches it now: `[routes]` heed those, and nothing else of `[alerting]`.
    #[serde(skip)]
    is_silenced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// It may be told again from then on; absent: not before it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_until: Option<Timestamp>,
    /// Each route of the tree, and what became of the alert there; of one that does not fire: what would.
    pub routes: Vec<RouteStep>,
    /// The groups that it is in.
    pub groups: Vec<GroupStep>,
    /// What became of it each time that it was over, the newest first. Kept for a week, and of so many alerts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<PastStep>,
    /// The newest messages that `[routes]` has made of its events.
    pub by_routes: Vec<Notification>,
    /// The same for people, one step a line.
    pub steps: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ExplainedRoute")]
pub struct RouteStep {
    /// The matchers from the root to this route.
    pub route: String,
    pub receiver: String,
    pub taken: bool,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ExplainedGroup")]
pub struct GroupStep {
    pub group: String,
    pub receiver: String,
    pub labels: Labels,
    pub alerts: usize,
    pub since: Timestamp,
    /// When it is looked at next.
    pub next: Timestamp,
    /// What will be done then, as things stand.
    pub then: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_because: Option<Reason>,
    /// Whether this alert was told as firing then.
    pub told_firing: bool,
    pub told_resolved: bool,
    /// The messages of that time, with how their delivery went.
    pub notifications: Vec<Notification>,
    /// Instances whose delivery was given up on: they are told again at the next look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_delivered: Vec<InstanceName>,
    /// Why there is no message although something was to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put_aside: Option<String>,
    #[serde(skip)]
    ids: Vec<String>,
}

/// How it left a group when it was over.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ExplainedEnd")]
pub struct PastStep {
    pub group: String,
    pub receiver: String,
    pub since: Timestamp,
    /// When it was over.
    pub until: Timestamp,
    /// When the group was looked at.
    pub at: Timestamp,
    /// Whether it was told as firing before.
    pub told_firing: bool,
    /// When the group was last told of before, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_because: Option<Reason>,
    /// Whether its end was told, or why not.
    pub end: String,
    /// Why there is no message although something was to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub put_aside: Option<String>,
    /// The messages before, and those of that look, with how their delivery went.
    pub notifications: Vec<Notification>,
    #[serde(skip)]
    ids: Vec<String>,
}

/// What the machine knows of it; `None` where it is in no group.
pub(crate) fn explain(machine: &Machine, past: &Past, id: &str, now: Timestamp) -> Option<Explanation> {
    let member = machine.member(id)?;
    let labels = &member.alert.labels;
    let muted = machine.muted(labels, now);
    let groups = member.groups.iter().filter_map(|group| {
        let group = machine.group(*group)?;
        Some(step(machine, machine.tree.as_ref()?.route(group.route)?, group, member, id, now))
    });
    Some(Explanation {
        muted: muted.iter().map(|muted| in_words(machine, muted)).collect(),
        is_silenced: !machine.silences.silencing(labels, now).is_empty(),
        acknowledged_by: member.alert.acknowledged_by.clone(),
        acknowledged_until: member.acknowledged_until.filter(|_| member.alert.acknowledged_by.is_some()),
        routes: routes(machine, labels),
        groups: groups.collect(),
        past: ends(past, id),
        ..bare(&member.alert)
    })
}

/// Of an alert that is in no group, with the routes that it would take.
pub(crate) fn explain_alert(machine: &Machine, past: &Past, alert: &Alert, now: Timestamp) -> Explanation {
    let muted = machine.muted(&alert.labels, now).filter(|_| alert.state != AlertState::Resolved);
    Explanation {
        muted: muted.iter().map(|muted| in_words(machine, muted)).collect(),
        is_silenced: !machine.silences.silencing(&alert.labels, now).is_empty(),
        routes: routes(machine, &alert.labels),
        past: ends(past, &alert.fingerprint),
        ..bare(alert)
    }
}

/// Of an alert that is not even a document any more.
pub(crate) fn explain_past(past: &Past, id: &str) -> Option<Explanation> {
    let (_, over) = past.of(id).into_iter().next()?;
    Some(Explanation {
        fingerprint: id.to_owned(),
        labels: over.labels.clone(),
        state: AlertState::Resolved,
        since: over.since,
        summary: String::new(),
        muted: Vec::new(),
        is_silenced: false,
        acknowledged_by: None,
        acknowledged_until: None,
        routes: Vec::new(),
        groups: Vec::new(),
        past: ends(past, id),
        by_routes: Vec::new(),
        steps: Vec::new(),
    })
}

fn ends(past: &Past, id: &str) -> Vec<PastStep> {
    let step = |(left, over): (&Left, &Over)| {
        let before = left.before.as_ref();
        let ids = before.iter().flat_map(|before| &before.notifications).chain(left.messages());
        PastStep {
            group: left.group.clone(),
            receiver: left.receiver.clone(),
            since: over.since,
            until: over.until,
            at: left.at,
            told_firing: over.told_firing,
            told_at: before.map(|before| before.at),
            told_because: before.map(|before| before.reason),
            end: over.end.clone(),
            put_aside: left.put_aside.clone(),
            notifications: Vec::new(),
            ids: ids.cloned().collect(),
        }
    };
    past.of(id).into_iter().map(step).collect()
}

fn bare(alert: &Alert) -> Explanation {
    Explanation {
        fingerprint: alert.fingerprint.clone(),
        labels: alert.labels.clone(),
        state: alert.state,
        since: if alert.state == AlertState::Pending { alert.active_at } else { starts_at(alert) },
        summary: String::new(),
        muted: Vec::new(),
        is_silenced: false,
        acknowledged_by: alert.acknowledged_by.clone(),
        acknowledged_until: None,
        routes: Vec::new(),
        groups: Vec::new(),
        past: Vec::new(),
        by_routes: Vec::new(),
        steps: Vec::new(),
    }
}

fn routes(machine: &Machine, labels: &Labels) -> Vec<RouteStep> {
    let Some(tree) = &machine.tree else { return Vec::new() };
    let why = |verdict: &Verdict| match verdict {
        Verdict::Taken => "it matches, and no route below it does".to_owned(),
        Verdict::Passed => "it matches, and so does a route below it".to_owned(),
        Verdict::Refused(matcher) => {
            let value = labels.get(matcher.name()).unwrap_or_default();
            format!("`{matcher}` does not match: {} is {value:?}", matcher.name())
        }
        Verdict::NotReached => "a route before it was taken, or the one above it does not match".to_owned(),
    };
    let steps = tree.routes().iter().zip(tree.trace(labels));
    steps
        .map(|(route, verdict)| RouteStep {
            route: route.key.clone(),
            receiver: route.receiver.clone(),
            taken: verdict == Verdict::Taken,
            why: why(&verdict),
        })
        .collect()
}

fn step(machine: &Machine, route: &Route, group: &Group, member: &Member, id: &str, now: Timestamp) -> GroupStep {
    let key = Key::of(id);
    let told = group.told.as_deref();
    let labels = machine.labels(group);
    GroupStep {
        group: route.group_key(&labels),
        receiver: route.receiver.clone(),
        labels,
        alerts: group.members.len(),
        since: group.since,
        next: group.next,
        then: then(machine, route, group, member, key, now),
        told_at: told.map(|told| told.at),
        told_because: told.map(|told| told.reason),
        told_firing: told.is_some_and(|told| told.firing.contains(&key)),
        told_resolved: told.is_some_and(|told| told.resolved.contains(&key)),
        notifications: Vec::new(),
        not_delivered: told.map(|told| told.failed.iter().cloned().collect()).unwrap_or_default(),
        put_aside: told.and_then(|told| told.put_aside.clone()),
        ids: told.map(|told| told.notifications().cloned().collect()).unwrap_or_default(),
    }
}

/// What will be done when the group is looked at, if nothing changes until then.
fn then(machine: &Machine, route: &Route, group: &Group, member: &Member, key: Key, now: Timestamp) -> String {
    let at = group.next.max(now);
    if let Some(why) = machine.route_muted(route, at) {
        return format!("nothing: the route is {why}");
    }
    if let Some(muted) = machine.muted(&member.alert.labels, at) {
        return format!("not told: {}", in_words(machine, &muted));
    }
    let told = group.told.as_deref();
    let was_told = told.is_some_and(|told| told.firing.contains(&key));
    let receiver = machine.receiver(&route.receiver);
    if receiver.is_none_or(|receiver| receiver.notify.is_empty()) {
        return format!("nothing: the receiver `{}` has nobody to tell", route.receiver);
    }
    if !member.fires() {
        return match (was_told, receiver.is_some_and(|receiver| receiver.send_resolved)) {
            (true, true) => "told that it is over".to_owned(),
            (true, false) => "not told that it is over: the receiver does not want to know".to_owned(),
            (false, _) => "that it is over is told with its group, if that is told".to_owned(),
        };
    }
    if !was_told {
        return "told as firing".to_owned();
    }
    if let Some(told) = told.filter(|told| !told.failed.is_empty()) {
        let failed: Vec<String> = told.failed.iter().map(|instance| format!("`{instance}`")).collect();
        return format!("told again to {}: its delivery was given up on", failed.join(", "));
    }
    if member.is_acknowledged(at) {
        return "not told again by itself: it was acknowledged".to_owned();
    }
    let repeat = told.map_or(at, |told| told.at.plus(route.repeat_interval));
    if repeat < at {
        "told again: the repeat interval is over".to_owned()
    } else {
        format!("nothing unless its group changes; told again at the first look after {repeat}")
    }
}

/// Adds how deliveries went, and the words.
pub(crate) fn complete(context: &Context, mut explanation: Explanation) -> Result<Explanation, Error> {
    for group in &mut explanation.groups {
        group.notifications = notifications(context, &group.ids)?;
    }
    for end in &mut explanation.past {
        end.notifications = notifications(context, &end.ids)?;
    }
    let newest: Vec<Notification> = context.read_all(Notification::COLLECTION, &Page::newest(LOOKED_AT))?;
    let own = newest.into_iter().filter(|told| told.subject == explanation.fingerprint);
    explanation.by_routes = own.take(20).collect();
    explanation.summary = words::summary(&explanation);
    explanation.steps = words::steps(&explanation);
    Ok(explanation)
}

/// Those that are kept still.
fn notifications(context: &Context, ids: &[String]) -> Result<Vec<Notification>, Error> {
    let mut found = Vec::new();
    for id in ids {
        if let Some(notification) = context.read::<Notification>(Notification::COLLECTION, id)? {
            found.push(crate::notifications::under_way(&*context.store, notification)?);
        }
    }
    Ok(found)
}
