//! What became of messages: a recipient that could not be told is told again at its group's next look.

use super::Machine;
use crate::alerting::key::GroupId;
use quarterdeck_model::plugin::InstanceName;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Of a message's successors so many are followed.
const FOLLOWED: usize = 16;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It was given up on, by its id.
    Failed(String),
    /// Another one took its place: one to somebody else, or one that tells of several.
    Replaced { id: String, by: String },
}

/// Follows messages. Who could not be told, and whether some took another one's place.
fn outcome(
    sent: &mut BTreeMap<InstanceName, Vec<String>>,
    failed: &HashSet<&str>,
    replaced: &HashMap<&str, &String>,
) -> (Vec<InstanceName>, bool) {
    let (mut untold, mut changed) = (Vec::new(), false);
    for (instance, ids) in sent {
        let mut at = 0;
        while let Some(id) = ids.get(at).cloned() {
            at += 1;
            if let Some(by) = replaced.get(id.as_str()).filter(|by| !ids.contains(by) && ids.len() < FOLLOWED) {
                ids.push((*by).clone());
                changed = true;
            }
            if failed.contains(id.as_str()) {
                untold.push(instance.clone());
            }
        }
    }
    (untold, changed)
}

impl Machine {
    /// Notes what became of messages. What is about none of those that a group was last told by, or that told its ends,
    /// counts for nothing.
    pub fn delivered(&mut self, news: &[Delivered]) {
        let (mut failed, mut replaced) = (HashSet::new(), HashMap::new());
        for delivered in news {
            match delivered {
                Delivered::Failed(id) => _ = failed.insert(id.as_str()),
                Delivered::Replaced { id, by } => _ = replaced.insert(id.as_str(), by),
            }
        }
        if failed.is_empty() && replaced.is_empty() {
            return;
        }
        for (group, told) in self.groups.iter_mut().filter_map(|(id, group)| Some((id, group.told.as_mut()?))) {
            let (failed_now, mut changed) = outcome(&mut told.sent, &failed, &replaced);
            let mut failed_now: BTreeSet<InstanceName> = failed_now.into_iter().collect();
            for ends in &mut told.ends {
                let (untold, is_changed) = outcome(&mut ends.sent, &failed, &replaced);
                changed |= is_changed;
                failed_now.extend(untold.iter().cloned());
                for instance in untold {
                    changed |= ends.untold.insert(instance);
                }
            }
            for instance in failed_now {
                changed |= told.failed.insert(instance);
            }
            if changed {
                self.changes.groups.insert(*group);
                self.changes.told.insert(*group);
            }
        }
    }

    /// Under which ids the last message about a group is kept, by instance.
    pub fn notified(&mut self, id: GroupId, sent: &BTreeMap<InstanceName, Vec<String>>) {
        if let Some(told) = self.groups.get_mut(&id).and_then(|group| group.told.as_mut()) {
            told.sent.extend(sent.iter().map(|(instance, ids)| (instance.clone(), ids.clone())));
            if let Some(ends) = told.ends.last_mut().filter(|ends| ends.sent.is_empty()) {
                ends.sent.clone_from(sent);
            }
        }
    }

    /// The last message about a group could not be kept.
    pub fn put_aside(&mut self, id: GroupId, reason: &str) {
        if let Some(told) = self.groups.get_mut(&id).and_then(|group| group.told.as_mut()) {
            told.put_aside = Some(reason.to_owned());
        }
    }
}
