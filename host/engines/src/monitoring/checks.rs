//! When a collector's target counts as failed, and who is asked to mend it: `check.failed`, which a runbook may be started by, and after
//! too many of these `check.given-up`, which opens an incident.
//!
//! An event is told in the record that holds that it was: exactly once for each attempt, also across a kill. While a run that it has
//! started is under way no other one is told; and the attempts of a while count, whether the target was well in between or not: so a
//! remedy that helps for a minute ends as one that does not help at all. A check that leaves the configuration while its target counts as
//! failed ends with `check.recovered`: nobody else would end its incident.

use super::TargetHealth;
use crate::started::started_by;
use crate::{Context, Error, to_value};
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::check::{Attempt, Check, CheckPhase, CheckRun, CheckSpec, CheckStatus};
use quarterdeck_model::domain::runbook::{Run, RunState};
use quarterdeck_model::event::EventFilter;
use quarterdeck_model::kind::collector::Condition;
use quarterdeck_model::plugin::{InstanceName, PluginRef};
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tracing::warn;

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Failed,
    GivenUp,
    Recovered,
}

/// One more answer. `mending`: what the last attempt has started is still under way.
fn observe(
    mut check: Check,
    spec: &CheckSpec,
    condition: Condition,
    now: Timestamp,
    mending: bool,
) -> (Check, Option<Told>) {
    check.attempts.retain(|attempt| now.since(attempt.at) < spec.per.max(spec.cool_down));
    let is_bad = condition == Condition::Failed || (spec.degraded && condition == Condition::Degraded);
    if !is_bad {
        (check.failures, check.failing_since) = (0, None);
        if matches!(check.phase, CheckPhase::Failed | CheckPhase::GivenUp) {
            check.recoveries = check.recoveries.saturating_add(1);
            if check.recoveries < spec.recoveries {
                return (check, None);
            }
            (check.phase, check.recoveries) = (CheckPhase::Passing, 0);
            return (check, Some(Told::Recovered));
        }
        check.phase = CheckPhase::Passing;
        return (check, None);
    }
    check.recoveries = 0;
    check.failures = check.failures.saturating_add(1);
    let since = *check.failing_since.get_or_insert(now);
    let is_held = check.failures >= spec.failures && now.since(since) >= spec.hold;
    match check.phase {
        CheckPhase::GivenUp => return (check, None),
        CheckPhase::Passing | CheckPhase::Failing => check.phase = CheckPhase::Failing,
        CheckPhase::Failed => {}
    }
    if (check.phase == CheckPhase::Failing && !is_held) || mending || cools_down(&check, spec, now) {
        return (check, None);
    }
    let within = check.attempts.iter().filter(|attempt| now.since(attempt.at) < spec.per).count();
    if within >= usize::try_from(spec.attempts).unwrap_or(usize::MAX) {
        check.phase = CheckPhase::GivenUp;
        return (check, Some(Told::GivenUp));
    }
    check.phase = CheckPhase::Failed;
    (check, Some(Told::Failed))
}

fn cools_down(check: &Check, spec: &CheckSpec, now: Timestamp) -> bool {
    check.attempts.last().is_some_and(|attempt| now.since(attempt.at) < spec.cool_down)
}

/// The checks of all instances.
pub(super) struct Checks {
    context: Context,
    known: Mutex<BTreeMap<InstanceName, Check>>,
}

impl Checks {
    pub(super) fn load(context: Context) -> Result<Self, Error> {
        let known: Vec<Check> = context.read_all(Check::COLLECTION, &Page::all())?;
        let known = known.into_iter().map(|check| (check.instance.clone(), check)).collect();
        Ok(Checks { context, known: Mutex::new(known) })
    }

    /// What an answer makes of the check of its instance, if that has one, and what belongs in the record of the answer.
    pub(super) fn look(&self, health: &TargetHealth, plugin: &PluginRef) -> Result<Option<(Check, Transition)>, Error> {
        let name = &health.instance;
        let Some(spec) = self.spec(name) else { return Ok(None) };
        let before = self.get(name).unwrap_or_else(|| Check::new(name.clone()));
        let mending = match health.health.state {
            Condition::Failed | Condition::Degraded => self.is_mended(&before)?,
            Condition::Ok => false,
        };
        let (mut check, told) = observe(before.clone(), &spec, health.health.state, health.checked_at, mending);
        let mut transition = Transition::new();
        if let Some(told) = told {
            let (event_type, title) = words(told, health);
            // The attempt that this event is, where it is one.
            let attempt = check.attempts.len() + usize::from(told == Told::Failed);
            let data = json!({
                "instance": name, "plugin": plugin.name, "title": title, "message": health.health.message,
                "state": health.health.state, "since": check.failing_since.unwrap_or(health.checked_at),
                "attempt": attempt, "attempts": spec.attempts,
                "severity": match told {
                    Told::Failed | Told::GivenUp => json!(spec.severity),
                    Told::Recovered => json!("info"),
                },
                "labels": {"instance": name, "plugin": plugin.name},
            });
            let event = self.context.event(event_type, name.as_str()).data(data).plugin(Some(plugin.clone()));
            if told == Told::Failed {
                check.attempts.push(Attempt { event: event.id.clone(), at: event.time });
            }
            transition = transition.event(event);
        }
        // How often it has failed so far is kept in memory: it is asked again soon.
        if check.phase != before.phase || told.is_some() {
            transition = transition.put(Check::COLLECTION, name.as_str(), Expected::Any, to_value(&check)?);
        }
        Ok(Some((check, transition)))
    }

    /// It is on the disk.
    pub(super) fn keep(&self, check: Check) {
        self.with(|known| known.insert(check.instance.clone(), check));
    }

    /// What is to be written about checks that are no more: their instance is gone, is switched off, or has none by now. Whoever was told
    /// that it failed is told that nobody looks any more, which ends its incident.
    pub(super) fn ended(&self) -> Vec<(InstanceName, Transition)> {
        let known: Vec<Check> = self.with(|known| known.values().cloned().collect());
        let is_checked = |name: &InstanceName| {
            let instance = self.context.registry.instance(name);
            instance.is_some_and(|instance| instance.spec.enabled && instance.spec.check.is_some())
        };
        let ended = known.into_iter().filter(|check| !is_checked(&check.instance));
        let written = ended.map(|check| {
            let name = check.instance;
            let mut transition = Transition::new().delete(Check::COLLECTION, name.as_str(), Expected::Any);
            if matches!(check.phase, CheckPhase::Failed | CheckPhase::GivenUp) {
                let data = json!({
                    "instance": name, "title": format!("`{name}` is not checked any more"),
                    "message": "its check, or the instance itself, is not in the configuration any more",
                    "severity": "info", "labels": {"instance": name},
                });
                transition = transition.event(self.context.event(Check::RECOVERED, name.as_str()).data(data));
            }
            (name, transition)
        });
        written.collect()
    }

    /// It is on the disk that there is none any more.
    pub(super) fn forget(&self, instance: &InstanceName) {
        self.with(|known| known.remove(instance));
    }

    pub(super) fn status(&self, instance: &InstanceName) -> Option<CheckStatus> {
        let spec = self.spec(instance)?;
        let check = self.get(instance).unwrap_or_else(|| Check::new(instance.clone()));
        let now = self.context.now();
        let within = check.attempts.iter().filter(|attempt| now.since(attempt.at) < spec.per).count();
        let next = check.attempts.last().map(|attempt| attempt.at.plus(spec.cool_down)).filter(|next| *next > now);
        let runs = self.runs(&check).unwrap_or_else(|error| {
            warn!(%instance, %error, "the runs of a check can't be read");
            Vec::new()
        });
        Some(CheckStatus {
            phase: check.phase,
            failures: check.failures,
            failing_since: check.failing_since,
            attempts: u32::try_from(within).unwrap_or(u32::MAX),
            next_attempt: next.filter(|_| check.phase != CheckPhase::GivenUp),
            runs,
        })
    }

    /// Whether a run that the last attempt has started is under way.
    fn is_mended(&self, check: &Check) -> Result<bool, StoreError> {
        let Some(last) = check.attempts.last() else { return Ok(false) };
        Ok(self.runs_of(last)?.iter().any(|run| run.state == RunState::Running))
    }

    fn runs(&self, check: &Check) -> Result<Vec<CheckRun>, StoreError> {
        let mut runs = Vec::new();
        for attempt in check.attempts.iter().rev() {
            runs.extend(self.runs_of(attempt)?);
        }
        Ok(runs)
    }

    /// Found by what they are: the run of an event and a runbook has one name only.
    fn runs_of(&self, attempt: &Attempt) -> Result<Vec<CheckRun>, StoreError> {
        let mut runs = Vec::new();
        for (slug, spec) in &self.context.catalog().runbooks {
            let listens = EventFilter::types(spec.on.iter().map(|trigger| trigger.event()));
            if spec.on.is_empty() || !listens.lets_through(Check::FAILED, "") {
                continue;
            }
            let id = started_by(&attempt.event, attempt.at, slug);
            if let Some(run) = self.context.read::<Run>(Run::COLLECTION, id.as_str())? {
                runs.push(CheckRun {
                    run: run.id,
                    runbook: run.runbook,
                    state: run.state,
                    started_at: run.started_at,
                    finished_at: run.finished_at,
                    error: run.error,
                });
            }
        }
        Ok(runs)
    }

    fn spec(&self, instance: &InstanceName) -> Option<CheckSpec> {
        self.context.registry.instance(instance)?.spec.check.clone()
    }

    fn get(&self, instance: &InstanceName) -> Option<Check> {
        self.with(|known| known.get(instance).cloned())
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<InstanceName, Check>) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn words(told: Told, health: &TargetHealth) -> (&'static str, String) {
    let (instance, message) = (&health.instance, &health.health.message);
    match told {
        Told::Failed => (Check::FAILED, format!("`{instance}` has failed: {message}")),
        Told::GivenUp => (Check::GIVEN_UP, format!("`{instance}` stays failed, whatever was done: {message}")),
        Told::Recovered => (Check::RECOVERED, format!("`{instance}` is well again: {message}")),
    }
}

#[cfg(test)]
mod tests;
