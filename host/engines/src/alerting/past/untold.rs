//! Ends whose delivery was given up on. A group that is there is told again at its next look; one that ended with its last message has none, so
//! the message itself is told again, to whom it did not reach: after five minutes, then after twice as long and so on up to an hour, for
//! a day. If the group is there again, what it has to say is newer.

use super::{Left, Past, group};
use crate::alerting::groups::Delivered;
use crate::alerting::key::GroupId;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const FIRST: Span = Span::from_secs(5 * 60);
const LONGEST: Span = Span::from_secs(60 * 60);
/// What an end was, nobody wants to be told after that.
const FOR: Span = Span::from_secs(86_400);
/// Of a message's successors so many are followed.
pub(super) const FOLLOWED: usize = 64;

/// Somebody who could not be told of an end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Untold {
    /// The message that was given up on.
    pub id: String,
    /// When it is told again; `None`: it was, and how that went is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// How often it was told again.
    #[serde(default)]
    pub times: u32,
}

/// Somebody is to be told again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub entry: String,
    pub group: GroupId,
    pub receiver: String,
    pub instance: InstanceName,
    /// The message that was given up on.
    pub id: String,
}

pub(super) fn moments(id: &str, left: &Left) -> impl Iterator<Item = (Timestamp, String, InstanceName)> {
    let untold = left.untold.iter();
    untold.filter_map(move |(instance, untold)| Some((untold.at?, id.to_owned(), instance.clone())))
}

/// How long one waits before it is told again.
fn wait(times: u32) -> Span {
    let millis = FIRST.as_millis().saturating_mul(2_u64.saturating_pow(times.min(16)));
    Span::from_millis(millis.min(LONGEST.as_millis()))
}

impl Past {
    /// Notes what became of messages. `is_there`: groups that are looked at tell it again by themselves.
    pub fn delivered(&mut self, news: &[Delivered], is_there: impl Fn(GroupId) -> bool, now: Timestamp) {
        for delivered in news {
            match delivered {
                Delivered::Failed(id) => self.failed(id, &is_there, now),
                Delivered::Replaced { id, by } => self.replaced(id, by),
            }
        }
    }

    fn replaced(&mut self, id: &str, by: &str) {
        for (entry, left) in &mut self.entries {
            for ids in left.sent.values_mut().filter(|ids| ids.iter().any(|known| known == id)) {
                if ids.len() < FOLLOWED && ids.iter().all(|known| known != by) {
                    ids.push(by.to_owned());
                    self.changed.insert(entry.clone());
                }
            }
        }
    }

    /// One message may tell the ends of several groups: it is told again once.
    fn failed(&mut self, id: &str, is_there: &impl Fn(GroupId) -> bool, now: Timestamp) {
        for (entry, left) in self.entries.iter_mut().rev() {
            if let Some(told) = &left.silent
                && told.sent.values().flatten().any(|known| known == id)
            {
                // Nobody knows of the beginning either: it is news when it fires again.
                left.silent = None;
                self.changed.insert(entry.clone());
            }
            let of = left.sent.iter().find(|(_, ids)| ids.iter().any(|known| known == id));
            let Some(instance) = of.map(|(instance, _)| instance.clone()) else { continue };
            if now.since(left.at) > FOR || group(entry).is_none_or(is_there) {
                continue;
            }
            let times = left.untold.get(&instance).map_or(0, |untold| untold.times);
            let at = now.plus(wait(times));
            left.untold.insert(instance.clone(), Untold { id: id.to_owned(), at: Some(at), times });
            self.due.insert((at, entry.clone(), instance));
            self.changed.insert(entry.clone());
            return;
        }
    }

    /// When somebody is to be told again next.
    pub fn next_at(&mut self) -> Option<Timestamp> {
        loop {
            let (at, entry, instance) = self.due.first()?;
            let untold = self.entries.get(entry).and_then(|left| left.untold.get(instance));
            if untold.is_some_and(|untold| untold.at == Some(*at)) {
                return Some(*at);
            }
            self.due.pop_first();
        }
    }

    /// Who is to be told again by now.
    pub fn due(&mut self, now: Timestamp) -> Option<Due> {
        self.next_at().filter(|at| *at <= now)?;
        let (_, entry, instance) = self.due.first()?.clone();
        let left = self.entries.get(&entry)?;
        let id = left.untold.get(&instance)?.id.clone();
        Some(Due { group: group(&entry)?, receiver: left.receiver.clone(), entry, instance, id })
    }

    /// It is told again by that message; `None`: it isn't, and won't be.
    pub fn told_again(&mut self, due: &Due, by: Option<&str>) {
        let Some(left) = self.entries.get_mut(&due.entry) else { return };
        self.changed.insert(due.entry.clone());
        match (left.untold.get_mut(&due.instance), by) {
            (Some(untold), Some(by)) => {
                (untold.at, untold.times) = (None, untold.times.saturating_add(1));
                left.sent.entry(due.instance.clone()).or_default().push(by.to_owned());
            }
            _ => _ = left.untold.remove(&due.instance),
        }
    }

    /// The clock was set back.
    pub fn wait_no_longer(&mut self, now: Timestamp) {
        let mut sooner = BTreeSet::new();
        for (entry, left) in &mut self.entries {
            for (instance, untold) in &mut left.untold {
                let longest = now.plus(wait(untold.times));
                if untold.at.is_some_and(|at| at > longest) {
                    untold.at = Some(longest);
                    sooner.insert((longest, entry.clone(), instance.clone()));
                }
            }
        }
        self.due.extend(sooner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::label::Labels;
    use std::collections::BTreeMap;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn id() -> GroupId {
        GroupId::of("route", &Labels::new())
    }

    /// An end that was told to two by the messages `one` and `two`.
    fn past() -> Past {
        let sent = [("log/a", "one"), ("log/b", "two")];
        let left = Left {
            at: at(0),
            group: "{}:{}".into(),
            receiver: "ops".into(),
            before: None,
            silent: None,
            notifications: Vec::new(),
            sent: sent.map(|(instance, id)| (instance.into(), vec![id.to_owned()])).into(),
            untold: BTreeMap::new(),
            put_aside: None,
            alerts: Vec::new(),
        };
        Past::new([(Past::id(at(0), &id().to_string()), left)])
    }

    fn failed(past: &mut Past, id: &str, now: i64) {
        past.delivered(&[Delivered::Failed(id.to_owned())], |_| false, at(now));
    }

    #[test]
    fn an_end_that_did_not_reach_somebody_is_told_to_that_one_again_after_ever_longer_waits() {
        let mut past = past();
        failed(&mut past, "unknown", 10);
        assert_eq!((past.next_at(), past.changed.len()), (None, 0));
        let (mut now, mut message) = (10, "two".to_owned());
        for wait in [300, 600, 1_200, 2_400, 3_600, 3_600] {
            failed(&mut past, &message, now);
            assert_eq!((past.next_at(), past.due(at(now + wait - 1))), (Some(at(now + wait)), None));
            now += wait;
            let due = past.due(at(now)).unwrap();
            assert_eq!((due.instance.as_str(), &due.id, due.group), ("log/b", &message, id()));
            message = format!("at {now}");
            past.told_again(&due, Some(&message));
            assert_eq!(past.due(at(now + 100_000)), None, "how that went is not known");
            // As it is read after a restart.
            past = Past::new(past.entries.clone());
        }
        failed(&mut past, &message, 86_401);
        assert_eq!(past.next_at(), None, "a day later nobody wants to know");
    }

    #[test]
    fn what_is_told_again_elsewhere_or_can_t_be_is_left() {
        let mut past = past();
        past.delivered(&[Delivered::Failed("one".into())], |_| true, at(10));
        assert_eq!(past.next_at(), None, "the group is there");
        past.delivered(&[Delivered::Replaced { id: "one".into(), by: "fallback".into() }], |_| false, at(10));
        failed(&mut past, "fallback", 20);
        let due = past.due(at(320)).unwrap();
        assert_eq!(due.instance.as_str(), "log/a");
        past.told_again(&due, None);
        assert_eq!(past.next_at(), None);
        assert!(past.get(&due.entry).unwrap().untold.is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_delays_nothing() {
        let mut past = past();
        failed(&mut past, "one", 50_000);
        past.wait_no_longer(at(1_000));
        assert_eq!(past.next_at(), Some(at(1_300)));
    }
}
