//! Rules and alerts as Prometheus shows them, from those of rule files and from those of detectors.

use super::super::encode::exponential;
use quarterdeck_engines::monitoring::rule_files::group::Kind;
use quarterdeck_engines::monitoring::rule_files::{GroupStatus, Health, RuleStatus};
use quarterdeck_model::domain::alert::{Alert, AlertState, RuleSpec};
use quarterdeck_model::domain::job::JobStatus;
use quarterdeck_model::domain::rule_group::GroupRule;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::Selector;
use quarterdeck_model::{Span, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// What stands for the file of what is not in one of Prometheus's format.
const CONFIGURATION: &str = "rules";

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrometheusRules {
    pub(super) groups: Vec<PrometheusGroup>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group_next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrometheusGroup {
    pub(super) name: String,
    /// Without its folder and its ending.
    pub(super) file: String,
    /// In the order of their evaluation.
    pub(super) rules: Vec<PrometheusRule>,
    /// Seconds.
    interval: f64,
    limit: u64,
    /// Seconds that its last evaluation took.
    evaluation_time: f64,
    last_evaluation: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum RuleState {
    Inactive,
    Pending,
    Firing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum RuleKind {
    Alerting,
    Recording,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrometheusRule {
    pub(super) name: String,
    /// PromQL. Of a detector: the selector of the series that it sees.
    query: String,
    pub(super) labels: Labels,
    #[serde(flatten)]
    alerting: Option<PrometheusAlerting>,
    /// `ok`, `err` or `unknown`.
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// Seconds that its last evaluation took.
    evaluation_time: f64,
    last_evaluation: Moment,
    #[serde(rename = "type")]
    pub(super) kind: RuleKind,
}

/// What an alerting rule has more.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrometheusAlerting {
    state: RuleState,
    /// Seconds.
    duration: f64,
    /// Seconds.
    keep_firing_for: f64,
    annotations: Labels,
    alerts: Vec<PrometheusAlert>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PrometheusAlerts {
    pub(super) alerts: Vec<PrometheusAlert>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PrometheusAlert {
    labels: Labels,
    annotations: Labels,
    state: RuleState,
    active_at: Timestamp,
    /// Since when it fires on though its series is normal again.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_firing_since: Option<Timestamp>,
    /// A number with an exponent.
    value: String,
}

/// When something was evaluated; year 1: not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(inline, with = "Timestamp")]
struct Moment(Option<Timestamp>);

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(at) => at.serialize(serializer),
            None => serializer.serialize_str("0001-01-01T00:00:00Z"),
        }
    }
}

impl PrometheusGroup {
    /// Of a rule file, or of the configuration in its form.
    pub(super) fn of_file(status: &GroupStatus) -> Self {
        let group = &status.group;
        let file = group.key.strip_suffix(&group.name).and_then(|rest| rest.strip_suffix('/'));
        PrometheusGroup {
            name: group.name.clone(),
            file: file.unwrap_or(CONFIGURATION).to_owned(),
            rules: status.rules.iter().zip(&group.spec.rules).map(PrometheusRule::of_file).collect(),
            interval: group.interval.as_secs_f64(),
            limit: group.limit.into(),
            evaluation_time: status.took.as_secs_f64(),
            last_evaluation: Moment(status.evaluated_at),
        }
    }

    /// Of rules that detectors judge, all at one interval.
    pub(super) fn of_detectors(every: Span) -> Self {
        PrometheusGroup {
            name: format!("every {every}"),
            file: CONFIGURATION.to_owned(),
            rules: Vec::new(),
            interval: every.as_secs_f64(),
            limit: 0,
            evaluation_time: 0.0,
            last_evaluation: Moment(None),
        }
    }

    pub(super) fn push(&mut self, rule: PrometheusRule) {
        self.evaluation_time += rule.evaluation_time;
        self.last_evaluation = self.last_evaluation.max(rule.last_evaluation);
        self.rules.push(rule);
    }
}

impl PrometheusRule {
    fn of_file((status, written): (&RuleStatus, &GroupRule)) -> Self {
        let rule = &status.rule;
        let (health, last_error) = match &status.health {
            Health::Unknown => ("unknown", None),
            Health::Good => ("ok", None),
            Health::Bad(reason) => ("err", Some(reason.clone())),
        };
        let (kind, alerting) = match &rule.kind {
            Kind::Recording => (RuleKind::Recording, None),
            Kind::Alerting(alerting) => (
                RuleKind::Alerting,
                Some(PrometheusAlerting::of(
                    (alerting.hold, alerting.keep_firing_for),
                    written.annotations.clone(),
                    &status.alerts,
                )),
            ),
        };
        PrometheusRule {
            name: rule.name.clone(),
            query: rule.expression.text().to_owned(),
            labels: rule.labels.clone(),
            alerting,
            health,
            last_error,
            evaluation_time: status.took.as_secs_f64(),
            last_evaluation: Moment(status.evaluated_at),
            kind,
        }
    }

    pub(super) fn of_detector(name: &str, spec: &RuleSpec, alerts: &[Alert], job: Option<&JobStatus>) -> Self {
        let last_error = job.and_then(|job| job.last_error.clone());
        let last_run = job.and_then(|job| job.last_run);
        let summary = Some(("summary", spec.summary.as_str())).filter(|(_, text)| !text.is_empty());
        let runbook = spec.runbook.as_deref().map(|slug| ("runbook", slug));
        PrometheusRule {
            name: name.to_owned(),
            query: selector(&spec.select),
            labels: spec.labels.clone(),
            alerting: Some(PrometheusAlerting::of(
                (spec.hold, spec.keep_firing_for),
                summary.into_iter().chain(runbook).collect(),
                alerts,
            )),
            health: match (&last_error, last_run) {
                (Some(_), _) => "err",
                (None, Some(_)) => "ok",
                (None, None) => "unknown",
            },
            last_error,
            evaluation_time: job.and_then(|job| job.last_duration).unwrap_or(Span::ZERO).as_secs_f64(),
            last_evaluation: Moment(last_run),
            kind: RuleKind::Alerting,
        }
    }

    /// The state stays: it is the rule's.
    pub(super) fn without_alerts(mut self) -> Self {
        if let Some(alerting) = &mut self.alerting {
            alerting.alerts.clear();
        }
        self
    }
}

impl PrometheusAlerting {
    fn of((hold, keep_firing_for): (Span, Span), annotations: Labels, alerts: &[Alert]) -> Self {
        let alerts: Vec<PrometheusAlert> = alerts.iter().filter_map(alert).collect();
        PrometheusAlerting {
            state: alerts.iter().map(|alert| alert.state).max().unwrap_or(RuleState::Inactive),
            duration: hold.as_secs_f64(),
            keep_firing_for: keep_firing_for.as_secs_f64(),
            annotations,
            alerts,
        }
    }
}

/// Nothing for one that is resolved: Prometheus has none.
pub(super) fn alert(alert: &Alert) -> Option<PrometheusAlert> {
    let state = match alert.state {
        AlertState::Pending => RuleState::Pending,
        AlertState::Firing => RuleState::Firing,
        AlertState::Resolved => return None,
    };
    let annotations = match &alert.group {
        Some(_) => alert.annotations.clone(),
        None => {
            let severity = alert.severity.to_string();
            let said =
                [("summary", alert.summary.as_str()), ("description", alert.reason.as_str()), ("severity", &severity)];
            let runbook = alert.runbook.as_deref().map(|slug| ("runbook", slug));
            said.into_iter().filter(|(_, text)| !text.is_empty()).chain(runbook).collect()
        }
    };
    Some(PrometheusAlert {
        labels: alert.labels.clone(),
        annotations,
        state,
        active_at: alert.active_at,
        keep_firing_since: alert.missing_since.filter(|_| !alert.no_data),
        value: exponential(alert.value),
    })
}

/// As PromQL: `cpu_usage_percent{cpu="total"}`. The name is quoted where it could not stand by itself.
fn selector(select: &Selector) -> String {
    let plain = |name: &str| {
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
        name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
    };
    let label = |name: &str| if plain(name) && !name.contains(':') { name.to_owned() } else { format!("{name:?}") };
    let labels = select.labels.iter().map(|(name, value)| format!("{}={value:?}", label(name)));
    if plain(&select.metric) {
        let labels = labels.collect::<Vec<_>>().join(",");
        if labels.is_empty() { select.metric.clone() } else { format!("{}{{{labels}}}", select.metric) }
    } else {
        let all: Vec<_> = std::iter::once(format!("{:?}", select.metric)).chain(labels).collect();
        format!("{{{}}}", all.join(","))
    }
}
