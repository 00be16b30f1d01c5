//! Why somebody was told of an alert, or was not: step by step, with times. Pure but for [`complete`], which adds how deliveries went.

use super::groups::{Group, Machine, Member, Reason, starts_at};
use super::key::Key;
use super::route::{Route, Verdict};
use super::state::in_words;
use crate::{Context, Error};
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::notification::{DeliveryState, Notification};
use quarterdeck_model::label::Labels;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// It may be told again from then on; absent: not before it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged_until: Option<Timestamp>,
    /// Each route of the tree, and what became of the alert there.
    pub routes: Vec<RouteStep>,
    /// The groups that it is in.
    pub groups: Vec<GroupStep>,
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
    #[serde(skip)]
    ids: Vec<String>,
}

/// What the machine knows of it; `None` where there is no such alert, or it is over and told.
pub(crate) fn explain(machine: &Machine, id: &str, now: Timestamp) -> Option<Explanation> {
    let member = machine.member(id)?;
    let labels = &member.alert.labels;
    let muted = machine.muted(labels, now);
    let groups = member.groups.iter().filter_map(|group| {
        let group = machine.group(*group)?;
        Some(step(machine, machine.tree.as_ref()?.route(group.route)?, group, member, id, now))
    });
    Some(Explanation {
        muted: muted.iter().map(|muted| in_words(machine, muted)).collect(),
        acknowledged_by: member.alert.acknowledged_by.clone(),
        acknowledged_until: member.acknowledged_until.filter(|_| member.alert.acknowledged_by.is_some()),
        routes: routes(machine, labels),
        groups: groups.collect(),
        ..bare(&member.alert)
    })
}

fn bare(alert: &Alert) -> Explanation {
    Explanation {
        fingerprint: alert.fingerprint.clone(),
        labels: alert.labels.clone(),
        state: alert.state,
        since: if alert.state == AlertState::Pending { alert.active_at } else { starts_at(alert) },
        summary: String::new(),
        muted: Vec::new(),
        acknowledged_by: alert.acknowledged_by.clone(),
        acknowledged_until: None,
        routes: Vec::new(),
        groups: Vec::new(),
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
        ids: told.map(|told| told.notifications.clone()).unwrap_or_default(),
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

/// Adds how deliveries went, and an alert that the machine does not hold.
pub(crate) fn complete(context: &Context, id: &str, told: Option<Explanation>) -> Result<Option<Explanation>, Error> {
    let mut explanation = match told {
        Some(told) => told,
        None => match context.read::<Alert>(Alert::COLLECTION, id)? {
            Some(alert) => bare(&alert),
            None => return Ok(None),
        },
    };
    for group in &mut explanation.groups {
        for id in &group.ids {
            if let Some(notification) = context.read::<Notification>(Notification::COLLECTION, id)? {
                group.notifications.push(crate::notifications::under_way(&*context.store, notification)?);
            }
        }
    }
    let newest: Vec<Notification> = context.read_all(Notification::COLLECTION, &Page::newest(LOOKED_AT))?;
    let own = newest.into_iter().filter(|told| told.subject == explanation.fingerprint);
    explanation.by_routes = own.take(20).collect();
    explanation.summary = summary(&explanation);
    explanation.steps = steps(&explanation);
    Ok(Some(explanation))
}

fn summary(explanation: &Explanation) -> String {
    let told = explanation.groups.iter().filter(|group| group.told_firing && !group.notifications.is_empty());
    let receivers: Vec<&str> = told.map(|group| group.receiver.as_str()).collect();
    let routed: Vec<&str> = explanation.by_routes.iter().map(|told| told.instance.as_str()).collect();
    match (explanation.state, receivers.is_empty()) {
        (_, false) => format!("told to {}", receivers.join(", ")),
        (AlertState::Pending, true) => "not told: it does not fire yet".to_owned(),
        (AlertState::Resolved, true) if explanation.groups.is_empty() && routed.is_empty() => {
            "it is over, and nothing about it waits to be told".to_owned()
        }
        (_, true) if !explanation.muted.is_empty() => format!("not told: {}", explanation.muted.join("; ")),
        (_, true) => match explanation.groups.iter().min_by_key(|group| group.next) {
            Some(group) => format!("not told yet: its group is looked at at {}", group.next),
            None if !routed.is_empty() => format!("told by `[routes]` to {}", routed.join(", ")),
            None if explanation.routes.is_empty() => {
                "not told here: there is no `alerting.route`, and none of `[routes]` took it".to_owned()
            }
            None => "not told: it is in no group".to_owned(),
        },
    }
}

fn because(reason: Reason) -> &'static str {
    match reason {
        Reason::NewAlerts => "an alert was new",
        Reason::AllResolved => "all were resolved",
        Reason::Resolved => "some were resolved",
        Reason::Repeat => "the repeat interval was over",
        Reason::Maintenance => "planned work was over",
    }
}

fn steps(explanation: &Explanation) -> Vec<String> {
    let state = match explanation.state {
        AlertState::Pending => "pending",
        AlertState::Firing => "firing",
        AlertState::Resolved => "resolved",
    };
    let mut steps = vec![format!("the alert {} is {state} since {}", explanation.labels, explanation.since)];
    for route in &explanation.routes {
        let taken = if route.taken { "taken" } else { "not taken" };
        steps.push(format!("route {} (receiver {}): {taken}: {}", route.route, route.receiver, route.why));
    }
    for group in &explanation.groups {
        steps.push(format!("group {} of {} alerts since {}", group.group, group.alerts, group.since));
        if let (Some(at), Some(reason)) = (group.told_at, group.told_because) {
            let what = match (group.told_firing, group.told_resolved) {
                (true, _) => "this alert as firing",
                (_, true) => "this alert as resolved",
                _ => "others, and not this alert",
            };
            steps.push(format!("last told to {} at {at}, since {}: {what}", group.receiver, because(reason)));
        }
        for notification in &group.notifications {
            let state = match notification.state {
                DeliveryState::Pending => "on its way",
                DeliveryState::Delivered => "delivered",
                DeliveryState::Failed => "failed",
                DeliveryState::Held => "held back",
                DeliveryState::Digested => "told with others",
                DeliveryState::FallenBack => "told to another",
            };
            let reason = notification.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let error = notification.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            let attempts = match notification.attempts {
                1 => "1 attempt".to_owned(),
                attempts => format!("{attempts} attempts"),
            };
            let (id, instance) = (&notification.id, &notification.instance);
            steps.push(format!("{id} to {instance}: {state}{reason} after {attempts}{error}"));
        }
        steps.push(format!("next look at {}: {}", group.next, group.then));
    }
    steps.extend(explanation.muted.iter().map(|muted| format!("now {muted}")));
    if let Some(by) = &explanation.acknowledged_by {
        let until = explanation.acknowledged_until.map(|until| format!(" until {until}")).unwrap_or_default();
        steps.push(format!("acknowledged by {by}{until}: not told again"));
    }
    for told in &explanation.by_routes {
        steps.push(format!("`[routes]` {}: {} to {}", told.route, told.event_type, told.instance));
    }
    steps
}
