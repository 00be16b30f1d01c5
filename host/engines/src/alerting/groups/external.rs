//! Labels of this host: alerts of its own rules have them when they leave their rules, as those of Prometheus have its `external_labels`. What
//! an alert says of itself goes before. Alerts that were sent here have those of their senders.

use super::Machine;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::label::Labels;
use std::sync::Arc;

impl Machine {
    /// The alert as others see it, and what was added to it.
    pub(super) fn seen_outside(&self, alert: Arc<Alert>) -> (Arc<Alert>, Labels) {
        let mut added = Labels::new();
        if alert.posted.is_none() {
            for (name, value) in self.spec.external_labels.iter().filter(|(name, _)| alert.labels.get(name).is_none()) {
                added.insert(name, value);
            }
        }
        let alert = if added.is_empty() { alert } else { with(&alert, &added) };
        (alert, added)
    }

    /// Other labels hold. Those of before go where they were added.
    pub(super) fn relabel(&mut self) {
        let members = std::mem::take(&mut self.members);
        for (key, mut member) in members {
            if !member.added.is_empty() {
                let alert = Arc::make_mut(&mut member.alert);
                alert.labels.0.retain(|name, _| member.added.get(name).is_none());
            }
            (member.alert, member.added) = self.seen_outside(member.alert);
            self.members.insert(key, member);
        }
    }
}

fn with(alert: &Alert, added: &Labels) -> Arc<Alert> {
    let mut alert = alert.clone();
    for (name, value) in added.iter() {
        alert.labels.insert(name, value);
    }
    Arc::new(alert)
}
