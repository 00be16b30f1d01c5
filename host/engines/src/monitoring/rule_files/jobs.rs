//! A job per group: ask its queries on a thread that may block, append what it records, commit what became of its alerts.
//!
//! Alerts live in memory and in documents, as those of the other rules do; `ALERTS` is made of them, not they of it. Whoever else
//! changes one (an acknowledgement) takes the group's turn for it, so that nobody writes over anybody.

mod past;
mod world;

pub use past::BacktestRequest;

use super::alerting::Held;
use super::evaluate::{Health, RuleState, State, carry_over, evaluate};
use super::group::{Group, Kind, Rule};
use super::{Evaluation, Options};
use crate::monitoring::alerts::{self, Alerts, Change};
use crate::monitoring::collect::Collectors;
use crate::monitoring::scrape::jobs::{Scrapes, slowest};
use crate::{Asked, Context, Error, to_value};
use async_trait::async_trait;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::domain::rule_group::RuleGroup;
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_promql::Recordings;
use quarterdeck_scheduler::Job;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tracing::{info, warn};
use world::Live;

/// Where nothing else changes, the values of active alerts are written this often.
const WRITE_EVERY: Span = Span::from_secs(60);
/// An evaluation is ended after its interval, but not sooner.
const LEAST_TIME: Span = Span::from_secs(10);

/// What fired holds for this long after a start at most. A sample that is older is not "now" any more, so that what is asked less often is
/// missed by itself.
const LONGEST_HOLD: Span = quarterdeck_model::series::LOOKBACK;

/// One group at work.
#[derive(Clone)]
struct Working {
    group: Arc<Group>,
    state: Arc<State>,
    /// When values were written last.
    written: Option<Timestamp>,
    /// One evaluation, or change of an alert, at a time.
    turn: Arc<Semaphore>,
    took: Span,
    evaluated_at: Option<Timestamp>,
}

pub(in crate::monitoring) struct Groups {
    context: Context,
    scrapes: Arc<Scrapes>,
    groups: Mutex<BTreeMap<String, Working>>,
    /// What all of them record, until they are set anew.
    recordings: Mutex<Option<Arc<Recordings>>>,
    /// Read at the start, until their groups are set.
    left: Mutex<BTreeMap<String, Alerts>>,
    /// How many are evaluated at once.
    places: Semaphore,
}

/// A group, for whoever shows it.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    pub group: Arc<Group>,
    pub evaluated_at: Option<Timestamp>,
    pub took: Span,
    /// In the group's order.
    pub rules: Vec<RuleStatus>,
}

#[derive(Clone, Debug)]
pub struct RuleStatus {
    pub rule: Rule,
    pub health: Health,
    pub evaluated_at: Option<Timestamp>,
    pub took: Span,
    /// Those that are active or were until lately.
    pub alerts: Vec<Alert>,
}

impl Groups {
    pub(in crate::monitoring) fn load(context: Context, scrapes: Arc<Scrapes>) -> Result<Self, Error> {
        let mut left: BTreeMap<String, Alerts> = BTreeMap::new();
        for alert in context.read_all::<Alert>(Alert::COLLECTION, &Page::all())? {
            if let Some(group) = &alert.group {
                left.entry(group.clone()).or_default().insert(alert.fingerprint.clone(), alert);
            }
        }
        let places = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (groups, left, places) = (Mutex::default(), Mutex::new(left), Semaphore::new(places));
        Ok(Groups { context, scrapes, groups, recordings: Mutex::default(), left, places })
    }

    pub(in crate::monitoring) fn alerts(&self) -> Vec<Alert> {
        self.with(|groups| {
            let rules = groups.values().flat_map(|working| working.state.rules.values());
            rules.flat_map(|rule| rule.alerts.values().cloned()).collect()
        })
    }

    pub(in crate::monitoring) fn status(&self) -> Vec<GroupStatus> {
        self.with(|groups| groups.values().map(status).collect())
    }

    /// Sets the jobs of the groups that there are now; alerts of groups and rules that are gone end.
    pub(in crate::monitoring) async fn sync(self: &Arc<Self>, catalog: &Catalog) -> Result<(), Error> {
        let mut failure = None;
        for (key, spec) in &catalog.rule_groups {
            if let Err(error) = self.set(key, spec).await {
                failure = Some(error);
            }
        }
        let gone = self.with(|groups| {
            let gone = groups.keys().filter(|key| !catalog.rule_groups.contains_key(*key));
            gone.cloned().collect::<Vec<_>>()
        });
        for key in gone {
            if let Err(error) = self.remove(&key).await {
                failure = Some(error);
            }
        }
        *self.recordings.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let orphans: Vec<(String, Alerts)> = {
            let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            let orphans = left.iter().filter(|(key, _)| !catalog.rule_groups.contains_key(*key));
            orphans.map(|(key, alerts)| (key.clone(), alerts.clone())).collect()
        };
        for (key, alerts) in orphans {
            match self.retire(alerts.values()).await {
                Ok(()) => self.forget_left(&key),
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn recordings(&self) -> Arc<Recordings> {
        let mut kept = self.recordings.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = || self.with(|groups| groups.values().map(|working| working.group.clone()).collect::<Vec<_>>());
        let made = || Arc::new(super::sight::recordings(groups().iter().map(|group| &**group)));
        kept.get_or_insert_with(made).clone()
    }

    /// Takes the jobs out again.
    pub(in crate::monitoring) fn clear(&self) {
        for key in self.with(|groups| groups.keys().cloned().collect::<Vec<_>>()) {
            self.context.scheduler.remove(&job_name(&key));
        }
    }

    async fn set(self: &Arc<Self>, key: &str, spec: &RuleGroup) -> Result<(), Error> {
        let before = self.with(|groups| groups.get(key).cloned());
        if before.as_ref().is_some_and(|before| before.group.spec == *spec) {
            return Ok(());
        }
        let group = match Group::read(key, spec) {
            Ok(group) => Arc::new(group),
            Err(mistakes) => {
                // Whoever takes a configuration asks before; a kept one may be older than what is known now.
                let mistake = mistakes.first().map(|mistake| format!("{}: {}", mistake.pointer, mistake.message));
                return Err(Error::invalid(format!("rule group `{key}`: {}", mistake.unwrap_or_default())));
            }
        };
        let interval = group.interval;
        match &before {
            Some(before) => self.change(key, before, group).await?,
            None => self.begin(key, group).await?,
        }
        if before.is_none_or(|before| before.group.interval != interval) {
            // Spread over the whole interval, always alike for one group: queries of all groups at once would wait for each other.
            let job = JobSpec { jitter: interval, at_start: false, ..JobSpec::every(job_name(key), interval) };
            let evaluate = Evaluate { groups: self.clone(), key: key.to_owned() };
            if let Err(error) = self.context.scheduler.set(job, Arc::new(evaluate)) {
                warn!(group = key, %error, "a rule group can't be scheduled");
            }
        }
        Ok(())
    }

    /// A group that is new, or comes back with the host.
    async fn begin(&self, key: &str, group: Arc<Group>) -> Result<(), Error> {
        let mut left = self.left(key);
        let now = self.context.now();
        let sign_of_life = crate::monitoring::rules::last_sign(&self.context)?;
        let mut state = State::default();
        for rule in &group.rules {
            let (own, others): (Alerts, Alerts) =
                left.into_iter().partition(|(_, alert)| super::alerting::is_of(alert, &group, rule));
            left = others;
            let Kind::Alerting(alerting) = &rule.kind else { continue };
            let down_at = alerts::last_up(&own, sign_of_life).unwrap_or(now);
            let (own, changes) = alerts::resume(own, alerting.hold, down_at, now);
            if !changes.is_empty() {
                info!(group = key, rule = rule.name, %down_at, "pending alerts wait anew after an absence");
                self.context.commit(self.transition(&changes)?).await?;
            }
            let fires = own.values().any(|alert| alert.state == AlertState::Firing);
            let held = if fires { self.held(now) } else { None };
            state.rules.insert(rule.id.clone(), RuleState { alerts: own, held, ..RuleState::default() });
        }
        self.retire(left.values()).await?;
        let turn = Arc::new(Semaphore::new(1));
        let working =
            Working { group, state: Arc::new(state), written: None, turn, took: Span::ZERO, evaluated_at: None };
        self.with(|groups| groups.insert(key.to_owned(), working));
        self.forget_left(key);
        Ok(())
    }

    /// What fired before the start was made of sources that nobody has asked since: a query that joins several of them finds less than
    /// there is until each had its turn.
    fn held(&self, now: Timestamp) -> Option<Held> {
        let slowest = slowest(&self.context.catalog()).max(Collectors::slowest(&self.context)).min(LONGEST_HOLD);
        (slowest > Span::ZERO).then(|| Held { since: now, until: now.plus(slowest) })
    }

    /// A group that is at work, and is written otherwise now.
    async fn change(&self, key: &str, before: &Working, group: Arc<Group>) -> Result<(), Error> {
        let _turn = before.turn.acquire().await.map_err(|_| absent(key))?;
        let state = self.with(|groups| groups.get(key).map(|working| working.state.clone())).unwrap_or_default();
        let (state, gone) = carry_over(Arc::unwrap_or_clone(state), &group);
        self.retire(gone.values().flat_map(|rule| rule.alerts.values())).await?;
        self.with(|groups| {
            if let Some(working) = groups.get_mut(key) {
                working.group = group;
                working.state = Arc::new(state);
            }
        });
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        self.context.scheduler.remove(&job_name(key));
        let Some(working) = self.with(|groups| groups.get(key).cloned()) else { return Ok(()) };
        let _turn = working.turn.acquire().await.map_err(|_| absent(key))?;
        let Some(working) = self.with(|groups| groups.get(key).cloned()) else { return Ok(()) };
        let rules = working.state.rules.values();
        self.retire(rules.clone().flat_map(|rule| rule.alerts.values())).await?;
        let series = rules.flat_map(|rule| &rule.series).chain(&working.state.leaving);
        let ends = super::evaluate::ends(series, self.context.now().minus(working.group.query_offset));
        if !ends.is_empty()
            && let Err(error) = self.context.series.append(ends).await
        {
            warn!(group = key, %error, "the series of a rule group that is gone could not be ended");
        }
        self.with(|groups| groups.remove(key));
        Ok(())
    }

    /// Nobody evaluates these any more: what fires resolves and says why, and all are forgotten.
    async fn retire(&self, alerts: impl Iterator<Item = &Alert>) -> Result<(), Error> {
        let alerts: Alerts = alerts.map(|alert| (alert.fingerprint.clone(), alert.clone())).collect();
        if alerts.is_empty() {
            return Ok(());
        }
        let changes = alerts::retire(&alerts, self.context.now());
        let mut transition = self.transition(&changes)?;
        transition.writes.clear();
        for fingerprint in alerts.keys() {
            transition = transition.delete(Alert::COLLECTION, fingerprint, Expected::Any);
        }
        self.context.commit(transition).await?;
        Ok(())
    }

    /// Evaluates a group as at a time.
    pub(in crate::monitoring) async fn evaluate(&self, key: &str, at: Timestamp) -> Result<(), Error> {
        let turn = self.working(key)?.turn;
        let _turn = turn.acquire().await.map_err(|_| absent(key))?;
        let working = self.working(key)?;
        let _place = self.places.acquire().await.map_err(|_| absent(key))?;
        let catalog = self.context.catalog();
        let options = Options {
            policies: catalog.rule_policies.clone(),
            external_labels: catalog.alerting.external_labels.clone(),
            external_url: self.context.public_url.clone(),
            recordings: self.recordings(),
            ..Options::default()
        };
        let live = Arc::new(Live::of(&self.context, self.scrapes.roll()));
        let started = std::time::Instant::now();
        let (group, state, world) = (working.group.clone(), working.state, live.clone());
        let mut run = tokio::task::spawn_blocking(move || evaluate(&group, &state, at, &*world, &options));
        let time = working.group.interval.max(LEAST_TIME).as_duration();
        let evaluation = tokio::select! {
            done = &mut run => done,
            () = self.given_up(time) => {
                live.stop();
                run.await
            }
        };
        let evaluation = evaluation.map_err(|_| StoreError::Closed)?;
        let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.conclude(key, evaluation, working.written, at).await?;
        let bad = self.with(|groups| {
            let working = groups.get_mut(key)?;
            (working.took, working.evaluated_at) = (Span::from_millis(took), Some(at));
            working.group.rules.iter().find_map(|rule| match &working.state.rules.get(&rule.id)?.health {
                Health::Bad(reason) => Some(format!("rule `{}`: {reason}", rule.name)),
                Health::Unknown | Health::Good => None,
            })
        });
        bad.map_or(Ok(()), |reason| Err(Error::invalid(reason)))
    }

    async fn given_up(&self, after: Duration) {
        tokio::select! {
            () = self.context.shutdown.cancelled() => {}
            () = tokio::time::sleep(after) => {}
        }
    }

    /// Makes durable what has to be, and takes the state over.
    async fn conclude(
        &self,
        key: &str,
        evaluation: Evaluation,
        written: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), Error> {
        let Evaluation { state, mut changes } = evaluation;
        let catalog = self.context.catalog();
        let due = written.is_none_or(|written| at.since(written) >= WRITE_EVERY);
        if due {
            let changed: std::collections::BTreeSet<String> =
                changes.iter().map(|change| change.alert().fingerprint.clone()).collect();
            let alerts = state.rules.values().flat_map(|rule| rule.alerts.values());
            let active = alerts.filter(|alert| alert.state != AlertState::Resolved);
            let rest = active.filter(|alert| !changed.contains(&alert.fingerprint));
            changes.extend(rest.cloned().map(Change::Kept).collect::<Vec<_>>());
        }
        for change in &mut changes {
            let alert = change.alert_mut();
            // Only a runbook that there is can be started from an alert.
            alert.runbook = alert.runbook.take().filter(|runbook| catalog.runbooks.contains_key(runbook));
        }
        if !changes.is_empty() {
            self.context.commit(self.transition(&changes)?).await?;
        }
        self.with(|groups| {
            if let Some(working) = groups.get_mut(key) {
                working.state = Arc::new(state);
                if due {
                    working.written = Some(at);
                }
            }
        });
        Ok(())
    }

    pub(in crate::monitoring) async fn acknowledge(&self, alert: &Alert, asked: Asked<'_>) -> Result<Alert, Error> {
        self.by_hand(alert, asked, |alert| {
            if alert.state == AlertState::Resolved {
                return Err(Error::conflict("the alert is resolved already"));
            }
            if alert.acknowledged_by.is_some() {
                return Ok(None);
            }
            let alert = Alert { acknowledged_by: Some(asked.principal.to_owned()), ..alert };
            Ok(Some((alert, "alert.acknowledged")))
        })
        .await
    }

    pub(in crate::monitoring) async fn resolve(&self, alert: &Alert, asked: Asked<'_>) -> Result<Alert, Error> {
        self.by_hand(alert, asked, |alert| match alert.state {
            AlertState::Resolved => Ok(None),
            AlertState::Pending => {
                Err(Error::conflict("the alert does not fire yet; it ends by itself if its signal does"))
            }
            AlertState::Firing => {
                Ok(Some((alerts::closed(&alert, asked.principal, self.context.now()), Alert::RESOLVED)))
            }
        })
        .await
    }

    /// Changes one alert, behind an evaluation under way.
    async fn by_hand(
        &self,
        known: &Alert,
        asked: Asked<'_>,
        decide: impl Fn(Alert) -> Result<Option<(Alert, &'static str)>, Error>,
    ) -> Result<Alert, Error> {
        let missing = || Error::not_found(format!("alert `{}`", known.fingerprint));
        let key = known.group.as_deref().ok_or_else(missing)?;
        let turn = self.working(key)?.turn;
        let _turn = turn.acquire().await.map_err(|_| missing())?;
        let fingerprint = known.fingerprint.as_str();
        let alert = self
            .context
            .update_as::<Alert, _>(asked, Alert::COLLECTION, fingerprint, |alert| {
                let Some((alert, event)) = decide(alert.ok_or_else(missing)?)? else { return Ok(None) };
                let event = self.context.event(event, fingerprint).data(to_value(&alert)?);
                Ok(Some((alert, Transition::new().event(event.principal(asked.principal)))))
            })
            .await?
            .ok_or_else(missing)?;
        self.with(|groups| {
            let Some(working) = groups.get_mut(key) else { return };
            for rule in Arc::make_mut(&mut working.state).rules.values_mut() {
                if let Some(held) = rule.alerts.get_mut(fingerprint) {
                    *held = alert.clone();
                }
            }
        });
        Ok(alert)
    }

    fn transition(&self, changes: &[Change]) -> Result<Transition, StoreError> {
        let mut transition = Transition::new();
        for change in changes {
            let alert = change.alert();
            let id = alert.fingerprint.as_str();
            let event = match change {
                Change::Fired(_) => Some(Alert::FIRING),
                Change::Updated(_) => Some("alert.updated"),
                Change::Resolved(_) => Some(Alert::RESOLVED),
                Change::Kept(_) | Change::Dropped(_) => None,
            };
            transition = match change {
                Change::Dropped(_) => transition.delete(Alert::COLLECTION, id, Expected::Any),
                _ => transition.put(Alert::COLLECTION, id, Expected::Any, to_value(alert)?),
            };
            if let Some(event) = event {
                transition.events.push(self.context.event(event, id).data(to_value(alert)?));
            }
        }
        Ok(transition)
    }

    fn working(&self, key: &str) -> Result<Working, Error> {
        self.with(|groups| groups.get(key).cloned()).ok_or_else(|| absent(key))
    }

    fn left(&self, key: &str) -> Alerts {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned().unwrap_or_default()
    }

    fn forget_left(&self, key: &str) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Working>) -> T) -> T {
        act(&mut self.groups.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn absent(key: &str) -> Error {
    Error::not_found(format!("rule group `{key}`"))
}

fn status(working: &Working) -> GroupStatus {
    let nothing = RuleState::default();
    let of = |rule: &Rule| {
        let state = working.state.rules.get(&rule.id).unwrap_or(&nothing);
        RuleStatus {
            rule: rule.clone(),
            health: state.health.clone(),
            evaluated_at: state.evaluated_at,
            took: state.took,
            alerts: state.alerts.values().cloned().collect(),
        }
    };
    GroupStatus {
        group: working.group.clone(),
        evaluated_at: working.evaluated_at,
        took: working.took,
        rules: working.group.rules.iter().map(of).collect(),
    }
}

fn job_name(key: &str) -> String {
    format!("rule-group/{key}")
}

struct Evaluate {
    groups: Arc<Groups>,
    key: String,
}

#[async_trait]
impl Job for Evaluate {
    async fn run(&self, planned: Timestamp) -> Result<(), String> {
        self.groups.evaluate(&self.key, planned).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
