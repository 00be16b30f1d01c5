//! Unit tests of rules, in the format of `promtool test rules`, in virtual time over series in memory.
//!
//! - `read`: the file
//! - `report`: what is said of an expectation that was not met
//!
//! As promtool does it: time begins at 0, every group is evaluated every `evaluation_interval`, whatever interval it has of its own,
//! and an alert that is expected at a time is looked for in the evaluation at or before that time.

mod read;
mod report;

pub use read::{TestFile, matching, read};

use super::alerting::Configured;
use super::evaluate::{Health, State, World, evaluate};
use super::group::Group;
use super::{Mistake, Options};
use quarterdeck_model::domain::alert::AlertState;
use quarterdeck_model::domain::rule_group::{RuleGroup, RulePolicies};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::Sample;
use quarterdeck_model::series::query::{Budget, NAME, Querier};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_promql::memory::Memory;
use quarterdeck_promql::notation::{Item, parse_labels, parse_series};
use quarterdeck_promql::{Expression, Times, Value};
use read::{AlertCase, QueryCase, Test};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Samples that one query of a test may read.
const SAMPLES: usize = 50_000_000;
/// Evaluations of one test at most: a month of them every 15 seconds.
const STEPS: u64 = 200_000;

/// Groups by name, as their files hold them.
pub type Groups = Vec<(String, RuleGroup)>;

/// Runs every test of a file. Gives what was not as expected, a text each; none: all is well.
///
/// # Errors
/// What is wrong with the groups, each with the name of its group.
pub fn run(file: &TestFile, groups: &Groups, policies: &RulePolicies) -> Result<Vec<String>, Vec<(String, Mistake)>> {
    let mut ready = Vec::new();
    let mut mistakes = Vec::new();
    for (key, spec) in groups {
        match Group::read(key, spec) {
            Ok(group) => ready.push(group),
            Err(found) => mistakes.extend(found.into_iter().map(|mistake| (key.clone(), mistake))),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    // Those that are named come in that order, the others behind them.
    let place = |group: &Group| file.group_order.iter().position(|name| *name == group.name).unwrap_or(usize::MAX);
    ready.sort_by_key(place);
    Ok(file.tests.iter().flat_map(|test| run_test(file, test, &ready, policies)).collect())
}

/// Series in memory, and time that is handed in.
#[derive(Default)]
pub(super) struct Virtual(pub(super) Memory);

impl Configured for Virtual {}

impl World for Virtual {
    fn querier(&self) -> &dyn Querier {
        &self.0
    }

    fn budget(&self) -> Arc<Budget> {
        Arc::new(Budget::of_samples(SAMPLES))
    }

    fn append(&self, samples: Vec<Sample>) -> Result<(), StoreError> {
        for sample in samples {
            self.0.push(&Arc::new(sample.labels.with(NAME, sample.name)), sample.at, sample.value);
        }
        Ok(())
    }
}

fn run_test(file: &TestFile, test: &Test, groups: &[Group], policies: &RulePolicies) -> Vec<String> {
    let named = |failure: String| match &test.name {
        Some(name) => format!("    name: {name},\n{failure}"),
        None => failure,
    };
    let world = Virtual::default();
    if let Err(failure) = load(test, &world.0) {
        return vec![named(failure)];
    }
    let options = Options {
        policies: policies.clone(),
        external_labels: test.external_labels.clone(),
        external_url: test.external_url.clone(),
        query: quarterdeck_promql::Options { subquery_step: file.evaluation_interval, ..Default::default() },
        recordings: Arc::new(super::sight::recordings(groups)),
    };
    let interval = file.evaluation_interval;
    let times = test.alerts.iter().map(|case| case.at).chain(test.queries.iter().map(|case| case.at));
    let last = times.max().unwrap_or(Span::ZERO);
    if last.as_millis() / interval.as_millis().max(1) > STEPS {
        return vec![named(format!("    more than {STEPS} evaluations until {last}"))];
    }
    let mut states: Vec<State> = groups.iter().map(|_| State::default()).collect();
    let mut failures = Vec::new();
    let mut now = Span::ZERO;
    while now <= last {
        let mut broken = Vec::new();
        for (group, state) in groups.iter().zip(&mut states) {
            *state = evaluate(group, state, instant(now), &world, &options).state;
            for rule in &group.rules {
                if let Some(Health::Bad(reason)) = state.rules.get(&rule.id).map(|state| &state.health) {
                    let (rule, group) = (&rule.name, &group.name);
                    broken.push(format!("    rule: {rule}, group: {group}, time: {now}, err: {reason}"));
                }
            }
        }
        if !broken.is_empty() {
            failures.extend(broken);
            return failures.into_iter().map(named).collect();
        }
        let next = Span::from_millis(now.as_millis() + interval.as_millis());
        for case in test.alerts.iter().filter(|case| case.at >= now && case.at < next) {
            failures.extend(check_alert(case, groups, &states));
        }
        now = next;
    }
    failures.extend(test.queries.iter().filter_map(|case| check_query(case, file.fuzzy, &world, &options)));
    failures.into_iter().map(named).collect()
}

fn instant(since: Span) -> Timestamp {
    Timestamp::from_millis(0).plus(since)
}

fn load(test: &Test, memory: &Memory) -> Result<(), String> {
    for (series, values) in &test.series {
        let (labels, items) = parse_series(&format!("{} {}", series.trim(), values.trim()))
            .map_err(|error| format!("    series: {series}, err: {error}"))?;
        let mut at = Span::ZERO;
        for item in items {
            match item {
                Item::Value(value) => memory.push(&labels, instant(at), value),
                Item::Omitted => {}
                Item::Histogram => {
                    return Err(format!("    series: {series}, err: native histograms are not supported"));
                }
            }
            at = Span::from_millis(at.as_millis() + test.interval.as_millis());
        }
    }
    Ok(())
}

/// Labels and annotations of alerts, each sorted.
type Pair = (Labels, Labels);

fn check_alert(case: &AlertCase, groups: &[Group], states: &[State]) -> Option<String> {
    let mut got: Vec<Pair> = Vec::new();
    for (group, state) in groups.iter().zip(states) {
        for rule in group.rules.iter().filter(|rule| rule.is_alerting() && rule.name == case.alert) {
            let alerts = state.rules.get(&rule.id).into_iter().flat_map(|state| state.alerts.values());
            let firing = alerts.filter(|alert| alert.state == AlertState::Firing);
            got.extend(firing.map(|alert| (alert.labels.clone(), alert.annotations.clone())));
        }
    }
    let expected = case.expected.iter().map(|(labels, annotations)| {
        let mut labels = labels.clone().with(super::group::ALERT_NAME, &case.alert);
        labels.0.retain(|_, value| !value.is_empty());
        (labels, annotations.clone())
    });
    let mut expected: Vec<Pair> = expected.collect();
    got.sort();
    expected.sort();
    (got != expected).then(|| report::alerts(case, &expected, &got))
}

fn check_query(case: &QueryCase, fuzzy: bool, world: &Virtual, options: &Options) -> Option<String> {
    let failed = |error: &dyn std::fmt::Display| {
        Some(format!("    expr: {:?}, time: {}, err: {error}", case.query, report::duration(case.at)))
    };
    let expression = match Expression::parse(&case.query) {
        Ok(expression) => expression,
        Err(error) => return failed(&error),
    };
    let times = Times::at(instant(case.at));
    let answer = quarterdeck_promql::evaluate(&expression, times, &world.0, &world.budget(), &options.query);
    let got: Vec<(Labels, f64)> = match answer.map(|answer| answer.value) {
        Ok(Value::Vector(samples)) => {
            samples.into_iter().map(|sample| ((*sample.labels).clone(), sample.point.value)).collect()
        }
        Ok(Value::Scalar { value, .. }) => vec![(Labels::new(), value)],
        Ok(Value::Text { .. } | Value::Matrix(_)) => return failed(&"not a vector or a scalar"),
        Err(error) => return failed(&error),
    };
    let mut expected = Vec::new();
    for (labels, value) in &case.expected {
        match parse_labels(labels) {
            Ok(labels) => expected.push((labels, *value)),
            Err(error) => return failed(&error),
        }
    }
    let sorted = |samples: Vec<(Labels, f64)>| {
        let mut by_labels: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
        samples.into_iter().for_each(|(labels, value)| by_labels.entry(labels).or_default().push(value));
        by_labels.into_iter().flat_map(|(labels, values)| values.into_iter().map(move |value| (labels.clone(), value)))
    };
    let (expected, got): (Vec<_>, Vec<_>) = (sorted(expected).collect(), sorted(got).collect());
    let same = expected.len() == got.len()
        && expected.iter().zip(&got).all(|(one, other)| one.0 == other.0 && equal(one.1, other.1, fuzzy));
    (!same).then(|| report::samples(case, &expected, &got))
}

/// `fuzzy`: as far as floating-point numbers tell the same sum in another order.
fn equal(one: f64, other: f64, fuzzy: bool) -> bool {
    let near = fuzzy && (one - other).abs() <= f64::EPSILON * one.abs().max(other.abs()) * 4.0;
    #[expect(clippy::float_cmp, reason = "an expectation is written to be met exactly")]
    let same = one == other;
    same || near || (one.is_nan() && other.is_nan())
}
