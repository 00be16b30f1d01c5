//! Ends that were told of a group that goes on. Their alerts have left it, so where the message is given up on they would be told by nobody:
//! they go with the group's next message to whom it did not reach. Whoever else gets that message reads of them again, as with
//! Alertmanager, which keeps what is resolved in its group until all of a receiver have been told.
//!
//! A message may be given up on long after the next one was made, so the ends of several are remembered. Not those of a group that ended
//! with its message: `past` has them.

use super::{Machine, Told};
use crate::alerting::key::Key;
use crate::size;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::plugin::InstanceName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Messages about one group whose ends are remembered, the newest.
const MESSAGES: usize = 16;
/// Bytes of the ends of one group, in JSON: they stand in a document with what was told of it. Of more of them the oldest are forgotten.
const ROOM: usize = 64 << 10;

/// The ends in one message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ends {
    pub alerts: Vec<Arc<Alert>>,
    /// Ids of the notifications by the instance that was to be told, and of those that took their place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sent: BTreeMap<InstanceName, Vec<String>>,
    /// Instances that could not be told of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub untold: BTreeSet<InstanceName>,
}

impl Told {
    /// Ends that somebody could not be told.
    pub(super) fn owed(&self) -> impl Iterator<Item = &Arc<Alert>> {
        self.ends.iter().filter(|ends| !ends.untold.is_empty()).flat_map(|ends| &ends.alerts)
    }

    /// Another message is made, with these alerts. `earlier`: ends of those before, as far as they may still have to be told.
    pub(super) fn remember_ends(&mut self, mut earlier: Vec<Ends>, alerts: &[Arc<Alert>]) {
        let is_over = |alert: &&Arc<Alert>| alert.state == AlertState::Resolved;
        let mut room = ROOM;
        let fits = |alert: &&Arc<Alert>| match room.checked_sub(size::encoded(&***alert)) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        let now: Vec<Arc<Alert>> = alerts.iter().filter(is_over).take_while(fits).cloned().collect();
        let told: BTreeSet<&str> = now.iter().map(|alert| alert.fingerprint.as_str()).collect();
        for ends in &mut earlier {
            ends.alerts.retain(|alert| !told.contains(alert.fingerprint.as_str()));
        }
        // What was sent to nobody can't be given up on.
        earlier.retain(|ends| !ends.sent.is_empty() && !ends.alerts.is_empty());
        if !now.is_empty() {
            earlier.push(Ends { alerts: now, ..Ends::default() });
        }
        let (mut bytes, mut messages) = (0_usize, 0);
        let newest = earlier.iter().rev().take_while(|ends| {
            messages += 1;
            bytes = ends.alerts.iter().fold(bytes, |bytes, alert| bytes.saturating_add(size::encoded(&**alert)));
            messages <= MESSAGES && bytes <= ROOM
        });
        let forgotten = earlier.len().saturating_sub(newest.count());
        self.ends = earlier.split_off(forgotten);
    }
}

impl Machine {
    /// What is owed of a group, but for alerts that are in it again, and for those that nobody is to be told of now.
    pub(super) fn owed(&self, told: &Told, members: &BTreeSet<Key>, now: Timestamp) -> Vec<Arc<Alert>> {
        let is_wanted = |alert: &&Arc<Alert>| {
            !members.contains(&Key::of(&alert.fingerprint)) && self.muted(&alert.labels, now).is_none()
        };
        told.owed().filter(is_wanted).cloned().collect()
    }
}
