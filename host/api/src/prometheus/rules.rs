//! Rules and alerts. A rule here is a detector at work on some series, so what stands for its query is the selector of those; rules of
//! one interval are one group.

use super::answer::{Answered, Failure, Success};
use super::encode::exponential;
use super::parameters::Parameters;
use crate::Api;
use crate::resources::Routes;
use crate::schema::of;
use axum::extract::State;
use quarterdeck_model::domain::alert::{Alert, AlertState, RuleSpec};
use quarterdeck_model::domain::job::JobStatus;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::Selector;
use quarterdeck_model::{Span, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use utoipa_axum::routes;

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(prometheus_rules)).routes(routes!(prometheus_alerts))
}

#[derive(Debug, Serialize, JsonSchema)]
struct PrometheusRules {
    groups: Vec<PrometheusGroup>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrometheusGroup {
    name: String,
    file: &'static str,
    rules: Vec<PrometheusRule>,
    /// Seconds.
    interval: f64,
    limit: u64,
    /// Seconds that its last evaluations took.
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

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrometheusRule {
    state: RuleState,
    name: String,
    /// The selector of the series that its detector sees.
    query: String,
    /// Seconds.
    duration: f64,
    /// Seconds.
    keep_firing_for: f64,
    labels: Labels,
    annotations: Labels,
    alerts: Vec<PrometheusAlert>,
    /// `ok`, `err` or `unknown`.
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// Seconds that its last evaluation took.
    evaluation_time: f64,
    last_evaluation: Moment,
    /// Always `alerting`.
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PrometheusAlerts {
    alerts: Vec<PrometheusAlert>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrometheusAlert {
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

/// Alert rules, in groups of one interval each.
#[utoipa::path(get, path = "/rules", tag = "prometheus",
    params(("type" = Option<String>, Query, description = "`alert` or `record`: only those."),
        ("rule_name[]" = Option<Vec<String>>, Query, description = "Only rules of these names."),
        ("rule_group[]" = Option<Vec<String>>, Query, description = "Only groups of these names."),
        ("file[]" = Option<Vec<String>>, Query, description = "Only groups of these files."),
        ("exclude_alerts" = Option<bool>, Query, description = "Without the alerts of each rule.")),
    responses((status = 200, description = "Groups.", body = ref(of::<Success<PrometheusRules>>()))))]
async fn prometheus_rules(State(api): State<Arc<Api>>, parameters: Parameters) -> Answered<PrometheusRules> {
    let recording = match parameters.text("type") {
        None | Some("alert") => false,
        Some("record") => true,
        Some(other) => return Err(Failure::parameter("type", format!("not supported value {other:?}"))),
    };
    let with_alerts = match parameters.text("exclude_alerts") {
        None | Some("false" | "0") => true,
        Some("true" | "1") => false,
        Some(other) => return Err(Failure::parameter("exclude_alerts", format!("{other:?} is not true or false"))),
    };
    if parameters.all("match[]").next().is_some() {
        return Err(Failure::parameter("match[]", "rules can't be selected by their labels; hint: use rule_name[]"));
    }
    let mut alerts: HashMap<String, Vec<Alert>> = HashMap::new();
    for alert in api.options.engines.monitoring.alerts() {
        alerts.entry(alert.rule.clone()).or_default().push(alert);
    }
    let jobs: HashMap<String, JobStatus> =
        api.options.scheduler.list().into_iter().map(|job| (job.spec.name.clone(), job)).collect();
    let mut groups: BTreeMap<Span, PrometheusGroup> = BTreeMap::new();
    let catalog = api.options.engines.catalog();
    let wanted =
        |name: &str, given: &str| parameters.all(name).next().is_none() || parameters.all(name).any(|it| it == given);
    for (name, spec) in catalog.rules.iter().filter(|(_, spec)| spec.enabled && !recording) {
        let group = groups.entry(spec.every).or_insert_with(|| group(spec.every));
        let known = alerts.remove(name).unwrap_or_default();
        let rule = rule(name, spec, &known, jobs.get(&format!("rule/{name}")), with_alerts);
        group.evaluation_time += rule.evaluation_time;
        group.last_evaluation = group.last_evaluation.max(rule.last_evaluation);
        if wanted("rule_name[]", name) {
            group.rules.push(rule);
        }
    }
    let shown = |group: &PrometheusGroup| {
        !group.rules.is_empty() && wanted("rule_group[]", &group.name) && wanted("file[]", group.file)
    };
    Ok(Success::of(PrometheusRules { groups: groups.into_values().filter(shown).collect() }))
}

/// Alerts that are pending or firing.
#[utoipa::path(get, path = "/alerts", tag = "prometheus",
    responses((status = 200, description = "Alerts.", body = ref(of::<Success<PrometheusAlerts>>()))))]
async fn prometheus_alerts(State(api): State<Arc<Api>>, _parameters: Parameters) -> Answered<PrometheusAlerts> {
    let alerts = api.options.engines.monitoring.alerts().iter().filter_map(alert).collect();
    Ok(Success::of(PrometheusAlerts { alerts }))
}

fn group(every: Span) -> PrometheusGroup {
    PrometheusGroup {
        name: format!("every {every}"),
        file: "rules",
        rules: Vec::new(),
        interval: every.as_secs_f64(),
        limit: 0,
        evaluation_time: 0.0,
        last_evaluation: Moment(None),
    }
}

fn rule(name: &str, spec: &RuleSpec, alerts: &[Alert], job: Option<&JobStatus>, with_alerts: bool) -> PrometheusRule {
    let shown: Vec<PrometheusAlert> = alerts.iter().filter_map(alert).collect();
    let last_error = job.and_then(|job| job.last_error.clone());
    let last_run = job.and_then(|job| job.last_run);
    let summary = Some(("summary", spec.summary.as_str())).filter(|(_, text)| !text.is_empty());
    let runbook = spec.runbook.as_deref().map(|slug| ("runbook", slug));
    PrometheusRule {
        state: shown.iter().map(|alert| alert.state).max().unwrap_or(RuleState::Inactive),
        name: name.to_owned(),
        query: selector(&spec.select),
        duration: spec.hold.as_secs_f64(),
        keep_firing_for: spec.keep_firing_for.as_secs_f64(),
        labels: spec.labels.clone(),
        annotations: summary.into_iter().chain(runbook).collect(),
        alerts: if with_alerts { shown } else { Vec::new() },
        health: match (&last_error, last_run) {
            (Some(_), _) => "err",
            (None, Some(_)) => "ok",
            (None, None) => "unknown",
        },
        last_error,
        evaluation_time: job.and_then(|job| job.last_duration).unwrap_or(Span::ZERO).as_secs_f64(),
        last_evaluation: Moment(last_run),
        kind: "alerting",
    }
}

/// Nothing for one that is resolved: Prometheus has none.
fn alert(alert: &Alert) -> Option<PrometheusAlert> {
    let state = match alert.state {
        AlertState::Pending => RuleState::Pending,
        AlertState::Firing => RuleState::Firing,
        AlertState::Resolved => return None,
    };
    let severity = alert.severity.to_string();
    let said = [("summary", alert.summary.as_str()), ("description", alert.reason.as_str()), ("severity", &severity)];
    let runbook = alert.runbook.as_deref().map(|slug| ("runbook", slug));
    Some(PrometheusAlert {
        labels: alert.labels.clone(),
        annotations: said.into_iter().filter(|(_, text)| !text.is_empty()).chain(runbook).collect(),
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
