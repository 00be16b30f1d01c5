//! What an alerting rule makes of what its query found: Prometheus's state machine.
//!
//! - An alert's identity is its final label set within its rule; two findings with the same set fail the evaluation.
//! - Pending becomes firing when it has been found for the rule's `for`. A pending alert that is not found is dropped.
//! - Firing resolves when it is not found, after `keep_firing_for` from the first evaluation without it.
//! - A resolved alert is kept for 15 minutes; before that it may begin anew.
//! - More than `limit` alerts fail the evaluation, and all alerts of the rule end.
//!
//! Beyond Prometheus: where nothing is there of what the query reads, or it failed, the policies decide ([`Sight`]).

use super::group::{ALERT_NAME, Alerting, Group, Rule};
use super::template::Found;
use crate::monitoring::alerts::{Alerts, Change, Evaluated, KEEP_RESOLVED, resolved};
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::rule_group::Policy;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::Sample;
use std::collections::BTreeMap;

/// One series that the query found, with the alert's labels and annotations filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub labels: Labels,
    pub annotations: Labels,
    pub value: f64,
}

/// What the evaluation could see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    Clear,
    /// There is nothing of what the query reads.
    NoData(Policy),
    /// The query failed.
    Failed(Policy),
}

impl Sight {
    fn policy(self) -> Policy {
        match self {
            Sight::Clear => Policy::Normal,
            Sight::NoData(policy) | Sight::Failed(policy) => policy,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Sight::Clear => "",
            Sight::NoData(_) => "no data of what the rule reads",
            Sight::Failed(_) => "the rule's query failed",
        }
    }
}

/// One evaluation of a rule.
pub struct Seen<'a> {
    pub group: &'a Group,
    pub rule: &'a Rule,
    pub alerting: &'a Alerting,
    pub findings: Vec<Finding>,
    pub sight: Sight,
    pub now: Timestamp,
}

/// Why an evaluation came to nothing. Texts that people know from Prometheus are Prometheus's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("vector contains metrics with the same labelset after applying alert labels: {0}")]
    Duplicate(Labels),
    #[error("exceeded limit of {limit} with {found} alerts")]
    TooMany { limit: u32, found: usize },
}

/// Labels and annotations of what was found. `fill`: fills a template in for one series; what can't be is said in its place.
pub fn finding(
    rule: &Rule,
    alerting: &Alerting,
    found: Found,
    fill: impl Fn(&super::template::Template, &Labels, f64) -> String,
) -> Finding {
    let (series, value) = found;
    let texts = |templates: &[(String, super::template::Template)]| {
        let filled = templates.iter().map(|(name, template)| (name.clone(), fill(template, &series, value)));
        filled.collect::<Vec<_>>()
    };
    let mut labels = (*series).clone();
    labels.0.remove(quarterdeck_model::series::query::NAME);
    for (name, text) in texts(&alerting.labels) {
        labels.insert(name, text);
    }
    labels.insert(ALERT_NAME, &rule.name);
    labels.0.retain(|_, value| !value.is_empty());
    Finding { labels, annotations: texts(&alerting.annotations).into_iter().collect(), value }
}

/// What becomes of the rule's alerts.
///
/// # Errors
/// [`Failure::Duplicate`]: nothing changes. [`Failure::TooMany`], with what becomes of the alerts then.
pub fn evaluate(alerts: &Alerts, seen: Seen<'_>) -> Result<Evaluated, (Failure, Option<Evaluated>)> {
    let mut findings = BTreeMap::new();
    for finding in seen.findings.iter().cloned() {
        if let Some(same) = findings.insert(fingerprint(seen.group, seen.rule, &finding.labels), finding) {
            return Err((Failure::Duplicate(same.labels), None));
        }
    }
    if seen.sight.policy() == Policy::Alerting {
        imagine(alerts, &seen, &mut findings);
    }
    let mut evaluated = Evaluated::default();
    for (fingerprint, finding) in findings {
        let before = alerts.get(&fingerprint).filter(|alert| alert.state != AlertState::Resolved);
        let after = found(before, &fingerprint, finding, &seen);
        let change = match before {
            Some(before) if before.state == after.state => differs(before, &after).then(|| Change::Kept(after.clone())),
            _ if after.state == AlertState::Firing => Some(Change::Fired(after.clone())),
            _ => Some(Change::Kept(after.clone())),
        };
        evaluated.changes.extend(change);
        evaluated.alerts.insert(fingerprint, after);
    }
    for (fingerprint, alert) in alerts {
        if !evaluated.alerts.contains_key(fingerprint) {
            not_found(alert, &seen, &mut evaluated);
        }
    }
    let active = evaluated.alerts.values().filter(|alert| alert.state != AlertState::Resolved).count();
    let limit = seen.group.limit;
    if limit > 0 && active > usize::try_from(limit).unwrap_or(usize::MAX) {
        let failure = Failure::TooMany { limit, found: active };
        let ended = all_ended(alerts, &failure.to_string(), seen.now);
        return Err((failure, Some(ended)));
    }
    Ok(evaluated)
}

/// Series of the alerts that are active, at the time of the query: `ALERTS` and `ALERTS_FOR_STATE`.
pub fn samples(alerts: &Alerts, at: Timestamp) -> Vec<Sample> {
    let mut samples = Vec::new();
    for alert in alerts.values() {
        let state = match alert.state {
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
            AlertState::Resolved => continue,
        };
        let labels = alert.labels.clone().with("alertstate", state);
        samples.push(Sample { name: "ALERTS".to_owned(), labels, at, value: 1.0 });
        let (labels, since) = (alert.labels.clone(), alert.active_at.as_millis().div_euclid(1_000));
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below what is exact")]
        samples.push(Sample { name: "ALERTS_FOR_STATE".to_owned(), labels, at, value: since as f64 });
    }
    samples
}

/// The rule can't have told its alerts from those of another rule with the same labels, so the rule is part of their identity.
fn fingerprint(group: &Group, rule: &Rule, labels: &Labels) -> String {
    labels.clone().with("\u{1}group", &group.key).with("\u{1}rule", &rule.id).fingerprint()
}

/// Whether this rule has made the alert, perhaps before a restart.
pub fn is_of(alert: &Alert, group: &Group, rule: &Rule) -> bool {
    fingerprint(group, rule, &alert.labels) == alert.fingerprint
}

/// As if all that is active had been found again; where nothing is, the rule itself is.
fn imagine(alerts: &Alerts, seen: &Seen<'_>, findings: &mut BTreeMap<String, Finding>) {
    for (fingerprint, alert) in alerts.iter().filter(|(_, alert)| alert.state != AlertState::Resolved) {
        let (labels, annotations) = (alert.labels.clone(), alert.annotations.clone());
        findings.entry(fingerprint.clone()).or_insert(Finding { labels, annotations, value: alert.value });
    }
    if findings.is_empty() {
        let plain = |templates: &[(String, super::template::Template)], spec: &Labels| {
            let plain = templates.iter().filter(|(_, template)| template.is_plain());
            plain.filter_map(|(name, _)| Some((name.clone(), spec.get(name)?.to_owned()))).collect::<Labels>()
        };
        let labels = plain(&seen.alerting.labels, &seen.rule.labels).with(ALERT_NAME, &seen.rule.name);
        let finding = Finding { labels, annotations: Labels::new(), value: f64::NAN };
        findings.insert(fingerprint(seen.group, seen.rule, &finding.labels), finding);
    }
}

fn found(before: Option<&Alert>, fingerprint: &str, finding: Finding, seen: &Seen<'_>) -> Alert {
    let active_at = before.map_or(seen.now, |alert| alert.active_at);
    let firing = before.is_some_and(|alert| alert.state == AlertState::Firing)
        || seen.now.since(active_at) >= seen.alerting.hold;
    let said = |name: &str| finding.annotations.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
    Alert {
        fingerprint: fingerprint.to_owned(),
        rule: seen.rule.name.clone(),
        group: Some(seen.group.key.clone()),
        state: if firing { AlertState::Firing } else { AlertState::Pending },
        severity: Rule::severity(&finding.labels),
        metric: None,
        target: None,
        summary: said("summary").or_else(|| said("description")).unwrap_or_else(|| seen.rule.name.clone()),
        reason: seen.sight.reason().to_owned(),
        value: finding.value,
        active_at,
        fired_at: firing.then(|| before.and_then(|alert| alert.fired_at).unwrap_or(seen.now)),
        resolved_at: None,
        missing_since: None,
        no_data: seen.sight != Sight::Clear,
        last_evaluated: seen.now,
        plugin: None,
        acknowledged_by: before.and_then(|alert| alert.acknowledged_by.clone()),
        runbook: said("runbook"),
        posted: None,
        labels: finding.labels,
        annotations: finding.annotations,
    }
}

fn not_found(alert: &Alert, seen: &Seen<'_>, evaluated: &mut Evaluated) {
    let now = seen.now;
    let mut keep = |alert: Alert, changed: bool| {
        if changed {
            evaluated.changes.push(Change::Kept(alert.clone()));
        }
        evaluated.alerts.insert(alert.fingerprint.clone(), alert);
    };
    match alert.state {
        AlertState::Pending => evaluated.changes.push(Change::Dropped(alert.clone())),
        AlertState::Resolved if alert.resolved_at.is_some_and(|at| now.since(at) <= KEEP_RESOLVED) => {
            keep(alert.clone(), false);
        }
        AlertState::Resolved => evaluated.changes.push(Change::Dropped(alert.clone())),
        AlertState::Firing if seen.sight.policy() == Policy::Keep => {
            let reason = seen.sight.reason().to_owned();
            let after = Alert { last_evaluated: now, no_data: true, reason, ..alert.clone() };
            keep(after, !alert.no_data);
        }
        AlertState::Firing => {
            let missing_since = alert.missing_since.unwrap_or(now);
            if now.since(missing_since) < seen.alerting.keep_firing_for {
                let missing_since = Some(missing_since);
                let after = Alert { last_evaluated: now, missing_since, no_data: false, ..alert.clone() };
                keep(after, alert.missing_since.is_none() || alert.no_data);
                return;
            }
            let reason = if seen.sight == Sight::Clear { "not found any more" } else { seen.sight.reason() };
            let after = resolved(alert, reason, now);
            evaluated.changes.push(Change::Resolved(after.clone()));
            evaluated.alerts.insert(after.fingerprint.clone(), after);
        }
    }
}

fn all_ended(alerts: &Alerts, reason: &str, now: Timestamp) -> Evaluated {
    let mut evaluated = Evaluated::default();
    for alert in alerts.values() {
        match alert.state {
            AlertState::Firing => {
                let after = resolved(alert, reason, now);
                evaluated.changes.push(Change::Resolved(after.clone()));
                evaluated.alerts.insert(after.fingerprint.clone(), after);
            }
            AlertState::Pending => evaluated.changes.push(Change::Dropped(alert.clone())),
            AlertState::Resolved => {
                evaluated.alerts.insert(alert.fingerprint.clone(), alert.clone());
            }
        }
    }
    evaluated
}

/// Whether a restart would lose something of the difference. Values and annotations that follow them are written now and then.
fn differs(before: &Alert, after: &Alert) -> bool {
    before.no_data != after.no_data || before.missing_since != after.missing_since || before.runbook != after.runbook
}
