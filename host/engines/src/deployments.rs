//! Deployments: a strategy decides, the host carries out, a target does.
//!
//! - `machine`: the life of a deployment, pure; `steps`: weights and batches of steps; `analysis`: counters
//! - `observe`: what targets see of their services between deployments, as series
//!
//! The shell hands the machine what happens: results of steps (consumer `deployments`), time and what the target sees (a
//! timer per deployment, set again from the documents at each start), the strategy's answers, and what people ask for. A look -
//! asking target and strategy - happens beside everything else, and counts only if nothing else happened to the deployment meanwhile.

mod analysis;
mod machine;
mod observe;
mod steps;

pub use machine::{PROMOTED, StartDeployment};

use crate::results::{End, Owner, listen};
use crate::{Asked, Context, Error, Tasks, belongings, to_value};
use async_trait::async_trait;
use machine::Change;
use quarterdeck_model::Span;
use quarterdeck_model::domain::deployment::{Deployment, ServiceRecord};
use quarterdeck_model::effect::EffectResult;
use quarterdeck_model::event::StoredEvent;
use quarterdeck_model::id::{DeploymentId, IdSource};
use quarterdeck_model::kind::deployment_strategy::Question;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Ack, Expected, Transition};
use quarterdeck_model::{Timestamp, clock::Clock};
use quarterdeck_scheduler::{TimerQueue, Timers};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::task::JoinSet;
use tracing::{error, warn};

const CONSUMER: &str = "deployments";
/// How often a change is decided again because someone else wrote first.
const CONFLICTS: u32 = 32;
/// A look that could not be kept is taken again after this long.
const LOOK_AGAIN: Span = Span::from_secs(1);

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
    tasks.spawn("deployments", listen(context.clone(), CONSUMER, DeploymentId::PREFIX, Results(shell.clone())));
    tasks.spawn("deployments: looks", shell.clone().watch(queue));
    tasks.spawn("deployments: services", observe::run(context.clone()));
    Ok(Handle(shell))
}

impl Handle {
    /// Starts the deployment of a revision.
    ///
    /// # Errors
    /// There is no such service, it runs that revision already and well, or another deployment of it is under way.
    pub async fn start(&self, service: &str, request: StartDeployment) -> Result<Deployment, Error> {
        let context = &self.0.context;
        let catalog = context.catalog();
        let spec = catalog
            .services
            .get(service)
            .ok_or_else(|| Error::unknown("service", service, catalog.services.keys().map(String::as_str)))?;
        let mut conflicts = 0;
        loop {
            let document = context.store.get(ServiceRecord::COLLECTION, service)?;
            let record: Option<ServiceRecord> = document.as_ref().map(|document| document.decode()).transpose()?;
            let is_stable = |record: &ServiceRecord| record.stable == request.revision && record.deployment.is_none();
            let mut rest = Transition::new();
            let seen = if record.as_ref().is_some_and(is_stable) {
                let target = &context.plugins.deployment_target;
                let mut called = target.observe(&spec.target, service).await?;
                rest = belongings(&mut called);
                called.value.replicas
            } else {
                Vec::new()
            };
            let now = context.now();
            let id = DeploymentId::new(&context.ids, now);
            let known = machine::Known { service, spec, record: record.as_ref(), seen: &seen };
            let change = machine::begin(id, known, request.clone(), now, &context.ids)?;
            let deployment = change.deployment;
            let record = ServiceRecord {
                service: service.to_owned(),
                stable: record.as_ref().map_or_else(|| deployment.stable.clone(), |record| record.stable.clone()),
                since: record.map_or(now, |record| record.since),
                deployment: Some(deployment.id.clone()),
            };
            let expected = document.map_or(Expected::Absent, |document| Expected::Revision(document.revision));
            let id = deployment.id.as_str();
            let mut transition = Transition::new()
                .put(ServiceRecord::COLLECTION, service, expected, to_value(&record)?)
                .put(Deployment::COLLECTION, id, Expected::Absent, to_value(&deployment)?);
            transition.events.extend(change.events);
            transition.effects.extend(change.effects);
            transition.absorb(rest);
            match context.commit(transition).await {
                Ok(_) => {
                    self.0.set_timer(&deployment);
                    return Ok(deployment);
                }
                Err(StoreError::Conflict { .. }) if conflicts < CONFLICTS => conflicts += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lets a deployment go on that waits for a person; `full`: without any of the steps that are left, whether it waits or not.
    ///
    /// # Errors
    /// There is no such deployment, it is at another revision, it is not under way, or it waits for nobody and is not to be promoted
    /// in full.
    pub async fn promote(&self, id: &str, asked: impl Into<Asked<'_>>, full: bool) -> Result<Deployment, Error> {
        let asked = asked.into();
        let promoted = self.0.change(id, asked, Vec::new(), |deployment, now, ids| {
            machine::promote(deployment, asked.principal, full, now, ids).map(Some)
        });
        promoted.await?.ok_or_else(|| Error::not_found(format!("deployment `{id}`")))
    }

    /// Rolls a deployment back.
    ///
    /// # Errors
    /// There is no such deployment, it is at another revision, or it is not under way.
    pub async fn abort(&self, id: &str, asked: impl Into<Asked<'_>>, reason: &str) -> Result<Deployment, Error> {
        let asked = asked.into();
        let aborted = self.0.change(id, asked, Vec::new(), |deployment, now, ids| {
            machine::abort(deployment, asked.principal, reason, now, ids).map(Some)
        });
        aborted.await?.ok_or_else(|| Error::not_found(format!("deployment `{id}`")))
    }
}

/// Why a look led to nothing.
enum Missed {
    /// Something else happened meanwhile, or the store refuses for now: to be taken again after this long.
    Again(Span),
    /// The store is gone.
    Over(StoreError),
}

impl Shell {
    /// Sets the timers of all deployments that have not ended.
    fn resume(&self) -> Result<(), Error> {
        for document in self.context.store.list(Deployment::COLLECTION, &Page::all())? {
            match document.decode::<Deployment>() {
                Ok(deployment) => self.set_timer(&deployment),
                Err(error) => {
                    error!(deployment = document.id, %error, "a deployment can't be read and is left alone");
                }
            }
        }
        Ok(())
    }

    fn set_timer(&self, deployment: &Deployment) {
        match machine::wake_at(deployment) {
            Some(at) => self.timers.set(deployment.id.as_str(), at),
            None => self.timers.cancel(deployment.id.as_str()),
        }
    }

    /// Decides on the newest document, and again if someone else wrote first. `None`: there is no such deployment.
    async fn change<F>(
        &self,
        id: &str,
        asked: Asked<'_>,
        acks: Vec<Ack>,
        decide: F,
    ) -> Result<Option<Deployment>, Error>
    where
        F: Fn(Deployment, Timestamp, &IdSource) -> Result<Option<Change>, Error>,
    {
        let context = &self.context;
        let mut conflicts = 0;
        loop {
            let Some(document) = context.find(Deployment::COLLECTION, id)? else { return Ok(None) };
            asked.check(id, document.revision)?;
            let deployment: Deployment = document.decode()?;
            let Some(change) = decide(deployment.clone(), context.now(), &context.ids)? else {
                context.store.settled().await?;
                return Ok(Some(deployment));
            };
            let rest = Transition { acks: acks.clone(), ..Transition::new() };
            match self.commit(document.revision, &change, rest).await {
                Ok(()) => return Ok(Some(change.deployment)),
                Err(StoreError::Conflict { .. }) if conflicts < CONFLICTS => conflicts += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The deployment, what it asks for, and, when it has ended, its service's record: one record.
    async fn commit(&self, revision: u64, change: &Change, rest: Transition) -> Result<(), StoreError> {
        let deployment = &change.deployment;
        let expected = Expected::Revision(revision);
        let id = deployment.id.as_str();
        let mut transition = Transition::new().put(Deployment::COLLECTION, id, expected, to_value(deployment)?);
        if deployment.state.is_final() {
            let service = deployment.service.as_str();
            let document = self.context.store.get(ServiceRecord::COLLECTION, service)?;
            let record = document.as_ref().map(|document| document.decode()).transpose()?;
            let record = machine::settled(record, deployment, self.context.now());
            let expected = document.map_or(Expected::Absent, |document| Expected::Revision(document.revision));
            transition = transition.put(ServiceRecord::COLLECTION, service, expected, to_value(&record)?);
        }
        transition.events.extend(change.events.iter().cloned());
        transition.effects.extend(change.effects.iter().cloned());
        transition.absorb(rest);
        self.context.commit(transition).await?;
        self.set_timer(deployment);
        Ok(())
    }

    async fn watch(self: Arc<Self>, mut queue: TimerQueue) {
        let mut looks: JoinSet<(String, Result<(), Missed>)> = JoinSet::new();
        // One look at a deployment at a time. What falls due meanwhile is looked at when it ends.
        let mut looking = HashSet::new();
        let mut due = HashSet::new();
        loop {
            tokio::select! {
                () = self.context.shutdown.cancelled() => return,
                next = queue.next() => match next {
                    Some(id) if looking.insert(id.clone()) => {
                        let shell = self.clone();
                        looks.spawn(async move {
                            let looked = shell.look(&id).await;
                            (id, looked)
                        });
                    }
                    Some(id) => {
                        due.insert(id);
                    }
                    None => return self.context.shutdown.cancelled().await,
                },
                Some(ended) = looks.join_next() => match ended {
                    Ok((id, looked)) => {
                        looking.remove(&id);
                        let now = self.context.now();
                        match looked {
                            Ok(()) if due.remove(&id) => self.timers.set(id, now),
                            Ok(()) => {}
                            Err(Missed::Again(after)) => {
                                due.remove(&id);
                                self.timers.set(id, now.plus(after));
                            }
                            Err(Missed::Over(error)) => return error!(%error, "can't go on"),
                        }
                    }
                    // A defect of the host. Ending the flow lets the host say so and start anew.
                    Err(failure) => return error!(error = %failure, "a look failed in the host"),
                },
            }
        }
    }

    async fn look(&self, id: &str) -> Result<(), Missed> {
        match self.try_look(id).await {
            Ok(()) => Ok(()),
            // Whoever wrote first has set the timer anew; looking once more does no harm.
            Err(Error::Store(StoreError::Conflict { .. })) => Err(Missed::Again(Span::ZERO)),
            Err(Error::Store(failure @ (StoreError::Closed | StoreError::Io(_)))) => Err(Missed::Over(failure)),
            Err(failure) => {
                warn!(deployment = id, error = %failure, "a look could not be kept");
                Err(Missed::Again(LOOK_AGAIN))
            }
        }
    }

    async fn try_look(&self, id: &str) -> Result<(), Error> {
        let context = &self.context;
        let Some(document) = context.store.get(Deployment::COLLECTION, id)? else { return Ok(()) };
        let deployment: Deployment = document.decode()?;
        let mut rest = Transition::new();
        let observed = if machine::wants_observation(&deployment) {
            let target = &context.plugins.deployment_target;
            let mut observed = target.observe(&deployment.spec.target, &deployment.service).await;
            if let Ok(called) = &mut observed {
                rest.absorb(belongings(called));
            }
            Some(observed.map(|called| called.value))
        } else {
            None
        };
        let Some(mut change) = machine::looked(deployment.clone(), observed, context.now(), &context.ids) else {
            // It is not time yet after all.
            self.set_timer(&deployment);
            return Ok(());
        };
        if change.ask {
            let (answer, more) = self.ask(&change.deployment, context.clock.as_ref()).await;
            rest.absorb(more);
            let decided = machine::decided(change.deployment, answer, context.now(), &context.ids);
            change.events.extend(decided.events);
            change.effects.extend(decided.effects);
            change.deployment = decided.deployment;
        }
        Ok(self.commit(document.revision, &change, rest).await?)
    }

    async fn ask(&self, deployment: &Deployment, clock: &dyn Clock) -> (Answer, Transition) {
        let (plan, analysis) = machine::question(deployment);
        let question = Question {
            config: &deployment.spec.config,
            plan: &plan,
            replicas: &deployment.replicas,
            analysis: &analysis,
            promoted: deployment.promoted || deployment.in_full,
            state: deployment.strategy_state.as_deref(),
            now: clock.now(),
        };
        let strategy = &self.context.plugins.deployment_strategy;
        match strategy.decide(&deployment.spec.strategy, question).await {
            Ok(mut called) => {
                let more = belongings(&mut called);
                (Ok((called.value, called.plugin)), more)
            }
            Err(error) => (Err(error), Transition::new()),
        }
    }
}

type Answer = Result<
    (quarterdeck_model::kind::deployment_strategy::Decision, quarterdeck_model::plugin::PluginRef),
    quarterdeck_model::plugin::CallFailed,
>;

struct Results(Arc<Shell>);

#[async_trait]
impl Owner for Results {
    async fn ended(&self, event: &StoredEvent, result: EffectResult, end: End, ack: Ack) -> Result<(), Error> {
        let reason = result.error.as_deref().unwrap_or("no reason given");
        let ended = self.0.change(&event.event.subject, Asked::from("host"), vec![ack], |deployment, now, ids| {
            Ok(machine::ended(deployment, &result.effect, end, reason, now, ids))
        });
        ended.await.map(|_| ())
    }
}

#[cfg(test)]
mod tests;
