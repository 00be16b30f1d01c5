//! What an alerting rule makes of what its query found: Prometheus's state machine.
//!
//! - An alert's identity is its final label set within its rule; two findings with the same set fail the evaluation.
//! - Pending becomes firing when it has been found for the rule's `for`. A pending alert that is not found is dropped.
//! - Firing resolves when it is not found, after `keep_firing_for` from the first evaluation without it.
//! - A resolved alert is kept for 15 minutes; before that it may begin anew.
//! - More than `limit` alerts fail the evaluation, and all alerts of the rule end.
//!
//! Beyond Prometheus: where nothing is there of what the query reads, or of what one alert is about, or the query failed, the policies
//! decide ([`Sight`]). What left the configuration (a target that was scraped, an instance, a service) takes its alerts along once it
//! has no samples any more, whatever the policies say: nobody will ever measure it again. And after a start of the host what fired
//! before holds until its sources had time to be asked once.

use super::group::{ALERT_NAME, Alerting, Group, Rule};
use super::sight::{self, Sight};
use super::template::Found;
use crate::monitoring::alerts::{Alerts, Change, Evaluated, KEEP_RESOLVED, resolved};
use quarterdeck_model::domain::alert::{Alert, AlertState, Blind, Blindness, Target};
use quarterdeck_model::domain::rule_group::Policy;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::Sample;
use quarterdeck_model::{Span, Timestamp};
use std::collections::BTreeMap;

/// One series that the query found, with the alert's labels and annotations filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The alert's identity.
    pub fingerprint: String,
    pub labels: Labels,
    pub annotations: Labels,
    pub value: f64,
    /// What the labels don't show of those that the series has.
    pub source: Labels,
}

/// What is in the configuration, and gives the series that queries find.
pub trait Configured {
    /// What a series with these labels is of.
    fn target(&self, _labels: &Labels) -> Option<Target> {
        None
    }

    /// Whether it is in the configuration still.
    fn is_configured(&self, _target: &Target) -> bool {
        true
    }
}

/// The host has just started: what fired before does not resolve yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The start.
    pub since: Timestamp,
    /// Every source had time to be asked once.
    pub until: Timestamp,
}

/// One evaluation of a rule.
pub struct Seen<'a> {
    pub group: &'a Group,
    pub rule: &'a Rule,
    pub alerting: &'a Alerting,
    pub findings: Vec<Finding>,
    pub sight: Sight,
    pub configured: &'a dyn Configured,
    pub held: Option<Held>,
    /// How long an alert is kept that there is nothing to judge about; without: until someone ends it.
    pub end_missing_after: Option<Span>,
    pub now: Timestamp,
}

impl Seen<'_> {
    /// What the alert is about, where there is nothing of it any more, and nobody expects it.
    fn left(&self, alert: &Alert) -> Option<Target> {
        let (why, _) = self.sight.of(&alert.fingerprint)?;
        let known = || self.configured.target(&sight::source(self.alerting, alert));
        let target = alert.target.clone().or_else(known)?;
        (why != Blindness::Error && !self.configured.is_configured(&target)).then_some(target)
    }

    /// Why there is nothing to judge about the alert, and since when.
    fn blind(&self, fingerprint: &str, before: Option<&Alert>) -> Option<Blind> {
        let (why, _) = self.sight.of(fingerprint)?;
        let since = before.and_then(|alert| alert.blind).map_or(self.now, |blind| blind.since);
        Some(Blind { why, since })
    }
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
    (group, rule, alerting): (&Group, &Rule, &Alerting),
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
    let (annotations, source) = (texts(&alerting.annotations).into_iter().collect(), sight::hidden(alerting, &series));
    Finding { fingerprint: fingerprint(group, rule, &labels), labels, annotations, value, source }
}

/// What becomes of the rule's alerts.
///
/// # Errors
/// [`Failure::Duplicate`]: nothing changes. [`Failure::TooMany`], with what becomes of the alerts then.
pub fn evaluate(alerts: &Alerts, seen: Seen<'_>) -> Result<Evaluated, (Failure, Option<Evaluated>)> {
    let mut findings = BTreeMap::new();
    for finding in seen.findings.iter().cloned() {
        if let Some(same) = findings.insert(finding.fingerprint.clone(), finding) {
            return Err((Failure::Duplicate(same.labels), None));
        }
    }
    imagine(alerts, &seen, &mut findings);
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

/// Where the policies say so, as if what is active had been found again; where nothing is, the rule itself is.
fn imagine(alerts: &Alerts, seen: &Seen<'_>, findings: &mut BTreeMap<String, Finding>) {
    let is_alerting = |of: Option<(Blindness, Policy)>| of.is_some_and(|(_, policy)| policy == Policy::Alerting);
    let goes_on = |fingerprint: &str, alert: &Alert| {
        alert.state != AlertState::Resolved && is_alerting(seen.sight.of(fingerprint)) && seen.left(alert).is_none()
    };
    for (fingerprint, alert) in alerts.iter().filter(|(fingerprint, alert)| goes_on(fingerprint, alert)) {
        findings.entry(fingerprint.clone()).or_insert_with(|| Finding {
            fingerprint: fingerprint.clone(),
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            value: alert.value,
            source: alert.source.clone(),
        });
    }
    if findings.is_empty() && is_alerting(seen.sight.all) {
        let plain = |templates: &[(String, super::template::Template)], spec: &Labels| {
            let plain = templates.iter().filter(|(_, template)| template.is_plain());
            plain.filter_map(|(name, _)| Some((name.clone(), spec.get(name)?.to_owned()))).collect::<Labels>()
        };
        let labels = plain(&seen.alerting.labels, &seen.rule.labels).with(ALERT_NAME, &seen.rule.name);
        let fingerprint = fingerprint(seen.group, seen.rule, &labels);
        let (annotations, source) = (Labels::new(), Labels::new());
        let finding = Finding { fingerprint: fingerprint.clone(), labels, annotations, value: f64::NAN, source };
        findings.insert(fingerprint, finding);
    }
}

fn found(before: Option<&Alert>, fingerprint: &str, finding: Finding, seen: &Seen<'_>) -> Alert {
    let active_at = before.map_or(seen.now, |alert| alert.active_at);
    let firing = before.is_some_and(|alert| alert.state == AlertState::Firing)
        || seen.now.since(active_at) >= seen.alerting.hold;
    let blind = seen.blind(fingerprint, before);
    let said = |name: &str| finding.annotations.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let after = Alert {
        fingerprint: fingerprint.to_owned(),
        rule: seen.rule.name.clone(),
        group: Some(seen.group.key.clone()),
        state: if firing { AlertState::Firing } else { AlertState::Pending },
        severity: Rule::severity(&finding.labels),
        metric: None,
        target: None,
        summary: said("summary").or_else(|| said("description")).unwrap_or_else(|| seen.rule.name.clone()),
        reason: blind.map_or("", |blind| sight::reason(blind.why)).to_owned(),
        value: finding.value,
        active_at,
        fired_at: firing.then(|| before.and_then(|alert| alert.fired_at).unwrap_or(seen.now)),
        resolved_at: None,
        missing_since: None,
        no_data: blind.is_some(),
        blind,
        source: finding.source,
        last_evaluated: seen.now,
        plugin: None,
        acknowledged_by: before.and_then(|alert| alert.acknowledged_by.clone()),
        runbook: said("runbook"),
        posted: None,
        labels: finding.labels,
        annotations: finding.annotations,
    };
    // Who has left can't be told from who was never there: it is asked while it is there.
    let target = match before {
        Some(before) => before.target.clone(),
        None => seen.configured.target(&sight::source(seen.alerting, &after)),
    };
    Alert { target, ..after }
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
        AlertState::Firing => match fate(alert, seen) {
            Fate::Kept(after) => {
                let changed = differs(alert, &after);
                keep(after, changed);
            }
            Fate::Resolved(reason) => {
                let after = resolved(alert, &reason, now);
                evaluated.changes.push(Change::Resolved(after.clone()));
                evaluated.alerts.insert(after.fingerprint.clone(), after);
            }
        },
    }
}

/// What becomes of an alert that fires and was not found.
#[expect(clippy::large_enum_variant, reason = "it lives for a moment, and most are kept")]
enum Fate {
    Kept(Alert),
    /// With the reason.
    Resolved(String),
}

fn fate(alert: &Alert, seen: &Seen<'_>) -> Fate {
    let now = seen.now;
    if let Some(target) = seen.left(alert) {
        return Fate::Resolved(format!("{target} is not configured any more"));
    }
    let sight = seen.sight.of(&alert.fingerprint);
    if let (Some((why, Policy::Keep)), Some(blind)) = (sight, seen.blind(&alert.fingerprint, Some(alert))) {
        return match seen.end_missing_after.filter(|limit| now.since(blind.since) >= *limit) {
            Some(limit) => Fate::Resolved(format!("{}, for {limit}", sight::reason(why))),
            None => {
                let reason = sight::reason(why).to_owned();
                Fate::Kept(Alert { last_evaluated: now, no_data: true, blind: Some(blind), reason, ..alert.clone() })
            }
        };
    }
    let seeing = Alert { last_evaluated: now, no_data: false, blind: None, ..alert.clone() };
    if seen.held.is_some_and(|held| now < held.until && alert.fired_at.is_some_and(|at| at < held.since)) {
        return Fate::Kept(seeing);
    }
    let missing_since = alert.missing_since.unwrap_or(now);
    if now.since(missing_since) < seen.alerting.keep_firing_for {
        return Fate::Kept(Alert { missing_since: Some(missing_since), ..seeing });
    }
    Fate::Resolved(sight.map_or("not found any more", |(why, _)| sight::reason(why)).to_owned())
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
    before.no_data != after.no_data
        || before.blind != after.blind
        || before.missing_since != after.missing_since
        || before.runbook != after.runbook
}
