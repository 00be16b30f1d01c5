//! The jobs of the running host: one for each target, and one for each configuration whose targets have to be looked for.

use super::discovery::{Discovery, LOOK};
use super::job::Job;
use super::relabel::Set;
use super::target::{self, Target};
use super::turn::{Health, Turn};
use crate::Context;
use crate::monitoring::Described;
use crate::monitoring::intake::{Allowance, Intake};
use async_trait::async_trait;
use quarterdeck_formats::Metadata;
use quarterdeck_formats::exposition::metadata;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::{Labels, Span, Timestamp};
use quarterdeck_scheduler::Job as Scheduled;
use std::collections::{BTreeMap, BTreeSet};
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
}

struct Working {
    job: Arc<Job>,
    discovery: tokio::sync::Mutex<Discovery>,
    at_work: Mutex<AtWork>,
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
}

impl Scrapes {
    pub(in crate::monitoring) fn new(context: Context, intake: Arc<Intake>) -> Self {
        Scrapes { context, intake, jobs: Mutex::default() }
    }

    /// Puts the catalog's configurations to work; those that are unchanged go on as they are.
    pub(in crate::monitoring) async fn sync(self: &Arc<Self>, catalog: &Catalog) {
        let known = self.with(|jobs| jobs.clone());
        for (name, working) in &known {
            if catalog.scrape.get(name).is_none_or(|spec| *spec != working.job.spec) {
                self.remove(name, working).await;
            }
        }
        for (name, spec) in &catalog.scrape {
            if self.with(|jobs| jobs.contains_key(name)) {
                continue;
            }
            match Job::read(name, spec) {
                Ok(job) => self.begin(name, job).await,
                // Whoever takes a configuration asks before; a kept one may be older than what is known now.
                Err(mistakes) => {
                    let mistake = mistakes.first().map(|mistake| format!("{}: {}", mistake.pointer, mistake.message));
                    error!(job = name, mistake, "a scrape configuration is not at work");
                }
            }
        }
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
            Some((turn.target.labels.clone(), metadata(said.text.lines(), said.format)))
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
        let needs_discovery = Discovery::is_needed(&job);
        let working = Working {
            job: Arc::new(job),
            discovery: tokio::sync::Mutex::default(),
            at_work: Mutex::default(),
            allowance: Allowance::default(),
        };
        self.with(|jobs| jobs.insert(name.to_owned(), Arc::new(working)));
        if !needs_discovery {
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

    /// Looks for a job's targets, starts those that are new and ends those that are gone.
    async fn refresh(self: &Arc<Self>, name: &str) {
        let Some(working) = self.with(|jobs| jobs.get(name).cloned()) else { return };
        let mut discovery = working.discovery.lock().await;
        let found = discovery.refresh(&working.job, &*self.context.outside.names, self.context.now()).await;
        if !self.with(|jobs| jobs.get(name).is_some_and(|current| Arc::ptr_eq(current, &working))) {
            return;
        }
        let (wanted, dropped) = targets(name, &working.job, &found);
        let known = working.with(|at_work| {
            at_work.dropped_count = dropped.len();
            at_work.dropped = dropped.into_iter().take(DROPPED).collect();
            at_work.targets.keys().cloned().collect::<BTreeSet<_>>()
        });
        for gone in known.iter().filter(|target| !wanted.contains_key(*target)) {
            self.context.scheduler.remove(gone);
            if let Some(turn) = working.with(|at_work| at_work.targets.remove(gone)) {
                turn.leave().await;
            }
        }
        for (key, target) in wanted.into_iter().filter(|(key, _)| !known.contains(key)) {
            let interval = target.interval;
            let allowance = working.allowance.clone();
            let turn = Arc::new(Turn::new(&self.context, &self.intake, working.job.clone(), target, allowance));
            // Spread over the interval by its name: always at the same moment of it.
            let spec = JobSpec { jitter: interval, at_start: false, ..JobSpec::every(key.clone(), interval) };
            if let Err(error) = self.context.scheduler.set(spec, Arc::new(Scrape(turn.clone()))) {
                warn!(target = key, %error, "a target can't be scheduled");
                continue;
            }
            working.with(|at_work| at_work.targets.insert(key, turn));
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
                let every = format!("{}/{}", target.interval.as_millis(), target.timeout.as_millis());
                // Two that are alike in the end are one.
                wanted.insert(format!("scrape/{name}/{}/{identity}/{every}", target.instance()), target);
            }
            Ok(Err(labels)) => dropped.push(labels),
            Err(why) => warn!(job = name, target = ?discovered.get(target::ADDRESS), why, "a target can't be scraped"),
        }
    }
    (wanted, dropped)
}

fn status(turn: &Turn) -> TargetStatus {
    let last = turn.last();
    TargetStatus {
        job: turn.job.name.clone(),
        labels: turn.target.labels.clone(),
        discovered: turn.target.discovered.clone(),
        url: turn.target.url.clone(),
        interval: turn.target.interval,
        timeout: turn.target.timeout,
        health: last.health,
        error: last.error,
        scraped_at: last.at,
        took: last.took,
    }
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
