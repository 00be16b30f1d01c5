//! The nouns of the domain: a specification (what an operator writes) and a document (what the store keeps) each.
//!
//! Every document type names its collection in `COLLECTION`.

pub mod alert;
pub mod alerting;
pub mod check;
pub mod dashboard;
pub mod delivery;
pub mod deployment;
pub mod failure;
pub mod incident;
pub mod job;
pub mod notification;
pub mod rule_group;
pub mod runbook;
pub mod scan;
pub mod scrape;
pub mod silence;
pub mod slo;

use crate::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything declarative that the engines work on: one version of it is in force at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Catalog {
    /// Alert rules, by name.
    pub rules: BTreeMap<String, alert::RuleSpec>,
    /// Groups of rules in Prometheus's format, by name.
    pub rule_groups: BTreeMap<String, rule_group::RuleGroup>,
    /// What becomes of their alerts where data is missing.
    pub rule_policies: rule_group::RulePolicies,
    /// What is scraped, by the job's name.
    pub scrape: BTreeMap<String, scrape::ScrapeConfig>,
    /// What each source of samples may send.
    pub ingest: scrape::IngestLimits,
    /// How alerts become incidents.
    pub correlation: incident::CorrelationSpec,
    /// Who is told what, by name. All routes that match are taken.
    pub routes: BTreeMap<String, notification::RouteSpec>,
    /// How alerts are grouped, told and kept back.
    pub alerting: alerting::AlertingSpec,
    /// Scans, by name.
    pub scans: BTreeMap<String, scan::ScanSpec>,
    /// Runbooks, by slug.
    pub runbooks: BTreeMap<String, runbook::RunbookSpec>,
    /// Services that can be deployed, by name.
    pub services: BTreeMap<String, deployment::ServiceSpec>,
    /// Objectives, by name.
    pub slos: BTreeMap<String, slo::SloSpec>,
    /// Dashboards, by name. No engine looks at them: the pages for people do.
    pub dashboards: BTreeMap<String, dashboard::DashboardSpec>,
    /// How long what has ended is kept; zero: for ever.
    pub keep_ended: Span,
}

/// What is declared is in use, unless it says otherwise.
pub(crate) const fn yes() -> bool {
    true
}

/// Said only where something is switched off: versions of the configuration that were kept before this could be said stay the same.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
pub(crate) const fn is_yes(value: &bool) -> bool {
    *value
}
