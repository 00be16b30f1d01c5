//! What happened last, as far as it concerns an operator. A log of ten thousand events of what goes on within the host may have few such ones: it
//! is searched once, and from then on what comes in is looked at.

use crate::problem::Problem;
use crate::resources::events::backwards;
use quarterdeck_model::event::{EventFilter, Offset, StoredEvent};
use quarterdeck_model::store::Store;
use std::sync::{Mutex, PoisonError};

/// What an operator is told of: not the steps of a run or the moves of a deployment, each message or each call of a plugin.
pub(crate) const HAPPENED: [&str; 35] = [
    "alert.acknowledged",
    "alert.firing",
    "alert.resolved",
    "configuration.applied",
    "configuration.refused",
    "deployment.finished",
    "deployment.paused",
    "deployment.promoted",
    "deployment.started",
    "finding.fixed",
    "finding.opened",
    "health.changed",
    "incident.acknowledged",
    "incident.opened",
    "incident.resolved",
    "instance.class-quarantined",
    "instance.class-recovered",
    "instance.grants-changed",
    "instance.state-changed",
    "notification.failed",
    "plugin.installed",
    "plugin.promoted",
    "plugin.refused",
    "plugin.removed",
    "plugin.replaced",
    "plugin.rolled-back",
    "plugin.shadow-differs",
    "run.finished",
    "run.refused",
    "run.started",
    "scan.finished",
    "silence.expired",
    "silence.set",
    "slo.breached",
    "slo.recovered",
];
/// Events that are kept.
const KEPT: usize = 8;
/// Events of the log that are read at once.
const AT_ONCE: usize = 1_000;
/// Where more has come in, the log is searched from its end again.
const FARTHEST: u64 = 20_000;

/// The newest of them, up to an offset.
#[derive(Default)]
pub(crate) struct Happened(Mutex<Option<(Offset, Vec<StoredEvent>)>>);

impl Happened {
    /// The newest ones that are in the log now, newest first.
    pub(crate) fn last(&self, store: &dyn Store) -> Result<Vec<StoredEvent>, Problem> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (head, tail) = (store.head(), store.tail());
        let filter = EventFilter::types(HAPPENED);
        // What fails half-way is searched for anew.
        let (seen, mut newest) = match state.take() {
            Some((seen, newest)) if seen <= head && seen >= tail && head.0.saturating_sub(seen.0) <= FARTHEST => {
                (seen, newest)
            }
            _ => (head, backwards(store, &filter, KEPT, Some(head.0.saturating_add(1)), None)?.items),
        };
        let mut next = seen;
        while next < head {
            let batch = store.events(next, &filter, AT_ONCE)?;
            if batch.next <= next {
                break;
            }
            next = batch.next;
            newest = batch.events.into_iter().rev().chain(newest).take(KEPT).collect();
        }
        newest.retain(|stored| stored.offset > tail);
        *state = Some((next.max(head), newest.clone()));
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::event::TYPES;

    #[test]
    fn what_is_told_of_are_types_of_events() {
        for name in HAPPENED {
            assert!(TYPES.contains(&name), "{name}");
        }
    }
}
