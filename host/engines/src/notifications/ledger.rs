//! What is known of messages without a look at the store: what was sent lately, what waits, and what is on its way to recipients that have
//! somebody behind them. So that a second in which nothing is due reads nothing.
//!
//! It is told of a message when it is decided on, which is before it is on the disk, and it is never told that a record was refused. So
//! it may name what is not there: that is seen when its turn comes. And it is compared with the documents now and then, so
//! that what it was not told of is found.

use super::delivery::{Delivery, HELD, PURPOSE, sent_at};
use super::policy::Lately;
use quarterdeck_model::domain::delivery::RateLimit;
use quarterdeck_model::effect::{OUTBOX, Pending};
use quarterdeck_model::id::EffectId;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::{Page, Store, StoreError};
use quarterdeck_model::{Severity, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Times that are remembered of one instance, or as many as its rate limit counts.
pub(super) const REMEMBERED: usize = 1000;
/// How often it is compared with the documents.
const COMPARE_EVERY: Duration = Duration::from_secs(60);
/// After so long, what is not there won't come any more: its record was refused.
const WRITTEN_WITHIN: Duration = Duration::from_secs(60);

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: EffectId,
    pub(super) created_at: Timestamp,
    pub(super) severity: Severity,
    noted: Instant,
}

/// A message that was handed to the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OnItsWay {
    pub(super) instance: InstanceName,
    pub(super) since: Timestamp,
    noted: Instant,
}

#[derive(Default)]
struct Known {
    lately: HashMap<InstanceName, Lately>,
    /// By id, which is the order in which they came.
    held: BTreeMap<InstanceName, BTreeMap<EffectId, Held>>,
    on_their_way: BTreeMap<EffectId, OnItsWay>,
    held_compared: Option<Instant>,
    outbox_compared: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Ledger(Mutex<Known>);

fn is_due(compared: &mut Option<Instant>) -> bool {
    let due = compared.is_none_or(|at| at.elapsed() >= COMPARE_EVERY);
    if due {
        *compared = Some(Instant::now());
    }
    due
}

impl Ledger {
    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn lately<T>(&self, instance: &InstanceName, act: impl FnOnce(&mut Lately) -> T) -> T {
        self.with(|known| act(known.lately.entry(instance.clone()).or_default()))
    }

    /// One more was sent.
    pub(super) fn sent(&self, instance: &InstanceName, at: Timestamp, limit: Option<&RateLimit>) {
        let counted = limit.and_then(|limit| usize::try_from(limit.messages.get()).ok()).unwrap_or_default();
        self.lately(instance, |lately| {
            lately.sent.push(at);
            let over = lately.sent.len().saturating_sub(counted.max(REMEMBERED));
            lately.sent.drain(..over);
        });
    }

    /// It waits.
    pub(super) fn holds(&self, delivery: &Delivery) {
        let held = Held {
            id: delivery.id.clone(),
            created_at: delivery.created_at,
            severity: delivery.message.severity,
            noted: Instant::now(),
        };
        self.with(|known| {
            known.lately.entry(delivery.instance.clone()).or_default().held_since.get_or_insert(held.created_at);
            known.held.entry(delivery.instance.clone()).or_default().insert(held.id.clone(), held);
        });
    }

    /// Whom messages wait for.
    pub(super) fn waited_for(&self) -> Vec<InstanceName> {
        self.with(|known| known.held.keys().cloned().collect())
    }

    /// What waits for one recipient, the oldest first: how much, since when, and the most severe of it.
    pub(super) fn waiting(&self, instance: &InstanceName) -> Option<(Timestamp, Severity)> {
        self.with(|known| {
            let held = known.held.get(instance)?;
            let worst = held.values().map(|held| held.severity).min()?;
            Some((held.values().next()?.created_at, worst))
        })
    }

    /// The oldest of it.
    pub(super) fn oldest(&self, instance: &InstanceName, count: usize) -> Vec<Held> {
        let held = |known: &mut Known| {
            let held = known.held.get(instance).into_iter().flat_map(BTreeMap::values);
            held.take(count).cloned().collect()
        };
        self.with(held)
    }

    /// They wait no more.
    pub(super) fn released<'a>(&self, instance: &InstanceName, ids: impl IntoIterator<Item = &'a EffectId>) {
        self.with(|known| {
            let Some(held) = known.held.get_mut(instance) else { return };
            ids.into_iter().for_each(|id| _ = held.remove(id));
            let since = held.values().next().map(|held| held.created_at);
            if held.is_empty() {
                known.held.remove(instance);
            }
            known.lately.entry(instance.clone()).or_default().held_since = since;
        });
    }

    /// There is no document of it. Its record may be on its way to the disk still.
    pub(super) fn missing(&self, instance: &InstanceName, held: &Held) {
        if held.noted.elapsed() >= WRITTEN_WITHIN {
            self.released(instance, [&held.id]);
        }
    }

    /// It was handed to the outbox, and somebody else is told if it stays there for too long.
    pub(super) fn leaves(&self, id: &EffectId, instance: &InstanceName, since: Timestamp) {
        let on_its_way = OnItsWay { instance: instance.clone(), since, noted: Instant::now() };
        self.with(|known| known.on_their_way.insert(id.clone(), on_its_way));
    }

    /// It has arrived, or was given up on.
    pub(super) fn arrived(&self, id: &EffectId) {
        self.with(|known| known.on_their_way.remove(id));
    }

    /// There is no document of it. Its record may be on its way to the disk still.
    pub(super) fn lost(&self, id: &EffectId) {
        self.with(|known| {
            if known.on_their_way.get(id).is_some_and(|one| one.noted.elapsed() >= WRITTEN_WITHIN) {
                known.on_their_way.remove(id);
            }
        });
    }

    /// Those that `is_wanted` says yes to.
    pub(super) fn on_their_way(&self, is_wanted: impl Fn(&OnItsWay) -> bool) -> Vec<EffectId> {
        let wanted = |known: &mut Known| {
            let wanted = known.on_their_way.iter().filter(|(_, one)| is_wanted(one));
            wanted.map(|(id, _)| id.clone()).collect()
        };
        self.with(wanted)
    }

    /// Compares what waits with its documents, if it is time for that.
    pub(super) fn compare_held(&self, store: &dyn Store) -> Result<(), StoreError> {
        if !self.with(|known| is_due(&mut known.held_compared)) {
            return Ok(());
        }
        let mut there = HashSet::new();
        for document in store.list(HELD, &Page::all())? {
            let delivery: Delivery = document.decode()?;
            there.insert(delivery.id.clone());
            let is_known = |known: &mut Known| {
                known.held.get(&delivery.instance).is_some_and(|held| held.contains_key(&delivery.id))
            };
            if !self.with(is_known) {
                self.holds(&delivery);
            }
        }
        for instance in self.waited_for() {
            for held in self.oldest(&instance, usize::MAX).iter().filter(|held| !there.contains(&held.id)) {
                self.missing(&instance, held);
            }
        }
        Ok(())
    }

    /// Compares what is on its way to those instances with the outbox, if it is time for that.
    pub(super) fn compare_outbox(
        &self,
        store: &dyn Store,
        is_wanted: impl Fn(&InstanceName) -> bool,
    ) -> Result<(), StoreError> {
        if !self.with(|known| is_due(&mut known.outbox_compared)) {
            return Ok(());
        }
        let mut there = HashSet::new();
        for document in store.list(OUTBOX, &Page::all())? {
            let Pending { effect, .. } = document.decode()?;
            if effect.purpose == PURPOSE && is_wanted(&effect.instance) {
                self.leaves(&effect.id, &effect.instance, sent_at(&effect));
                there.insert(effect.id.clone());
            }
        }
        for id in self.on_their_way(|_| true).iter().filter(|id| !there.contains(*id)) {
            self.lost(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    #[test]
    fn as_many_times_are_remembered_as_the_rate_limit_counts() {
        let (ledger, instance) = (Ledger::default(), InstanceName::from("webhook/a"));
        let limit =
            RateLimit { messages: NonZeroU32::new(2_500).unwrap(), per: quarterdeck_model::Span::from_secs(3_600) };
        for millis in 0..3_000 {
            ledger.sent(&instance, Timestamp::from_millis(millis), Some(&limit));
        }
        let sent = ledger.lately(&instance, |lately| lately.sent.clone());
        assert_eq!((sent.len(), sent.first()), (2_500, Some(&Timestamp::from_millis(500))));
        ledger.sent(&instance, Timestamp::from_millis(3_000), None);
        assert_eq!(ledger.lately(&instance, |lately| lately.sent.len()), REMEMBERED);
    }
}
