//! One evaluation of a group: rule after rule, each of which sees what those before it have recorded.

use super::alerting::{self, Configured, Held};
use super::group::{Alerting, Group, Kind, Rule};
use super::sight::{self, Sight};
use super::template::{Found, Scene, Template};
use super::{Options, recording};
use crate::monitoring::alerts::{Alerts, Change, Evaluated};
use quarterdeck_model::domain::rule_group::Policy;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, NAME, Querier, STALE};
use quarterdeck_model::series::{Sample, check_lengths};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_promql::{Error, Expression, Times, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What an evaluation reads and writes series with.
pub trait World: Configured {
    fn querier(&self) -> &dyn Querier;

    /// For the next query. Whoever wants to end the evaluation stops it.
    fn budget(&self) -> Arc<Budget>;

    /// Samples that are to be seen by the next query.
    ///
    /// # Errors
    /// The store's.
    fn append(&self, samples: Vec<Sample>) -> Result<(), StoreError>;

    /// How long something took, for the status of rules; a world in virtual time has no clock.
    fn now(&self) -> Option<std::time::Instant> {
        None
    }
}

/// How a rule's last evaluation went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It was not evaluated yet.
    #[default]
    Unknown,
    Good,
    Bad(String),
}

/// What is known of one rule between evaluations.
#[derive(Clone, Debug, Default)]
pub struct RuleState {
    pub alerts: Alerts,
    /// Series that the last evaluation made, with their names: those that vanish get a staleness marker.
    pub series: BTreeSet<Labels>,
    pub health: Health,
    pub evaluated_at: Option<Timestamp>,
    pub took: Span,
    /// Where the host came back with alerts that fire.
    pub held: Option<Held>,
}

/// What is known of a group between evaluations: by the ids of its rules.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub rules: HashMap<String, RuleState>,
    /// Series of rules that are not there any more, which get a staleness marker.
    pub leaving: BTreeSet<Labels>,
}

/// What an evaluation came to: the state after it, and what has to be made durable and told.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    pub state: State,
    pub changes: Vec<Change>,
}

/// Evaluates every rule at one time. A rule that fails keeps no other from being evaluated.
pub fn evaluate(group: &Group, state: &State, at: Timestamp, world: &dyn World, options: &Options) -> Evaluation {
    let mut evaluation = Evaluation::default();
    let shown = at.minus(group.query_offset);
    if !state.leaving.is_empty() && world.append(ends(state.leaving.iter(), shown)).is_err() {
        evaluation.state.leaving.clone_from(&state.leaving);
    }
    for rule in &group.rules {
        let nothing = RuleState::default();
        let before = state.rules.get(&rule.id).unwrap_or(&nothing);
        let started = world.now();
        let step = Step { group, rule, at, shown, world, options };
        let mut after = match &rule.kind {
            Kind::Recording => step.record(before),
            Kind::Alerting(alerting) => step.alert(alerting, before, &mut evaluation.changes),
        };
        after.evaluated_at = Some(at);
        let took = started.map(|started| started.elapsed().as_millis());
        after.took = Span::from_millis(took.and_then(|took| u64::try_from(took).ok()).unwrap_or(0));
        evaluation.state.rules.insert(rule.id.clone(), after);
    }
    evaluation
}

/// Staleness markers.
pub(super) fn ends<'a>(series: impl Iterator<Item = &'a Labels>, at: Timestamp) -> Vec<Sample> {
    series.map(|labels| sample(labels, at, f64::from_bits(STALE))).collect()
}

/// `labels`: with the name.
fn sample(labels: &Labels, at: Timestamp, value: f64) -> Sample {
    let mut labels = labels.clone();
    let name = labels.0.remove(NAME).unwrap_or_default();
    Sample { name, labels, at, value }
}

/// One rule at one time.
struct Step<'a> {
    group: &'a Group,
    rule: &'a Rule,
    at: Timestamp,
    /// The time of its queries and samples.
    shown: Timestamp,
    world: &'a dyn World,
    options: &'a Options,
}

impl Step<'_> {
    fn record(&self, before: &RuleState) -> RuleState {
        let found = match self.ask(&self.rule.expression, self.shown) {
            Ok(found) => found,
            Err(error) => return failed(before, &error.to_string()),
        };
        let series = match recording::evaluate(self.rule, self.group.limit, found) {
            Ok(series) => series,
            Err(failure) => return failed(before, &failure.to_string()),
        };
        let samples = series.iter().map(|(labels, value)| sample(labels, self.shown, *value)).collect();
        self.keep(before, samples, series.into_keys().collect(), before.alerts.clone())
    }

    fn alert(&self, alerting: &Alerting, before: &RuleState, changes: &mut Vec<Change>) -> RuleState {
        let policies = &self.options.policies;
        let (found, failure) = match self.ask(&self.rule.expression, self.shown) {
            Ok(found) => (found, None),
            Err(error) => match policies.on_error(&self.rule.name) {
                // As in Prometheus: nothing changes, and what is pending goes on.
                Policy::Keep => return failed(before, &error.to_string()),
                policy => (Vec::new(), Some((policy, error.to_string()))),
            },
        };
        let of = (self.group, self.rule, alerting);
        let findings: Vec<alerting::Finding> =
            found.into_iter().map(|found| alerting::finding(of, found, |t, l, v| self.fill(t, l, v))).collect();
        let sight = match &failure {
            Some((policy, _)) => Sight::failed(*policy),
            None => match self.look(alerting, before, &findings) {
                Ok(sight) => sight,
                Err(error) => return failed(before, &error.to_string()),
            },
        };
        let error = failure.map(|(_, error)| error);
        let seen = alerting::Seen {
            group: self.group,
            rule: self.rule,
            alerting,
            findings,
            sight,
            configured: self.world,
            held: before.held,
            end_missing_after: policies.end_missing_after,
            now: self.at,
        };
        let (evaluated, error) = match alerting::evaluate(&before.alerts, seen) {
            Ok(evaluated) => (evaluated, error),
            Err((failure, Some(evaluated))) => {
                let Evaluated { alerts, changes: ended } = evaluated;
                changes.extend(ended);
                return RuleState { alerts, ..failed(before, &failure.to_string()) };
            }
            Err((failure, None)) => return failed(before, &failure.to_string()),
        };
        changes.extend(evaluated.changes);
        let samples = alerting::samples(&evaluated.alerts, self.shown);
        let series = samples.iter().map(|sample| sample.labels.clone().with(NAME, &sample.name)).collect();
        let after = self.keep(before, samples, series, evaluated.alerts);
        match error {
            Some(error) => RuleState { health: Health::Bad(error), ..after },
            None => after,
        }
    }

    fn look(&self, alerting: &Alerting, before: &RuleState, findings: &[alerting::Finding]) -> Result<Sight, Error> {
        let (budget, of) = (self.world.budget(), (self.rule, alerting));
        let with = (self.world.querier(), &*budget);
        sight::look(of, (&before.alerts, findings), self.shown, with, self.options)
    }

    fn fill(&self, template: &Template, labels: &Labels, value: f64) -> String {
        let query = |text: &str| {
            let expression = Expression::parse(text).map_err(|error| error.to_string())?;
            self.ask(&expression, self.at).map_err(|error| error.to_string())
        };
        let scene = Scene {
            labels,
            external_labels: &self.options.external_labels,
            external_url: &self.options.external_url,
            value,
            query: &query,
        };
        template.fill(&scene).unwrap_or_else(|error| format!("<error expanding template: {error}>"))
    }

    fn ask(&self, expression: &Expression, at: Timestamp) -> Result<Vec<Found>, Error> {
        let budget = self.world.budget();
        let times = Times::at(at);
        let answer =
            quarterdeck_promql::evaluate(expression, times, self.world.querier(), &budget, &self.options.query)?;
        match answer.value {
            Value::Vector(samples) => {
                Ok(samples.into_iter().map(|sample| (sample.labels, sample.point.value)).collect())
            }
            Value::Scalar { value, .. } => Ok(vec![(Arc::new(Labels::new()), value)]),
            Value::Text { .. } | Value::Matrix(_) => {
                Err(Error::Evaluation("rule result is not a vector or scalar".to_owned()))
            }
        }
    }

    /// Appends what was made, and the ends of the series that were made before and are not any more.
    fn keep(
        &self,
        before: &RuleState,
        mut samples: Vec<Sample>,
        series: BTreeSet<Labels>,
        alerts: Alerts,
    ) -> RuleState {
        let mut health = Health::Good;
        samples.retain(|sample| match check_lengths(&sample.name, &sample.labels) {
            Ok(()) => true,
            Err(reason) => {
                health = Health::Bad(reason);
                false
            }
        });
        samples.extend(ends(before.series.difference(&series), self.shown));
        if !samples.is_empty()
            && let Err(error) = self.world.append(samples)
        {
            health = Health::Bad(error.to_string());
        }
        RuleState { alerts, series, health, held: before.held, ..RuleState::default() }
    }
}

fn failed(before: &RuleState, reason: &str) -> RuleState {
    RuleState { health: Health::Bad(reason.to_owned()), ..before.clone() }
}

/// Takes over what is known of the rules that a changed group still has. Gives the rest: rules that are gone.
pub fn carry_over(before: State, group: &Group) -> (State, BTreeMap<String, RuleState>) {
    let mut known = before.rules;
    let mut after = State { leaving: before.leaving, ..State::default() };
    for rule in &group.rules {
        if let Some(state) = known.remove(&rule.id) {
            after.rules.insert(rule.id.clone(), state);
        }
    }
    let gone: BTreeMap<String, RuleState> = known.into_iter().collect();
    after.leaving.extend(gone.values().flat_map(|rule| rule.series.iter().cloned()));
    // What another rule makes now has not ended.
    for rule in after.rules.values() {
        after.leaving.retain(|labels| !rule.series.contains(labels));
    }
    (after, gone)
}
