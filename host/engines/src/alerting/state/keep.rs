//! What has become of groups, as documents.

use super::{ENDED, GROUPS, OPEN, OpenWindow, PAST, State, TOLD};
use crate::alerting::deliver::Sent;
use crate::alerting::groups::{Tell, ToldRecord};
use crate::alerting::key::GroupId;
use crate::alerting::past::{Due, Left, Past};
use crate::alerting::record::Record;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alerting::Acknowledgement;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::Transition;
use std::collections::VecDeque;

impl State {
    /// Somebody is told: the message, and what was told of its groups by it, are one record.
    pub(crate) fn told(
        &mut self,
        tell: &Tell,
        sent: Sent,
        record: &mut Record,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        record.absorb(sent.transition);
        for id in &tell.of {
            self.machine.notified(*id, &sent.notifications);
            if let Some(reason) = &sent.put_aside {
                self.machine.put_aside(*id, reason);
            }
            self.keep_group(*id, record)?;
        }
        if let Some(id) = tell.group {
            self.past.told_with(id, &tell.again, &sent.notifications);
        }
        let left = std::mem::take(&mut self.machine.changes.left);
        let (of_it, others): (VecDeque<_>, VecDeque<_>) = left.into_iter().partition(|(id, _)| tell.of.contains(id));
        self.machine.changes.left = others;
        for (id, mut left) in of_it {
            left.sent.clone_from(&sent.notifications);
            left.put_aside.clone_from(&sent.put_aside);
            self.keep_past(id, left, record, now)?;
        }
        Ok(())
    }

    /// As much of what has changed as fits. Not while somebody is to be told of it: that comes first.
    pub(super) fn keep(&mut self, record: &mut Record, now: Timestamp) -> Result<(), StoreError> {
        while !record.is_full() {
            let changes = &mut self.machine.changes;
            if let Some(id) = changes.groups.first().copied() {
                self.keep_group(id, record)?;
            } else if let Some(id) = changes.removed.keys().next().copied() {
                self.keep_group(id, record)?;
            } else if let Some(id) = changes.ended.pop_first() {
                if let Some(member) = self.machine.member(&id) {
                    record.put(ENDED, &id, &*member.alert)?;
                    self.machine.keeps_end(&id);
                }
            } else if let Some(id) = changes.forgotten.pop_first() {
                record.delete(ENDED, &id);
            } else if let Some(id) = changes.unacknowledged.pop_first() {
                record.delete(Acknowledgement::COLLECTION, &id);
            } else if let Some(name) = changes.windows.pop_first() {
                match self.machine.open_since(&name) {
                    Some(since) => record.put(OPEN, &name, &OpenWindow { since })?,
                    None => record.delete(OPEN, &name),
                }
            } else if let Some((id, left)) = changes.left.pop_front() {
                self.keep_past(id, left, record, now)?;
            } else if let Some(id) = self.past.changed.pop_first() {
                if let Some(left) = self.past.get(&id) {
                    record.put(PAST, &id, left)?;
                }
            } else {
                break;
            }
        }
        Ok(())
    }

    /// Somebody is told of an end again, or won't be any more: one record with the message.
    pub(crate) fn told_again(
        &mut self,
        due: &Due,
        sent: Option<(String, Transition)>,
        record: &mut Record,
    ) -> Result<(), StoreError> {
        let (by, part) = sent.unzip();
        self.past.told_again(due, by.as_deref());
        self.past.changed.remove(&due.entry);
        record.absorb(part.unwrap_or_default());
        match self.past.get(&due.entry) {
            Some(left) => record.put(PAST, &due.entry, left),
            None => Ok(()),
        }
    }

    fn keep_group(&mut self, id: GroupId, record: &mut Record) -> Result<(), StoreError> {
        let name = id.to_string();
        let changes = &mut self.machine.changes;
        let (is_changed, is_told) = (changes.groups.remove(&id), changes.told.remove(&id));
        if let Some(apart) = changes.removed.remove(&id) {
            record.delete(GROUPS, &name);
            if apart {
                record.delete(TOLD, &name);
            }
            return Ok(());
        }
        let Some(kept) = self.machine.record(id).filter(|_| is_changed || is_told) else { return Ok(()) };
        let is_inside = kept.told.is_some();
        record.put(GROUPS, &name, &kept)?;
        self.machine.is_kept(id);
        let told = self.machine.group(id).and_then(|group| group.told.as_deref()).map(ToldRecord::from);
        match told.filter(|_| !is_inside) {
            Some(told) if is_told => {
                self.machine.stands_apart(id, true);
                record.put(TOLD, &name, &told)?;
            }
            Some(_) => {}
            None => {
                if self.machine.stands_apart(id, false) {
                    record.delete(TOLD, &name);
                }
            }
        }
        Ok(())
    }

    fn keep_past(&mut self, id: GroupId, left: Left, record: &mut Record, now: Timestamp) -> Result<(), StoreError> {
        let name = Past::id(left.at, &id.to_string());
        record.put(PAST, &name, &left)?;
        for gone in self.past.add(name, left, now) {
            record.delete(PAST, &gone);
        }
        Ok(())
    }
}
