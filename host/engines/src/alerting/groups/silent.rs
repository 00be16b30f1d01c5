//! Groups that ended without a word: they had been told as firing, and while their alerts ended they were silenced, inhibited or muted. Whoever
//! was told believes that they fire still. So what had been told of such a group holds for the next one of its labels, as in
//! Alertmanager's log of notifications: the same alert is no news to anybody, and is told again after the repeat interval.

use super::kept::ToldRecord;
use super::{Group, Machine, Told};
use crate::alerting::key::GroupId;

/// Groups that are remembered. Of more of them the oldest are news when they fire again.
const GROUPS: usize = 2_000;
/// Alerts of one. A larger group is news.
const ALERTS: usize = 1_000;

impl Machine {
    /// The group is about to end: what nobody knows the end of, if so.
    pub(super) fn silent_end(&mut self, id: GroupId, group: &Group) -> Option<Box<ToldRecord>> {
        let told = group.told.as_deref().filter(|told| !told.firing.is_empty() && told.firing.len() <= ALERTS)?;
        if self.silent.len() >= GROUPS
            && let Some(oldest) = self.silent.iter().min_by_key(|(_, told)| told.at).map(|(id, _)| *id)
        {
            self.silent.remove(&oldest);
        }
        let told = Told { ends: Vec::new(), ..told.clone() };
        let record = ToldRecord::from(&told);
        self.silent.insert(id, Box::new(told));
        Some(Box::new(record))
    }
}
