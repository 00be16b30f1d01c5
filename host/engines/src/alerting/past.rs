//! What became of alerts that are over, for those who ask the next morning: who was told, and what kept the end from being told. And who
//! could not be told of an end ([`Untold`]): the group has gone by then, so nobody else would tell it again. Pure.
//!
//! A look at a group leaves one entry, with the alerts that left the group then. Entries are bounded in what they hold, in number and in
//! age; the oldest go first.

mod untold;

pub use untold::{Due, Untold};

use super::groups::{Reason, ToldRecord};
use super::key::GroupId;
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// As long as notifications are kept, by which the rest is known.
const KEEP: Span = Span::from_secs(7 * 86_400);
/// Alerts of all entries.
const ALERTS: usize = 2_000;
/// Alerts of one entry. Of a group that is larger, the others are not remembered.
pub const ALERTS_OF_A_LOOK: usize = 100;
/// Bytes of an alert's labels.
pub const LABELS: usize = 1 << 10;
/// Entries that are shown of one alert.
const SHOWN: usize = 10;

/// Alerts that left a group at one look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Left {
    pub at: Timestamp,
    /// As Alertmanager writes it.
    pub group: String,
    pub receiver: String,
    /// What had been told of the group before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// What was told of the group, if it ended without a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent: Option<Box<ToldRecord>>,
    /// Ids of the messages of this look, as older versions have written them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notifications: Vec<String>,
    /// Ids of the messages of this look by the instance that was to be told, and of those that took their place or came after them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sent: BTreeMap<InstanceName, Vec<String>>,
    /// Whom they did not reach.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub untold: BTreeMap<InstanceName, Untold>,
    /// Why there is none although something was to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_aside: Option<String>,
    pub alerts: Vec<Over>,
}

impl Left {
    pub fn messages(&self) -> impl Iterator<Item = &String> {
        self.notifications.iter().chain(self.sent.values().flatten())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Before {
    pub at: Timestamp,
    pub reason: Reason,
    pub notifications: Vec<String>,
}

/// An alert that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Over {
    pub fingerprint: String,
    pub labels: Labels,
    pub since: Timestamp,
    pub until: Timestamp,
    /// Whether it was among what had been told as firing before.
    pub told_firing: bool,
    /// Whether its end was told, or why not.
    pub end: String,
}

#[derive(Clone, Debug, Default)]
pub struct Past {
    entries: BTreeMap<String, Left>,
    alerts: usize,
    /// When somebody is to be told again. A moment that is another one by now counts for nothing.
    due: BTreeSet<(Timestamp, String, InstanceName)>,
    /// Entries that are not on the disk as they are.
    pub changed: BTreeSet<String>,
}

impl Past {
    pub fn new(entries: impl IntoIterator<Item = (String, Left)>) -> Self {
        let entries: BTreeMap<String, Left> = entries.into_iter().collect();
        let moments = entries.iter().flat_map(|(id, left)| untold::moments(id, left)).collect();
        let alerts = entries.values().map(|left| left.alerts.len()).sum();
        Past { alerts, entries, due: moments, changed: BTreeSet::new() }
    }

    /// What was told of groups that ended without a word, and did not come to another end since.
    pub fn silent(&self) -> Vec<(GroupId, ToldRecord)> {
        let mut last = BTreeMap::new();
        for (id, left) in &self.entries {
            if let Some(group) = group(id) {
                last.insert(group, left.silent.as_deref());
            }
        }
        last.into_iter().filter_map(|(group, silent)| Some((group, silent?.clone()))).collect()
    }

    /// The id of an entry: they sort by time.
    pub fn id(at: Timestamp, group: &str) -> String {
        format!("{:015}-{group}", at.as_millis().max(0))
    }

    /// Ids of those that have to go for it.
    pub fn add(&mut self, id: String, left: Left, now: Timestamp) -> Vec<String> {
        self.alerts += left.alerts.len();
        if let Some(same) = self.entries.insert(id, left) {
            self.alerts = self.alerts.saturating_sub(same.alerts.len());
        }
        let mut gone = Vec::new();
        while let Some(oldest) = self.entries.first_entry() {
            let is_old = oldest.get().at.plus(KEEP) < now;
            if self.alerts <= ALERTS && !is_old {
                break;
            }
            let (id, left) = oldest.remove_entry();
            self.alerts = self.alerts.saturating_sub(left.alerts.len());
            gone.push(id);
        }
        gone
    }

    /// Ends of alerts that left that group earlier are told again, by these messages.
    pub fn told_with(&mut self, of: GroupId, again: &[String], sent: &BTreeMap<InstanceName, Vec<String>>) {
        let mut again: BTreeSet<&str> = again.iter().map(String::as_str).collect();
        for (id, left) in self.entries.iter_mut().rev() {
            if again.is_empty() {
                return;
            }
            let before = again.len();
            if group(id) == Some(of) {
                left.alerts.iter().for_each(|over| _ = again.remove(over.fingerprint.as_str()));
            }
            if again.len() < before {
                for (instance, ids) in sent {
                    let known = left.sent.entry(instance.clone()).or_default();
                    known.extend(ids.iter().take(untold::FOLLOWED.saturating_sub(known.len())).cloned());
                }
                self.changed.insert(id.clone());
            }
        }
    }

    pub fn get(&self, id: &str) -> Option<&Left> {
        self.entries.get(id)
    }

    /// What became of one alert, the newest first.
    pub fn of(&self, fingerprint: &str) -> Vec<(&Left, &Over)> {
        let found = self.entries.values().rev().filter_map(|left| {
            let over = left.alerts.iter().find(|over| over.fingerprint == fingerprint)?;
            Some((left, over))
        });
        found.take(SHOWN).collect()
    }
}

/// The group of an entry, by its id.
fn group(id: &str) -> Option<GroupId> {
    GroupId::parse(id.split_once('-')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(at: i64, fingerprints: &[&str]) -> Left {
        let at = Timestamp::from_millis(at);
        let over = |fingerprint: &&str| Over {
            fingerprint: (*fingerprint).to_owned(),
            labels: Labels::new(),
            since: at,
            until: at,
            told_firing: true,
            end: "told that it is over".into(),
        };
        let alerts = fingerprints.iter().map(over).collect();
        let (group, receiver) = ("{}:{}".into(), "ops".into());
        let (sent, untold) = (BTreeMap::new(), BTreeMap::new());
        let notifications = Vec::new();
        Left { at, group, receiver, before: None, silent: None, notifications, sent, untold, put_aside: None, alerts }
    }

    fn add(past: &mut Past, left: Left) -> usize {
        let (id, now) = (Past::id(left.at, "g"), left.at);
        past.add(id, left, now).len()
    }

    #[test]
    fn what_became_of_an_alert_is_found_the_newest_first() {
        let mut past = Past::default();
        assert_eq!(add(&mut past, left(10, &["a", "b"])), 0);
        assert_eq!(add(&mut past, left(20, &["a"])), 0);
        let found: Vec<i64> = past.of("a").iter().map(|(left, _)| left.at.as_millis()).collect();
        assert_eq!((found, past.of("b").len(), past.of("c").len()), (vec![20, 10], 1, 0));
    }

    #[test]
    fn the_past_is_bounded_in_number_and_in_age_also_over_a_restart() {
        let mut past = Past::default();
        let names: Vec<String> = (0..ALERTS_OF_A_LOOK).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let gone: usize = (0..50).map(|at| add(&mut past, left(at, &names))).sum();
        assert_eq!((gone, past.entries.len(), past.alerts), (30, 20, ALERTS));
        let mut again = Past::new(past.entries.clone());
        assert_eq!(add(&mut again, left(50, &["x"])), 1);
        let late = left(51 + i64::try_from(KEEP.as_millis()).unwrap(), &["y"]);
        assert_eq!(add(&mut again, late), 20);
        assert_eq!((again.alerts, again.of("0").len(), again.of("y").len()), (1, 0, 1));
    }

    #[test]
    fn an_entry_that_is_written_again_counts_once() {
        let mut past = Past::default();
        add(&mut past, left(10, &["a", "b"]));
        add(&mut past, left(10, &["a"]));
        assert_eq!((past.alerts, past.of("b").len()), (1, 0));
    }
}
