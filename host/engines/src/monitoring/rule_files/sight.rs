//! What an evaluation can see: nothing of what the rule reads, nothing of what one of its alerts is about, or all of it.
//!
//! A query that does not find an alert any more may say that all is well with it, or that its series are gone. Its series are those
//! that every selector of the query would need for the element that the alert was made of ([`Presence`]). It is looked for only where
//! it makes a difference: at alerts that were not found, and only where a policy asks for it.

use super::Options;
use super::alerting::Finding;
use super::group::{ALERT_NAME, Alerting, Group, Rule};
use crate::monitoring::alerts::Alerts;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::{Alert, AlertState, Blindness};
use quarterdeck_model::domain::rule_group::Policy;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, NAME, Querier};
use quarterdeck_promql::{Error, Presence, Recording, Recordings};
use std::collections::{BTreeSet, HashSet};

/// What there is nothing to judge about, and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The rule as a whole.
    pub all: Option<(Blindness, Policy)>,
    /// Alerts whose own series are not there, by fingerprint.
    pub missing: BTreeSet<String>,
    pub of_missing: Policy,
}

impl Sight {
    pub fn failed(policy: Policy) -> Self {
        Sight { all: Some((Blindness::Error, policy)), ..Sight::default() }
    }

    /// Of one alert.
    pub fn of(&self, fingerprint: &str) -> Option<(Blindness, Policy)> {
        let missing = || self.missing.contains(fingerprint).then_some((Blindness::MissingSeries, self.of_missing));
        self.all.or_else(missing)
    }
}

/// For people.
pub(super) fn reason(why: Blindness) -> &'static str {
    match why {
        Blindness::NoData => "no data of what the rule reads",
        Blindness::MissingSeries => "its series are missing",
        Blindness::Error => "the rule's query failed",
    }
}

/// Looks as at a time for what was not found.
///
/// # Errors
/// The store's.
pub(super) fn look(
    (rule, alerting): (&Rule, &Alerting),
    (alerts, findings): (&Alerts, &[Finding]),
    at: Timestamp,
    (querier, budget): (&dyn Querier, &Budget),
    options: &Options,
) -> Result<Sight, Error> {
    let (no_data, of_missing) = (options.policies.no_data(&rule.name), options.policies.missing_series(&rule.name));
    let concerns = |alert: &Alert, policy: Policy| match alert.state {
        AlertState::Firing => policy != Policy::Normal,
        AlertState::Pending => policy == Policy::Alerting,
        AlertState::Resolved => false,
    };
    let mut lost: Vec<&Alert> =
        alerts.values().filter(|alert| concerns(alert, no_data) || concerns(alert, of_missing)).collect();
    if !lost.is_empty() {
        let found: HashSet<&str> = findings.iter().map(|finding| finding.fingerprint.as_str()).collect();
        lost.retain(|alert| !found.contains(alert.fingerprint.as_str()));
    }
    let begins = no_data == Policy::Alerting && findings.is_empty();
    if lost.is_empty() && !begins {
        return Ok(Sight::default());
    }
    let mut presence = Presence::of(&rule.expression, at, (querier, budget), &options.recordings, &options.query)?;
    if findings.is_empty() && presence.is_blind(&Labels::new())? {
        return Ok(Sight { all: Some((Blindness::NoData, no_data)), ..Sight::default() });
    }
    let mut missing = BTreeSet::new();
    for alert in lost.into_iter().filter(|alert| concerns(alert, of_missing)) {
        if presence.is_blind(&source(alerting, alert))? {
            missing.insert(alert.fingerprint.clone());
        }
    }
    Ok(Sight { all: None, missing, of_missing })
}

/// What the groups record.
pub(super) fn recordings<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Recordings {
    let mut recordings = Recordings::new();
    for rule in groups.into_iter().flat_map(|group| &group.rules).filter(|rule| !rule.is_alerting()) {
        let recording = Recording { expression: rule.expression.clone(), labels: rule.labels.clone() };
        recordings.entry(rule.name.clone()).or_default().push(recording);
    }
    recordings
}

/// The labels of what the query found, as far as the alert does not show them: its own cover them, or it has none for the name.
pub(super) fn hidden(alerting: &Alerting, found: &Labels) -> Labels {
    let is_hidden = |name: &str| if name == NAME { alerting.reads_several } else { is_own(alerting, name) };
    found.iter().filter(|(name, _)| is_hidden(name)).collect()
}

/// The labels of what the query found when it made the alert.
pub(super) fn source(alerting: &Alerting, alert: &Alert) -> Labels {
    let shown = alert.labels.iter().filter(|(name, _)| !is_own(alerting, name));
    shown.chain(alert.source.iter()).collect()
}

/// Whether the rule sets the label by itself.
fn is_own(alerting: &Alerting, name: &str) -> bool {
    name == ALERT_NAME || alerting.labels.iter().any(|(own, _)| own == name)
}
