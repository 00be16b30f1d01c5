//! Another recipient, where one can't be told: when a delivery is given up on, or as soon as it has been failing for long enough.

use super::delivery::{Delivery, PURPOSE, sent_at};
use super::held::spec;
use crate::alerting::message;
use crate::{Context, to_value};
use quarterdeck_model::Severity;
use quarterdeck_model::domain::delivery::DeliverySpec;
use quarterdeck_model::domain::notification::{DeliveryState, Notification};
use quarterdeck_model::effect::{Action, DEAD_LETTERS, Effect, OUTBOX, Pending};
use quarterdeck_model::event::Event;
use quarterdeck_model::kind::notifier::Message;
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::{Expected, Transition};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;

/// Who is told instead. Nobody twice: a circle ends where it closes.
pub(super) fn next(notification: &Notification, spec: &DeliverySpec) -> Option<InstanceName> {
    let other = spec.fallback.as_ref()?;
    let is_fresh =
        notification.fallback.is_none() && *other != notification.instance && !notification.tried.contains(other);
    is_fresh.then(|| other.clone())
}

/// A delivery that was given up on, and has a fallback: everything that is to be written about it.
pub(super) fn given_up(
    context: &Context,
    notification: &Notification,
    revision: u64,
    cause: &Event,
) -> Result<Option<Transition>, StoreError> {
    let spec = spec(context, &notification.instance).unwrap_or_default();
    let Some(other) = next(notification, &spec) else { return Ok(None) };
    let letter = context.store.get(DEAD_LETTERS, notification.id.as_str())?;
    let kept = letter.and_then(|letter| Effect::deserialize(letter.value.get("effect")?).ok());
    let message = match kept.map(|effect| effect.action) {
        Some(Action::Notify { message }) => message,
        // It is not there any more, or was not kept as a message: at least that there was something.
        _ => in_short(context, notification),
    };
    instead(context, notification.clone(), revision, &other, message, Some(cause)).map(Some)
}

/// The message goes to another recipient at once, whatever that one's hours and rates are: it is late already.
fn instead(
    context: &Context,
    mut notification: Notification,
    revision: u64,
    other: &InstanceName,
    message: Message,
    cause: Option<&Event>,
) -> Result<Transition, StoreError> {
    let order = format!("notify/{other}/{}", notification.subject);
    let mut delivery = Delivery::new(context, &notification.route, other, message, order).caused_by(cause);
    delivery.tried.clone_from(&notification.tried);
    delivery.tried.push(notification.instance.clone());
    notification.state = DeliveryState::FallenBack;
    notification.finished_at.get_or_insert(context.now());
    notification.reason = Some(format!("`{other}` is told instead"));
    notification.fallback = Some(delivery.id.clone());
    let value = to_value(&notification)?;
    let mut word = context.event(Notification::FALLEN_BACK, notification.id.as_str()).data(value.clone());
    if let Some(cause) = cause {
        word = word.plugin(cause.plugin.clone()).caused_by(cause);
    }
    let (_, mut transition) = delivery.sent(context)?;
    transition = transition
        .put(Notification::COLLECTION, notification.id.as_str(), Expected::Revision(revision), value)
        .event(word);
    Ok(transition)
}

fn in_short(context: &Context, notification: &Notification) -> Message {
    // What reads groups takes it for one that fires if it does not say otherwise.
    let status = match notification.event_type.as_str() {
        message::FIRING => json!({"version": "4", "status": "firing", "groupKey": notification.subject, "alerts": []}),
        message::RESOLVED => {
            json!({"version": "4", "status": "resolved", "groupKey": notification.subject, "alerts": []})
        }
        _ => json!({}),
    };
    Message {
        event_type: notification.event_type.clone(),
        subject: notification.subject.clone(),
        title: notification.title.clone(),
        body: format!("`{}` could not be told, and the message itself was not kept.", notification.instance),
        severity: Severity::High,
        labels: Labels::default(),
        at: notification.created_at,
        url: format!("{}/api/v1/notifications", context.public_url),
        data: status,
    }
}

/// Takes back deliveries that have been failing for too long, and tells others.
pub(super) async fn late(context: &Context) -> Result<(), StoreError> {
    let impatient: HashMap<InstanceName, DeliverySpec> = context
        .registry
        .instances()
        .into_iter()
        .filter_map(|instance| Some((instance.name, instance.spec.delivery.clone()?)))
        .filter(|(_, spec)| spec.fallback.is_some() && spec.fallback_after.is_some())
        .collect();
    if impatient.is_empty() {
        return Ok(());
    }
    context.lately.compare_outbox(&*context.store, |instance| impatient.contains_key(instance))?;
    let now = context.now();
    let patience = |instance: &InstanceName| impatient.get(instance).and_then(|spec| spec.fallback_after);
    let late =
        context.lately.on_their_way(|one| patience(&one.instance).is_some_and(|span| now.since(one.since) >= span));
    for id in late {
        let Some(document) = context.store.get(OUTBOX, id.as_str())? else {
            context.lately.lost(&id);
            continue;
        };
        let pending: Pending = document.decode()?;
        let effect = &pending.effect;
        let Some(spec) = impatient.get(&effect.instance).filter(|_| effect.purpose == PURPOSE) else { continue };
        let waited = now.since(sent_at(effect));
        if pending.last_error.is_none() || spec.fallback_after.is_none_or(|patience| waited < patience) {
            continue;
        }
        let Some(shown) = context.store.get(Notification::COLLECTION, effect.id.as_str())? else { continue };
        let mut notification: Notification = shown.decode()?;
        let Some(other) = next(&notification, spec) else { continue };
        let Action::Notify { message } = effect.action.clone() else { continue };
        (notification.attempts, notification.error) = (pending.attempts, pending.last_error.clone());
        let mut transition = instead(context, notification, shown.revision, &other, message, None)?;
        transition = transition.delete(OUTBOX, effect.id.as_str(), Expected::Revision(document.revision));
        match context.commit(transition).await {
            Ok(_) => {
                context.lately.arrived(&effect.id);
                context.outlet.withdraw(effect.id.clone());
            }
            // An attempt has just ended: what came of it is seen at the next look.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
