//! What is asked again and again, and in vain: rules, and the calculations of objectives. Told when it begins and when it is over, and not
//! at the questions between. It is kept while it lasts, in the record that tells it, so a restart tells nothing a second time.
//!
//! A question that came to no plugin (it is being loaded, every place is taken) may be answered a moment later: it counts when none was
//! answered for a while.
//!
//! Each that fails is a series, so that a rule can watch them all; where nothing fails there is none.

use crate::monitoring::lives::Lives;
use crate::{Context, Error, Tasks, to_value};
use async_trait::async_trait;
use quarterdeck_model::domain::failure::Failure;
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::{CallError, CallFailed, InstanceName, PluginRef};
use quarterdeck_model::series::Sample;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::Job;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

/// Labels: `what` it is (`rule`, `objective`), its `name`, and the `instance` that is asked. Always 1.
pub(crate) const SERIES: &str = "decision_failing";
const JOB: &str = "failing";
const EVERY: Span = Span::from_secs(15);
/// For so long nobody may have been there to be asked.
const UNASKED: Span = Span::from_secs(60);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    Rule,
    Objective,
}

impl Asker {
    const ALL: [Asker; 2] = [Asker::Rule, Asker::Objective];

    const fn word(self) -> &'static str {
        match self {
            Asker::Rule => "rule",
            Asker::Objective => "objective",
        }
    }

    const fn collection(self) -> &'static str {
        match self {
            Asker::Rule => Failure::RULES,
            Asker::Objective => Failure::CALCULATIONS,
        }
    }

    const fn event(self, told: Told) -> &'static str {
        match (self, told) {
            (Asker::Rule, Told::Failed) => Failure::RULE_FAILED,
            (Asker::Rule, Told::Recovered) => Failure::RULE_RECOVERED,
            (Asker::Objective, Told::Failed) => Failure::CALCULATION_FAILED,
            (Asker::Objective, Told::Recovered) => Failure::CALCULATION_RECOVERED,
        }
    }

    /// What can't be done, or can be done again.
    const fn does(self) -> &'static str {
        match self {
            Asker::Rule => "evaluated",
            Asker::Objective => "calculated",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Failed,
    Recovered,
}

/// How one that asks stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// None of its questions was answered since then.
    since: Option<Timestamp>,
    /// As it is in the store: it was told.
    told: Option<Failure>,
}

/// One more answer, or none.
fn observe(mut before: Standing, failure: Option<Failure>) -> (Standing, Option<Told>) {
    let Some(mut failure) = failure else {
        return (Standing::default(), before.told.map(|_| Told::Recovered));
    };
    let now = failure.since;
    let since = *before.since.get_or_insert(now);
    if before.told.is_some() || (failure.plugin.is_none() && now.since(since) < UNASKED) {
        return (before, None);
    }
    failure.since = since;
    before.told = Some(failure);
    (before, Some(Told::Failed))
}

/// What the outcome of a question says of whoever was asked. `None`: nothing, since it is the store that failed, or who asks is gone.
pub(crate) fn outcome<T>(
    result: &Result<T, Error>,
    plugin: impl FnOnce(&T) -> &PluginRef,
) -> Option<Result<&PluginRef, &CallFailed>> {
    match result {
        Ok(answer) => Some(Ok(plugin(answer))),
        Err(Error::Call(CallFailed { error: CallError::Cancelled, .. })) => None,
        Err(Error::Call(failed)) => Some(Err(failed)),
        Err(_) => None,
    }
}

/// An answer that can't be used: the failure of the version that gave it.
pub(crate) fn unusable(plugin: &PluginRef, reason: impl Into<String>) -> Error {
    CallFailed { error: CallError::Other { message: reason.into() }, plugin: Some(plugin.clone()) }.into()
}

/// A change that is to be written, and taken over once it is.
pub(crate) struct Changed {
    name: String,
    standing: Standing,
}

/// Those of one kind that ask.
pub(crate) struct Failing {
    context: Context,
    asker: Asker,
    known: Mutex<BTreeMap<String, Standing>>,
}

impl Failing {
    /// # Errors
    /// The store's.
    pub(crate) fn load(context: Context, asker: Asker) -> Result<Self, Error> {
        let known: Vec<Failure> = context.read_all(asker.collection(), &Page::all())?;
        let standing = |failure: Failure| Standing { since: Some(failure.since), told: Some(failure) };
        let known = known.into_iter().map(|failure| (failure.name.clone(), standing(failure))).collect();
        Ok(Failing { context, asker, known: Mutex::new(known) })
    }

    /// What is to be told of the outcome of a question to `instance`, and kept. `None`: nothing; what only this process has to know is
    /// taken over.
    ///
    /// # Errors
    /// What can't be written as JSON.
    pub(crate) fn look(
        &self,
        name: &str,
        instance: &InstanceName,
        outcome: Result<&PluginRef, &CallFailed>,
        now: Timestamp,
    ) -> Result<Option<(Changed, Transition)>, StoreError> {
        let before = self.with(|known| known.get(name).cloned());
        if before.is_none() && outcome.is_ok() {
            return Ok(None);
        }
        let before = before.unwrap_or_default();
        let failure = outcome.err().map(|failed| Failure {
            name: name.to_owned(),
            instance: instance.clone(),
            plugin: failed.plugin.clone(),
            code: failed.error.code().to_owned(),
            error: failed.to_string(),
            since: now,
        });
        let was = before.told.clone();
        let (standing, told) = observe(before, failure);
        let changed = Changed { name: name.to_owned(), standing };
        let transition = match (told, &changed.standing.told, was) {
            (Some(Told::Failed), Some(failure), _) => {
                let put = Transition::new().put(self.asker.collection(), name, Expected::Any, to_value(failure)?);
                self.tell(put, Told::Failed, failure, failure.plugin.clone(), None)
            }
            (Some(Told::Recovered), _, Some(was)) => self.over(&was, outcome.ok().cloned(), None),
            _ => {
                self.keep(changed);
                return Ok(None);
            }
        };
        Ok(Some((changed, transition)))
    }

    /// It is on the disk.
    pub(crate) fn keep(&self, changed: Changed) {
        let Changed { name, standing } = changed;
        self.with(|known| {
            if standing == Standing::default() {
                known.remove(&name);
            } else {
                known.insert(name, standing);
            }
        });
    }

    /// Writes what the outcome of a question changes.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn note(
        &self,
        name: &str,
        instance: &InstanceName,
        outcome: Option<Result<&PluginRef, &CallFailed>>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(outcome) = outcome else { return Ok(()) };
        if let Some((changed, transition)) = self.look(name, instance, outcome, now)? {
            self.context.commit(transition).await?;
            self.keep(changed);
        }
        Ok(())
    }

    /// Ends those that are not there any more: nobody else would.
    ///
    /// # Errors
    /// The store's. What is left ends at the next time.
    pub(crate) async fn end(&self, is_there: impl Fn(&str) -> bool) -> Result<(), Error> {
        let gone: Vec<(String, Standing)> = self.with(|known| {
            let gone = known.iter().filter(|(name, _)| !is_there(name));
            gone.map(|(name, standing)| (name.clone(), standing.clone())).collect()
        });
        for (name, standing) in gone {
            if let Some(was) = standing.told {
                let reason = format!("the {} was removed", self.asker.word());
                self.context.commit(self.over(&was, None, Some(reason))).await?;
            }
            self.with(|known| known.remove(&name));
        }
        Ok(())
    }

    fn over(&self, was: &Failure, plugin: Option<PluginRef>, reason: Option<String>) -> Transition {
        let deleted = Transition::new().delete(self.asker.collection(), &was.name, Expected::Any);
        self.tell(deleted, Told::Recovered, was, plugin, reason)
    }

    fn tell(
        &self,
        transition: Transition,
        told: Told,
        failure: &Failure,
        plugin: Option<PluginRef>,
        reason: Option<String>,
    ) -> Transition {
        let (what, does, name) = (self.asker.word(), self.asker.does(), &failure.name);
        let title = match (told, &reason) {
            (Told::Failed, _) => format!("The {what} {name} can't be {does}: {} fails", failure.instance),
            (Told::Recovered, None) => format!("The {what} {name} is {does} again"),
            (Told::Recovered, Some(reason)) => format!("The {what} {name} is not {does} any more: {reason}"),
        };
        let mut data = json!({
            (what): name, "instance": failure.instance, "code": failure.code, "error": failure.error, "since": failure.since,
            "title": title, "severity": if told == Told::Failed { "medium" } else { "info" },
            "labels": {(what): name, "instance": failure.instance},
        });
        if let (Some(data), Some(reason)) = (data.as_object_mut(), reason) {
            data.insert("reason".to_owned(), reason.into());
        }
        transition.event(self.context.event(self.asker.event(told), name.as_str()).data(data).plugin(plugin))
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Standing>) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sets the job that makes series of those that fail.
pub(crate) fn start(context: &Context, tasks: &mut Tasks) {
    let job = Figures { context: context.clone(), lives: Mutex::default() };
    let spec = JobSpec { at_start: false, ..JobSpec::every(JOB, EVERY) };
    if let Err(error) = context.scheduler.set(spec, Arc::new(job)) {
        warn!(%error, "what fails can't be made a series");
    }
    let context = context.clone();
    tasks.spawn("failing", async move {
        context.shutdown.cancelled().await;
        // The job holds what holds the scheduler: nobody would ever let go.
        context.scheduler.remove(JOB);
    });
}

struct Figures {
    context: Context,
    /// The series of the last run. Those that it has and the next one has not have ended.
    lives: Mutex<Lives>,
}

#[async_trait]
impl Job for Figures {
    async fn run(&self, _planned: Timestamp) -> Result<(), String> {
        self.append().await.map_err(|error| error.to_string())
    }
}

impl Figures {
    async fn append(&self) -> Result<(), Error> {
        let (context, now) = (&self.context, self.context.now());
        let mut samples = Vec::new();
        for asker in Asker::ALL {
            let failing: Vec<Failure> = context.read_all(asker.collection(), &Page::all())?;
            samples.extend(failing.into_iter().map(|failure| {
                let labels = Labels::new().with("what", asker.word()).with("name", failure.name);
                let labels = labels.with("instance", failure.instance.as_str());
                Sample { name: SERIES.to_owned(), labels, at: now, value: 1.0 }
            }));
        }
        let lives = Lives::of(&samples, now, &*context.ingest)?;
        if !samples.is_empty() {
            context.series.append(samples).await?;
        }
        let before = std::mem::take(&mut *self.lives.lock().unwrap_or_else(PoisonError::into_inner));
        before.end_but(&lives, &*context.ingest)?;
        *self.lives.lock().unwrap_or_else(PoisonError::into_inner) = lives;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
