//! Runbooks: steps carried out one after another, by hand or for an event.
//!
//! - `machine`: the life of a run, pure; `template`: what is filled into the inputs of a step
//! - `triggers`: runs that events start
//!
//! The shell hands the machine what happens: results of effects (consumer `runbooks`), time (a timer per run, set again from
//! the documents at each start), and what people ask for.

mod machine;
mod template;
mod triggers;

pub use machine::{StartRun, check};

use crate::results::{End, Owner, STORE_AGAIN, listen};
use crate::{Asked, Context, Error, Tasks, to_value};
use async_trait::async_trait;
use machine::{Change, Ending};
use quarterdeck_model::Span;
use quarterdeck_model::domain::runbook::Run;
use quarterdeck_model::effect::{DeliveryClass, EffectResult, OUTBOX, Pending};
use quarterdeck_model::event::StoredEvent;
use quarterdeck_model::id::{EffectId, RunId};
use quarterdeck_model::plugin::CallError;
use quarterdeck_model::store::{Document, Page, StoreError};
use quarterdeck_model::transition::{Ack, Expected, Transition};
use quarterdeck_scheduler::{TimerQueue, Timers};
use std::sync::Arc;
use tracing::{error, warn};

const CONSUMER: &str = "runbooks";

#[derive(Clone)]
pub struct Handle(Arc<Shell>);

struct Shell {
    context: Context,
    timers: Timers,
}

pub(crate) async fn start(context: &Context, tasks: &mut Tasks) -> Result<Handle, Error> {
    let (timers, queue) = context.scheduler.timers();
    let shell = Arc::new(Shell { context: context.clone(), timers });
    shell.resume()?;
    tasks.spawn("runbooks", listen(context.clone(), CONSUMER, RunId::PREFIX, Results(shell.clone())));
    tasks.spawn("runbooks: timers", shell.clone().watch(queue));
    tasks.spawn("runbooks: triggers", triggers::run(shell.clone()));
    Ok(Handle(shell))
}

impl Handle {
    /// Starts a run of the runbook, or plans one: a dry run has ended when this returns.
    ///
    /// # Errors
    /// There is no such runbook, or its inputs are not what it takes.
    pub async fn start(&self, slug: &str, request: StartRun) -> Result<Run, Error> {
        let shell = &self.0;
        let context = &shell.context;
        let catalog = context.catalog();
        let spec = catalog
            .runbooks
            .get(slug)
            .ok_or_else(|| Error::unknown("runbook", slug, catalog.runbooks.keys().map(String::as_str)))?;
        let now = context.now();
        let run = machine::prepare(RunId::new(&context.ids, now), slug, spec, request, now)?;
        let change = match run.dry_run {
            true => shell.plan(run).await,
            false => machine::begin(run, now, &context.ids),
        };
        shell.create(change, Transition::new()).await
    }

    /// Ends a run, and gives it as it is then. What its step is doing is told to stop where it can be told.
    ///
    /// # Errors
    /// There is no such run, it is at another revision, or it has ended.
    pub async fn cancel(&self, id: &str, asked: impl Into<Asked<'_>>) -> Result<Run, Error> {
        let (asked, context) = (asked.into(), &self.0.context);
        let mut effect = None;
        let cancelled = context.update_as(asked, Run::COLLECTION, id, |run: Option<Run>| {
            let Some(run) = run else { return Ok(None) };
            effect = machine::in_flight(&run).cloned();
            let pending = self.0.pending(&run)?;
            let token = pending.as_ref().and_then(|(_, pending)| pending.token.clone());
            let change = machine::cancel(run, token, asked.principal, context.now(), &context.ids)?;
            Ok(Some(parts(change, withdrawn(pending))))
        });
        let run = cancelled.await?.ok_or_else(|| Error::not_found(format!("run `{id}`")))?;
        self.0.withdraw(effect);
        self.0.set_timer(&run);
        Ok(run)
    }
}

impl Shell {
    /// Sets the timers of all runs that have not ended.
    fn resume(&self) -> Result<(), Error> {
        for document in self.context.store.list(Run::COLLECTION, &Page::all())? {
            if document.value.get("state").and_then(|state| state.as_str()) != Some("running") {
                continue;
            }
            match document.decode::<Run>() {
                Ok(run) => self.set_timer(&run),
                Err(error) => error!(run = document.id, %error, "a run can't be read and is left alone"),
            }
        }
        Ok(())
    }

    fn set_timer(&self, run: &Run) {
        match machine::wake_at(run) {
            Some(at) => self.timers.set(run.id.as_str(), at),
            None => self.timers.cancel(run.id.as_str()),
        }
    }

    async fn watch(self: Arc<Self>, mut queue: TimerQueue) {
        loop {
            let next = tokio::select! {
                () = self.context.shutdown.cancelled() => return,
                next = queue.next() => next,
            };
            let Some(id) = next else { return self.context.shutdown.cancelled().await };
            if let Err(error) = self.tick(&id).await {
                match error {
                    Error::Store(StoreError::Closed | StoreError::Io(_)) => {
                        return error!(run = id, %error, "can't go on");
                    }
                    // A full disk passes; what else there may be (a document that can't be read) is worth asking again too.
                    error => {
                        warn!(run = id, %error, "a run can't be looked at");
                        let millis = u64::try_from(STORE_AGAIN.as_millis()).unwrap_or(1000);
                        self.timers.set(id, self.context.now().plus(Span::from_millis(millis)));
                    }
                }
            }
        }
    }

    async fn tick(&self, id: &str) -> Result<(), Error> {
        let context = &self.context;
        let mut effect = None;
        let ticked = context.update(Run::COLLECTION, id, |run: Option<Run>| {
            let Some(run) = run else { return Ok(None) };
            effect = machine::in_flight(&run).cloned();
            let pending = self.pending(&run)?;
            let token = pending.as_ref().and_then(|(_, pending)| pending.token.clone());
            let change = machine::tick(run, token, context.now(), &context.ids);
            if change.is_none() {
                effect = None;
            }
            // Whatever was in flight when the time came was given up on.
            Ok(change.map(|change| parts(change, withdrawn(pending))))
        });
        if let Some(run) = ticked.await? {
            self.withdraw(effect);
            self.set_timer(&run);
        }
        Ok(())
    }

    /// Ends the call that is under way for a step that nobody waits for any more.
    fn withdraw(&self, effect: Option<EffectId>) {
        if let Some(effect) = effect {
            self.context.outlet.withdraw(effect);
        }
    }

    /// How far the outbox has come with the effect that the run waits for.
    fn pending(&self, run: &Run) -> Result<Option<(Document, Pending)>, Error> {
        let Some(effect) = machine::in_flight(run) else { return Ok(None) };
        let Some(document) = self.context.store.get(OUTBOX, effect.as_str())? else { return Ok(None) };
        let pending = document.decode()?;
        Ok(Some((document, pending)))
    }

    async fn create(&self, change: Change, rest: Transition) -> Result<Run, Error> {
        let (run, transition) = parts(change, rest);
        let document = Transition::new().put(Run::COLLECTION, run.id.as_str(), Expected::Absent, to_value(&run)?);
        let mut whole = document;
        whole.absorb(transition);
        self.context.commit(whole).await?;
        self.set_timer(&run);
        Ok(run)
    }

    /// Asks each step what it would do. What the calls wrote or published is dropped: a dry run changes nothing.
    async fn plan(&self, run: Run) -> Change {
        let mut plans = Vec::with_capacity(run.steps.len());
        for (index, step) in run.steps.iter().enumerate() {
            let plan = match machine::dry_inputs(&run, index) {
                Ok(inputs) => {
                    let plan = self.context.plugins.runbook_action.plan(&step.action, &inputs).await;
                    (inputs, plan.map(|called| (called.value, called.plugin)))
                }
                Err(message) => (serde_json::Value::Null, Err(CallError::Rejected { message }.into())),
            };
            plans.push(plan);
        }
        machine::planned(run, plans, self.context.now(), &self.context.ids)
    }
}

struct Results(Arc<Shell>);

#[async_trait]
impl Owner for Results {
    async fn ended(&self, event: &StoredEvent, result: EffectResult, end: End, ack: Ack) -> Result<(), Error> {
        let context = &self.0.context;
        let reason = || result.error.clone().unwrap_or_else(|| "no reason given".to_owned());
        let ending = match end {
            End::Done => Ending::Done(result.outputs.clone()),
            End::Failed => Ending::Failed(reason()),
            End::Unknown => Ending::Unknown(reason()),
        };
        let updated = context.update(Run::COLLECTION, &event.event.subject, |run: Option<Run>| {
            let Some(run) = run else { return Ok(None) };
            let plugin = event.event.plugin.clone();
            let change = machine::ended(run, &result.effect, ending.clone(), plugin, context.now(), &context.ids);
            Ok(change.map(|change| {
                let rest = Transition { acks: vec![ack.clone()], ..Transition::new() };
                parts(change, rest)
            }))
        });
        if let Some(run) = updated.await? {
            self.0.set_timer(&run);
        }
        Ok(())
    }
}

/// The document, and what else belongs in its record.
fn parts(change: Change, mut rest: Transition) -> (Run, Transition) {
    rest.events.extend(change.events);
    rest.effects.extend(change.effects);
    (change.run, rest)
}

/// Takes back an effect that has not begun, or that may be repeated: nobody shall do later what was cancelled now. What must not
/// run twice and has begun is left to the outbox, which says that it is not known whether it was done.
fn withdrawn(pending: Option<(Document, Pending)>) -> Transition {
    match pending {
        Some((document, pending))
            if pending.token.is_none()
                && (pending.attempts == 0 || pending.effect.class == DeliveryClass::AtLeastOnce) =>
        {
            Transition::new().delete(OUTBOX, &document.id, Expected::Revision(document.revision))
        }
        _ => Transition::new(),
    }
}

#[cfg(test)]
mod tests;
