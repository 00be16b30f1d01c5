//! Groups of rules as Prometheus's rule files hold them, and what becomes of their alerts where data is missing.
//!
//! Keys are written as Prometheus writes them, so that a group means the same in its file, in TOML and over the API. Durations are
//! Prometheus's (`1h30m`); what they, queries and templates mean is known where rules are evaluated.

use crate::label::Labels;
use crate::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rules that are evaluated one after another, at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleGroup {
    /// As its file calls it. Unless given: as the object is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How often it is evaluated: `30s`. Unless given: `15s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// How far in the past its queries are asked, for data that comes late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_offset: Option<String>,
    /// Alerts or series that one rule may make at most; 0: any number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub limit: u32,
    /// Laid under the labels of each rule.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    #[serde(default)]
    pub rules: Vec<GroupRule>,
    /// Switched off, it is shown, and does nothing: as if it were not there.
    #[serde(default = "crate::domain::yes", skip_serializing_if = "crate::domain::is_yes")]
    pub enabled: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// One rule: with `record` it makes series, with `alert` it makes alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupRule {
    /// Name of the metric that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Name of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// A query in PromQL.
    pub expr: String,
    /// How long the query must find something before its alert fires.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// How long the alert goes on firing after the query finds nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<String>,
    /// Laid over the labels of what was found; those of an alert are templates.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// For people, and for those who tell them: templates.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
}

/// What becomes of the alerts of rule files where there is nothing to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// What fires goes on firing.
    #[default]
    Keep,
    /// As if nothing were wrong: what fires resolves.
    Normal,
    /// As if something were wrong: the rule's alerts begin, or go on.
    Alerting,
}

/// What holds for the rules of all groups, and for single alerts. Rule files need not know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RulePolicies {
    /// Nothing is there any more of what a rule's query reads.
    pub no_data: Policy,
    /// There is, but not the series that an alert is about. Unless given: as `no-data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_series: Option<Policy>,
    /// An alert that is kept though nothing is there to judge ends after this long. Unless given: never by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_missing_after: Option<Span>,
    /// A rule's query can't be evaluated.
    pub on_error: Policy,
    /// Other policies for the alerts of a name.
    pub alerts: BTreeMap<String, AlertPolicy>,
}

/// What is not given is as for all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AlertPolicy {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_data: Option<Policy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_series: Option<Policy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<Policy>,
}

impl RulePolicies {
    /// As Prometheus does it, which knows no others: nothing found is nothing wrong, and what can't be evaluated changes nothing.
    pub fn prometheus() -> Self {
        RulePolicies { no_data: Policy::Normal, ..RulePolicies::default() }
    }

    pub fn no_data(&self, alert: &str) -> Policy {
        self.alerts.get(alert).and_then(|own| own.no_data).unwrap_or(self.no_data)
    }

    /// The narrower word holds: what is said of the alert, and of series before what is said of all data.
    pub fn missing_series(&self, alert: &str) -> Policy {
        let own = self.alerts.get(alert).and_then(|own| own.missing_series.or(own.no_data));
        own.or(self.missing_series).unwrap_or(self.no_data)
    }

    pub fn on_error(&self, alert: &str) -> Policy {
        self.alerts.get(alert).and_then(|own| own.on_error).unwrap_or(self.on_error)
    }
}
