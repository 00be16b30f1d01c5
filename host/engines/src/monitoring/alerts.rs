//! What an evaluation of a rule makes of its alerts. Prometheus's semantics, as a state machine without clock and I/O:
//!
//! - An alert is a rule and a series. Its identity is its final label set: the rule's labels laid over the series', and
//!   `alertname`. Two signals of one evaluation that end up with the same set fail the evaluation; nothing changes then.
//! - Pending becomes firing when the series has been abnormal for the rule's `for`. A pending alert whose signal is gone is
//!   dropped; nobody was told about it.
//! - Firing resolves when the series is normal again, after `keep-firing-for` from the first evaluation without a signal.
//! - A series without samples is not a normal one: unless the rule says otherwise its alert stays as it is, marked as blind.
//! - Of a series that could not be judged nobody knows anything: its alert stays as it is, whatever the rule says of missing ones.
//! - What left the configuration (an instance, a service) takes its alerts along once it has no samples any more, whatever the rule
//!   says of missing ones: nobody will ever measure it again.
//! - A resolved alert is kept for [`KEEP_RESOLVED`] and then forgotten; before that it may become active anew.

use quarterdeck_model::domain::alert::{Alert, AlertState, NoData, RuleSpec, Target};
use quarterdeck_model::kind::detector::Signal;
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::PluginRef;
use quarterdeck_model::series::SeriesData;
use quarterdeck_model::{Span, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

pub const KEEP_RESOLVED: Span = Span::from_secs(15 * 60);
/// After the host was away for longer, nobody knows whether a pending alert was abnormal all the while.
pub const LONGEST_GAP: Span = Span::from_secs(3600);
const NOT_COVERED: &str = "the rule does not cover it any more";
/// Prometheus's `rules.alert.for-grace-period`.
pub const GRACE: Span = Span::from_secs(10 * 60);

/// Alerts of one rule, by fingerprint.
pub type Alerts = BTreeMap<String, Alert>;

/// What one evaluation saw.
pub struct Seen<'a> {
    pub rule: &'a str,
    pub spec: &'a RuleSpec,
    /// What was selected; one without samples counts as not there.
    pub series: &'a [SeriesData],
    pub signals: &'a [Signal],
    /// Labels of series that were expected and are there now, by whatever other labels, or are expected no more: what was said of them
    /// is over.
    pub settled: &'a [Labels],
    /// Labels of series that could not be judged: their alerts stay as they are.
    pub unheard: &'a [Labels],
    pub plugin: &'a PluginRef,
    /// Whether something is in the configuration.
    pub configured: &'a (dyn Fn(&Target) -> bool + Sync),
    pub now: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// To be kept, and told to nobody.
    Kept(Alert),
    Fired(Alert),
    /// Its severity changed while it fires.
    Updated(Alert),
    Resolved(Alert),
    /// To be forgotten: a pending one that vanished, or one that was resolved long ago.
    Dropped(Alert),
}

impl Change {
    pub fn alert(&self) -> &Alert {
        match self {
            Change::Kept(alert)
            | Change::Fired(alert)
            | Change::Updated(alert)
            | Change::Resolved(alert)
            | Change::Dropped(alert) => alert,
        }
    }
}

impl Change {
    pub(crate) fn alert_mut(&mut self) -> &mut Alert {
        match self {
            Change::Kept(alert)
            | Change::Fired(alert)
            | Change::Updated(alert)
            | Change::Resolved(alert)
            | Change::Dropped(alert) => alert,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluated {
    /// All alerts as they are now.
    pub alerts: Alerts,
    /// What has to be made durable. Values and times of evaluations alone do not.
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("two signals have the same labels {0}; hint: select more narrowly, or set fewer `labels` on the rule")]
    Duplicate(Labels),
    #[error("the detector spoke of series {index}, but there are {count}")]
    NoSuchSeries { index: usize, count: usize },
}

/// One evaluation.
///
/// # Errors
/// What the detector said makes no sense; the alerts stay as they are.
pub fn evaluate(alerts: &Alerts, seen: &Seen<'_>) -> Result<Evaluated, Failure> {
    let signals = by_fingerprint(seen)?;
    let present: BTreeSet<String> = seen
        .series
        .iter()
        .filter(|series| !series.values.is_empty())
        .map(|series| &series.labels)
        .chain(seen.settled)
        .map(|labels| identity(seen.rule, seen.spec, labels).fingerprint())
        .collect();
    let unheard: BTreeSet<String> =
        seen.unheard.iter().map(|labels| identity(seen.rule, seen.spec, labels).fingerprint()).collect();
    let mut evaluated = Evaluated::default();
    for (fingerprint, (labels, signal)) in &signals {
        let known = alerts.get(fingerprint).filter(|alert| alert.state != AlertState::Resolved);
        let before = known.filter(|alert| belongs(alert, seen.rule, seen.spec));
        if let Some(other) = known.filter(|alert| before.is_none() && alert.state == AlertState::Firing) {
            // Of another metric with the same labels. What this one says begins with the next evaluation.
            let ended = resolved(other, NOT_COVERED, seen.now);
            evaluated.alerts.insert(fingerprint.clone(), ended.clone());
            evaluated.changes.push(Change::Resolved(ended));
            continue;
        }
        let after = abnormal(before, fingerprint, labels, signal, seen);
        let change = match before {
            None if after.state == AlertState::Firing => Some(Change::Fired(after.clone())),
            None => Some(Change::Kept(after.clone())),
            Some(before) if before.state != after.state => Some(Change::Fired(after.clone())),
            Some(before) if before.severity != after.severity && after.state == AlertState::Firing => {
                Some(Change::Updated(after.clone()))
            }
            Some(before) if differs(before, &after) => Some(Change::Kept(after.clone())),
            Some(_) => None,
        };
        evaluated.changes.extend(change);
        evaluated.alerts.insert(fingerprint.clone(), after);
    }
    for alert in alerts.values().filter(|alert| !signals.contains_key(&alert.fingerprint)) {
        let fate = if alert.state == AlertState::Firing && !belongs(alert, seen.rule, seen.spec) {
            Fate::Changed(Change::Resolved(resolved(alert, NOT_COVERED, seen.now)))
        } else if unheard.contains(&alert.fingerprint) {
            Fate::Unchanged(alert.clone())
        } else {
            without_signal(alert, present.contains(&alert.fingerprint), seen)
        };
        if let Fate::Unchanged(alert) | Fate::Changed(Change::Kept(alert) | Change::Resolved(alert)) = &fate {
            evaluated.alerts.insert(alert.fingerprint.clone(), alert.clone());
        }
        if let Fate::Changed(change) = fate {
            evaluated.changes.push(change);
        }
    }
    Ok(evaluated)
}

/// The rule is gone: what fires resolves and says why, the rest is dropped.
pub fn retire(alerts: &Alerts, now: Timestamp) -> Vec<Change> {
    let end = |alert: &Alert| match alert.state {
        AlertState::Firing => Change::Resolved(resolved(alert, "the rule was removed", now)),
        AlertState::Pending | AlertState::Resolved => Change::Dropped(alert.clone()),
    };
    alerts.values().map(end).collect()
}

/// The last moment at which the host is known to have been up: its last sign of life, or the evaluation that made the newest of the
/// alerts, where it went before the next sign.
pub fn last_up(alerts: &Alerts, sign_of_life: Option<Timestamp>) -> Option<Timestamp> {
    alerts.values().map(|alert| alert.active_at).chain(sign_of_life).max()
}

/// What of the alerts still holds when the host comes back, having gone at `down_at`. `hold`: the rule's `for`. As Prometheus does it
/// (`Group.RestoreForState`): nobody knows what a series did while nobody looked, so that time does not count, and an alert
/// does not fire at once after a start, when half of what it is about may be starting too.
///
/// - Away for more than [`LONGEST_GAP`]: what was pending is forgotten.
/// - What was over before the host went fires with the next evaluation.
/// - A `for` shorter than [`GRACE`] begins anew: it is short enough to be waited for.
/// - Else, with less than [`GRACE`] of it left: fires after [`GRACE`]. With more left, after that.
///
/// What fires goes on firing.
pub fn resume(mut alerts: Alerts, hold: Span, down_at: Timestamp, now: Timestamp) -> (Alerts, Vec<Change>) {
    let gap = now.since(down_at);
    let mut changes = Vec::new();
    if gap > LONGEST_GAP {
        let pending = alerts.values().filter(|alert| alert.state == AlertState::Pending);
        changes.extend(pending.cloned().map(Change::Dropped));
        alerts.retain(|_, alert| alert.state != AlertState::Pending);
        return (alerts, changes);
    }
    for alert in alerts.values_mut().filter(|alert| alert.state == AlertState::Pending) {
        let spent = down_at.since(alert.active_at);
        let left = Span::from_millis(hold.as_millis().saturating_sub(spent.as_millis()));
        let active_at = if left == Span::ZERO {
            alert.active_at
        } else if hold < GRACE {
            now
        } else if left < GRACE {
            now.plus(GRACE).minus(hold)
        } else {
            alert.active_at.plus(gap)
        };
        if active_at != alert.active_at {
            alert.active_at = active_at;
            changes.push(Change::Kept(alert.clone()));
        }
    }
    (alerts, changes)
}

/// The final label set.
pub fn identity(rule: &str, spec: &RuleSpec, series: &Labels) -> Labels {
    let mut labels = series.clone();
    for (name, value) in spec.labels.iter() {
        labels.insert(name, value);
    }
    labels.insert("alertname", rule);
    labels
}

fn by_fingerprint<'a>(seen: &'a Seen<'_>) -> Result<BTreeMap<String, (Labels, &'a Signal)>, Failure> {
    let mut signals = BTreeMap::new();
    for signal in seen.signals {
        let absent = Failure::NoSuchSeries { index: signal.series, count: seen.series.len() };
        let series = seen.series.get(signal.series).ok_or(absent)?;
        let labels = identity(seen.rule, seen.spec, &series.labels);
        if signals.insert(labels.fingerprint(), (labels.clone(), signal)).is_some() {
            return Err(Failure::Duplicate(labels));
        }
    }
    Ok(signals)
}

fn abnormal(before: Option<&Alert>, fingerprint: &str, labels: &Labels, signal: &Signal, seen: &Seen<'_>) -> Alert {
    let active_at = before.map_or(seen.now, |alert| alert.active_at);
    let firing =
        before.is_some_and(|alert| alert.state == AlertState::Firing) || seen.now.since(active_at) >= seen.spec.hold;
    Alert {
        fingerprint: fingerprint.to_owned(),
        rule: seen.rule.to_owned(),
        group: None,
        state: if firing { AlertState::Firing } else { AlertState::Pending },
        severity: signal.severity,
        metric: Some(seen.spec.select.metric.clone()),
        target: before.and_then(|alert| alert.target.clone()).or_else(|| target(labels, seen)),
        labels: labels.clone(),
        annotations: Labels::new(),
        summary: summary(seen, labels, signal),
        reason: signal.reason.clone(),
        value: signal.value,
        active_at,
        fired_at: firing.then(|| before.and_then(|alert| alert.fired_at).unwrap_or(seen.now)),
        resolved_at: None,
        missing_since: None,
        no_data: false,
        blind: None,
        source: Labels::new(),
        last_evaluated: seen.now,
        plugin: Some(seen.plugin.clone()),
        acknowledged_by: before.and_then(|alert| alert.acknowledged_by.clone()),
        runbook: seen.spec.runbook.clone(),
        posted: None,
    }
}

enum Fate {
    Unchanged(Alert),
    Changed(Change),
}

fn without_signal(alert: &Alert, present: bool, seen: &Seen<'_>) -> Fate {
    let now = seen.now;
    match alert.state {
        AlertState::Pending => return Fate::Changed(Change::Dropped(alert.clone())),
        AlertState::Resolved => {
            let over = alert.resolved_at.is_none_or(|at| now.since(at) >= KEEP_RESOLVED);
            return if over { Fate::Changed(Change::Dropped(alert.clone())) } else { Fate::Unchanged(alert.clone()) };
        }
        AlertState::Firing => {}
    }
    let mut after = Alert { last_evaluated: now, no_data: !present, ..alert.clone() };
    after.metric.get_or_insert_with(|| seen.spec.select.metric.clone());
    after.target = after.target.or_else(|| target(&alert.labels, seen));
    if let Some(target) = after.target.as_ref().filter(|target| !present && !(seen.configured)(target)) {
        let reason = format!("{target} is not configured any more");
        return Fate::Changed(Change::Resolved(resolved(&after, &reason, now)));
    }
    if !present && seen.spec.no_data == NoData::KeepLast {
        return if differs(alert, &after) { Fate::Changed(Change::Kept(after)) } else { Fate::Unchanged(after) };
    }
    let missing_since = alert.missing_since.unwrap_or(now);
    if now.since(missing_since) >= seen.spec.keep_firing_for {
        let reason = if present { "back to normal" } else { "no samples any more" };
        return Fate::Changed(Change::Resolved(resolved(&after, reason, now)));
    }
    after.missing_since = Some(missing_since);
    if differs(alert, &after) { Fate::Changed(Change::Kept(after)) } else { Fate::Unchanged(after) }
}

/// What the labels name, if it is in the configuration: others may send series with such labels, too.
fn target(labels: &Labels, seen: &Seen<'_>) -> Option<Target> {
    let instance = labels.get("instance").map(|name| Target::Instance(name.into()));
    let service = labels.get("service").map(|name| Target::Service(name.to_owned()));
    instance.into_iter().chain(service).find(|target| (seen.configured)(target))
}

/// Someone has ended it.
pub fn closed(alert: &Alert, principal: &str, now: Timestamp) -> Alert {
    resolved(alert, &format!("resolved by {principal}"), now)
}

pub(super) fn resolved(alert: &Alert, reason: &str, now: Timestamp) -> Alert {
    Alert {
        state: AlertState::Resolved,
        resolved_at: Some(now),
        missing_since: None,
        blind: None,
        reason: reason.to_owned(),
        last_evaluated: now,
        ..alert.clone()
    }
}

/// Whether the rule, as it is written now, could have made this alert. A rule whose selection changed leaves alerts behind
/// that no series will ever speak for again.
fn belongs(alert: &Alert, rule: &str, spec: &RuleSpec) -> bool {
    let wanted = identity(rule, spec, &spec.select.labels);
    alert.labels.includes(&wanted) && alert.metric.as_ref().is_none_or(|metric| *metric == spec.select.metric)
}

/// Whether a restart would lose something of the difference.
fn differs(before: &Alert, after: &Alert) -> bool {
    before.no_data != after.no_data
        || before.missing_since != after.missing_since
        || before.severity != after.severity
        || before.plugin != after.plugin
        || before.runbook != after.runbook
        || before.metric != after.metric
        || before.target != after.target
}

fn summary(seen: &Seen<'_>, labels: &Labels, signal: &Signal) -> String {
    if seen.spec.summary.is_empty() {
        return if signal.reason.is_empty() {
            seen.rule.to_owned()
        } else {
            format!("{}: {}", seen.rule, signal.reason)
        };
    }
    fill(&seen.spec.summary, labels, signal.value)
}

/// Fills in `{{value}}` and `{{label.<name>}}`; anything else in braces stays as it is written.
pub fn fill(template: &str, labels: &Labels, value: f64) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, inside)) = rest.split_once("{{") {
        text.push_str(before);
        let Some((name, after)) = inside.split_once("}}") else {
            text.push_str("{{");
            rest = inside;
            continue;
        };
        match name.trim() {
            "value" => text.push_str(&number(value)),
            name => match name.strip_prefix("label.") {
                Some(label) => text.push_str(labels.get(label).unwrap_or("")),
                None => text.push_str(&format!("{{{{{name}}}}}")),
            },
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// A number for people: at most three decimals, none that are zero.
pub fn number(value: f64) -> String {
    let small = value != 0.0 && value.abs() < 0.001;
    if !value.is_finite() || small || value.abs() >= 1e15 {
        return format!("{value:e}");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
