//! What became of messages: a recipient that could not be told is told again at its group's next look.

use super::Machine;
use crate::alerting::key::GroupId;
use quarterdeck_model::plugin::InstanceName;
use std::collections::{BTreeMap, HashMap, HashSet};

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

impl Machine {
    /// Notes what became of messages. What is about none of those that a group was last told by counts for nothing.
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
            let mut changed = false;
            for (instance, ids) in &mut told.sent {
                let mut at = 0;
                while let Some(id) = ids.get(at).cloned() {
                    at += 1;
                    if let Some(by) = replaced.get(id.as_str()).filter(|by| !ids.contains(by) && ids.len() < FOLLOWED) {
                        ids.push((*by).clone());
                        changed = true;
                    }
                    changed |= failed.contains(id.as_str()) && told.failed.insert(instance.clone());
                }
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
        }
    }

    /// The last message about a group could not be kept.
    pub fn put_aside(&mut self, id: GroupId, reason: &str) {
        if let Some(told) = self.groups.get_mut(&id).and_then(|group| group.told.as_mut()) {
            told.put_aside = Some(reason.to_owned());
        }
    }
}
