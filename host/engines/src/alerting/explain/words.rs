//! An explanation for people.

use super::{Explanation, GroupStep, PastStep, Reason};
use quarterdeck_model::domain::alert::AlertState;
use quarterdeck_model::domain::notification::{DeliveryState, Notification};
use quarterdeck_model::plugin::InstanceName;

pub(super) fn summary(explanation: &Explanation) -> String {
    let went = |told: &Notification| !matches!(told.state, DeliveryState::Failed | DeliveryState::FallenBack);
    let is_told = |group: &&GroupStep| group.told_firing && group.notifications.iter().any(went);
    let told = explanation.groups.iter().filter(is_told);
    let receivers: Vec<&str> = told.map(|group| group.receiver.as_str()).collect();
    let mut routed: Vec<&str> = Vec::new();
    for told in explanation.by_routes.iter().rev() {
        if !routed.contains(&told.instance.as_str()) {
            routed.push(told.instance.as_str());
        }
    }
    match (explanation.state, receivers.is_empty()) {
        (_, false) => format!("told to {}", receivers.join(", ")),
        (AlertState::Pending, true) => {
            let would: Vec<&str> = explanation.routes.iter().filter(|r| r.taken).map(|r| r.receiver.as_str()).collect();
            let would =
                if would.is_empty() { String::new() } else { format!("; once it does, {} is told", would.join(", ")) };
            format!("not told: it does not fire yet{would}")
        }
        (AlertState::Resolved, true) if explanation.groups.is_empty() && !explanation.past.is_empty() => {
            let last = explanation.past.first().map(|end| end.until);
            let ends = explanation.past.iter().filter(|end| Some(end.until) == last).map(over);
            format!("it is over; {}", ends.collect::<Vec<_>>().join("; "))
        }
        (AlertState::Resolved, true) if explanation.groups.is_empty() && routed.is_empty() => {
            "it is over, and nothing about it waits to be told".to_owned()
        }
        (_, true) if !explanation.muted.is_empty() => {
            let muted = explanation.muted.join("; ");
            match (routed.is_empty(), explanation.is_silenced, explanation.routes.is_empty()) {
                (true, _, _) => format!("not told: {muted}"),
                (false, true, _) => format!("told by `[routes]` to {}; not told any more: {muted}", routed.join(", ")),
                // Inhibition and planned work are of `[alerting]` alone.
                (false, false, true) => format!("told by `[routes]` to {}", routed.join(", ")),
                (false, false, false) => {
                    format!("told by `[routes]` to {}; not told by `[alerting]`: {muted}", routed.join(", "))
                }
            }
        }
        (_, true) => match explanation.groups.iter().min_by_key(|group| group.next) {
            Some(GroupStep { put_aside: Some(reason), .. }) => {
                format!("not told: its message could not be kept ({reason}); it lies among the dead letters")
            }
            Some(group) if group.told_firing && !group.not_delivered.is_empty() => format!(
                "not told: the delivery to {} was given up on; its group is looked at again at {}",
                named(&group.not_delivered),
                group.next
            ),
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
        Reason::Undelivered => "it could not be delivered before",
    }
}

pub(super) fn steps(explanation: &Explanation) -> Vec<String> {
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
        if let Some(reason) = &group.put_aside {
            steps.push(format!("no message of it could be kept, it lies among the dead letters: {reason}"));
        }
        steps.extend(group.notifications.iter().map(delivery));
        steps.push(format!("next look at {}: {}", group.next, group.then));
    }
    for end in &explanation.past {
        steps.push(format!("it fired from {} to {}, in the group {}", end.since, end.until, end.group));
        let told = end.told_at.zip(end.told_because).filter(|_| end.told_firing);
        if let Some((at, reason)) = told {
            steps.push(format!("told to {} as firing at {at} at the latest, since {}", end.receiver, because(reason)));
        }
        steps.push(format!("at {}: {}", end.at, over(end)));
        if let Some(reason) = &end.put_aside {
            steps.push(format!("no message of it could be kept, it lies among the dead letters: {reason}"));
        }
        steps.extend(end.notifications.iter().map(delivery));
    }
    steps.extend(explanation.muted.iter().map(|muted| format!("now {muted}")));
    if let Some(by) = &explanation.acknowledged_by {
        let until = explanation.acknowledged_until.map(|until| format!(" until {until}")).unwrap_or_default();
        steps.push(format!("acknowledged by {by}{until}: not told again"));
    }
    for told in &explanation.by_routes {
        steps.push(format!(
            "`[routes]` {}: {} to {} at {}",
            told.route, told.event_type, told.instance, told.created_at
        ));
    }
    if explanation.is_silenced {
        steps.push(
            "`[routes]` tell nothing of it while a silence matches it, nor afterwards what was held back".to_owned(),
        );
    }
    steps
}

/// How a message went.
fn delivery(notification: &Notification) -> String {
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
    format!("{id} to {instance}: {state}{reason} after {attempts}{error}")
}

fn over(end: &PastStep) -> String {
    format!("{}: {}", end.receiver, end.end)
}

fn named(instances: &[InstanceName]) -> String {
    instances.iter().map(|instance| format!("`{instance}`")).collect::<Vec<_>>().join(", ")
}
