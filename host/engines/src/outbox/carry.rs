//! One attempt at one effect: read, ask `lease`, call, commit what came of it.

use super::Calling;
use super::lease::{self, After, Ending, Next};
use super::queue::Entry;
use crate::shorten::shortened;
use crate::size::encoded;
use crate::{Context, belongings, to_json, to_value};
use quarterdeck_model::Timestamp;
use quarterdeck_model::effect::{Action, DEAD_LETTERS, Effect, EffectResult, OUTBOX, Pending};
use quarterdeck_model::event::Event;
use quarterdeck_model::id::{DeploymentId, RunId};
use quarterdeck_model::plugin::{ActResult, CallError, InstanceState, Outcome, PluginRef};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::transition::{Expected, Transition};
use serde_json::{Value, json};
use std::time::Duration;
use tracing::{error, warn};

/// What the queue has to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Finished,
    Again {
        absences: u32,
        due: Timestamp,
    },
    /// The store is gone: what is done from now on can't be written down.
    Over,
}

/// An effect that takes more, as JSON, does not lie among the dead letters as a whole.
const LETTER_BYTES: usize = 256 << 10;
/// What of that is left for what is not the message, where one is shortened.
const BESIDE_MESSAGE: usize = 16 << 10;
/// What lies there of such an effect's action.
const ACTION_BYTES: usize = 16 << 10;
/// How long a store that refuses for now (a full disk) is left alone.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// `calling` is let go of when the call is over.
pub(super) async fn carry(context: Context, entry: Entry, calling: Calling) -> Verdict {
    match attempt(&context, &entry, calling).await {
        Ok(verdict) => verdict,
        Err(error) if context.store.failure().is_some() || matches!(error, StoreError::Io(_) | StoreError::Closed) => {
            error!(effect = %entry.id, %error, "an effect could not be carried on, nor will others be");
            Verdict::Over
        }
        Err(error) => {
            warn!(effect = %entry.id, %error, "an effect could not be carried on");
            Verdict::Again { absences: entry.absences, due: context.now().plus(lease::absence(2)) }
        }
    }
}

async fn attempt(context: &Context, entry: &Entry, calling: Calling) -> Result<Verdict, StoreError> {
    // It still shows its documents then.
    if let Some(failure) = context.store.failure() {
        return Err(failure);
    }
    let Some(document) = context.store.raw(OUTBOX, entry.id.as_str())? else { return Ok(Verdict::Finished) };
    let pending: Pending = document.decode()?;
    let again = |due| Ok(Verdict::Again { absences: entry.absences, due });
    match lease::next(&pending, context.now()) {
        Next::Wait(due) => again(due),
        Next::End(ending) => {
            let plugin = pending.plugin.clone();
            let ended = Ended { pending: &pending, ending, plugin, belongings: Transition::new() };
            ended.commit(context, document.revision).await
        }
        Next::Poll(token) => {
            let answer = poll(context, &pending.effect, &token).await;
            drop(calling);
            let answer = Answer::of(answer, &pending.effect);
            let failure = answer.failure();
            let after = lease::polled(&pending, answer.outcome, context.now());
            let failure = failure.filter(|_| matches!(after, After::Later(_)));
            let settled = Settled { pending: &pending, revision: document.revision, plugin: answer.plugin };
            let verdict = settled.commit(context, after, answer.belongings, 0).await?;
            note(context, &pending, document.revision, failure).await?;
            Ok(verdict)
        }
        Next::Call(attempt) => {
            if let Some(why) = away(context, &attempt.effect) {
                note(context, &pending, document.revision, Some(why)).await?;
                return Ok(look_again(context, entry, &pending.effect));
            }
            let (verdict, failure) = call(context, entry, &attempt, document.revision, calling).await?;
            note(context, &pending, document.revision, failure).await?;
            Ok(verdict)
        }
        Next::WriteThenCall(attempt) => {
            if let Some(why) = away(context, &attempt.effect) {
                note(context, &pending, document.revision, Some(why)).await?;
                return Ok(look_again(context, entry, &pending.effect));
            }
            let id = entry.id.as_str();
            let expected = Expected::Revision(document.revision);
            let written = context.commit(Transition::new().put(OUTBOX, id, expected, to_json(&attempt)?)).await?;
            let revision = written.revisions.first().copied().unwrap_or(document.revision + 1);
            Ok(call(context, entry, &attempt, revision, calling).await?.0)
        }
    }
}

/// Looks again whether the instance may act: grants and settings may have changed since the effect was decided. If not: why.
fn away(context: &Context, effect: &Effect) -> Option<String> {
    let name = &effect.instance;
    let Some(instance) = context.registry.instance(name) else { return Some(format!("there is no instance `{name}`")) };
    let state = match instance.state {
        _ if !instance.spec.enabled => "disabled",
        InstanceState::Active | InstanceState::Quarantined => return None,
        InstanceState::MissingPlugin => "missing its plugin",
        InstanceState::AwaitingGrant => "awaiting a grant",
        InstanceState::Misconfigured => "misconfigured",
        InstanceState::Disabled => "disabled",
    };
    let reason = instance.reason.map_or(String::new(), |reason| format!(": {}", lease::short(&reason)));
    Some(format!("instance `{name}` is {state}{reason}"))
}

fn look_again(context: &Context, entry: &Entry, effect: &Effect) -> Verdict {
    let due = context.now().plus(lease::absence(entry.absences)).min(effect.expires);
    Verdict::Again { absences: entry.absences + 1, due }
}

/// Writes down what an effect waits for, where that is no attempt of its own: an operator sees it nowhere else. Written once
/// and not at each look.
async fn note(context: &Context, pending: &Pending, revision: u64, failure: Option<String>) -> Result<(), StoreError> {
    let Some(failure) = failure.filter(|failure| pending.last_error.as_ref() != Some(failure)) else { return Ok(()) };
    warn_first(pending, pending.attempts, &failure);
    let id = pending.effect.id.as_str();
    let noted = Pending { last_error: Some(failure), ..pending.clone() };
    match context.commit(Transition::new().put(OUTBOX, id, Expected::Revision(revision), to_json(&noted)?)).await {
        Err(error @ (StoreError::Io(_) | StoreError::Closed)) => Err(error),
        // Withdrawn meanwhile, or no room: it goes on all the same.
        _ => Ok(()),
    }
}

/// The first failure of an effect is told at once, and not when it is given up on an hour later.
fn warn_first(before: &Pending, attempts: u32, error: &str) {
    if before.last_error.is_none() {
        let effect = &before.effect;
        warn!(effect = %effect.id, instance = %effect.instance, purpose = effect.purpose, attempts, error,
            "an effect could not be carried out; it is tried again");
    }
}

/// What becomes of it, and what it waits for where that was no attempt.
async fn call(
    context: &Context,
    entry: &Entry,
    attempt: &Pending,
    revision: u64,
    calling: Calling,
) -> Result<(Verdict, Option<String>), StoreError> {
    let answer = Answer::of(act(context, &attempt.effect).await, &attempt.effect);
    drop(calling);
    let absences = match &answer.outcome {
        Err(CallError::Unavailable { .. }) => entry.absences + 1,
        _ => 0,
    };
    let failure = answer.failure();
    let after = lease::called(attempt, answer.outcome, entry.absences, context.now());
    let failure = failure.filter(|_| matches!(after, After::Later(_)));
    let settled = Settled { pending: attempt, revision, plugin: answer.plugin };
    Ok((settled.commit(context, after, answer.belongings, absences).await?, failure))
}

async fn act(context: &Context, effect: &Effect) -> ActResult<Outcome> {
    let (plugins, instance, key) = (&context.plugins, &effect.instance, effect.key());
    match &effect.action {
        Action::Notify { message } => plugins.notifier.notify(instance, message, key).await,
        Action::RunStep { inputs } => {
            let within = effect.expires.since(context.now());
            plugins.runbook_action.run(instance, inputs, key, within).await
        }
        Action::ApplyStep { service, step } => plugins.deployment_target.apply(instance, service, step, key).await,
        Action::CancelStep { token } => {
            let called = plugins.runbook_action.cancel(instance, token).await?;
            Ok(quarterdeck_model::plugin::Called {
                value: Outcome::Done(json!({})),
                plugin: called.plugin,
                writes: called.writes,
                events: called.events,
            })
        }
    }
}

async fn poll(context: &Context, effect: &Effect, token: &str) -> ActResult<Outcome> {
    match &effect.action {
        Action::Notify { .. } => context.plugins.notifier.poll(&effect.instance, token).await,
        _ => context.plugins.runbook_action.poll(&effect.instance, token).await,
    }
}

struct Answer {
    outcome: Result<Outcome, CallError>,
    plugin: Option<PluginRef>,
    belongings: Transition,
}

impl Answer {
    fn of(result: ActResult<Outcome>, effect: &Effect) -> Self {
        match result {
            Ok(mut called) => {
                let mut belongings = belongings(&mut called);
                // What the plugin says with its own words follows from the effect all the same.
                for event in &mut belongings.events {
                    event.causation.clone_from(&effect.causation);
                    event.correlation.clone_from(&effect.correlation);
                    event.run = run_of(effect);
                }
                Answer { belongings, outcome: Ok(called.value), plugin: Some(called.plugin) }
            }
            Err(failed) => Answer { outcome: Err(failed.error), plugin: failed.plugin, belongings: Transition::new() },
        }
    }

    /// Why it gave nothing, in words. That the host stops is not worth any.
    fn failure(&self) -> Option<String> {
        self.outcome.as_ref().err().filter(|error| **error != CallError::Cancelled).map(lease::words)
    }
}

/// Somebody waits for how it ends, and says so: a run or a deployment, for its steps. A step is cancelled when its run goes on without it.
fn is_owned(effect: &Effect) -> bool {
    let is_step = matches!(effect.action, Action::RunStep { .. } | Action::ApplyStep { .. });
    is_step && [RunId::PREFIX, DeploymentId::PREFIX].iter().any(|prefix| effect.owner.starts_with(prefix))
}

/// The run that the effect is a step of.
fn run_of(effect: &Effect) -> Option<RunId> {
    effect.owner.starts_with(RunId::PREFIX).then(|| RunId(effect.owner.clone()))
}

struct Settled<'a> {
    pending: &'a Pending,
    revision: u64,
    plugin: Option<PluginRef>,
}

impl Settled<'_> {
    async fn commit(
        self,
        context: &Context,
        after: After,
        belongings: Transition,
        absences: u32,
    ) -> Result<Verdict, StoreError> {
        match after {
            After::Later(due) => {
                match context.commit(belongings).await {
                    Err(StoreError::Invalid(reason)) => {
                        warn!(effect = %self.pending.effect.id, reason, "what a poll wrote or published can't be kept");
                    }
                    committed => _ = committed?,
                }
                Ok(Verdict::Again { absences, due })
            }
            After::Keep(pending) => self.keep(context, pending, belongings, absences).await,
            After::End(ending) => self.end(context, ending, belongings).await,
        }
    }

    async fn keep(
        self,
        context: &Context,
        pending: Box<Pending>,
        belongings: Transition,
        absences: u32,
    ) -> Result<Verdict, StoreError> {
        let (due, goes_on) = (pending.due, pending.token.is_some());
        if let Some(error) = &pending.last_error {
            warn_first(self.pending, pending.attempts, error);
        }
        let mut written = self.write(context, &pending, belongings).await;
        if !goes_on && matches!(written, Err(StoreError::Invalid(_))) {
            // The effect leaves no room for the reason. The attempt has to be counted all the same.
            let bare = Pending { last_error: None, ..*pending };
            written = self.write(context, &bare, Transition::new()).await;
        }
        match written {
            Ok(()) => Ok(Verdict::Again { absences, due }),
            Err(StoreError::Invalid(reason)) => {
                // What the plugin handed back can't be kept: asked again, it would hand it back again.
                let ending = lease::unkept(self.pending, &reason);
                self.end(context, ending, Transition::new()).await
            }
            Err(error) => Err(error),
        }
    }

    async fn write(&self, context: &Context, pending: &Pending, belongings: Transition) -> Result<(), StoreError> {
        let pending = Pending { plugin: self.plugin.clone(), ..pending.clone() };
        let (id, expected) = (pending.effect.id.as_str(), Expected::Revision(self.revision));
        let mut transition = Transition::new().put(OUTBOX, id, expected, to_json(&pending)?);
        transition.absorb(belongings);
        patiently(context, transition).await
    }

    async fn end(self, context: &Context, ending: Ending, belongings: Transition) -> Result<Verdict, StoreError> {
        let ended = Ended { pending: self.pending, ending, plugin: self.plugin, belongings };
        ended.commit(context, self.revision).await
    }
}

/// The end of an effect, as one record.
struct Ended<'a> {
    pending: &'a Pending,
    ending: Ending,
    plugin: Option<PluginRef>,
    belongings: Transition,
}

impl Ended<'_> {
    async fn commit(mut self, context: &Context, revision: u64) -> Result<Verdict, StoreError> {
        let belongings = std::mem::take(&mut self.belongings);
        let mut transition = self.record(context, revision)?;
        transition.absorb(belongings);
        match patiently(context, transition).await {
            Ok(()) => Ok(Verdict::Finished),
            // Whoever withdrew it took the document away: nobody waits for what came of it.
            Err(StoreError::Conflict { .. })
                if context.store.get(OUTBOX, self.pending.effect.id.as_str())?.is_none() =>
            {
                Ok(Verdict::Finished)
            }
            Err(StoreError::Conflict { .. }) => {
                error!(effect = %self.pending.effect.id, "an effect was changed by someone else while it was carried out");
                Ok(Verdict::Again { absences: 0, due: context.now() })
            }
            Err(StoreError::Invalid(reason)) => {
                // What the plugin handed back can't be kept. The effect still has to end, and to say why.
                self.ending = Ending::Failed(format!("its result can't be kept: {}", lease::short(&reason)));
                patiently(context, self.record(context, revision)?).await?;
                Ok(Verdict::Finished)
            }
            Err(error) => Err(error),
        }
    }

    fn record(&self, context: &Context, revision: u64) -> Result<Transition, StoreError> {
        let (effect, now) = (&self.pending.effect, context.now());
        let (event_type, outputs, reason) = match &self.ending {
            Ending::Done(outputs) => ("effect.done", outputs.clone(), None),
            Ending::Failed(reason) => ("effect.failed", Value::Null, Some(reason.clone())),
            Ending::Unknown(reason) => ("effect.unknown", Value::Null, Some(reason.clone())),
        };
        let result = EffectResult {
            effect: effect.id.clone(),
            purpose: effect.purpose.clone(),
            instance: effect.instance.clone(),
            attempts: self.pending.attempts,
            outputs,
            error: reason.clone(),
        };
        let mut ended = context.event(event_type, &effect.owner).data(to_value(&result)?).plugin(self.plugin.clone());
        ended.causation.clone_from(&effect.causation);
        ended.correlation.clone_from(&effect.correlation);
        let expected = Expected::Revision(revision);
        let mut transition = Transition::new().delete(OUTBOX, effect.id.as_str(), expected);
        // A failed step is told by its run or its deployment; only what nobody waits for needs a place of its own.
        if let (Ending::Failed(reason) | Ending::Unknown(reason), false) = (&self.ending, is_owned(effect)) {
            let letter = json!({
                "kind": "effect", "at": now, "reason": reason, "attempts": self.pending.attempts,
                "plugin": self.plugin, "effect": letter(effect),
            });
            let mut added = Event::new(&context.ids, now, "dead-letter.added", effect.id.as_str())
                .data(json!({"kind": "effect", "owner": effect.owner, "purpose": effect.purpose,
                    "instance": effect.instance, "reason": reason}))
                .plugin(self.plugin.clone())
                .caused_by(&ended);
            added.run = run_of(effect);
            transition =
                transition.put(DEAD_LETTERS, effect.id.as_str(), Expected::Any, letter).event(ended).event(added);
        } else {
            transition = transition.event(ended);
        }
        Ok(transition)
    }
}

/// An effect as it lies among the dead letters. A large one is cut: the end of an effect must fit into the store. A message is left in a
/// shape that can be told, to whoever is told instead, or when it is taken up again.
fn letter(effect: &Effect) -> Value {
    let bytes = encoded(effect);
    if bytes <= LETTER_BYTES {
        return json!(effect);
    }
    if let Action::Notify { message } = &effect.action {
        let message = shortened(message.clone(), LETTER_BYTES - BESIDE_MESSAGE);
        let effect = Effect { action: Action::Notify { message }, ..effect.clone() };
        if encoded(&effect) <= LETTER_BYTES {
            return json!(effect);
        }
    }
    let action = json!(effect.action).to_string();
    let begins = action.get(..action.floor_char_boundary(ACTION_BYTES)).unwrap_or_default();
    json!({
        "id": effect.id, "owner": effect.owner, "purpose": effect.purpose, "instance": effect.instance,
        "class": effect.class, "bytes": bytes, "action-begins": begins,
    })
}

/// Commits what has happened in the world already. A disk that is full is waited for: doing it again because it could not be
/// written down would be worse.
async fn patiently(context: &Context, transition: Transition) -> Result<(), StoreError> {
    loop {
        match context.commit(transition.clone()).await {
            Ok(_) => return Ok(()),
            Err(error @ StoreError::DiskFull { .. }) => {
                warn!(%error, "the result of an effect waits to be written");
                tokio::select! {
                    () = context.shutdown.cancelled() => return Err(error),
                    () = tokio::time::sleep(STORE_AGAIN) => {}
                }
            }
            Err(error) => return Err(error),
        }
    }
}
