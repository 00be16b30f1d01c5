//! Alert rules and alerts.

use crate::label::Labels;
use crate::plugin::{InstanceName, PluginRef};
use crate::series::Selector;
use crate::severity::Severity;
use crate::time::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A detector at work on some series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RuleSpec {
    /// Instance of a detector: `threshold/default`.
    pub detector: InstanceName,
    pub select: Selector,
    /// Series that have to be there, each by labels that tell it from others. Of one that is not, the detector gets an empty series with these
    /// labels: `absence` misses it, as if it had stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Labels>,
    /// How far back the detector sees.
    #[serde(default = "five_minutes")]
    pub window: Span,
    /// How often it is evaluated.
    #[serde(default = "fifteen_seconds")]
    pub every: Span,
    /// How long a series must be abnormal before its alert fires.
    #[serde(default, rename = "for")]
    pub hold: Span,
    /// How long it goes on firing after the series became normal again.
    #[serde(default)]
    pub keep_firing_for: Span,
    /// What happens to an alert whose series has no samples any more.
    #[serde(default)]
    pub no_data: NoData,
    /// Laid over the detector instance's configuration.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Laid over the series' labels; together with the rule's name they are the alert's identity.
    #[serde(default)]
    pub labels: Labels,
    /// For people. `{{value}}` and `{{label.<name>}}` are filled in.
    #[serde(default)]
    pub summary: String,
    /// Slug of the runbook that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// Switched off, it is shown, and does nothing: as if it were not there.
    #[serde(default = "crate::domain::yes", skip_serializing_if = "crate::domain::is_yes")]
    pub enabled: bool,
}

const fn five_minutes() -> Span {
    Span::from_secs(300)
}

const fn fifteen_seconds() -> Span {
    Span::from_secs(15)
}

/// Missing data never resolves a firing alert unless it is told to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoData {
    /// The alert stays as it is.
    #[default]
    KeepLast,
    /// The alert resolves.
    Normal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlertState {
    /// Abnormal for less than `for`.
    Pending,
    Firing,
    Resolved,
}

/// One alert: a rule and a series. Id: the fingerprint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    pub fingerprint: String,
    pub rule: String,
    /// The group that its rule is in, where that is one of Prometheus's format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub state: AlertState,
    pub severity: Severity,
    /// Of its series. Absent in what an older version has written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// What is measured, where that is something of the configuration: the alert ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// With `alertname`, the rule's name.
    pub labels: Labels,
    /// Of a rule in Prometheus's format, filled in.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
    pub summary: String,
    pub reason: String,
    /// `null` for what JSON can't hold: not a number, or infinite.
    #[serde(deserialize_with = "number_or_null")]
    #[schemars(with = "Option<f64>")]
    pub value: f64,
    /// When the series became abnormal.
    pub active_at: Timestamp,
    pub fired_at: Option<Timestamp>,
    pub resolved_at: Option<Timestamp>,
    /// The first evaluation at which the signal was missing, while it still fires.
    pub missing_since: Option<Timestamp>,
    /// The last evaluation found no samples of the series.
    pub no_data: bool,
    /// Of a rule in Prometheus's format: why nobody can say whether it is still so, while it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind: Option<Blind>,
    /// Of a rule in Prometheus's format: labels of what its query found that the alert's own don't show, since the rule has its own of
    /// that name; and the name of the metric, where the query reads several.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub source: Labels,
    pub last_evaluated: Timestamp,
    /// The detector version that last judged it.
    pub plugin: Option<PluginRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// It was made by another program, and sent here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posted: Option<Posted>,
}

/// An alert about which there is nothing to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Blind {
    pub why: Blindness,
    /// The first evaluation that could not see.
    pub since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Blindness {
    /// There is nothing of what the rule's query reads.
    NoData,
    /// There is, but not the series that this alert is about.
    MissingSeries,
    /// The query failed.
    Error,
}

/// What comes with an alert that another program has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Posted {
    /// When it is over, unless it is sent again before.
    pub ends_at: Timestamp,
    /// Nobody has said when: it is over because nobody has sent it again.
    pub by_timeout: bool,
    pub updated_at: Timestamp,
    /// Where it was made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub generator_url: String,
}

fn number_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// What the series of an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    Instance(InstanceName),
    Service(String),
    /// Targets that are scraped: those that have these labels.
    Scraped(Labels),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Instance(name) => write!(f, "instance `{name}`"),
            Target::Service(name) => write!(f, "service `{name}`"),
            Target::Scraped(labels) => write!(f, "target {labels}"),
        }
    }
}

impl Alert {
    pub const COLLECTION: &'static str = "alerts";
    pub const FIRING: &'static str = "alert.firing";
    pub const RESOLVED: &'static str = "alert.resolved";
}
