//! The jobs of the running host: one for each target, and one for each configuration whose targets have to be looked for.

use super::discovery::{Discovery, LOOK};
use super::job::Job;
use super::relabel::Set;
use super::roll::Roll;
use super::target::{self, Target};
use super::turn::{Health, Settings, Turn};
use crate::Context;
use crate::monitoring::Described;
use crate::monitoring::intake::{Allowance, Intake};
use async_trait::async_trait;
use quarterdeck_formats::Metadata;
use quarterdeck_formats::exposition::metadata;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::domain::scrape::ScrapeConfig;
use quarterdeck_model::{Labels, Span, Timestamp};
use quarterdeck_scheduler::Job as Scheduled;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::{error, warn};

/// Targets that relabelling dropped and that are shown, for each job.
const DROPPED: usize = 1_000;

/// A target, for whoever shows it.
#[derive(Clone, Debug)]
pub struct TargetStatus {
    pub job: String,
    pub labels: Labels,
    /// Before relabelling.
    pub discovered: Labels,
    pub url: String,
    pub interval: Span,
    pub timeout: Span,
    pub health: Health,
    pub error: Option<String>,
    pub scraped_at: Option<Timestamp>,
    pub took: Span,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug)]
pub struct DroppedTarget {
    pub job: String,
    pub discovered: Labels,
}

#[derive(Default)]
struct AtWork {
    /// By the name of their jobs on the schedule.
    targets: BTreeMap<String, Arc<Turn>>,
    dropped: Vec<Labels>,
    /// How many were dropped, those that are not shown too.
    dropped_count: usize,
    /// All of its targets are known.
    is_known: bool,
}

/// What a change of the configuration leaves as it is is shared by the one before and the one after it.
struct Working {
    job: Arc<Job>,
    discovery: Arc<tokio::sync::Mutex<Discovery>>,
    at_work: Arc<Mutex<AtWork>>,
    allowance: Allowance,
}

impl Working {
    fn with<T>(&self, act: impl FnOnce(&mut AtWork) -> T) -> T {
        act(&mut self.at_work.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(in crate::monitoring) struct Scrapes {
    context: Context,
    intake: Arc<Intake>,
    /// By their names in the catalog.
    jobs: Mutex<BTreeMap<String, Arc<Working>>>,
    /// Until something changes.
    roll: Mutex<Option<Arc<Roll>>>,
}

impl Scrapes {
    pub(in crate::monitoring) fn new(context: Context, intake: Arc<Intake>) -> Self {
        Scrapes { context, intake, jobs: Mutex::default(), roll: Mutex::default() }
    }

    /// Puts the catalog's configurations to work; those that are unchanged go on as they are, and of those that changed the targets
    /// that did not.
    pub(in crate::monitoring) async fn sync(self: &Arc<Self>, catalog: &Catalog) {
        let known = self.with(|jobs| jobs.clone());
        for (name, working) in &known {
            if !catalog.scrape.contains_key(name) {
                self.remove(name, working).await;
            }
        }
        for (name, spec) in &catalog.scrape {
            let before = known.get(name);
            if before.is_some_and(|before| before.job.spec == *spec) {
                continue;
            }
            match (Job::read(name, spec), before) {
                (Ok(job), None) => self.begin(name, job).await,
                (Ok(job), Some(before)) => self.change(name, before, job).await,
                // Whoever takes a configuration asks before; a kept one may be older than what is known now.
                (Err(mistakes), before) => {
                    if let Some(before) = before {
                        self.remove(name, before).await;
                    }
                    let mistake = mistakes.first().map(|mistake| format!("{}: {}", mistake.pointer, mistake.message));
                    error!(job = name, mistake, "a scrape configuration is not at work");
                }
            }
        }
        self.forget_roll();
    }

    /// Takes the jobs out again.
    pub(in crate::monitoring) fn clear(&self) {
        for (name, working) in self.with(std::mem::take) {
            self.context.scheduler.remove(&discovery_name(&name));
            for target in working.with(|at_work| std::mem::take(&mut at_work.targets)).keys() {
                self.context.scheduler.remove(target);
            }
        }
    }

    pub(in crate::monitoring) fn targets(&self) -> Vec<TargetStatus> {
        self.turns().iter().map(|turn| status(turn)).collect()
    }

    pub(super) fn turns(&self) -> Vec<Arc<Turn>> {
        let working = self.with(|jobs| jobs.values().cloned().collect::<Vec<_>>());
        let turns = working
            .iter()
            .flat_map(|working| working.with(|at_work| at_work.targets.values().cloned().collect::<Vec<_>>()));
        turns.collect()
    }

    /// Who is scraped, as far as it is known.
    pub(in crate::monitoring) fn roll(&self) -> Arc<Roll> {
        let mut kept = self.roll.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roll) = &*kept {
            return roll.clone();
        }
        let mut roll = Roll::default();
        let working = self.with(|jobs| jobs.clone());
        for working in working.values() {
            working.with(|at_work| {
                at_work.targets.values().for_each(|turn| roll.add(&turn.settings().target.labels));
                if !at_work.is_known {
                    roll.add_unknown(&working.job);
                }
            });
        }
        if self.context.catalog().scrape.keys().any(|name| !working.contains_key(name)) {
            // What is configured and not at work yet is told to whoever asks, and not kept.
            roll.add_job_to_come();
            return Arc::new(roll);
        }
        let roll = Arc::new(roll);
        *kept = Some(roll.clone());
        roll
    }

    fn forget_roll(&self) {
        *self.roll.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Those that relabelling dropped, and how many of each job, those that are not shown too.
    pub(in crate::monitoring) fn dropped(&self) -> (Vec<DroppedTarget>, BTreeMap<String, usize>) {
        let (mut shown, mut counts) = (Vec::new(), BTreeMap::new());
        for working in self.with(|jobs| jobs.values().cloned().collect::<Vec<_>>()) {
            let job = working.job.name.clone();
            working.with(|at_work| {
                let dropped = at_work.dropped.iter().cloned();
                shown.extend(dropped.map(|discovered| DroppedTarget { job: job.clone(), discovered }));
                counts.insert(job.clone(), at_work.dropped_count);
            });
        }
        (shown, counts)
    }

    /// What each target's page says of its metrics.
    pub(in crate::monitoring) fn metadata(&self) -> Vec<(Labels, Vec<Metadata>)> {
        let turns = self.turns();
        let said = turns.iter().filter_map(|turn| {
            let said = turn.last().said?;
            Some((turn.settings().target.labels.clone(), metadata(said.text.lines(), said.format)))
        });
        said.collect()
    }

    /// The same by metric, each thing once.
    pub(in crate::monitoring) fn described(&self, known: &mut BTreeMap<String, Vec<Described>>) {
        for metric in self.metadata().iter().flat_map(|(_, metrics)| metrics) {
            let described = Described::said(metric);
            let all = known.entry(metric.name.clone()).or_default();
            if !all.contains(&described) {
                all.push(described);
            }
        }
    }

    async fn begin(self: &Arc<Self>, name: &str, job: Job) {
        let working = Working {
            job: Arc::new(job),
            discovery: Arc::default(),
            at_work: Arc::default(),
            allowance: Allowance::default(),
        };
        self.with(|jobs| jobs.insert(name.to_owned(), Arc::new(working)));
        self.look(name).await;
    }

    /// A job that is at work, and is written otherwise now: its targets go on, but for those that are gone.
    async fn change(self: &Arc<Self>, name: &str, before: &Working, job: Job) {
        // A look under way ends first, and none begins before the job is another.
        let mut discovery = before.discovery.lock().await;
        discovery.follow(&before.job, &job);
        before.with(|at_work| at_work.is_known = false);
        let working = Working {
            job: Arc::new(job),
            discovery: before.discovery.clone(),
            at_work: before.at_work.clone(),
            allowance: before.allowance.clone(),
        };
        self.with(|jobs| jobs.insert(name.to_owned(), Arc::new(working)));
        drop(discovery);
        self.look(name).await;
    }

    /// Looks for the targets of a job, once or from time to time.
    async fn look(self: &Arc<Self>, name: &str) {
        let Some(job) = self.with(|jobs| jobs.get(name).map(|working| working.job.clone())) else { return };
        if !Discovery::is_needed(&job) {
            self.context.scheduler.remove(&discovery_name(name));
            self.refresh(name).await;
            return;
        }
        // The first look is the job's as well: a name that is looked up for long must not hold up the others.
        let discover = Arc::new(Discover { scrapes: self.clone(), name: name.to_owned() });
        if let Err(error) = self.context.scheduler.set(JobSpec::every(discovery_name(name), LOOK), discover) {
            warn!(job = name, %error, "the targets of a scrape configuration can't be looked for");
        }
    }

    async fn remove(&self, name: &str, working: &Working) {
        self.context.scheduler.remove(&discovery_name(name));
        self.with(|jobs| jobs.remove(name));
        // A refresh under way ends first: what it starts has to be ended, too.
        let _discovery = working.discovery.lock().await;
        for (target, turn) in working.with(|at_work| std::mem::take(&mut at_work.targets)) {
            self.context.scheduler.remove(&target);
            turn.leave().await;
        }
    }

    /// Looks for a job's targets, starts those that are new and ends those that are gone. The others go on, as the job says now.
    async fn refresh(self: &Arc<Self>, name: &str) {
        let Some(working) = self.with(|jobs| jobs.get(name).cloned()) else { return };
        let mut discovery = working.discovery.lock().await;
        // While it waited, the job may have been written otherwise.
        let is_current = || self.with(|jobs| jobs.get(name).is_some_and(|current| Arc::ptr_eq(current, &working)));
        if !is_current() {
            return;
        }
        let found = discovery.refresh(&working.job, &*self.context.outside.names, self.context.now()).await;
        if !is_current() {
            return;
        }
        let (wanted, dropped) = targets(name, &working.job, &found);
        let known = working.with(|at_work| {
            at_work.dropped_count = dropped.len();
            at_work.dropped = dropped.into_iter().take(DROPPED).collect();
            at_work.targets.clone()
        });
        let mut changed = false;
        for gone in known.keys().filter(|target| !wanted.contains_key(*target)) {
            self.context.scheduler.remove(gone);
            changed = true;
            if let Some(turn) = working.with(|at_work| at_work.targets.remove(gone)) {
                turn.leave().await;
            }
        }
        for (key, target) in wanted {
            let interval = target.interval;
            let turn = match known.get(&key) {
                Some(turn) => {
                    if !turn.follow(&working.job, target) {
                        continue;
                    }
                    turn.clone()
                }
                None => {
                    changed = true;
                    let (job, allowance) = (working.job.clone(), working.allowance.clone());
                    Arc::new(Turn::new(&self.context, &self.intake, job, target, allowance))
                }
            };
            // Spread over the interval by its name: always at the same moment of it.
            let spec = JobSpec { jitter: interval, at_start: false, ..JobSpec::every(key.clone(), interval) };
            if let Err(error) = self.context.scheduler.set(spec, Arc::new(Scrape(turn.clone()))) {
                warn!(target = key, %error, "a target can't be scheduled");
                continue;
            }
            working.with(|at_work| at_work.targets.insert(key, turn));
        }
        let is_known = discovery.is_sure();
        changed |= working.with(|at_work| std::mem::replace(&mut at_work.is_known, is_known)) != is_known;
        if changed {
            self.forget_roll();
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Arc<Working>>) -> T) -> T {
        act(&mut self.jobs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The targets of what was found, by the name of their jobs on the schedule; and what relabelling dropped.
fn targets(name: &str, job: &Job, found: &[Set]) -> (BTreeMap<String, Target>, Vec<Labels>) {
    let (mut wanted, mut dropped) = (BTreeMap::new(), Vec::new());
    for discovered in found {
        match target::make(job, discovered) {
            Ok(Ok(target)) => {
                let identity = target.labels.clone().with("__url__", target.url.clone()).fingerprint();
                // Two that are alike in the end are one.
                wanted.insert(format!("scrape/{name}/{}/{identity}", target.instance()), target);
            }
            Ok(Err(labels)) => dropped.push(labels),
            Err(why) => warn!(job = name, target = ?discovered.get(target::ADDRESS), why, "a target can't be scraped"),
        }
    }
    (wanted, dropped)
}

fn status(turn: &Turn) -> TargetStatus {
    let (last, settings) = (turn.last(), turn.settings());
    let Settings { job, target } = &*settings;
    TargetStatus {
        job: job.name.clone(),
        labels: target.labels.clone(),
        discovered: target.discovered.clone(),
        url: target.url.clone(),
        interval: target.interval,
        timeout: target.timeout,
        health: last.health,
        error: last.error,
        scraped_at: last.at,
        took: last.took,
    }
}

/// How long it takes at most until every target was asked once, as far as the configurations say.
pub(in crate::monitoring) fn slowest(catalog: &Catalog) -> Span {
    let of = |(name, spec): (&String, &ScrapeConfig)| {
        let job = Job::read(name, spec).ok()?;
        Some(Span::from_millis(job.interval.as_millis().saturating_add(job.timeout.as_millis())))
    };
    catalog.scrape.iter().filter_map(of).max().unwrap_or(Span::ZERO)
}

fn discovery_name(name: &str) -> String {
    format!("scrape-discovery/{name}")
}

struct Scrape(Arc<Turn>);

#[async_trait]
impl Scheduled for Scrape {
    async fn run(&self, planned: Timestamp) -> Result<(), String> {
        self.0.scrape(planned).await
    }
}

struct Discover {
    scrapes: Arc<Scrapes>,
    name: String,
}

#[async_trait]
impl Scheduled for Discover {
    async fn run(&self, _planned: Timestamp) -> Result<(), String> {
        self.scrapes.refresh(&self.name).await;
        Ok(())
    }
}
