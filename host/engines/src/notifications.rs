//! Events to messages: who is told what.
//!
//! - `route`: which routes an event takes; pure
//! - `render`: the words; pure
//! - `policy`: whether a message goes now or waits, by the settings of its recipient; pure
//! - `delivery`: one message to one recipient; `held`: those that wait; `fallback`: those that somebody else is told
//! - `ledger`: what is known of them without a look at the store
//!
//! A durable consumer reads every event. What it makes of a batch - a notification and an effect for each route and recipient - and
//! its place in the log are one record, so that each event is told once however often the host is killed. The outbox delivers;
//! what came of it comes back as an event and ends in the notification's document.

mod delivery;
mod fallback;
mod held;
pub(crate) mod ledger;
pub mod policy;
pub mod render;
pub mod route;

use crate::alerting::silence::Silences;
use crate::place::Place;
use crate::{Context, Error, Tasks, to_json, to_value};
use delivery::{Delivery, PURPOSE};
use quarterdeck_bus::Consumer;
use quarterdeck_model::domain::notification::{DeliveryState, Notification, RouteSpec};
use quarterdeck_model::domain::silence::Silence;
use quarterdeck_model::effect::{EffectResult, OUTBOX, Pending};
use quarterdeck_model::event::{Event, EventFilter, StoredEvent};
use quarterdeck_model::id::EffectId;
use quarterdeck_model::kind::notifier::Message;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::{Page, Store, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tracing::{error, warn};

/// Name of the durable consumer.
pub const CONSUMER: &str = "notifications";
const BATCH: usize = 256;
const AGAIN: Duration = Duration::from_secs(1);
/// How often what waits is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Notifications that have ended are kept for this long.
const KEEP: Span = Span::from_secs(7 * 86_400);
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

#[derive(Clone)]
pub struct Handle {
    context: Context,
}

impl Handle {
    /// The newest first.
    ///
    /// # Errors
    /// The store's.
    pub fn list(&self, limit: usize) -> Result<Vec<Notification>, Error> {
        let listed: Vec<Notification> = self.context.read_all(Notification::COLLECTION, &Page::newest(limit))?;
        Ok(listed.into_iter().map(|told| under_way(&*self.context.store, told)).collect::<Result<_, _>>()?)
    }

    /// Tells one recipient something, beside all routes: to try it out.
    ///
    /// # Errors
    /// The store's.
    pub async fn test(&self, instance: &InstanceName, principal: &str) -> Result<Notification, Error> {
        let data = serde_json::json!({"title": "This is a test", "principal": principal});
        let event = self.context.event("test.notification", instance.as_str()).data(data).principal(principal);
        let message = render::message(&event, &self.context.public_url);
        let order = format!("notify/{instance}/{}", event.subject);
        let delivery = Delivery::new(&self.context, "test", instance, message, order).caused_by(Some(&event));
        // It is waited for: neither hours nor rates hold it back.
        let (notification, transition) = delivery.sent(&self.context)?;
        self.context.commit(transition).await?;
        Ok(notification)
    }
}

/// A message that is on its way is known by its effect: how often it was tried, and why it has not arrived yet.
///
/// # Errors
/// The store's.
pub fn under_way(store: &dyn Store, mut notification: Notification) -> Result<Notification, StoreError> {
    if notification.state == DeliveryState::Pending
        && let Some(document) = store.raw(OUTBOX, notification.id.as_str())?
    {
        let pending: Pending = document.decode()?;
        (notification.attempts, notification.error) = (pending.attempts, pending.last_error);
    }
    Ok(notification)
}

pub(crate) async fn start(context: &Context, tasks: &mut Tasks) -> Result<Handle, Error> {
    let catalog = context.catalog.clone();
    let is_told = move |event: &Event| {
        route::is_of_an_alert(event) && !route::matching(&catalog.borrow().routes, event).is_empty()
    };
    let consumer = context.bus.consumer(CONSUMER, EventFilter::default())?.prompt(is_told);
    held::remember(context)?;
    tasks.spawn("notifications", run(context.clone(), consumer));
    tasks.spawn("notifications-held", look(context.clone()));
    tasks.spawn("notifications-sweep", sweep(context.clone()));
    Ok(Handle { context: context.clone() })
}

async fn run(context: Context, mut consumer: Consumer) {
    let mut place = Place::new(CONSUMER, consumer.position());
    loop {
        let batch = tokio::select! {
            () = context.shutdown.cancelled() => return place.write(&context).await,
            () = place.due() => {
                place.write(&context).await;
                continue;
            }
            batch = consumer.next(BATCH) => batch,
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                error!(%error, "notifications can't follow the bus");
                return;
            }
        };
        loop {
            let handled = async {
                let transition = handle(&context, &batch.events)?;
                if transition.is_empty() {
                    place.handled(batch.next);
                } else {
                    context.commit(transition.ack(CONSUMER, batch.next)).await?;
                    place.acknowledged(batch.next);
                }
                Ok::<_, StoreError>(())
            };
            match handled.await {
                Ok(()) => break,
                Err(StoreError::Conflict { .. }) => {}
                Err(error @ (StoreError::Invalid(_) | StoreError::Corrupt(_))) => {
                    if one_by_one(&context, &consumer, &batch.events, &error).await.is_err() {
                        return;
                    }
                    place.handled(batch.next);
                    break;
                }
                Err(error) => {
                    if again(&context, &error).await.is_err() {
                        return;
                    }
                }
            }
        }
        if place.is_due() {
            place.write(&context).await;
        }
    }
}

/// The host is stopping.
struct Stopping;

/// Waits a little: what went wrong is the store's, and not the event's.
async fn again(context: &Context, error: &StoreError) -> Result<(), Stopping> {
    warn!(%error, "events could not be told; tried again");
    tokio::select! {
        () = context.shutdown.cancelled() => Err(Stopping),
        () = tokio::time::sleep(AGAIN) => Ok(()),
    }
}

/// Something in the batch can't be handled: the rest is, and that is put aside.
async fn one_by_one(
    context: &Context,
    consumer: &Consumer,
    events: &[StoredEvent],
    error: &StoreError,
) -> Result<(), Stopping> {
    warn!(%error, "a batch of events can't be told as one");
    for stored in events {
        loop {
            let handled = match handle(context, std::slice::from_ref(stored)) {
                Ok(transition) => context.commit(transition.ack(CONSUMER, stored.offset)).await.map(|_| ()),
                Err(error) => Err(error),
            };
            let put_aside = match handled {
                Err(error @ (StoreError::Invalid(_) | StoreError::Corrupt(_))) => {
                    consumer.dead_letter(stored, &error.to_string()).await.map_err(|error| match error {
                        quarterdeck_bus::Error::Store(error) => error,
                        error => StoreError::Invalid(error.to_string()),
                    })
                }
                handled => handled,
            };
            match put_aside {
                Ok(()) => break,
                Err(StoreError::Conflict { .. }) => {}
                Err(error @ (StoreError::Invalid(_) | StoreError::Corrupt(_))) => {
                    error!(offset = %stored.offset, %error, "an event can't be told, nor put aside: it is passed over");
                    break;
                }
                Err(error) => again(context, &error).await?,
            }
        }
    }
    Ok(())
}

/// What is to be made of a stretch of the log.
fn handle(context: &Context, events: &[StoredEvent]) -> Result<Transition, StoreError> {
    let catalog = context.catalog();
    let mut transition = Transition::new();
    // Read for the batch, and only where it is about alerts.
    let silences = match events.iter().any(|stored| route::is_of_an_alert(&stored.event)) {
        true => Silences::new(context.read_all::<Silence>(Silence::COLLECTION, &Page::all())?),
        false => Silences::default(),
    };
    let now = context.now();
    for StoredEvent { event, .. } in events {
        let part = match event.event_type.as_str() {
            "effect.done" | "effect.failed" | "effect.unknown" => ended(context, event)?,
            _ if route::is_silenced(event, &silences, now) => continue,
            _ => told(context, &catalog.routes, event)?,
        };
        transition.absorb(part);
    }
    Ok(transition)
}

fn told(context: &Context, routes: &BTreeMap<String, RouteSpec>, event: &Event) -> Result<Transition, StoreError> {
    let mut transition = Transition::new();
    for (route, instance) in route::matching(routes, event) {
        transition.absorb(tell(context, route, instance, event)?.1);
    }
    Ok(transition)
}

/// A notification about an event, and the effect that delivers it.
fn tell(
    context: &Context,
    route: &str,
    instance: &InstanceName,
    event: &Event,
) -> Result<(Notification, Transition), StoreError> {
    let message = render::message(event, &context.public_url);
    // What is told of one thing to one recipient is told in order: an end never overtakes its beginning.
    let ordering_key = format!("notify/{instance}/{}", event.subject);
    deliver(context, route, instance, message, ordering_key, Some(event))
}

/// A notification that holds this message, and the effect that delivers it; or the message itself, where its recipient is not to be told now.
pub(crate) fn deliver(
    context: &Context,
    route: &str,
    instance: &InstanceName,
    message: Message,
    ordering_key: String,
    cause: Option<&Event>,
) -> Result<(Notification, Transition), StoreError> {
    let delivery = Delivery::new(context, route, instance, message, ordering_key).caused_by(cause);
    match held::hold(context, &delivery) {
        Some(hold) => delivery.held(context, hold),
        None => delivery.sent(context),
    }
}

/// Looks after what waits, and after what has been failing for long.
async fn look(context: Context) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        for (what, looked) in
            [("released", held::release(&context).await), ("told others", fallback::late(&context).await)]
        {
            if let Err(error) = looked {
                warn!(%error, what, "messages that wait could not be looked after; tried again");
            }
        }
    }
}

/// A delivery has ended.
fn ended(context: &Context, event: &Event) -> Result<Transition, StoreError> {
    let Ok(result) = EffectResult::deserialize(&event.data) else { return Ok(Transition::new()) };
    if result.purpose != PURPOSE {
        return Ok(Transition::new());
    }
    context.lately.arrived(&result.effect);
    let Some(document) = context.store.raw(Notification::COLLECTION, result.effect.as_str())? else {
        return Ok(Transition::new());
    };
    let mut notification: Notification = document.decode()?;
    if notification.state != DeliveryState::Pending {
        return Ok(Transition::new());
    }
    conclude(&mut notification, &result, event.event_type == "effect.done", event.time);
    if notification.state == DeliveryState::Failed
        && let Some(instead) = fallback::given_up(context, &notification, document.revision, event)?
    {
        return Ok(instead);
    }
    let event_type = match notification.state {
        DeliveryState::Delivered => Notification::DELIVERED,
        _ => Notification::FAILED,
    };
    let EffectId(id) = &notification.id;
    let kept = to_json(&notification)?;
    let told =
        context.event(event_type, id).data(to_value(&notification)?).plugin(event.plugin.clone()).caused_by(event);
    let expected = Expected::Revision(document.revision);
    Ok(Transition::new().put(Notification::COLLECTION, id, expected, kept).event(told))
}

fn conclude(notification: &mut Notification, result: &EffectResult, delivered: bool, at: Timestamp) {
    notification.state = if delivered { DeliveryState::Delivered } else { DeliveryState::Failed };
    notification.finished_at = Some(at);
    notification.attempts = result.attempts;
    notification.error.clone_from(&result.error);
}

/// Forgets notifications that ended long ago.
async fn sweep(context: Context) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = forget_old(&context).await {
            warn!(%error, "old notifications could not be forgotten");
        }
    }
}

async fn forget_old(context: &Context) -> Result<(), StoreError> {
    let before = context.now().minus(KEEP);
    loop {
        let page = Page { limit: 500, ..Page::all() };
        // Oldest first: the first that is young enough ends it.
        let oldest: Vec<Notification> = context.read_all(Notification::COLLECTION, &page)?;
        let old: Vec<_> = oldest.iter().take_while(|notification| notification.created_at < before).collect();
        let mut transition = Transition::new();
        let waits =
            |notification: &Notification| matches!(notification.state, DeliveryState::Pending | DeliveryState::Held);
        for notification in old.iter().filter(|notification| !waits(notification)) {
            transition = transition.delete(Notification::COLLECTION, notification.id.as_str(), Expected::Any);
        }
        let more = old.len() == 500 && !transition.is_empty();
        context.commit(transition).await?;
        if !more {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
