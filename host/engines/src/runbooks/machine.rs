//! The life of a run, pure: `(run, what happened, now) -> (run', events, effects)`.
//!
//! - A run takes its steps in order, one effect at a time. An effect is one attempt; it ends with the step's timeout. All attempts
//!   at a step have one key, by which the action and whoever it asks can tell a repetition; whoever comes back to it by a `goto`
//!   wants it once more, with another key.
//! - A failure that the action is sure of is tried again up to the step's `attempts`, 1 s, 2 s, 4 s ... (at most a minute) later.
//!   An attempt of which nobody knows whether it was done (cut off, timed out, answered with `retry`) is tried again only if the
//!   step is idempotent; else it ends as `unknown`, and `on-failure` says what then.
//! - A step that has failed for good ends the run (`abort`), lets the next one begin (`continue`), or another (`goto`).
//!   Whoever goes back gets each step on the way once more, paced like a repeated attempt.
//! - A run that holds a failed step when it ends has failed, whatever was done about it.
//! - The run's own timeout and a cancellation end it at once. What its step is doing is told to stop if it goes on elsewhere.

use super::template::{Missing, Scope, fill};
use crate::Error;
use quarterdeck_model::domain::runbook::{OnFailure, Run, RunState, RunbookSpec, StepRecord, StepState};
use quarterdeck_model::effect::{Action, Backoff, DeliveryClass, Effect};
use quarterdeck_model::event::Event;
use quarterdeck_model::id::{EffectId, IdSource, RunId};
use quarterdeck_model::plugin::{CallFailed, PluginRef};
use quarterdeck_model::{Span, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The outbox ends an attempt at its timeout; this much later the machine stops waiting to be told.
const GRACE: Span = Span::from_secs(5);

/// Between the attempts of a step.
const PACE: Backoff = Backoff { first: Span::from_secs(1), cap: Span::from_secs(60), attempts: u32::MAX };

/// Outputs beyond this are not kept in the run.
const OUTPUT_BYTES: usize = 64 << 10;

/// What a run is started with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartRun {
    pub inputs: BTreeMap<String, Value>,
    /// Ask each step what it would do, and do nothing.
    pub dry_run: bool,
    pub principal: String,
    /// An incident's, alert's or run's id.
    pub cause: Option<String>,
    /// See [`Run::ancestors`].
    pub ancestors: Vec<String>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ending {
    Done(Value),
    Failed(String),
    Unknown(String),
}

/// What a step said that it would do; `None`: it can't tell.
pub(super) type Plan = Result<(Option<String>, PluginRef), CallFailed>;

#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) run: Run,
    pub(super) events: Vec<Event>,
    pub(super) effects: Vec<Effect>,
}

/// Whether runs of this runbook can be started at all.
///
/// # Errors
/// [`Error::Invalid`] names the step that can't be.
pub fn check(slug: &str, spec: &RunbookSpec) -> Result<(), Error> {
    if spec.steps.is_empty() {
        return Err(Error::invalid(format!("runbook `{slug}` has no steps")));
    }
    let mut names = BTreeSet::new();
    for step in &spec.steps {
        if !names.insert(step.name.as_str()) {
            return Err(Error::invalid(format!("runbook `{slug}` has two steps of the name `{}`", step.name)));
        }
    }
    for step in &spec.steps {
        if let OnFailure::Goto(target) = &step.on_failure
            && !names.contains(target.as_str())
        {
            return Err(Error::invalid(format!(
                "step `{}` of runbook `{slug}` goes to `{target}` on failure, which is none of its steps",
                step.name
            )));
        }
    }
    Ok(())
}

/// A run that has not begun.
///
/// # Errors
/// [`Error::Invalid`] if the runbook or the inputs are.
pub(super) fn prepare(
    id: RunId,
    slug: &str,
    spec: &RunbookSpec,
    request: StartRun,
    now: Timestamp,
) -> Result<Run, Error> {
    check(slug, spec)?;
    let inputs = inputs(slug, spec, request.inputs)?;
    let steps = spec.steps.iter().map(|step| StepRecord {
        name: step.name.clone(),
        action: step.action.clone(),
        state: StepState::Waiting,
        effect: None,
        started_at: None,
        finished_at: None,
        attempts: 0,
        returns: 0,
        inputs: Value::Null,
        outputs: Value::Null,
        error: None,
        plugin: None,
    });
    Ok(Run {
        id,
        runbook: slug.to_owned(),
        state: RunState::Running,
        dry_run: request.dry_run,
        inputs,
        principal: request.principal,
        cause: request.cause,
        ancestors: request.ancestors,
        started_at: now,
        finished_at: None,
        deadline: now.plus(spec.timeout),
        steps: steps.collect(),
        error: None,
        spec: spec.clone(),
    })
}

fn inputs(slug: &str, spec: &RunbookSpec, given: BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, Error> {
    if let Some(unknown) = given.keys().find(|name| !spec.inputs.contains_key(*name)) {
        let known: Vec<_> = spec.inputs.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Error::invalid(format!("runbook `{slug}` has no input `{unknown}`; hint: it takes {known}")));
    }
    let mut inputs = spec.inputs.clone();
    inputs.extend(given);
    if let Some((missing, _)) = inputs.iter().find(|(_, value)| value.is_null()) {
        return Err(Error::invalid(format!(
            "runbook `{slug}` needs the input `{missing}`; hint: it has no default, so it must be given"
        )));
    }
    Ok(inputs)
}

/// Begins the first step.
pub(super) fn begin(run: Run, now: Timestamp, ids: &IdSource) -> Change {
    let mut turn = Turn::new(run, now, ids);
    let data = json!({"dry_run": turn.run.dry_run});
    turn.tell(Run::STARTED, data);
    turn.enter(0);
    turn.change()
}

/// The inputs with which a dry run asks what the step of that index would do.
pub(super) fn dry_inputs(run: &Run, index: usize) -> Result<Value, String> {
    let step = run.spec.steps.get(index).ok_or("there is no such step")?;
    fill(&step.with, Scope::Run(run), Missing::Keep)
}

/// What the steps said that they would do, in their order.
pub(super) fn planned(run: Run, plans: Vec<(Value, Plan)>, now: Timestamp, ids: &IdSource) -> Change {
    let mut turn = Turn::new(run, now, ids);
    let data = json!({"dry_run": true});
    turn.tell(Run::STARTED, data);
    let mut error = None;
    for (record, (inputs, plan)) in turn.run.steps.iter_mut().zip(plans) {
        record.inputs = inputs;
        record.finished_at = Some(now);
        match plan {
            Ok((plan, plugin)) => {
                record.state = StepState::Skipped;
                record.outputs = json!({"plan": plan.unwrap_or_else(|| "unknown".to_owned())});
                record.plugin = Some(plugin);
            }
            Err(failure) => {
                record.state = StepState::Failed;
                record.error = Some(failure.to_string());
                record.plugin.clone_from(&failure.plugin);
                error.get_or_insert_with(|| format!("step `{}` can't be planned: {failure}", record.name));
            }
        }
    }
    let state = if error.is_some() { RunState::Failed } else { RunState::Planned };
    turn.end(state, error);
    turn.change()
}

/// An effect of this run has ended. `None`: it is not the one that the run waits for.
pub(super) fn ended(
    run: Run,
    effect: &EffectId,
    ending: Ending,
    plugin: Option<PluginRef>,
    now: Timestamp,
    ids: &IdSource,
) -> Option<Change> {
    let waited_for = |record: &StepRecord| record.state == StepState::Running && record.effect.as_ref() == Some(effect);
    let index = run.steps.iter().position(waited_for).filter(|_| run.state == RunState::Running)?;
    let mut turn = Turn::new(run, now, ids);
    if let Some(record) = turn.run.steps.get_mut(index)
        && plugin.is_some()
    {
        record.plugin = plugin;
    }
    match ending {
        Ending::Done(outputs) => turn.done(index, outputs),
        Ending::Failed(error) => turn.fail(index, StepState::Failed, error, true),
        Ending::Unknown(error) => {
            let again = turn.idempotent(index);
            turn.fail(index, StepState::Unknown, error, again);
        }
    }
    Some(turn.change())
}

/// When [`tick`] has something to do, unless something else happens before. `None` for a run that has ended.
pub(super) fn wake_at(run: &Run) -> Option<Timestamp> {
    if run.state != RunState::Running {
        return None;
    }
    let step = current(run).and_then(|index| step_due(run, index));
    Some(step.map_or(run.deadline, |due| due.min(run.deadline)))
}

/// Time has passed: begins the attempt that is due, and ends what has taken too long. `token`: what the effect under way
/// left behind when it said that it is going on.
pub(super) fn tick(run: Run, token: Option<String>, now: Timestamp, ids: &IdSource) -> Option<Change> {
    if wake_at(&run)? > now {
        return None;
    }
    let mut turn = Turn::new(run, now, ids);
    if turn.run.deadline <= now {
        let error = format!("not done within {}", turn.run.spec.timeout);
        turn.stop_step(token, &error);
        turn.end(RunState::TimedOut, Some(error));
        return Some(turn.change());
    }
    let index = current(&turn.run)?;
    if turn.run.steps.get(index)?.state == StepState::Waiting {
        turn.attempt(index);
        return Some(turn.change());
    }
    turn.cancel_effect(index, token);
    let again = turn.idempotent(index);
    let (state, doubt) =
        if again { (StepState::Failed, "") } else { (StepState::Unknown, "; whether it was done is not known") };
    let timeout = turn.run.spec.steps.get(index)?.timeout;
    turn.fail(index, state, format!("took longer than {timeout}{doubt}"), again);
    Some(turn.change())
}

/// Ends the run because a person wants it.
///
/// # Errors
/// [`Error::Conflict`] if it has ended.
pub(super) fn cancel(
    run: Run,
    token: Option<String>,
    principal: &str,
    now: Timestamp,
    ids: &IdSource,
) -> Result<Change, Error> {
    if run.state != RunState::Running {
        return Err(Error::conflict(format!("run `{}` has ended already", run.id)));
    }
    let mut turn = Turn::new(run, now, ids);
    let error = format!("cancelled by {principal}");
    turn.stop_step(token, &error);
    turn.end(RunState::Cancelled, Some(error));
    Ok(turn.change())
}

/// The effect that the run waits for.
pub(super) fn in_flight(run: &Run) -> Option<&EffectId> {
    run.steps.iter().find(|record| record.state == StepState::Running).and_then(|record| record.effect.as_ref())
}

/// The step that runs, or that waits for its next attempt.
fn current(run: &Run) -> Option<usize> {
    run.steps.iter().position(|record| {
        record.state == StepState::Running || (record.state == StepState::Waiting && record.attempts > 0)
    })
}

/// When the current step has to be looked at.
fn step_due(run: &Run, index: usize) -> Option<Timestamp> {
    let record = run.steps.get(index)?;
    if record.state == StepState::Running {
        let timeout = run.spec.steps.get(index)?.timeout;
        return Some(record.started_at?.plus(timeout).plus(GRACE));
    }
    Some(record.finished_at?.plus(PACE.delay(record.attempts).unwrap_or(PACE.cap)))
}

/// One run through the machine.
struct Turn<'a> {
    run: Run,
    now: Timestamp,
    ids: &'a IdSource,
    events: Vec<Event>,
    effects: Vec<Effect>,
}

impl<'a> Turn<'a> {
    fn new(run: Run, now: Timestamp, ids: &'a IdSource) -> Self {
        Turn { run, now, ids, events: Vec::new(), effects: Vec::new() }
    }

    fn change(self) -> Change {
        Change { run: self.run, events: self.events, effects: self.effects }
    }

    /// Each event says of which runbook it is, and what led to the run.
    fn tell(&mut self, event_type: &str, mut data: Value) {
        if let Some(data) = data.as_object_mut() {
            data.insert("runbook".to_owned(), json!(self.run.runbook));
            data.insert("cause".to_owned(), json!(self.run.cause));
            data.insert("ancestors".to_owned(), json!(self.run.ancestors));
        }
        let event = Event::new(self.ids, self.now, event_type, self.run.id.as_str());
        self.events.push(event.data(data).principal(&self.run.principal));
    }

    fn tell_step(&mut self, index: usize) {
        let Some(record) = self.run.steps.get(index) else { return };
        let data = json!({
            "step": record.name,
            "state": record.state,
            "attempts": record.attempts,
            "error": record.error,
        });
        let plugin = record.plugin.clone();
        self.tell(Run::STEP, data);
        if let Some(event) = self.events.pop() {
            self.events.push(event.plugin(plugin));
        }
    }

    fn idempotent(&self, index: usize) -> bool {
        self.run.spec.steps.get(index).is_some_and(|step| step.idempotent)
    }

    /// Comes to a step; behind the last one the run ends.
    fn enter(&mut self, index: usize) {
        match self.run.steps.get(index) {
            None => {
                let failed = |record: &&StepRecord| matches!(record.state, StepState::Failed | StepState::Unknown);
                let error = self.run.steps.iter().find(failed).map(|record| {
                    format!("step `{}` failed: {}", record.name, record.error.as_deref().unwrap_or("no reason given"))
                });
                self.end(if error.is_some() { RunState::Failed } else { RunState::Succeeded }, error);
            }
            // It was here before, and waits for its turn: `step_due` says when.
            Some(record) if record.attempts > 0 => {}
            Some(_) => self.attempt(index),
        }
    }

    fn attempt(&mut self, index: usize) {
        let Some(spec) = self.run.spec.steps.get(index) else { return };
        let filled = fill(&spec.with, Scope::Run(&self.run), Missing::Refuse);
        let (class, timeout) = match spec.idempotent {
            true => (DeliveryClass::AtLeastOnce, spec.timeout),
            false => (DeliveryClass::AtMostOnce, spec.timeout),
        };
        let Some(record) = self.run.steps.get_mut(index) else { return };
        record.attempts = record.attempts.saturating_add(1);
        record.started_at = Some(self.now);
        record.finished_at = None;
        record.error = None;
        record.effect = None;
        let inputs = match filled {
            Ok(inputs) => inputs,
            Err(error) => return self.fail(index, StepState::Failed, error, false),
        };
        record.state = StepState::Running;
        record.inputs = inputs.clone();
        let key = key(&self.run.id, index, record.returns);
        let mut effect =
            Effect::new(self.ids, self.now, self.run.id.as_str(), record.action.clone(), Action::RunStep { inputs });
        effect.purpose.clone_from(&record.name);
        effect.key = Some(key);
        effect.class = class;
        // One attempt: the machine counts them, and each is an effect of its own.
        effect.backoff = Backoff::ONCE;
        effect.expires = self.now.plus(timeout).min(self.run.deadline);
        record.effect = Some(effect.id.clone());
        self.tell_step(index);
        if let Some(begun) = self.events.last() {
            effect = effect.caused_by(begun);
        }
        self.effects.push(effect);
    }

    fn done(&mut self, index: usize, outputs: Value) {
        let Some(record) = self.run.steps.get_mut(index) else { return };
        record.state = StepState::Succeeded;
        record.finished_at = Some(self.now);
        record.outputs = bounded(outputs);
        self.tell_step(index);
        self.enter(index + 1);
    }

    /// `again`: another attempt would do no harm, if one is left.
    fn fail(&mut self, index: usize, state: StepState, error: String, again: bool) {
        let Some(spec) = self.run.spec.steps.get(index) else { return };
        let (attempts, on_failure) = (spec.attempts, spec.on_failure.clone());
        let Some(record) = self.run.steps.get_mut(index) else { return };
        record.state = state;
        record.finished_at = Some(self.now);
        record.error = Some(error.clone());
        let again = again && record.attempts < attempts;
        let reason = format!("step `{}` failed: {error}", record.name);
        self.tell_step(index);
        if again {
            if let Some(record) = self.run.steps.get_mut(index) {
                record.state = StepState::Waiting;
            }
            return;
        }
        match on_failure {
            OnFailure::Abort => self.end(RunState::Failed, Some(reason)),
            OnFailure::Continue => self.enter(index + 1),
            OnFailure::Goto(target) => match self.run.steps.iter().position(|record| record.name == target) {
                Some(target) => self.go_to(index, target),
                None => self.end(RunState::Failed, Some(reason)),
            },
        }
    }

    fn go_to(&mut self, from: usize, target: usize) {
        if target > from {
            for record in self.run.steps.iter_mut().take(target).skip(from + 1) {
                record.state = StepState::Skipped;
            }
        } else {
            for record in self.run.steps.iter_mut().skip(target) {
                record.state = StepState::Waiting;
                if record.attempts > 0 {
                    record.returns = record.returns.saturating_add(1);
                }
                // Steps that were taken before are paced from now on.
                record.finished_at = record.finished_at.map(|_| self.now);
            }
        }
        self.enter(target);
    }

    /// Ends the step under way, if there is one.
    fn stop_step(&mut self, token: Option<String>, error: &str) {
        let Some(index) = current(&self.run) else { return };
        self.cancel_effect(index, token);
        if let Some(record) = self.run.steps.get_mut(index) {
            record.state = StepState::Cancelled;
            record.finished_at = Some(self.now);
            record.error = Some(error.to_owned());
        }
        self.tell_step(index);
    }

    /// Tells the action to stop what goes on behind the token.
    fn cancel_effect(&mut self, index: usize, token: Option<String>) {
        let (Some(token), Some(record)) = (token, self.run.steps.get(index)) else { return };
        if record.state != StepState::Running {
            return;
        }
        let action = Action::CancelStep { token };
        let mut effect = Effect::new(self.ids, self.now, self.run.id.as_str(), record.action.clone(), action);
        effect.purpose = format!("cancel {}", record.name);
        // It must not wait for the step that it is to stop.
        effect.ordering_key = format!("{}/cancel", self.run.id);
        self.effects.push(effect);
    }

    fn end(&mut self, state: RunState, error: Option<String>) {
        for record in &mut self.run.steps {
            if matches!(record.state, StepState::Waiting | StepState::Running) {
                record.state = StepState::Skipped;
            }
        }
        self.run.state = state;
        self.run.finished_at = Some(self.now);
        self.run.error = error;
        let data = json!({
            "state": state,
            "dry_run": self.run.dry_run,
            "error": self.run.error,
        });
        self.tell(Run::FINISHED, data);
    }
}

/// What every attempt at a step is told. The step's place stands for its name, which need not fit into a header; a run keeps the
/// runbook that it was started with.
fn key(run: &RunId, index: usize, returns: u32) -> String {
    format!("{run}.{}.{}", index + 1, returns + 1)
}

/// Outputs as the run keeps them.
fn bounded(outputs: Value) -> Value {
    let size = outputs.to_string().len();
    if size <= OUTPUT_BYTES {
        return outputs;
    }
    json!({"truncated": format!("{size} bytes of outputs, more than the {OUTPUT_BYTES} that a run keeps")})
}

#[cfg(test)]
mod tests;
