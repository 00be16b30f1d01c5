//! Objectives: what was attained over a rolling window, and whether that meets the target.
//!
//! - `chunks`: how a window is cut, so that a month is not read each time; pure
//! - `status`: from an attainment to a state, and what is told of it; pure
//! - `calculate`: folds, merges and finishes with the calculator; keeps the partial results

mod calculate;
pub mod chunks;
pub mod status;

use crate::failing::{Asker, Failing, outcome};
use crate::{Context, Error, Tasks, to_value};
use async_trait::async_trait;
use calculate::{Cache, calculate};
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::domain::slo::{SloSpec, SloState, SloStatus};
use quarterdeck_model::kind::sla_calculator::Attainment;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::Sample;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::Job;
use serde_json::Value;
use status::Told;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tracing::warn;

const EVERY: Span = Span::from_secs(5);
/// The first calculation of a new host comes before its first sample: until there is one, the next must not be long in coming.
const EVERY_AT_FIRST: Span = Span::from_secs(1);
/// What has no data after that is not waiting for its first sample.
const AT_FIRST: Span = Span::from_secs(15);
/// The first figures change by much with each sample: for so long, each calculation is written.
const YOUNG: Span = Span::from_secs(120);
/// A status whose state stays the same is written this often; its figures in memory are those of the last calculation.
const WRITE_EVERY: Span = Span::from_secs(60);

#[derive(Clone)]
pub struct Handle(Arc<Objectives>);

impl Handle {
    /// All objectives as they were at their last calculation, by name.
    pub fn list(&self) -> Vec<SloStatus> {
        self.0.with(|state| state.values().filter_map(|objective| objective.status.clone()).collect())
    }

    pub fn get(&self, name: &str) -> Option<SloStatus> {
        self.0.with(|state| state.get(name).and_then(|objective| objective.status.clone()))
    }

    /// Calculates an objective beside its schedule. Returns when it is done.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the calculator or the store says.
    pub async fn calculate(&self, name: &str) -> Result<(), Error> {
        self.0.evaluate(name).await
    }
}

struct Objective {
    spec: SloSpec,
    status: Option<SloStatus>,
    cache: Arc<Cache>,
    written: Option<Timestamp>,
    /// While it waits for its first sample: since when.
    new_since: Option<Timestamp>,
    /// One calculation at a time: each change is told once.
    turn: Arc<Semaphore>,
}

struct Objectives {
    context: Context,
    state: Mutex<BTreeMap<String, Objective>>,
    failing: Failing,
}

pub(crate) async fn start(context: &Context, tasks: &mut Tasks) -> Result<Handle, Error> {
    let failing = Failing::load(context.clone(), Asker::Objective)?;
    let objectives = Arc::new(Objectives { context: context.clone(), state: Mutex::default(), failing });
    objectives.sync(&context.catalog()).await?;
    tasks.spawn("slos", follow(objectives.clone()));
    Ok(Handle(objectives))
}

async fn follow(objectives: Arc<Objectives>) {
    let mut catalog = objectives.context.catalog.clone();
    loop {
        let gone = tokio::select! {
            () = objectives.context.shutdown.cancelled() => true,
            changed = catalog.changed() => changed.is_err(),
        };
        if gone {
            // The jobs hold what holds the scheduler: nobody would ever let go.
            for name in objectives.with(|state| state.keys().cloned().collect::<Vec<_>>()) {
                objectives.context.scheduler.remove(&job_name(&name));
            }
            return;
        }
        let current = catalog.borrow_and_update().clone();
        if let Err(error) = objectives.sync(&current).await {
            warn!(%error, "objectives could not be brought up to date");
        }
    }
}

impl Objectives {
    async fn sync(self: &Arc<Self>, catalog: &Catalog) -> Result<(), Error> {
        let known: Vec<SloStatus> = self.context.read_all(SloStatus::COLLECTION, &Page::all())?;
        for (name, spec) in &catalog.slos {
            let same = self.with(|state| state.get(name).is_some_and(|objective| objective.spec == *spec));
            if same {
                continue;
            }
            self.with(|state| {
                let (status, turn) = match state.remove(name) {
                    Some(before) => (before.status, before.turn),
                    None => (known.iter().find(|s| s.name == *name).cloned(), Arc::new(Semaphore::new(1))),
                };
                let cache = Arc::new(Cache::new(name));
                let new_since = Some(self.context.now());
                let objective = Objective { spec: spec.clone(), status, cache, written: None, new_since, turn };
                state.insert(name.clone(), objective);
            });
            self.schedule(name, EVERY_AT_FIRST);
        }
        for status in known.iter().filter(|status| !catalog.slos.contains_key(&status.name)) {
            self.context.scheduler.remove(&job_name(&status.name));
            self.with(|state| state.remove(&status.name));
            let mut transition = Transition::new().delete(SloStatus::COLLECTION, &status.name, Expected::Any);
            if is_at_risk(status) {
                let data = event_data(status)?;
                transition = transition.event(self.context.event(SloStatus::RECOVERED, &status.name).data(data));
            }
            self.context.commit(transition).await?;
            calculate::forget(&self.context, &status.name).await?;
        }
        self.with(|state| state.retain(|name, _| catalog.slos.contains_key(name)));
        self.failing.end(|name| catalog.slos.contains_key(name)).await
    }

    fn schedule(self: &Arc<Self>, name: &str, every: Span) {
        let job = Calculate { objectives: self.clone(), name: name.to_owned() };
        let jitter = Span::from_millis(every.as_millis() / 5);
        let spec = JobSpec { jitter, ..JobSpec::every(job_name(name), every) };
        if let Err(error) = self.context.scheduler.set(spec, Arc::new(job)) {
            warn!(slo = name, %error, "an objective can't be scheduled");
        }
    }

    /// Goes over to the usual interval when there is data, or none to be expected soon.
    fn settle(self: &Arc<Self>, name: &str, now: Timestamp) {
        let is_over = self.with(|state| {
            let Some(objective) = state.get_mut(name) else { return false };
            let Some(since) = objective.new_since else { return false };
            let has_data = objective.status.as_ref().is_some_and(|status| status.state != SloState::NoData);
            let is_over = has_data || now.since(since) >= AT_FIRST;
            if is_over {
                objective.new_since = None;
            }
            is_over
        });
        if is_over {
            self.schedule(name, EVERY);
        }
    }

    async fn evaluate(&self, name: &str) -> Result<(), Error> {
        let absent = || Error::not_found(format!("objective `{name}`"));
        let turn = self.with(|state| state.get(name).map(|objective| objective.turn.clone())).ok_or_else(absent)?;
        let _turn = turn.acquire().await.map_err(|_| absent())?;
        let found = self.with(|state| {
            state.get(name).map(|objective| {
                (objective.spec.clone(), objective.status.clone(), objective.cache.clone(), objective.written)
            })
        });
        let (spec, before, cache, written) = found.ok_or_else(absent)?;
        let now = self.context.now();
        let result = calculate(&self.context, &cache, &spec, now).await;
        let state_before = before.as_ref().map(|status| status.state);
        let (state, attainment, plugin, complete_since, error) = match &result {
            Ok(calculated) => (
                status::state(&calculated.attainment),
                calculated.attainment.clone(),
                Some(calculated.plugin.clone()),
                calculated.complete_since,
                None,
            ),
            // What could not be calculated changes nothing, and says so.
            Err(error) => (
                state_before.unwrap_or(SloState::NoData),
                before.as_ref().map(|status| status.attainment.clone()).unwrap_or_default(),
                before.as_ref().and_then(|status| status.plugin.clone()),
                before.as_ref().and_then(|status| status.complete_since),
                Some(error.to_string()),
            ),
        };
        let at_risk = before.as_ref().is_some_and(is_at_risk);
        let breach_complete_since = match state {
            SloState::Breached if result.is_ok() => complete_since,
            _ => before.as_ref().and_then(|before| before.breach_complete_since),
        };
        let cut = complete_since > breach_complete_since;
        let observed_before = before.as_ref().and_then(|before| before.observed_since);
        let observed_since = match state {
            _ if result.is_err() => observed_before,
            SloState::NoData => None,
            SloState::Met | SloState::Breached => observed_before.or(Some(now)),
        };
        let enough = status::is_enough(&spec, &attainment, observed_since, now);
        let told = if result.is_ok() { status::told(at_risk, state, cut, enough) } else { None };
        let error = error.or_else(|| result.as_ref().ok().and_then(|calculated| calculated.problem.clone()));
        // A store that takes no more series is no reason to stop telling what was found.
        let refused = self.publish_figures(name, &attainment, now).await?;
        let status = SloStatus {
            name: name.to_owned(),
            from: now.minus(spec.window),
            to: now,
            complete_since,
            breach_complete_since,
            observed_since,
            at_risk: told.map_or(at_risk, |told| told == Told::Breached),
            calculated_at: now,
            spec,
            state,
            attainment,
            plugin,
            error: error.or(refused),
        };
        let mut transition = Transition::new();
        let broke = status.error.is_some() != before.as_ref().is_some_and(|before| before.error.is_some());
        let young = status.observed_since.is_some_and(|since| now.since(since) < YOUNG);
        let due = young || written.is_none_or(|at| now.since(at) >= WRITE_EVERY);
        let write = due || broke || told.is_some() || state_before != Some(state);
        if write {
            let value = to_value(&status)?;
            transition = transition.put(SloStatus::COLLECTION, name, Expected::Any, value);
        }
        if let Some(told) = told {
            let event_type = match told {
                Told::Breached => SloStatus::BREACHED,
                Told::Recovered => SloStatus::RECOVERED,
            };
            let event = self.context.event(event_type, name).data(event_data(&status)?).plugin(status.plugin.clone());
            transition = transition.event(event);
        }
        // Looked at again: an objective that was removed meanwhile has ended already.
        if !self.with(|state| state.contains_key(name)) {
            return Ok(());
        }
        let asked = outcome(&result, |calculated| &calculated.plugin);
        let looked =
            asked.map(|asked| self.failing.look(name, &status.spec.calculator, asked, now)).transpose()?.flatten();
        let changed = looked.map(|(changed, told)| {
            transition.absorb(told);
            changed
        });
        self.context.commit(transition).await?;
        if let Some(changed) = changed {
            self.failing.keep(changed);
        }
        self.with(|state| {
            if let Some(objective) = state.get_mut(name) {
                objective.status = Some(status);
                if write {
                    objective.written = Some(now);
                }
            }
        });
        result.map(|_| ())
    }

    /// The figures as series, so that rules can watch them. Gives what the store says if it takes none of them for now.
    async fn publish_figures(
        &self,
        name: &str,
        attainment: &Attainment,
        now: Timestamp,
    ) -> Result<Option<String>, Error> {
        let labels = Labels::new().with("slo", name);
        let figures =
            [("slo_attained", attainment.adjusted.attained), ("slo_error_budget_left_ratio", attainment.budget_left)];
        let samples = figures.into_iter().filter_map(|(metric, value)| {
            Some(Sample { name: metric.to_owned(), labels: labels.clone(), at: now, value: value? })
        });
        let samples: Vec<_> = samples.collect();
        if samples.is_empty() {
            return Ok(None);
        }
        match self.context.series.append(samples).await {
            Ok(()) => Ok(None),
            Err(refused @ (StoreError::TooManySeries { .. } | StoreError::Busy { .. })) => {
                Ok(Some(format!("the figures can't be kept as series: {refused}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Objective>) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Documents of before this was noted say it by their state.
fn is_at_risk(status: &SloStatus) -> bool {
    status.at_risk || (status.observed_since.is_none() && status.state == SloState::Breached)
}

/// The status, with what routes look for where they look for it.
fn event_data(status: &SloStatus) -> Result<Value, StoreError> {
    let mut data = to_value(status)?;
    if let Value::Object(fields) = &mut data {
        fields.insert("severity".to_owned(), to_value(&status.spec.severity)?);
        fields.insert("labels".to_owned(), to_value(&status.labels())?);
    }
    Ok(data)
}

fn job_name(objective: &str) -> String {
    format!("slo/{objective}")
}

struct Calculate {
    objectives: Arc<Objectives>,
    name: String,
}

#[async_trait]
impl Job for Calculate {
    async fn run(&self, planned: Timestamp) -> Result<(), String> {
        let result = self.objectives.evaluate(&self.name).await.map_err(|error| error.to_string());
        self.objectives.settle(&self.name, planned);
        result
    }
}

#[cfg(test)]
mod tests;
