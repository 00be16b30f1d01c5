//! What somebody wants done: alerts that are sent here, silences, acknowledgements, ends.

use super::{State, Waiting, moment};
use crate::alerting::key::{Key, fingerprint};
use crate::alerting::posted::{self, Incoming};
use crate::alerting::record::Record;
use crate::alerting::silence::{Draft, Refusal, Still};
use crate::alerting::{Command, Limits};
use crate::size::encoded;
use crate::{Context, Error, to_value};
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::alerting::Acknowledgement;
use quarterdeck_model::domain::silence::Silence;
use quarterdeck_model::store::StoreError;
use std::cmp::Reverse;
use std::sync::Arc;

/// A silence that is larger is looked at for every alert, and stands in an event as well.
const LARGEST_SILENCE: usize = 64 << 10;

impl State {
    /// Carries out as many orders as fit. A post may be taken in by halves: it is answered when all of it is.
    pub(super) fn obey(
        &mut self,
        context: &Context,
        waiting: &mut Waiting,
        record: &mut Record,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        while record.bytes() < limits.taken_in {
            let Some(command) = waiting.commands.pop_front() else { break };
            match command {
                Command::Post(mut alerts, done) => {
                    while record.bytes() < limits.taken_in
                        && let Some(incoming) = alerts.pop_front()
                    {
                        self.receive(context, incoming, record, now)?;
                    }
                    waiting.begun = !alerts.is_empty();
                    if waiting.begun {
                        waiting.commands.push_front(Command::Post(alerts, done));
                        break;
                    }
                    waiting.reply(|committed| drop(done.send(committed)));
                }
                Command::SetSilence { draft, still, by, done } => {
                    let silence = match self.check_seen(draft.id.as_deref(), still) {
                        Ok(()) => self.set_silence(context, draft, &by, record, now)?,
                        Err(refusal) => Err(refusal),
                    };
                    waiting.reply(|committed| drop(done.send(committed.map(|()| silence))));
                }
                Command::ExpireSilence { id, still, by, done } => {
                    let silence = match self.check_seen(Some(&id), still) {
                        Ok(()) => self.expire_silence(context, &id, &by, record, now)?,
                        Err(refusal) => Err(refusal),
                    };
                    waiting.reply(|committed| drop(done.send(committed.map(|()| silence))));
                }
                Command::Acknowledge { id, by, until, done } => {
                    let answer = match self.acknowledge(context, &id, &by, until, record, now) {
                        Err(Error::Store(failure)) => return Err(failure),
                        answer => answer,
                    };
                    waiting.reply(|committed| drop(done.send(committed.and(answer))));
                }
                Command::Resolve { id, by, done } => {
                    let answer = match self.posted.get(&Key::of(&id)).cloned() {
                        None => Err(Error::not_found(format!("alert `{id}`"))),
                        Some(alert) if alert.state == AlertState::Resolved => Ok(()),
                        Some(alert) => {
                            let over = posted::over(&alert, &format!("resolved by {by}"), now);
                            self.changed(context, Some(&alert), over, &by, record, now)?;
                            Ok(())
                        }
                    };
                    waiting.reply(|committed| drop(done.send(committed.and(answer))));
                }
            }
        }
        Ok(())
    }

    /// Of one that is made there is nothing to have seen.
    fn check_seen(&self, id: Option<&str>, still: Option<Still>) -> Result<(), Refusal> {
        let id = id.filter(|id| !id.is_empty());
        id.map_or(Ok(()), |id| self.machine.silences.check_seen(id, still))
    }

    fn set_silence(
        &mut self,
        context: &Context,
        draft: Draft,
        by: &str,
        record: &mut Record,
        now: Timestamp,
    ) -> Result<Result<Silence, Refusal>, StoreError> {
        let set = match self.machine.silences.draft(draft, now, || context.ids.uuid(now)) {
            Ok(set) if encoded(&set.silence) > LARGEST_SILENCE => {
                return Ok(Err(Refusal::Invalid("its matchers and its comment take more than 64 KiB")));
            }
            Ok(set) => set,
            Err(refusal) => return Ok(Err(refusal)),
        };
        for silence in set.ended.into_iter().chain([set.silence.clone()]) {
            let event = if silence.ends_at <= now { Silence::EXPIRED } else { Silence::SET };
            self.put_silence(context, silence, event, by, record, now)?;
        }
        Ok(Ok(set.silence))
    }

    fn expire_silence(
        &mut self,
        context: &Context,
        id: &str,
        by: &str,
        record: &mut Record,
        now: Timestamp,
    ) -> Result<Result<Silence, Refusal>, StoreError> {
        Ok(match self.machine.silences.expire(id, now) {
            Ok(Some(silence)) => {
                self.put_silence(context, silence.clone(), Silence::EXPIRED, by, record, now)?;
                Ok(silence)
            }
            Ok(None) => self.machine.silences.get(id).cloned().ok_or(Refusal::NotFound),
            Err(refusal) => Err(refusal),
        })
    }

    fn put_silence(
        &mut self,
        context: &Context,
        silence: Silence,
        event: &str,
        by: &str,
        record: &mut Record,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        record.put(Silence::COLLECTION, &silence.id, &silence)?;
        record.event(context.event(event, &silence.id).data(to_value(&silence)?).principal(by));
        self.machine.silences.put(silence);
        for id in self.machine.silences.forget(now) {
            record.delete(Silence::COLLECTION, &id);
        }
        Ok(())
    }

    fn receive(
        &mut self,
        context: &Context,
        incoming: Incoming,
        record: &mut Record,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let known = self.posted.get(&Key::of(&fingerprint(&incoming.labels))).cloned();
        match posted::receive(known.as_deref(), incoming, self.machine.spec.resolve_timeout, now) {
            Some(alert) => self.changed(context, known.as_deref(), alert, "host", record, now),
            None => Ok(()),
        }
    }

    /// A new state of an alert that was sent here.
    fn changed(
        &mut self,
        context: &Context,
        known: Option<&Alert>,
        alert: Alert,
        by: &str,
        record: &mut Record,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let fired = known.is_some_and(|known| known.state == AlertState::Firing);
        let fires = alert.state == AlertState::Firing;
        let event = match (fired, fires) {
            (false, true) => Some(Alert::FIRING),
            (true, false) => Some(Alert::RESOLVED),
            (true, true) if known.is_some_and(|known| known.severity != alert.severity) => Some("alert.updated"),
            _ => None,
        };
        record.put(Alert::COLLECTION, &alert.fingerprint, &alert)?;
        if let Some(event) = event {
            record.event(context.event(event, &alert.fingerprint).data(to_value(&alert)?).principal(by));
        }
        let (key, alert) = (Key::of(&alert.fingerprint), Arc::new(alert));
        if let Some(at) = moment(&alert) {
            self.ends.push(Reverse((at, key)));
        }
        self.posted.insert(key, alert.clone());
        // What is decided here is in order, also where the clock was set back.
        self.machine.follow(alert, now);
        Ok(())
    }

    /// The moment of an alert that was sent here has come.
    pub(super) fn end(
        &mut self,
        context: &Context,
        key: Key,
        record: &mut Record,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(alert) = self.posted.get(&key).cloned() else { return Ok(()) };
        if alert.state == AlertState::Resolved {
            self.posted.remove(&key);
            record.delete(Alert::COLLECTION, &alert.fingerprint);
            return Ok(());
        }
        let by_timeout = alert.posted.as_ref().is_some_and(|posted| posted.by_timeout);
        let reason = if by_timeout { "nobody has sent it again" } else { "its end has come" };
        self.changed(context, Some(&alert), posted::over(&alert, reason, now), "host", record, now)
    }

    fn acknowledge(
        &mut self,
        context: &Context,
        id: &str,
        by: &str,
        until: Option<Timestamp>,
        record: &mut Record,
        now: Timestamp,
    ) -> Result<(), Error> {
        let posted = self.posted.get(&Key::of(id)).cloned();
        if let Some(alert) = &posted {
            if alert.state == AlertState::Resolved {
                return Err(Error::conflict("the alert is resolved already"));
            }
            if alert.acknowledged_by.is_none() {
                let acknowledged = Alert { acknowledged_by: Some(by.to_owned()), ..Alert::clone(alert) };
                let event = context.event("alert.acknowledged", id).data(to_value(&acknowledged)?).principal(by);
                self.changed(context, Some(alert), acknowledged, by, record, now)?;
                record.event(event);
            }
        }
        let Some(member) = self.machine.member(id).filter(|member| member.fires()) else { return Ok(()) };
        match until {
            Some(until) => {
                let kept = Acknowledgement { active_at: member.alert.active_at, until };
                record.put(Acknowledgement::COLLECTION, id, &kept)?;
            }
            None if member.acknowledged_until.is_some() => record.delete(Acknowledgement::COLLECTION, id),
            None => {}
        }
        self.machine.acknowledge(id, until);
        Ok(())
    }
}
