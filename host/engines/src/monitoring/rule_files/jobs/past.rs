//! Backtests in the running host: over what it has stored.

use super::Groups;
use super::world::Live;
use crate::Error;
use crate::monitoring::rule_files::backtest::{Backtest, Failure, backtest};
use crate::monitoring::rule_files::{Options, World};
use quarterdeck_model::domain::rule_group::RuleGroup;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// Longer than that nobody waits for an answer.
const LONGEST: Duration = Duration::from_secs(60);

/// What is to be tried.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BacktestRequest {
    /// Name of the alert.
    pub alert: String,
    /// The configured group that it is in; unless given, the first one that has such an alert.
    #[serde(default)]
    pub group: Option<String>,
    /// A group that need not be configured, instead.
    #[serde(default)]
    pub rules: Option<RuleGroup>,
    pub from: Timestamp,
    /// Unless given: now.
    #[serde(default)]
    pub to: Option<Timestamp>,
    /// From one evaluation to the next. Unless given: the group's interval.
    #[serde(default)]
    pub step: Option<Span>,
}

impl Groups {
    pub(in crate::monitoring) async fn backtest(&self, request: BacktestRequest) -> Result<Backtest, Error> {
        let catalog = self.context.catalog();
        let (key, spec) = match (&request.rules, &request.group) {
            (Some(rules), _) => ("backtest".to_owned(), rules.clone()),
            (None, Some(key)) => {
                let found = catalog.rule_groups.get(key);
                let known = || catalog.rule_groups.keys().map(String::as_str);
                (key.clone(), found.cloned().ok_or_else(|| Error::unknown("rule group", key, known()))?)
            }
            (None, None) => {
                let alert = Some(&request.alert);
                let has = |spec: &RuleGroup| spec.rules.iter().any(|rule| rule.alert.as_ref() == alert);
                let found = catalog.rule_groups.iter().find(|(_, spec)| has(spec));
                let missing = || Error::not_found(format!("rule group with an alert `{}`", request.alert));
                found.map(|(key, spec)| (key.clone(), spec.clone())).ok_or_else(missing)?
            }
        };
        let to = request.to.unwrap_or_else(|| self.context.now());
        if to < request.from {
            return Err(Error::invalid("`to` is before `from`"));
        }
        let options = Options {
            policies: catalog.rule_policies.clone(),
            external_labels: catalog.alerting.external_labels.clone(),
            external_url: self.context.public_url.clone(),
            recordings: self.recordings(),
            ..Options::default()
        };
        let live = Arc::new(Live::of(&self.context, self.scrapes.roll()));
        let world = live.clone();
        let mut run = tokio::task::spawn_blocking(move || {
            let range = (request.from, to);
            let budget = || world.budget();
            backtest((&key, &spec), &request.alert, range, request.step, world.querier(), &budget, &options)
        });
        let done = tokio::select! {
            done = &mut run => done,
            () = self.given_up(LONGEST) => {
                live.stop();
                run.await
            }
        };
        done.map_err(|_| StoreError::Closed)?.map_err(refused)
    }
}

fn refused(failure: Failure) -> Error {
    let late = "it took longer than a minute; hint: ask for less time, or fewer steps";
    match failure {
        Failure::Query(quarterdeck_promql::Error::Store(StoreError::Stopped)) => Error::invalid(late),
        Failure::Query(quarterdeck_promql::Error::Store(StoreError::TooManyPoints { limit })) => {
            Error::invalid(format!("it reads more than {limit} samples; hint: ask for less time"))
        }
        Failure::Query(quarterdeck_promql::Error::Store(error)) => Error::Store(error),
        Failure::NoSuchRule(alert) => Error::not_found(format!("alerting rule `{alert}` in the group")),
        other => Error::invalid(other.to_string()),
    }
}
