//! The running host's series, for an evaluation on a thread that may block.

use crate::Context;
use crate::monitoring::rule_files::World;
use crate::monitoring::rule_files::alerting::Configured;
use crate::monitoring::scrape::Roll;
use quarterdeck_model::domain::alert::Target;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, Querier};
use quarterdeck_model::series::{Sample, Series};
use quarterdeck_model::store::StoreError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// Samples that one query may read and hold: as Prometheus's `query.max-samples`.
const SAMPLES: usize = 50_000_000;

pub(super) struct Live {
    context: Context,
    /// Who is scraped.
    roll: Arc<Roll>,
    querier: Arc<dyn Querier>,
    series: Arc<dyn Series>,
    runtime: Handle,
    /// Of the query under way.
    current: Mutex<Option<Arc<Budget>>>,
    stopped: AtomicBool,
}

impl Live {
    /// Has to be made on the runtime.
    pub(super) fn of(context: &Context, roll: Arc<Roll>) -> Self {
        Live {
            context: context.clone(),
            roll,
            querier: context.querier.clone(),
            series: context.series.clone(),
            runtime: Handle::current(),
            current: Mutex::new(None),
            stopped: AtomicBool::new(false),
        }
    }

    /// Ends the query under way, and all that are still to come.
    pub(super) fn stop(&self) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(budget) = &*current {
            budget.stop();
        }
    }
}

impl Configured for Live {
    fn target(&self, labels: &Labels) -> Option<Target> {
        let scraped = || self.roll.target(labels).map(Target::Scraped);
        let instance = || labels.get("instance").map(|name| Target::Instance(name.into()));
        let service = || labels.get("service").map(|name| Target::Service(name.to_owned()));
        let there = |target: Option<Target>| target.filter(|target| self.is_configured(target));
        scraped().or_else(|| there(instance())).or_else(|| there(service()))
    }

    fn is_configured(&self, target: &Target) -> bool {
        match target {
            Target::Scraped(labels) => self.roll.has(labels),
            Target::Instance(name) => self.context.registry.instance(name).is_some(),
            Target::Service(name) => self.context.catalog().services.contains_key(name),
        }
    }
}

impl World for Live {
    fn querier(&self) -> &dyn Querier {
        &*self.querier
    }

    fn budget(&self) -> Arc<Budget> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = Arc::new(Budget::of_samples(SAMPLES));
        if self.stopped.load(Ordering::Relaxed) {
            budget.stop();
        }
        *current = Some(budget.clone());
        budget
    }

    fn append(&self, samples: Vec<Sample>) -> Result<(), StoreError> {
        self.runtime.block_on(self.series.append(samples))
    }

    fn now(&self) -> Option<std::time::Instant> {
        Some(std::time::Instant::now())
    }
}
