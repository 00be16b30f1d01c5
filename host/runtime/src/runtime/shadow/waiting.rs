//! Candidates of an earlier life of the host, until they are taken up: one may have to be compiled, and one that can't be loaded for a reason
//! that may be over is tried again. They are shown meanwhile, and can be ended.

use super::{Kept, Runtime, Shadows};
use crate::plugin::Again;
use quarterdeck_model::decisions::{self, ShadowState};
use quarterdeck_model::plugin::PluginRef;
use quarterdeck_model::{Span, Timestamp};
use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError, Weak};
use std::time::Instant;

#[derive(Clone)]
pub(super) struct Waiting {
    kept: Kept,
    /// Why it could not be loaded, and when it is tried again. `None`: it is being loaded for the first time.
    refused: Option<(String, Timestamp)>,
}

impl Waiting {
    pub(super) fn of(kept: Kept) -> Self {
        Waiting { kept, refused: None }
    }

    pub(super) fn reason(&self) -> String {
        match &self.refused {
            Some((reason, at)) => format!("{reason}; tried again at {at}"),
            None => "it is being loaded".to_owned(),
        }
    }
}

impl Shadows {
    fn lock_waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn waits(&self, plugin: &str, waiting: Waiting) {
        self.lock_waiting().insert(plugin.to_owned(), waiting);
    }

    pub(super) fn waits_no_more(&self, plugin: &str) {
        self.lock_waiting().remove(plugin);
    }

    pub(super) fn waiting(&self, plugin: &str) -> Option<Waiting> {
        self.lock_waiting().get(plugin).cloned()
    }

    pub(super) fn all_waiting(&self) -> Vec<(String, Waiting)> {
        self.lock_waiting().iter().map(|(plugin, waiting)| (plugin.clone(), waiting.clone())).collect()
    }

    /// That candidate was refused, or (`None`) came to an end. Somebody may have ended it meanwhile, or begun with another one.
    fn settle(&self, plugin: &str, kept: &Kept, refused: Option<(String, Timestamp)>) {
        let mut all = self.lock_waiting();
        let Some(waiting) = all.get_mut(plugin).filter(|waiting| waiting.kept == *kept) else { return };
        if refused.is_some() {
            waiting.refused = refused;
        } else {
            all.remove(plugin);
        }
    }
}

impl Runtime {
    pub(super) fn shown_waiting(&self, plugin: &str, waiting: Waiting) -> decisions::Shadow {
        let active = self.catalog().current(plugin).map(|version| version.reference.clone());
        let reason = waiting.reason();
        let Waiting { kept, refused } = waiting;
        decisions::Shadow {
            plugin: plugin.to_owned(),
            candidate: PluginRef { name: plugin.to_owned(), version: kept.version, digest: kept.digest },
            active,
            since: kept.since,
            state: if refused.is_some() { ShadowState::Waiting } else { ShadowState::Loading },
            reason: Some(reason),
            comparison: decisions::Comparison::default(),
            skipped: 0,
            then: decisions::Durations::default(),
            now: decisions::Durations::default(),
            samples: Vec::new(),
        }
    }
}

/// Takes up a candidate, again and again where it can't be loaded for a reason that may be over.
pub(super) async fn resume(runtime: Weak<Runtime>, plugin: String, kept: Kept) {
    let mut again = None;
    loop {
        let Some(this) = runtime.upgrade() else { return };
        let Err(refusal) = this.take_up(&plugin, &kept).await else {
            this.shadows.settle(&plugin, &kept, None);
            return;
        };
        let now = Instant::now();
        let next = Again::after(again, now);
        let wait = Span::from_millis(u64::try_from(next.at.duration_since(now).as_millis()).unwrap_or(u64::MAX));
        tracing::warn!(plugin, reason = refusal.reason, "a candidate can't be used now: it is tried again");
        this.shadows.settle(&plugin, &kept, Some((refusal.reason, this.clock.now().plus(wait))));
        drop(this);
        tokio::time::sleep_until(next.at.into()).await;
        again = Some(next);
    }
}
