//! What is held back, and told when the policy of its recipient lets it: alone as it was, several of them as one digest. To recipients that
//! open and close something of their own, one after the other: a digest would be one more thing that is opened, and close none.
//!
//! A message that waits is a document, written in the same record as the decision to hold it. Which there are, and what was sent lately, is
//! in memory as well (`ledger`): it is read from the documents at the start.

use super::delivery::{Delivery, HELD};
use super::ledger::{Held, REMEMBERED};
use super::policy::{self, Hold, Reason};
use crate::shorten::shortened;
use crate::{Context, to_value};
use quarterdeck_model::Severity;
use quarterdeck_model::domain::delivery::DeliverySpec;
use quarterdeck_model::domain::notification::{DeliveryState, Notification};
use quarterdeck_model::id::EffectId;
use quarterdeck_model::kind::notifier::Message;
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Messages of one digest. What is over is told by the next one.
const IN_A_DIGEST: usize = 200;
/// Bytes of a digest in JSON.
const DIGEST_BYTES: usize = 512 << 10;
/// Notifications that are looked at when the host starts, at most.
const LOOKED_AT: usize = 20_000;
/// Plugins whose recipients tell things apart by a key, and take a second message with it for news of the same thing.
const KEYED: [&str; 2] = ["pagerduty", "alertmanager-webhook"];

pub(super) fn spec(context: &Context, instance: &InstanceName) -> Option<DeliverySpec> {
    context.registry.instance(instance)?.spec.delivery.clone()
}

/// Whether each message has to arrive by itself.
fn is_keyed(context: &Context, instance: &InstanceName) -> bool {
    context.registry.instance(instance).is_some_and(|instance| KEYED.contains(&instance.spec.plugin.as_str()))
}

/// Whether a message that has just come waits. Counts it, too: a record that is decided on again after a conflict counts twice,
/// which may hold back a message more, and loses none.
pub(super) fn hold(context: &Context, delivery: &Delivery) -> Option<Hold> {
    let spec = spec(context, &delivery.instance)?;
    let (instance, now) = (&delivery.instance, delivery.created_at);
    let hold = context.lately.lately(instance, |lately| policy::arrival(&spec, delivery.message.severity, lately, now));
    match hold {
        Some(_) => context.lately.holds(delivery),
        None => context.lately.sent(instance, now, spec.rate_limit.as_ref()),
    }
    hold
}

/// Reads what there is to know at the start.
pub(super) fn remember(context: &Context) -> Result<(), StoreError> {
    let limits: BTreeMap<InstanceName, DeliverySpec> = context
        .registry
        .instances()
        .into_iter()
        .filter_map(|instance| Some((instance.name, instance.spec.delivery.clone()?)))
        .collect();
    let counted = limits.values().filter_map(|spec| usize::try_from(spec.rate_limit?.messages.get()).ok());
    let looked_at = counted.max().unwrap_or_default().clamp(REMEMBERED, LOOKED_AT);
    let mut newest: Vec<Notification> = context.read_all(Notification::COLLECTION, &Page::newest(looked_at))?;
    newest.reverse();
    for told in newest {
        if !matches!(told.state, DeliveryState::Held | DeliveryState::Digested) {
            let limit = limits.get(&told.instance).and_then(|spec| spec.rate_limit.as_ref());
            context.lately.sent(&told.instance, told.created_at, limit);
        }
    }
    context.lately.compare_held(&*context.store)
}

/// What waits for one recipient, the oldest first, with the revisions of the documents.
type Waiting = Vec<(u64, Delivery)>;

/// Tells what has waited long enough.
pub(super) async fn release(context: &Context) -> Result<(), StoreError> {
    context.lately.compare_held(&*context.store)?;
    for instance in context.lately.waited_for() {
        // Settings that are gone hold nothing back.
        let spec = spec(context, &instance).unwrap_or_default();
        if is_keyed(context, &instance) {
            one_by_one(context, &instance, &spec).await?;
        } else {
            as_one(context, &instance, &spec).await?;
        }
    }
    Ok(())
}

async fn as_one(context: &Context, instance: &InstanceName, spec: &DeliverySpec) -> Result<(), StoreError> {
    let now = context.now();
    let Some((since, worst)) = context.lately.waiting(instance) else { return Ok(()) };
    let release = |lately: &mut policy::Lately| policy::release(spec, worst, since, &lately.sent, now);
    if context.lately.lately(instance, release).is_some() {
        return Ok(());
    }
    let waiting = read(context, instance, &context.lately.oldest(instance, IN_A_DIGEST))?;
    if waiting.is_empty() {
        return Ok(());
    }
    let ids: Vec<EffectId> = waiting.iter().map(|(_, delivery)| delivery.id.clone()).collect();
    if is_committed(context, told(context, instance, waiting)?).await? {
        context.lately.sent(instance, now, spec.rate_limit.as_ref());
        context.lately.released(instance, &ids);
    }
    Ok(())
}

/// Each as it came, and in that order, as far as the rate lets them.
async fn one_by_one(context: &Context, instance: &InstanceName, spec: &DeliverySpec) -> Result<(), StoreError> {
    let Some((since, _)) = context.lately.waiting(instance) else { return Ok(()) };
    for held in context.lately.oldest(instance, IN_A_DIGEST) {
        let now = context.now();
        let release = |lately: &mut policy::Lately| policy::release(spec, held.severity, since, &lately.sent, now);
        match context.lately.lately(instance, release) {
            // A more severe one behind it may go in quiet hours.
            Some(Hold { reason: Reason::QuietHours, .. }) => continue,
            Some(_) => return Ok(()),
            None => {}
        }
        let Some((revision, delivery)) = read(context, instance, std::slice::from_ref(&held))?.pop() else { continue };
        if is_committed(context, alone(context, revision, delivery)?).await? {
            context.lately.sent(instance, now, spec.rate_limit.as_ref());
            context.lately.released(instance, [&held.id]);
        }
    }
    Ok(())
}

/// Their documents, as far as they are there.
fn read(context: &Context, instance: &InstanceName, held: &[Held]) -> Result<Waiting, StoreError> {
    let mut waiting = Waiting::new();
    for held in held {
        match context.store.get(HELD, held.id.as_str())? {
            Some(document) => waiting.push((document.revision, document.decode()?)),
            None => context.lately.missing(instance, held),
        }
    }
    Ok(waiting)
}

/// `false`: somebody looks at it as well, and the next look shows what is left.
async fn is_committed(context: &Context, transition: Transition) -> Result<bool, StoreError> {
    match context.commit(transition).await {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn told(context: &Context, instance: &InstanceName, waiting: Waiting) -> Result<Transition, StoreError> {
    match <[(u64, Delivery); 1]>::try_from(waiting) {
        Ok([(revision, delivery)]) => alone(context, revision, delivery),
        Err(waiting) => together(context, instance, &waiting),
    }
}

/// One message goes as it came.
fn alone(context: &Context, revision: u64, delivery: Delivery) -> Result<Transition, StoreError> {
    let id = delivery.id.as_str();
    let transition = Transition::new().delete(HELD, id, Expected::Revision(revision));
    let (mut notification, expected) = shown(context, &delivery)?;
    notification.state = DeliveryState::Pending;
    notification.held_until = None;
    let transition = transition.put(Notification::COLLECTION, id, expected, to_value(&notification)?);
    delivery.leaves(context);
    Ok(transition.effect(delivery.effect(context)))
}

/// Several go as one that lists them.
fn together(context: &Context, instance: &InstanceName, waiting: &Waiting) -> Result<Transition, StoreError> {
    let route = waiting.first().map_or("", |(_, delivery)| delivery.route.as_str());
    let order = format!("notify/{instance}/digest");
    let words = shortened(digest(context, waiting), DIGEST_BYTES);
    let mut digest = Delivery::new(context, route, instance, words, order);
    // One digest is not the next one, for recipients that tell things apart by their subject.
    digest.message.subject = digest.id.0.clone();
    let id = digest.id.clone();
    let (_, mut transition) = digest.sent(context)?;
    for (revision, delivery) in waiting {
        let (mut notification, expected) = shown(context, delivery)?;
        notification.state = DeliveryState::Digested;
        notification.finished_at = Some(context.now());
        notification.held_until = None;
        notification.digest = Some(id.clone());
        let value = to_value(&notification)?;
        transition = transition
            .delete(HELD, delivery.id.as_str(), Expected::Revision(*revision))
            .put(Notification::COLLECTION, delivery.id.as_str(), expected, value.clone())
            .event(delivery.event(context, Notification::DIGESTED, value));
    }
    Ok(transition)
}

/// The notification's document, made anew where somebody has removed it.
fn shown(context: &Context, delivery: &Delivery) -> Result<(Notification, Expected), StoreError> {
    Ok(match context.store.get(Notification::COLLECTION, delivery.id.as_str())? {
        Some(document) => (document.decode()?, Expected::Revision(document.revision)),
        None => (delivery.notification(DeliveryState::Held), Expected::Absent),
    })
}

fn digest(context: &Context, waiting: &Waiting) -> Message {
    let messages: Vec<&Message> = waiting.iter().map(|(_, delivery)| &delivery.message).collect();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut body = String::new();
    for message in &messages {
        *kinds.entry(&message.event_type).or_default() += 1;
        // A string takes whatever is written to it.
        let _ = writeln!(body, "{} {}", message.at, message.title);
    }
    let kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let listed: Vec<_> = messages
        .iter()
        .map(|message| {
            json!({"event_type": message.event_type, "subject": message.subject, "title": message.title,
                "severity": message.severity, "at": message.at, "url": message.url})
        })
        .collect();
    Message {
        event_type: "notification.digest".to_owned(),
        subject: String::new(),
        title: format!("[DIGEST] {} messages: {}", messages.len(), kinds.join(", ")),
        body,
        severity: messages.iter().map(|message| message.severity).min().unwrap_or(Severity::Info),
        labels: Labels::default(),
        at: context.now(),
        url: format!("{}/api/v1/notifications", context.public_url),
        data: json!({"messages": listed}),
    }
}
