//! What is held back, and told when the policy of its recipient lets it: alone as it was, several of them as one digest.
//!
//! A message that waits is a document, written in the same record as the decision to hold it. What was sent lately is in memory only: it is read from the
//! notifications at the start.

use super::delivery::{Delivery, HELD};
use super::policy::{self, Hold, Lately};
use crate::{Context, to_value};
use quarterdeck_model::domain::delivery::DeliverySpec;
use quarterdeck_model::domain::notification::{DeliveryState, Notification};
use quarterdeck_model::kind::notifier::Message;
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Severity, Timestamp};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// Messages of one digest. What is over is told by the next one.
const IN_A_DIGEST: usize = 200;
/// Notifications that are looked at when the host starts.
const LOOKED_AT: usize = 1000;
/// Times that are remembered of one instance: no rate limit is larger in practice, and a larger one is only less exact.
const REMEMBERED: usize = 1000;

/// What happened to each instance lately.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<HashMap<InstanceName, Lately>>);

impl Ledger {
    fn with<T>(&self, instance: &InstanceName, act: impl FnOnce(&mut Lately) -> T) -> T {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(lately.entry(instance.clone()).or_default())
    }

    fn sent(&self, instance: &InstanceName, at: Timestamp) {
        self.with(instance, |lately| {
            lately.sent.push(at);
            let over = lately.sent.len().saturating_sub(REMEMBERED);
            lately.sent.drain(..over);
        });
    }
}

pub(super) fn spec(context: &Context, instance: &InstanceName) -> Option<DeliverySpec> {
    context.registry.instance(instance)?.spec.delivery.clone()
}

/// Whether a message that has just come waits. Counts it, too: a record that is decided on again after a conflict counts twice,
/// which may hold back a message more, and loses none.
pub(super) fn hold(context: &Context, delivery: &Delivery) -> Option<Hold> {
    let spec = spec(context, &delivery.instance)?;
    let now = delivery.created_at;
    let hold = context
        .lately
        .with(&delivery.instance, |lately| policy::arrival(&spec, delivery.message.severity, lately, now));
    match hold {
        Some(_) => context.lately.with(&delivery.instance, |lately| {
            lately.held_since.get_or_insert(now);
        }),
        None => context.lately.sent(&delivery.instance, now),
    }
    hold
}

/// Reads what there is to know at the start.
pub(super) fn remember(context: &Context) -> Result<(), StoreError> {
    let mut newest: Vec<Notification> = context.read_all(Notification::COLLECTION, &Page::newest(LOOKED_AT))?;
    newest.reverse();
    for told in newest {
        if !matches!(told.state, DeliveryState::Held | DeliveryState::Digested) {
            context.lately.sent(&told.instance, told.created_at);
        }
    }
    for delivery in context.read_all::<Delivery>(HELD, &Page::all())? {
        context.lately.with(&delivery.instance, |lately| {
            lately.held_since.get_or_insert(delivery.created_at);
        });
    }
    Ok(())
}

/// What waits for one recipient, the oldest first, with the revisions of the documents.
type Waiting = Vec<(u64, Delivery)>;

/// Tells what has waited long enough.
pub(super) async fn release(context: &Context) -> Result<(), StoreError> {
    let mut waiting: BTreeMap<InstanceName, Waiting> = BTreeMap::new();
    for document in context.store.list(HELD, &Page::all())? {
        let delivery: Delivery = document.decode()?;
        waiting.entry(delivery.instance.clone()).or_default().push((document.revision, delivery));
    }
    for (instance, mut waiting) in waiting {
        let now = context.now();
        // Settings that are gone hold nothing back.
        let spec = spec(context, &instance).unwrap_or_default();
        let Some(since) = waiting.first().map(|(_, oldest)| oldest.created_at) else { continue };
        let worst = waiting.iter().map(|(_, delivery)| delivery.message.severity).min().unwrap_or(Severity::Info);
        let sent = context.lately.with(&instance, |lately| lately.sent.clone());
        if policy::release(&spec, worst, since, &sent, now).is_some() {
            continue;
        }
        let next = waiting.get(IN_A_DIGEST).map(|(_, delivery)| delivery.created_at);
        waiting.truncate(IN_A_DIGEST);
        match context.commit(told(context, &instance, waiting)?).await {
            Ok(_) => {
                context.lately.sent(&instance, now);
                context.lately.with(&instance, |lately| lately.held_since = next);
            }
            // Somebody looks at it as well: the next look shows what is left.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
    Ok(transition.effect(delivery.effect(context)))
}

/// Several go as one that lists them.
fn together(context: &Context, instance: &InstanceName, waiting: &Waiting) -> Result<Transition, StoreError> {
    let route = waiting.first().map_or("", |(_, delivery)| delivery.route.as_str());
    let order = format!("notify/{instance}/digest");
    let mut digest = Delivery::new(context, route, instance, digest(context, waiting), order);
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
