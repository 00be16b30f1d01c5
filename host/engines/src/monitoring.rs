//! Collectors make samples, rules make alerts of them.
//!
//! - `alerts`: what an evaluation makes of a rule's alerts; pure
//! - `collect`: a job per instance of a collector; `lives`: which of its series have ended; `checks`: when its target counts as failed, and who is asked to mend it
//! - `scrape`: Prometheus's scrape, a job per target; `intake`: samples that are sent
//! - `rules`: a job per rule; `ended`: which series are over; `expected`: what its detector is to miss where it is not there; `suspects`:
//!   which of its series make its detector trap
//! - `rule_files`: rules in Prometheus's format, a job per group
//! - `dashboard`: whether what its panels show can be evaluated
//!
//! All sets of jobs follow the catalog and the registry while the host runs.

pub mod alerts;
mod cardinality;
mod checks;
mod collect;
mod dashboard;
mod derived;
mod ended;
mod expected;
mod intake;
pub(crate) mod lives;
pub mod rule_files;
mod rules;
pub mod scrape;
mod suspects;

pub use collect::check_names;
pub use dashboard::check_dashboard;
pub use intake::{Tally, WriteError, Written};

use crate::results::STORE_AGAIN;
use crate::{Asked, Context, Error, Tasks};
use quarterdeck_bus::Subscription;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::domain::check::CheckStatus;
use quarterdeck_model::event::EventFilter;
use quarterdeck_model::kind::collector::{Condition, Family, Health, MetricType};
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::series::Sample;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, warn};

/// The collection of what collectors said about their targets. Id: the instance's name.
pub const HEALTH: &str = "health";

/// What a collector last said about its target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetHealth {
    pub instance: InstanceName,
    #[serde(flatten)]
    pub health: Health,
    /// In this state since.
    pub since: Timestamp,
    pub checked_at: Timestamp,
    /// Where the instance has a `check`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckStatus>,
}

/// What a collector says of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub metric_type: MetricType,
    pub help: String,
}

impl Described {
    fn of(family: &Family) -> Self {
        Described { metric_type: family.metric_type, help: family.help.clone() }
    }

    /// By a page, or by who sent it: in Prometheus's words, of which collectors know fewer.
    fn said(metadata: &quarterdeck_formats::Metadata) -> Self {
        let metric_type = match metadata.kind {
            "gauge" => MetricType::Gauge,
            "counter" => MetricType::Counter,
            "histogram" => MetricType::Histogram,
            "summary" => MetricType::Summary,
            _ => MetricType::Unknown,
        };
        Described { metric_type, help: metadata.help.clone() }
    }

    fn is_of(&self, family: &Family) -> bool {
        self.metric_type == family.metric_type && self.help == family.help
    }
}

/// What became of samples that were pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub accepted: usize,
    /// Of new series, of which there are enough.
    pub refused: usize,
}

#[derive(Clone)]
pub struct Handle {
    context: Context,
    rules: Arc<rules::Rules>,
    groups: Arc<rule_files::jobs::Groups>,
    collectors: Arc<collect::Collectors>,
    scrapes: Arc<scrape::jobs::Scrapes>,
    intake: Arc<intake::Intake>,
}

impl Handle {
    /// All alerts, those that were resolved a short while ago too, with the values of the last evaluation.
    pub fn alerts(&self) -> Vec<Alert> {
        let mut alerts = self.rules.alerts();
        alerts.extend(self.groups.alerts());
        alerts
    }

    pub fn alert(&self, fingerprint: &str) -> Option<Alert> {
        self.alerts().into_iter().find(|alert| alert.fingerprint == fingerprint)
    }

    /// What each collector last said about its target.
    pub fn health(&self) -> Vec<TargetHealth> {
        self.collectors.health()
    }

    /// What collectors, pages that are scraped, and those who send samples say of their metrics, by the metric's name. Not kept: known
    /// once they have said it since the start.
    pub fn described(&self) -> BTreeMap<String, Vec<Described>> {
        let mut known = self.collectors.described();
        self.scrapes.described(&mut known);
        for (name, described) in self.intake.described() {
            let all = known.entry(name).or_default();
            if !all.contains(&described) {
                all.push(described);
            }
        }
        known
    }

    /// The targets that are scraped.
    pub fn targets(&self) -> Vec<scrape::TargetStatus> {
        self.scrapes.targets()
    }

    /// Those that relabelling dropped, a thousand of each job at most, and how many of each job there are.
    pub fn dropped_targets(&self) -> (Vec<scrape::DroppedTarget>, BTreeMap<String, usize>) {
        self.scrapes.dropped()
    }

    /// What each target's page says of its metrics, by the target's labels.
    pub fn targets_metadata(&self) -> Vec<(quarterdeck_model::Labels, Vec<quarterdeck_formats::Metadata>)> {
        self.scrapes.metadata()
    }

    /// Someone has seen it. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], and [`Error::Conflict`] for an alert that doesn't fire.
    pub async fn acknowledge(&self, fingerprint: &str, asked: impl Into<Asked<'_>>) -> Result<Alert, Error> {
        match self.of_a_group(fingerprint) {
            Some(alert) => self.groups.acknowledge(&alert, asked.into()).await,
            None => self.rules.acknowledge(fingerprint, asked.into()).await,
        }
    }

    /// Someone ends a firing alert by hand. If the next evaluation still finds its series abnormal, it begins anew. Doing it again
    /// changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], and [`Error::Conflict`] for an alert that is pending.
    pub async fn resolve(&self, fingerprint: &str, asked: impl Into<Asked<'_>>) -> Result<Alert, Error> {
        match self.of_a_group(fingerprint) {
            Some(alert) => self.groups.resolve(&alert, asked.into()).await,
            None => self.rules.resolve(fingerprint, asked.into()).await,
        }
    }

    /// Takes in samples that were sent to the host. They are on the disk when it returns. Those of new series are left out, and
    /// counted, where the store has as many series as it may.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a malformed name or label, or one that is too long: nothing was kept then.
    /// [`StoreError::TooManySeries`] where nothing else was kept either, and the store's others.
    pub async fn push(&self, samples: Vec<Sample>) -> Result<Taken, Error> {
        for sample in &samples {
            check_names(&sample.name, &sample.labels).map_err(Error::invalid)?;
        }
        let given = samples.len();
        let refused = match self.context.series.append(samples).await {
            Ok(()) => 0,
            Err(StoreError::TooManySeries { refused, .. }) if refused < given => refused,
            Err(failure) => return Err(failure.into()),
        };
        self.context.series.sync().await?;
        Ok(Taken { accepted: given.saturating_sub(refused), refused })
    }

    /// Evaluates a rule beside its schedule. Returns when it is done.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the detector or the store says.
    pub async fn evaluate(&self, rule: &str) -> Result<(), Error> {
        self.rules.evaluate(rule).await
    }

    /// The groups of rules in Prometheus's format, by name, with how their last evaluation went.
    pub fn rule_groups(&self) -> Vec<rule_files::GroupStatus> {
        self.groups.status()
    }

    /// Evaluates a group beside its schedule, as at a time. Returns when it is done.
    ///
    /// # Errors
    /// [`Error::NotFound`], what is wrong with one of its rules, and what the store says.
    pub async fn evaluate_group(&self, group: &str, at: Timestamp) -> Result<(), Error> {
        self.groups.evaluate(group, at).await
    }

    /// When an alert of a rule in Prometheus's format would have fired, over what is stored.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`] for a rule that can't be evaluated or takes too long, and what the store says.
    pub async fn backtest(
        &self,
        request: rule_files::BacktestRequest,
    ) -> Result<rule_files::backtest::Backtest, Error> {
        self.groups.backtest(request).await
    }

    fn of_a_group(&self, fingerprint: &str) -> Option<Alert> {
        self.groups.alerts().into_iter().find(|alert| alert.fingerprint == fingerprint)
    }
}

pub(crate) async fn start(context: &Context, tasks: &mut Tasks) -> Result<Handle, Error> {
    let rules = Arc::new(rules::Rules::load(context.clone())?);
    let collectors = Arc::new(collect::Collectors::load(context.clone())?);
    let intake = Arc::new(intake::Intake::default());
    let scrapes = Arc::new(scrape::jobs::Scrapes::new(context.clone(), intake.clone()));
    let groups = Arc::new(rule_files::jobs::Groups::load(context.clone(), scrapes.clone())?);
    let changes =
        context.bus.subscribe(context.store.head(), EventFilter::types(["plugin.", "instance.", "configuration."]));
    let catalog = context.catalog.clone();
    for synced in [rules.sync(&context.catalog()).await, groups.sync(&context.catalog()).await] {
        match synced {
            // A full disk must not keep the host from starting: it is tried again until it works.
            Err(Error::Store(failure @ StoreError::DiskFull { .. })) => {
                warn!(error = %failure, "rules could not be brought up to date");
            }
            // Neither must a rule that an older version took.
            Err(Error::Invalid { message }) => error!(message, "a rule group is not at work"),
            other => other?,
        }
    }
    collectors.sync();
    scrapes.sync(&context.catalog()).await;
    let at_work = (rules.clone(), groups.clone(), collectors.clone(), scrapes.clone());
    tasks.spawn("monitoring", follow(context.clone(), at_work, changes, catalog));
    tasks.spawn("monitoring-alive", rules::stay_alive(rules.clone()));
    Ok(Handle { context: context.clone(), rules, groups, collectors, scrapes, intake })
}

/// Looks again now and then even if nobody says that something changed.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

type AtWork = (Arc<rules::Rules>, Arc<rule_files::jobs::Groups>, Arc<collect::Collectors>, Arc<scrape::jobs::Scrapes>);

async fn follow(
    context: Context,
    (rules, groups, collectors, scrapes): AtWork,
    mut changes: Subscription,
    mut catalog: watch::Receiver<Arc<Catalog>>,
) {
    // Once at the start: what failed there is not waited for long.
    let mut again = STORE_AGAIN;
    loop {
        let gone = tokio::select! {
            () = context.shutdown.cancelled() => true,
            changed = changes.next(1000) => changed
                .inspect_err(|error| error!(%error, "monitoring can't follow the bus"))
                .is_err(),
            changed = catalog.changed() => changed.is_err(),
            () = tokio::time::sleep(again) => false,
        };
        if gone {
            // The jobs hold what holds the scheduler: nobody would ever let go.
            collectors.clear();
            rules.clear();
            groups.clear();
            scrapes.clear();
            return;
        }
        collectors.sync();
        let current = catalog.borrow_and_update().clone();
        scrapes.sync(&current).await;
        again = LOOK_AGAIN;
        if let Err(error) = collectors.end_checks().await {
            warn!(%error, "checks that are no more could not be ended");
            again = STORE_AGAIN;
        }
        for synced in [rules.sync(&current).await, groups.sync(&current).await] {
            if let Err(error) = synced {
                warn!(%error, "rules could not be brought up to date");
                again = STORE_AGAIN;
            }
        }
    }
}

pub(crate) const DEFAULT_INTERVAL: Span = Span::from_secs(15);

/// What is said of a target about which nothing could be found out.
pub(crate) fn unknown_health(reason: String) -> Health {
    Health { state: Condition::Failed, message: reason }
}

#[cfg(test)]
mod tests;
