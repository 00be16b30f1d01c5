//! When an alerting rule would have fired, over stored history.
//!
//! The query is evaluated over the whole time in columns, and what it finds at each step goes through the rule's state machine: the
//! same as in the running host, in virtual time.

use super::alerting::{self, Configured, Finding, Seen};
use super::group::{Alerting, Group, Kind, Rule};
use super::sight::{self, Sight};
use super::template::{Found, Scene, Template};
use super::{Mistake, Options};
use crate::monitoring::alerts::{Alerts, Change};
use quarterdeck_model::domain::rule_group::RuleGroup;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, Querier};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_promql::{Error, Times, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Steps that are evaluated at once.
const CHUNK: i64 = 5_000;
/// Steps of one backtest at most.
pub const MOST_STEPS: u64 = 1_000_000;
/// Times an alert fired that are told at most.
const MOST_FIRINGS: usize = 10_000;

/// One time that an alert would have fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Firing {
    pub labels: Labels,
    /// When the query found it first.
    pub active_at: Timestamp,
    pub fired_at: Timestamp,
    /// Absent: it would fire still.
    pub resolved_at: Option<Timestamp>,
    /// Until it resolved, or the end of the time that was looked at.
    pub lasted: Span,
}

/// What a backtest came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backtest {
    pub evaluations: u64,
    /// In the order in which they began to fire.
    pub firings: Vec<Firing>,
    /// Times that the query found something that did not last for the rule's `for`.
    pub only_pending: u64,
    /// There were more than are told.
    pub cut: bool,
    /// Evaluations that failed, and why the first of them did.
    pub failed: u64,
    pub failure: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{}", .0.iter().map(|mistake| format!("{}: {}", mistake.pointer, mistake.message)).collect::<Vec<_>>().join("; "))]
    Rule(Vec<Mistake>),
    #[error("there is no alerting rule `{0}` in the group")]
    NoSuchRule(String),
    #[error("{0} evaluations are more than {MOST_STEPS}; hint: ask for less time, or fewer steps")]
    TooLong(u64),
    #[error(transparent)]
    Query(#[from] Error),
}

/// Evaluates the alerting rule of that name from `from` on until `to`, each `step` (the group's interval, unless given).
///
/// # Errors
/// [`Failure`].
pub fn backtest(
    (key, spec): (&str, &RuleGroup),
    alert: &str,
    (from, to): (Timestamp, Timestamp),
    step: Option<Span>,
    querier: &dyn Querier,
    budget: &dyn Fn() -> Arc<Budget>,
    options: &Options,
) -> Result<Backtest, Failure> {
    let group = Group::read(key, spec).map_err(Failure::Rule)?;
    let named = |rule: &&Rule| rule.is_alerting() && rule.name == alert;
    let mut backtest = Backtest::default();
    let step = step.unwrap_or(group.interval).max(Span::from_millis(1));
    let steps = to.since(from).as_millis() / step.as_millis();
    if steps > MOST_STEPS {
        return Err(Failure::TooLong(steps));
    }
    let mut there = false;
    for rule in group.rules.iter().filter(named) {
        let Kind::Alerting(alerting) = &rule.kind else { continue };
        there = true;
        let run = Run { group: &group, rule, alerting, to, step, querier, budget, options };
        run.all(from, &mut backtest)?;
    }
    if !there {
        return Err(Failure::NoSuchRule(alert.to_owned()));
    }
    backtest.firings.sort_by(|one, other| (one.fired_at, &one.labels).cmp(&(other.fired_at, &other.labels)));
    Ok(backtest)
}

struct Run<'a> {
    group: &'a Group,
    rule: &'a Rule,
    alerting: &'a Alerting,
    to: Timestamp,
    step: Span,
    querier: &'a dyn Querier,
    budget: &'a dyn Fn() -> Arc<Budget>,
    options: &'a Options,
}

impl Run<'_> {
    fn all(&self, from: Timestamp, backtest: &mut Backtest) -> Result<(), Failure> {
        let mut alerts = Alerts::new();
        let step = i64::try_from(self.step.as_millis()).unwrap_or(i64::MAX);
        let mut start = from;
        while start <= self.to {
            let last =
                Timestamp::from_millis(start.as_millis().saturating_add(step.saturating_mul(CHUNK - 1))).min(self.to);
            let mut found = self.found(start, last)?;
            let mut now = start;
            while now <= last {
                backtest.evaluations += 1;
                self.one(now, found.remove(&now).unwrap_or_default(), &mut alerts, backtest)?;
                now = now.plus(self.step);
            }
            start = now;
        }
        for alert in alerts.values().filter(|alert| alert.resolved_at.is_none()) {
            if let Some(fired_at) = alert.fired_at {
                let lasted = self.to.since(fired_at);
                let labels = alert.labels.clone();
                tell(backtest, Firing { labels, active_at: alert.active_at, fired_at, resolved_at: None, lasted });
            }
        }
        Ok(())
    }

    /// What the query finds at each step.
    fn found(&self, start: Timestamp, end: Timestamp) -> Result<BTreeMap<Timestamp, Vec<Found>>, Error> {
        let offset = self.group.query_offset;
        let times = Times::Range { start: start.minus(offset), end: end.minus(offset), step: self.step };
        let options = &self.options.query;
        let answer =
            quarterdeck_promql::evaluate(&self.rule.expression, times, self.querier, &(self.budget)(), options)?;
        let mut found: BTreeMap<Timestamp, Vec<Found>> = BTreeMap::new();
        if let Value::Matrix(matrix) = answer.value {
            for series in matrix {
                for point in &series.points {
                    found.entry(point.at.plus(offset)).or_default().push((series.labels.clone(), point.value));
                }
            }
        }
        Ok(found)
    }

    fn one(
        &self,
        now: Timestamp,
        found: Vec<Found>,
        alerts: &mut Alerts,
        backtest: &mut Backtest,
    ) -> Result<(), Error> {
        let fill = |template: &Template, labels: &Labels, value: f64| {
            // What a query in a template would have found is no part of what is told.
            let query = |_: &str| Ok(Vec::new());
            let Options { external_labels, external_url, .. } = self.options;
            let scene = Scene { labels, external_labels, external_url, value, query: &query };
            template.fill(&scene).unwrap_or_else(|error| format!("<error expanding template: {error}>"))
        };
        let Run { group, rule, alerting, .. } = *self;
        let findings: Vec<Finding> =
            found.into_iter().map(|found| alerting::finding((group, rule, alerting), found, fill)).collect();
        let sight = self.look(now, &findings, alerts)?;
        let seen = Seen {
            group,
            rule,
            alerting,
            findings,
            sight,
            configured: &Then,
            held: None,
            end_missing_after: self.options.policies.end_missing_after,
            now,
        };
        let evaluated = match alerting::evaluate(alerts, seen) {
            Ok(evaluated) => evaluated,
            Err((failure, ended)) => {
                backtest.failed += 1;
                backtest.failure.get_or_insert_with(|| failure.to_string());
                let Some(ended) = ended else { return Ok(()) };
                ended
            }
        };
        for change in &evaluated.changes {
            let alert = change.alert();
            match (change, alert.fired_at, alert.resolved_at) {
                (Change::Resolved(_), Some(fired_at), Some(resolved_at)) => tell(
                    backtest,
                    Firing {
                        labels: alert.labels.clone(),
                        active_at: alert.active_at,
                        fired_at,
                        resolved_at: Some(resolved_at),
                        lasted: resolved_at.since(fired_at),
                    },
                ),
                (Change::Dropped(_), None, _) => backtest.only_pending += 1,
                _ => {}
            }
        }
        *alerts = evaluated.alerts;
        Ok(())
    }

    fn look(&self, now: Timestamp, findings: &[Finding], alerts: &Alerts) -> Result<Sight, Error> {
        let (at, budget) = (now.minus(self.group.query_offset), (self.budget)());
        let (of, with) = ((self.rule, self.alerting), (self.querier, &*budget));
        sight::look(of, (alerts, findings), at, with, self.options)
    }
}

/// Nobody knows what was configured at the time.
struct Then;

impl Configured for Then {}

fn tell(backtest: &mut Backtest, firing: Firing) {
    if backtest.firings.len() < MOST_FIRINGS {
        backtest.firings.push(firing);
    } else {
        backtest.cut = true;
    }
}
