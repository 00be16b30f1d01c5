//! What is in memory, and what one step makes of it. Only memory is looked at here: whoever holds the state waits for no disk.
//!
//! - `load`: from its documents; `orders`: what somebody wants done; `keep`: what is to be written; `show`: for those who look

mod keep;
mod load;
mod orders;
mod show;

pub use show::{Preview, Shown, ShownGroup, WindowStatus};

use super::explain::{self, Explanation};
use super::groups::{Delivered, Machine, Tell};
use super::key::Key;
use super::past::{Due, Past};
use super::posted::KEEP_RESOLVED;
use super::record::Record;
use super::{Command, Limits};
use crate::{Context, Error};
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::{Alert, AlertState, Posted};
use quarterdeck_model::domain::notification::Notification;
use quarterdeck_model::event::{Event, Offset, StoredEvent};
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::{EventBatch, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use tracing::warn;

/// Groups, by their ids; what was told of them; resolved alerts that have to be told still; planned work that goes on; what became of alerts
/// that are over.
const GROUPS: &str = "alert-groups";
const TOLD: &str = "alert-groups-told";
const ENDED: &str = "alerts-ended";
const OPEN: &str = "maintenance-open";
const PAST: &str = "alerts-past";

/// Sent when the record is on the disk, or is not.
pub(crate) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

pub(crate) struct State {
    pub(crate) machine: Machine,
    /// Alerts that other programs have made: those that fire, and those that ended a short while ago.
    posted: HashMap<Key, Arc<Alert>>,
    /// When each of them ends or is forgotten. A moment that is another one by now counts for nothing.
    ends: BinaryHeap<Reverse<(Timestamp, Key)>>,
    past: Past,
    /// What the log holds up to there was in the documents already, or newer things were.
    read_up_to: Offset,
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

/// What is waited for, and what waits: of one step, what did not fit into its record is left here for the next one.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) commands: VecDeque<Command>,
    /// The first of them is a post of which a part is taken in.
    pub(crate) begun: bool,
    /// Sent when all that follows from their orders is on the disk.
    pub(crate) replies: Vec<Reply>,
    /// Events up to there are taken in, and what follows from them is not on the disk yet.
    pub(crate) unacknowledged: Option<Offset>,
}

impl Waiting {
    fn reply(&mut self, reply: impl FnOnce(Result<(), Error>) + Send + 'static) {
        self.replies.push(Box::new(|committed| reply(committed.map_err(Error::from))));
    }

    /// Whether something of the last step is to be done still.
    pub(crate) fn is_something_left(&self, state: &State) -> bool {
        !self.commands.is_empty() || self.unacknowledged.is_some() || !self.replies.is_empty() || !state.is_kept()
    }

    /// Nothing of what was taken in is kept: whoever waits for it is told so.
    pub(crate) fn fail(&mut self, error: &StoreError) {
        self.unacknowledged = None;
        self.replies.drain(..).for_each(|reply| reply(Err(error.clone())));
        if std::mem::take(&mut self.begun)
            && let Some(Command::Post(_, done)) = self.commands.pop_front()
        {
            // Whoever sent it may be gone.
            let _ = done.send(Err(error.clone().into()));
        }
    }
}

/// What is to be done next.
pub(crate) enum Next {
    /// Somebody is to be told: these instances.
    Tell(Box<Tell>, Vec<InstanceName>),
    /// Somebody could not be told of an end, and is to be told again.
    Again(Due),
    /// A group was looked at.
    Looked,
    /// Nothing, or not in this record.
    Nothing,
}

impl State {
    /// When something is to be done next.
    pub(crate) fn next_at(&mut self) -> Option<Timestamp> {
        let end = self.next_end().map(|(at, _)| at);
        self.machine.next_at().into_iter().chain(end).chain(self.past.next_at()).min()
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

    /// What the clock says now. Where it was set back, nobody waits until it is that late again.
    pub(crate) fn look_at_clock(&mut self, now: Timestamp) {
        if !self.machine.look_at_clock(now) {
            return;
        }
        self.past.wait_no_longer(now);
        let latest = now.plus(self.machine.spec.resolve_timeout);
        for (key, alert) in &mut self.posted {
            let is_late = |posted: &Posted| posted.by_timeout && posted.ends_at > latest;
            if alert.state == AlertState::Firing
                && alert.posted.as_ref().is_some_and(is_late)
                && let Some(posted) = &mut Arc::make_mut(alert).posted
            {
                posted.ends_at = latest;
                self.ends.push(Reverse((latest, *key)));
            }
        }
    }

    /// Takes events in.
    pub(crate) fn follow(&mut self, batch: &EventBatch, now: Timestamp) {
        let mut news = Vec::new();
        for StoredEvent { offset, event } in &batch.events {
            if event.event_type.starts_with("notification.") {
                news.extend(delivered(event));
                continue;
            }
            // Those are ours: what is known here is newer.
            if event.data.get("posted").is_some_and(|posted| !posted.is_null()) {
                continue;
            }
            match Alert::deserialize(&event.data) {
                Ok(alert) if *offset > self.read_up_to => self.machine.follow(Arc::new(alert), now),
                Ok(alert) => self.machine.take(Arc::new(alert), now),
                Err(error) => warn!(event = %event.id, %error, "not an alert"),
            }
        }
        self.machine.delivered(&news);
        if !news.is_empty() {
            let machine = &self.machine;
            self.past.delivered(&news, |id| machine.group(id).is_some(), now);
        }
    }

    /// Takes in what fits: orders, and moments that have come of alerts that were sent here.
    pub(crate) fn take_in(
        &mut self,
        context: &Context,
        waiting: &mut Waiting,
        record: &mut Record,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.obey(context, waiting, record, limits, now)?;
        for _ in 0..limits.at_once {
            if record.bytes() >= limits.taken_in {
                break;
            }
            let Some((_, key)) = self.next_end().filter(|(at, _)| *at <= now) else { break };
            self.ends.pop();
            self.end(context, key, record, now)?;
        }
        Ok(())
    }

    /// What is to be told already, else what is to be written, else a look at the next group that is due. `may_look`: not while a post is
    /// taken in by halves, since what comes together is told together.
    pub(crate) fn advance(
        &mut self,
        record: &mut Record,
        may_look: bool,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Next, StoreError> {
        let is_full = |record: &Record| record.is_full() || (limits.is_careful && !record.is_empty());
        if is_full(record) {
            return Ok(Next::Nothing);
        }
        if let Some(tell) = self.machine.changes.tells.pop_front() {
            let receiver = self.machine.receiver(&tell.receiver);
            let notify = receiver.map(|receiver| receiver.notify.as_slice()).unwrap_or_default().iter();
            let is_told = |name: &&InstanceName| tell.only.as_ref().is_none_or(|only| only.contains(*name));
            let notify = notify.filter(is_told).cloned().collect();
            return Ok(Next::Tell(Box::new(tell), notify));
        }
        self.keep(record, now)?;
        if is_full(record) || !may_look {
            return Ok(Next::Nothing);
        }
        if let Some(due) = self.past.due(now) {
            // What a group that is there again has to say is newer, and who is no recipient any more is told nothing.
            let is_recipient = self.machine.receiver(&due.receiver).is_some_and(|to| to.notify.contains(&due.instance));
            return Ok(if is_recipient && self.machine.group(due.group).is_none() {
                Next::Again(due)
            } else {
                self.told_again(&due, None, record)?;
                Next::Looked
            });
        }
        if self.machine.next_at().is_none_or(|at| at > now) {
            return Ok(Next::Nothing);
        }
        self.machine.advance(now, 1);
        Ok(Next::Looked)
    }

    /// All that has changed is in a record.
    pub(crate) fn is_kept(&self) -> bool {
        self.machine.changes.is_empty() && self.past.changed.is_empty()
    }

    pub(crate) fn is_posted(&self, id: &str) -> bool {
        self.posted.contains_key(&Key::of(id))
    }

    pub(crate) fn explain(&self, id: &str, now: Timestamp) -> Option<Explanation> {
        explain::explain(&self.machine, &self.past, id, now)
    }

    /// Of an alert that is not even a document any more.
    pub(crate) fn explain_past(&self, id: &str) -> Option<Explanation> {
        explain::explain_past(&self.past, id)
    }

    /// Of an alert that is in no group: it does not fire yet, or not any more.
    pub(crate) fn explain_alert(&self, alert: &Alert, now: Timestamp) -> Explanation {
        explain::explain_alert(&self.machine, &self.past, alert, now)
    }
}

/// What an event says of a message.
fn delivered(event: &Event) -> Option<Delivered> {
    let id = event.subject.clone();
    let by = |key: &str| event.data.get(key).and_then(Value::as_str).map(str::to_owned);
    match event.event_type.as_str() {
        Notification::FAILED => Some(Delivered::Failed(id)),
        Notification::FALLEN_BACK => Some(Delivered::Replaced { id, by: by("fallback")? }),
        Notification::DIGESTED => Some(Delivered::Replaced { id, by: by("digest")? }),
        _ => None,
    }
}
