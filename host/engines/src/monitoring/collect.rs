//! A job per instance of a collector: call it, append its samples, note how its target is.

use super::cardinality::Seen;
use super::checks::Checks;
use super::lives::Lives;
use super::{DEFAULT_INTERVAL, Described, HEALTH, TargetHealth, unknown_health};
use crate::{Context, Error, belongings, to_value};
use async_trait::async_trait;
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::kind::collector::{Collection, Family, Health};
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::{InstanceName, InstanceState, InstanceStatus, Kind, PluginRef};
use quarterdeck_model::series::{Sample, check_lengths};
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::Job;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

/// What a call takes that takes long.
const CALL: Span = Span::from_secs(10);

pub(super) struct Collectors {
    context: Context,
    state: Mutex<State>,
    checks: Checks,
}

#[derive(Default)]
struct State {
    /// The jobs that are set, and their intervals.
    jobs: BTreeMap<InstanceName, Span>,
    health: BTreeMap<InstanceName, TargetHealth>,
    seen: BTreeMap<InstanceName, Seen>,
    lives: BTreeMap<InstanceName, Lives>,
    /// Of the metrics in each one's newest answer.
    described: BTreeMap<InstanceName, BTreeMap<String, Described>>,
}

impl Collectors {
    pub(super) fn load(context: Context) -> Result<Self, Error> {
        let known: Vec<TargetHealth> = context.read_all(HEALTH, &Page::all())?;
        let health = known.into_iter().map(|health| (health.instance.clone(), health)).collect();
        let checks = Checks::load(context.clone())?;
        Ok(Collectors { context, state: Mutex::new(State { health, ..State::default() }), checks })
    }

    pub(super) fn health(&self) -> Vec<TargetHealth> {
        let mut known: Vec<TargetHealth> = self.with(|state| {
            let alive = state.health.values().filter(|health| state.jobs.contains_key(&health.instance));
            alive.cloned().collect()
        });
        for health in &mut known {
            health.check = self.checks.status(&health.instance);
        }
        known
    }

    /// What is said of each metric; several things where instances don't agree.
    pub(super) fn described(&self) -> BTreeMap<String, Vec<Described>> {
        self.with(|state| {
            let mut metrics: BTreeMap<String, Vec<Described>> = BTreeMap::new();
            let alive = state.described.iter().filter(|(instance, _)| state.jobs.contains_key(*instance));
            for (name, described) in alive.flat_map(|(_, described)| described) {
                let known = metrics.entry(name.clone()).or_default();
                if !known.contains(described) {
                    known.push(described.clone());
                }
            }
            metrics
        })
    }

    /// How long it takes at most until every instance was called once.
    pub(super) fn slowest(context: &Context) -> Span {
        let instances = context.registry.instances().into_iter().filter(collects);
        let every = instances.map(|instance| instance.spec.every.unwrap_or(DEFAULT_INTERVAL)).max();
        every.map_or(Span::ZERO, |every| Span::from_millis(every.as_millis().saturating_add(CALL.as_millis())))
    }

    /// Sets the jobs of the instances that there are now.
    pub(super) fn sync(self: &Arc<Self>) {
        let wanted: BTreeMap<_, _> = self
            .context
            .registry
            .instances()
            .into_iter()
            .filter(collects)
            .map(|instance| (instance.name, instance.spec.every.unwrap_or(DEFAULT_INTERVAL)))
            .collect();
        let current = self.with(|state| state.jobs.clone());
        for name in current.keys().filter(|name| !wanted.contains_key(*name)) {
            self.context.scheduler.remove(&job_name(name));
            let lives = self.with(|state| {
                state.seen.remove(name);
                state.described.remove(name);
                state.jobs.remove(name);
                state.lives.remove(name)
            });
            if let Some(Err(error)) = lives.map(|lives| lives.end_all(self.context.now(), &*self.context.ingest)) {
                warn!(instance = %name, %error, "the series of a collector that left could not be ended");
            }
        }
        for (name, every) in wanted.into_iter().filter(|(name, every)| current.get(name) != Some(every)) {
            let job = Collect { collectors: self.clone(), instance: name.clone() };
            // A tenth of the interval, so that a hundred collectors don't all start in the same millisecond.
            let jitter = Span::from_millis((every.as_millis() / 10).min(1000));
            let spec = JobSpec { jitter, ..JobSpec::every(job_name(&name), every) };
            match self.context.scheduler.set(spec, Arc::new(job)) {
                Ok(()) => {
                    self.with(|state| state.jobs.insert(name, every));
                }
                Err(error) => warn!(instance = %name, %error, "a collector can't be scheduled"),
            }
        }
    }

    /// Ends checks that are no more.
    pub(super) async fn end_checks(&self) -> Result<(), Error> {
        for (instance, transition) in self.checks.ended() {
            self.context.commit(transition).await?;
            self.checks.forget(&instance);
        }
        Ok(())
    }

    /// Takes the jobs out again.
    pub(super) fn clear(&self) {
        for name in self.with(|state| std::mem::take(&mut state.jobs)).keys() {
            self.context.scheduler.remove(&job_name(name));
        }
    }

    async fn collect(&self, instance: &InstanceName, now: Timestamp) -> Result<(), Error> {
        let started = std::time::Instant::now();
        let called = self.context.plugins.collector.collect(instance, now).await;
        let took = started.elapsed().as_secs_f64();
        let own = Labels::new().with("instance", instance.as_str());
        let sample = |name: &str, value| Sample { name: name.to_owned(), labels: own.clone(), at: now, value };
        let up = if called.is_ok() { 1.0 } else { 0.0 };
        let mut batch = vec![sample("collector_up", up), sample("collect_duration_seconds", took)];
        let is_good = called.is_ok();
        let (health, plugin, rest, outcome) = match called {
            Ok(mut called) => {
                let rest = belongings(&mut called);
                self.describe(instance, &called.value);
                let (mut samples, refused) = samples(instance, called.value.clone(), now);
                let too_many = self.limit(instance, &mut samples, now);
                batch.extend(samples);
                let outcome = refused.or(too_many).map_or(Ok(()), |reason| Err(Error::invalid(reason)));
                (called.value.health, Some(called.plugin), rest, outcome)
            }
            Err(failed) => {
                (unknown_health(failed.to_string()), failed.plugin.clone(), Transition::new(), Err(failed.into()))
            }
        };
        let lives = is_good.then(|| Lives::of(&batch, now, &*self.context.ingest));
        let appended = match self.context.series.append(batch).await {
            // Some samples are missing then, and the rest of the answer is as good as ever.
            Err(refused @ (StoreError::TooManySeries { .. } | StoreError::Busy { .. })) => Err(refused.into()),
            appended => Ok(appended?),
        };
        if let Some(Err(error)) = lives.map(|lives| self.end_others(instance, lives?)) {
            warn!(%instance, %error, "series that a collector has no more could not be ended");
        }
        self.note(instance, health, plugin, is_good, rest, now).await?;
        outcome.and(appended)
    }

    /// Ends what the last good answer had and this one has not. Of an answer that failed nobody knows what there would have been.
    fn end_others(&self, instance: &InstanceName, lives: Lives) -> Result<(), StoreError> {
        let ingest = &*self.context.ingest;
        let before = self.with(|state| state.lives.remove(instance)).unwrap_or_default();
        before.end_but(&lives, ingest)?;
        let left = self.with(|state| {
            if state.jobs.contains_key(instance) {
                state.lives.insert(instance.clone(), lives);
                return None;
            }
            Some(lives)
        });
        // It left while it was asked.
        left.map_or(Ok(()), |lives| lives.end_all(self.context.now(), ingest))
    }

    /// Mostly it is what it was, and nothing is copied.
    fn describe(&self, instance: &InstanceName, collection: &Collection) {
        self.with(|state| {
            let known = state.described.entry(instance.clone()).or_default();
            let same = |family: &Family| known.get(&family.name).is_some_and(|described| described.is_of(family));
            if known.len() != collection.families.len() || !collection.families.iter().all(same) {
                let named = |family: &Family| (family.name.clone(), Described::of(family));
                *known = collection.families.iter().map(named).collect();
            }
        });
    }

    fn limit(&self, instance: &InstanceName, samples: &mut Vec<Sample>, now: Timestamp) -> Option<String> {
        let limit = self.context.registry.instance(instance)?.spec.limits.series;
        self.with(|state| state.seen.entry(instance.clone()).or_default().limit(samples, limit, now))
    }

    /// Commits what the call wrote and published, and the health if its state changed. A message alone is kept in memory. `plugin`: what
    /// the call ran on; `is_good`: it came to an answer.
    async fn note(
        &self,
        instance: &InstanceName,
        health: Health,
        plugin: Option<PluginRef>,
        is_good: bool,
        rest: Transition,
        now: Timestamp,
    ) -> Result<(), Error> {
        let before = self.with(|state| state.health.get(instance).cloned());
        let changed = before.as_ref().is_none_or(|before| before.health.state != health.state);
        let since = before.as_ref().filter(|_| !changed).map_or(now, |before| before.since);
        let after = TargetHealth { instance: instance.clone(), health, since, checked_at: now, check: None };
        // Of a target about which nothing could be found out a check says nothing: neither that it failed, nor that it is well.
        let checked = match &plugin {
            Some(plugin) if is_good => self.checks.look(&after, plugin)?,
            _ => None,
        };
        let mut transition = rest;
        if changed {
            let value = to_value(&after)?;
            transition = transition.put(HEALTH, instance.as_str(), Expected::Any, value.clone());
            let mut data = value;
            if let (Some(data), Some(before)) = (data.as_object_mut(), before) {
                data.insert("before".to_owned(), to_value(&before.health.state)?);
            }
            let event = self.context.event("health.changed", instance.as_str()).data(data).plugin(plugin);
            transition = transition.event(event);
        }
        if let Some((check, told)) = checked {
            transition.absorb(told);
            self.context.commit(transition).await?;
            self.checks.keep(check);
        } else {
            self.context.commit(transition).await?;
        }
        self.with(|state| state.health.insert(instance.clone(), after));
        Ok(())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Quarantined ones too: the runtime decides about trials.
fn collects(instance: &InstanceStatus) -> bool {
    instance.spec.enabled
        && instance.kinds.contains(&Kind::Collector)
        && matches!(instance.state, InstanceState::Active | InstanceState::Quarantined)
}

fn job_name(instance: &InstanceName) -> String {
    format!("collect/{instance}")
}

struct Collect {
    collectors: Arc<Collectors>,
    instance: InstanceName,
}

#[async_trait]
impl Job for Collect {
    async fn run(&self, _planned: Timestamp) -> Result<(), String> {
        let now = self.collectors.context.now();
        self.collectors.collect(&self.instance, now).await.map_err(|error| error.to_string())
    }
}

/// Columns to samples, with the instance's name as a label. What is malformed is left out and named.
fn samples(instance: &InstanceName, collection: Collection, now: Timestamp) -> (Vec<Sample>, Option<String>) {
    let mut samples = Vec::new();
    let mut refused = None;
    for family in collection.families {
        let timed = !family.at.is_empty();
        if family.labels.len() != family.values.len() || (timed && family.at.len() != family.values.len()) {
            refused = Some(format!("the columns of `{}` differ in length", family.name));
            continue;
        }
        let times = family.at.into_iter().map(Some).chain(std::iter::repeat(None));
        for ((mut labels, value), at) in family.labels.into_iter().zip(family.values).zip(times) {
            labels.insert("instance", instance.as_str());
            if let Err(reason) = check_names(&family.name, &labels) {
                refused = Some(reason);
                continue;
            }
            samples.push(Sample { name: family.name.clone(), labels, at: at.unwrap_or(now), value });
        }
    }
    (samples, refused)
}

/// Prometheus's names, of lengths that can be stored.
///
/// # Errors
/// What is wrong, for a person.
pub fn check_names(metric: &str, labels: &Labels) -> Result<(), String> {
    let name = |text: &str, colons: bool| {
        let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (colons && byte == b':');
        text.bytes().next().is_some_and(first) && text.bytes().all(|byte| first(byte) || byte.is_ascii_digit())
    };
    if !name(metric, true) {
        return Err(format!("`{metric}` is not a metric's name; hint: letters, digits, `_` and `:`, no digit first"));
    }
    match labels.iter().find(|(label, _)| !name(label, false)) {
        Some((label, _)) => {
            Err(format!("`{label}` is not a label's name; hint: letters, digits and `_`, no digit first"))
        }
        None => check_lengths(metric, labels),
    }
}
