//! A message to a receiver, as what is to be written of it: a notification and an effect for each of its instances. Reads documents, so
//! nobody holds the state meanwhile.

use super::groups::Tell;
use super::message::{self, message};
use super::past::Due;
use crate::Context;
use crate::notifications::deliver;
use crate::size;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::effect::{Action, DEAD_LETTERS, Effect};
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::{Expected, Transition};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::error;

/// Bytes of the messages to all instances of a receiver: they stand in one record.
const TOGETHER: usize = 4 << 20;
/// Alerts of a message whose documents are read anew.
const REFRESHED: usize = 100;
/// Bytes of what a dead letter says of a group.
const SAID: usize = 4 << 10;

/// What is to be written.
#[derive(Default)]
pub(crate) struct Sent {
    /// Ids of the notifications.
    pub(super) notifications: BTreeMap<InstanceName, Vec<String>>,
    pub(super) transition: Transition,
    /// Why there is no message.
    pub(super) put_aside: Option<String>,
}

/// Tells those instances.
pub(super) fn tell(
    context: &Context,
    mut tell: Tell,
    notify: &[InstanceName],
    now: Timestamp,
) -> Result<(Tell, Sent), StoreError> {
    refresh(context, &mut tell);
    let id = tell.group.map(|id| id.to_string()).unwrap_or_default();
    let room = message::ROOM.min(TOGETHER / notify.len().max(1));
    let message = message(&tell, &id, &context.public_url, now, room);
    let route = route(&tell.receiver);
    let mut sent = Sent::default();
    for (instance, message) in notify.iter().zip(std::iter::repeat_n(message, notify.len())) {
        let order = order(instance, &id);
        let (notification, part) = deliver(context, &route, instance, message, order, None)?;
        sent.notifications.insert(instance.clone(), vec![notification.id.0]);
        sent.transition.absorb(part);
    }
    Ok((tell, sent))
}

/// Tells an instance again what it could not be told. `None`: that was not kept, or somebody has taken it up again already.
pub(super) fn again(context: &Context, due: &Due) -> Result<Option<(String, Transition)>, StoreError> {
    let Some(letter) = context.store.get(DEAD_LETTERS, &due.id)? else { return Ok(None) };
    let effect = letter.value.get("effect").and_then(|effect| Effect::deserialize(effect).ok());
    let Some(Effect { action: Action::Notify { message }, .. }) = effect else { return Ok(None) };
    let Some(message) = message::of_ends(message) else { return Ok(None) };
    let (route, order) = (route(&due.receiver), order(&due.instance, &due.group.to_string()));
    let (notification, part) = deliver(context, &route, &due.instance, message, order, None)?;
    // It is taken up again, and counts as dead no more.
    Ok(Some((notification.id.0, part.delete(DEAD_LETTERS, &due.id, Expected::Any))))
}

fn route(receiver: &str) -> String {
    format!("alerting/{receiver}")
}

/// One message about a group after the other.
fn order(instance: &InstanceName, group: &str) -> String {
    format!("notify/{instance}/group/{group}")
}

/// Tells nobody: the store does not take the message, and would not the next time. It lies among the dead letters, so that somebody sees
/// it, and the group goes on.
pub(super) fn put_aside(context: &Context, tell: &Tell, reason: &str) -> Sent {
    let id = tell.group.map_or_else(|| context.ids.uuid(context.now()), |id| id.to_string());
    let (group, reason) = (size::cut_visibly(&tell.group_key, SAID), size::cut_visibly(reason, SAID));
    let receiver = size::cut(&tell.receiver, SAID);
    error!(group, receiver, reason, "a message about alerts can't be kept: nobody is told");
    let name = format!("{id}.alerting");
    let data =
        json!({"kind": "group", "group": group, "receiver": receiver, "alerts": tell.alerts.len(), "reason": reason});
    let mut letter = data.clone();
    if let Some(letter) = letter.as_object_mut() {
        letter.insert("at".to_owned(), json!(context.now()));
    }
    let added = context.event("dead-letter.added", &name).data(data);
    let transition = Transition::new().put(DEAD_LETTERS, &name, Expected::Any, letter).event(added);
    Sent { transition, put_aside: Some(reason), ..Sent::default() }
}

/// A rule's alert is news when it begins and ends; how it has gone on since - its value, its annotations - stands in its document.
fn refresh(context: &Context, tell: &mut Tell) {
    let own = tell.alerts.iter_mut().filter(|alert| alert.posted.is_none() && alert.state == AlertState::Firing);
    for alert in own.take(REFRESHED) {
        let found = context.read::<Alert>(Alert::COLLECTION, &alert.fingerprint).ok().flatten();
        let newer = |found: &Alert| found.state == alert.state && found.last_evaluated > alert.last_evaluated;
        if let Some(mut found) = found.filter(newer) {
            // Others know it by the labels that this host adds.
            found.labels.clone_from(&alert.labels);
            *alert = Arc::new(found);
        }
    }
}
