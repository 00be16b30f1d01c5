//! One message on its way to one recipient: as it waits, as it is sent, and as it is shown.

use super::policy::Hold;
use crate::{Context, to_json, to_value};
use quarterdeck_model::domain::notification::{DeliveryState, Notification};
use quarterdeck_model::effect::{Action, Backoff, Effect};
use quarterdeck_model::event::Event;
use quarterdeck_model::id::{EffectId, EventId};
use quarterdeck_model::kind::notifier::Message;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// [`Effect::purpose`] of what is made here.
pub(super) const PURPOSE: &str = "notification";
/// Messages that are held back, whole. Id: the notification's.
pub(super) const HELD: &str = "held-notifications";
/// A page is tried for an hour: a recipient that is restarted must not cost one.
const BACKOFF: Backoff = Backoff { first: Span::from_secs(1), cap: Span::from_secs(300), attempts: 40 };
const EXPIRES: Span = Span::from_secs(3600);

/// Also the document of [`HELD`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Delivery {
    pub(super) id: EffectId,
    pub(super) route: String,
    pub(super) instance: InstanceName,
    pub(super) message: Message,
    pub(super) ordering_key: String,
    pub(super) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) causation: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) correlation: Option<EventId>,
    /// Recipients that could not be told, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tried: Vec<InstanceName>,
}

impl Delivery {
    pub(super) fn new(
        context: &Context,
        route: &str,
        instance: &InstanceName,
        message: Message,
        ordering_key: String,
    ) -> Self {
        let now = context.now();
        Delivery {
            id: EffectId::new(&context.ids, now),
            route: route.to_owned(),
            instance: instance.clone(),
            message,
            ordering_key,
            created_at: now,
            causation: None,
            correlation: None,
            tried: Vec::new(),
        }
    }

    pub(super) fn caused_by(mut self, cause: Option<&Event>) -> Self {
        if let Some(cause) = cause {
            self.correlation = Some(cause.correlation.clone().unwrap_or_else(|| cause.id.clone()));
            self.causation = Some(cause.id.clone());
        }
        self
    }

    /// As it is shown.
    pub(super) fn notification(&self, state: DeliveryState) -> Notification {
        Notification {
            id: self.id.clone(),
            route: self.route.clone(),
            instance: self.instance.clone(),
            event_type: self.message.event_type.clone(),
            subject: self.message.subject.clone(),
            title: self.message.title.clone(),
            state,
            created_at: self.created_at,
            finished_at: None,
            attempts: 0,
            error: None,
            reason: None,
            held_until: None,
            digest: None,
            fallback: None,
            tried: self.tried.clone(),
        }
    }

    /// The effect that delivers it, under its own id.
    pub(super) fn effect(self, context: &Context) -> Effect {
        let now = context.now();
        let action = Action::Notify { message: self.message };
        let mut effect = Effect::new(&context.ids, now, self.id.0.clone(), self.instance, action);
        effect.id = self.id;
        effect.purpose = PURPOSE.to_owned();
        effect.ordering_key = self.ordering_key;
        effect.backoff = BACKOFF;
        effect.expires = now.plus(EXPIRES);
        effect.causation = self.causation;
        effect.correlation = self.correlation;
        effect
    }

    /// Somebody else may have to be told of it if it stays in the outbox.
    pub(super) fn leaves(&self, context: &Context) {
        if super::held::spec(context, &self.instance).is_some_and(|spec| spec.fallback_after.is_some()) {
            context.lately.leaves(&self.id, &self.instance, context.now());
        }
    }

    /// It goes now.
    pub(super) fn sent(self, context: &Context) -> Result<(Notification, Transition), StoreError> {
        let notification = self.notification(DeliveryState::Pending);
        let kept = to_json(&notification)?;
        self.leaves(context);
        let transition = Transition::new()
            .put(Notification::COLLECTION, self.id.as_str(), Expected::Absent, kept)
            .effect(self.effect(context));
        Ok((notification, transition))
    }

    /// It waits.
    pub(super) fn held(self, context: &Context, hold: Hold) -> Result<(Notification, Transition), StoreError> {
        let mut notification = self.notification(DeliveryState::Held);
        notification.reason = Some(hold.reason.to_string());
        notification.held_until = Some(hold.until);
        let value = to_value(&notification)?;
        let id = self.id.as_str();
        let transition = Transition::new()
            .put(Notification::COLLECTION, id, Expected::Absent, value.clone())
            .put(HELD, id, Expected::Absent, to_json(&self)?)
            .event(self.event(context, Notification::HELD, value));
        Ok((notification, transition))
    }

    /// Word of it, with the notification's document.
    pub(super) fn event(&self, context: &Context, event_type: &str, value: serde_json::Value) -> Event {
        let mut event = context.event(event_type, self.id.as_str()).data(value);
        event.causation.clone_from(&self.causation);
        event.correlation.clone_from(&self.correlation);
        event
    }
}

/// When an effect of this purpose was handed to the outbox.
pub(super) fn sent_at(effect: &Effect) -> Timestamp {
    effect.expires.minus(EXPIRES)
}
