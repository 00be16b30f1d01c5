//! A clock that is set back. Moments are times of day, so those that were set before lie as far in the future as the clock went back: a group
//! would be looked at hours late, and silent meanwhile.

use super::Machine;
use quarterdeck_model::{Span, Timestamp};
use std::cmp::Reverse;

/// So much is no setting: a clock that is disciplined goes back by less.
const SET_BACK: Span = Span::from_secs(1);

impl Machine {
    /// What the clock says now; whether it was set back since the last time.
    pub fn look_at_clock(&mut self, now: Timestamp) -> bool {
        let before = std::mem::replace(&mut self.seen_at, now);
        let is_set_back = now.plus(SET_BACK) < before;
        if is_set_back {
            self.wait_no_longer(now);
        }
        is_set_back
    }

    /// No group waits for longer than it would if it had been looked at now, or repeats later than if it had been told now.
    pub(super) fn wait_no_longer(&mut self, now: Timestamp) {
        self.look_at_windows = self.look_at_windows.min(now);
        self.silent.values_mut().for_each(|told| told.at = told.at.min(now));
        let Some(tree) = &self.tree else { return };
        for (id, group) in &mut self.groups {
            if let Some(told) = &mut group.told {
                told.at = told.at.min(now);
            }
            let Some(route) = tree.route(group.route) else { continue };
            let longest = now.plus(if group.flushed { route.group_interval } else { route.group_wait });
            if group.next > longest {
                group.next = longest;
                self.due.push(Reverse((longest, *id)));
            }
        }
    }
}
