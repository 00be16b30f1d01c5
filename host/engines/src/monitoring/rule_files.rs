//! Rules in Prometheus's format: groups of queries that record series and raise alerts.
//!
//! - `group`: a group as it is configured, made ready: queries and templates read, names and durations checked
//! - `template`: labels and annotations of alerts
//! - `sight`: what an evaluation can see of what a rule, or one of its alerts, is about
//! - `recording`, `alerting`: what one evaluation of a rule makes of what its query found; pure
//! - `evaluate`: one evaluation of a group, rule after rule, over a [`World`]; pure but for that
//! - `jobs`: a job per group in the running host
//! - `unit`: promtool's unit tests, in virtual time; `backtest`: when a rule would have fired
//! - `tool`: checks and tests of files, for the command line
//!
//! Where Prometheus and this differ: an alert that fires is not resolved because nothing is there any more of what it is about, unless
//! the policies say so ([`RulePolicies`]) or that has left the configuration; and an alert is kept across restarts as it is, not read from `ALERTS_FOR_STATE`.

pub mod alerting;
pub mod backtest;
pub mod evaluate;
pub mod group;
pub(super) mod jobs;
pub mod recording;
pub mod sight;
pub mod template;
pub mod tool;
pub mod unit;

pub use evaluate::{Evaluation, Health, RuleState, State, World};
pub use group::{Group, Mistake, Rule};
pub use jobs::{BacktestRequest, GroupStatus, RuleStatus};

use quarterdeck_model::domain::rule_group::{RuleGroup, RulePolicies};

/// What is wrong with a group that only its evaluation can see.
pub fn check(key: &str, spec: &RuleGroup) -> Vec<Mistake> {
    Group::read(key, spec).err().unwrap_or_default()
}

/// How groups are evaluated.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub policies: RulePolicies,
    /// What templates know as `$externalLabels`.
    pub external_labels: quarterdeck_model::label::Labels,
    /// What templates know as `$externalURL`.
    pub external_url: String,
    /// One for rules, backtests and queries that anybody asks: a subquery without a step means the same everywhere.
    pub query: quarterdeck_promql::Options,
    /// What the rules of all groups record: whether it is missing follows from what it is made of.
    pub recordings: std::sync::Arc<quarterdeck_promql::Recordings>,
}

#[cfg(test)]
mod tests;
