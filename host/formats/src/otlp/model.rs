//! What of OTLP's messages matters here. Names are those of their JSON.

use super::json::{anything, float, floats, long, unsigned, unsigneds};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Request {
    pub(super) resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ResourceMetrics {
    pub(super) resource: Resource,
    pub(super) scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resource {
    pub(super) attributes: Vec<Attribute>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ScopeMetrics {
    pub(super) metrics: Vec<Metric>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) unit: String,
    #[serde(flatten)]
    pub(super) kind: Option<Kind>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind {
    Gauge(Points<Number>),
    Sum(Sum),
    Histogram(Histograms),
    ExponentialHistogram(Points<Anything>),
    Summary(Points<Summary>),
}

/// A point that is only counted.
#[derive(Debug, Deserialize)]
pub(super) struct Anything {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Points<T> {
    #[serde(default = "Vec::new")]
    pub(super) data_points: Vec<T>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub(super) enum Temporality {
    #[default]
    Unspecified,
    Delta,
    Cumulative,
}

impl From<u64> for Temporality {
    fn from(number: u64) -> Self {
        match number {
            1 => Temporality::Delta,
            2 => Temporality::Cumulative,
            _ => Temporality::Unspecified,
        }
    }
}

/// A number, or the name, as older exporters write it.
impl From<Value> for Temporality {
    fn from(value: Value) -> Self {
        match value.as_str() {
            Some("AGGREGATION_TEMPORALITY_DELTA") => Temporality::Delta,
            Some("AGGREGATION_TEMPORALITY_CUMULATIVE") => Temporality::Cumulative,
            _ => value.as_u64().unwrap_or(0).into(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Sum {
    pub(super) data_points: Vec<Number>,
    pub(super) aggregation_temporality: Temporality,
    pub(super) is_monotonic: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Histograms {
    pub(super) data_points: Vec<Histogram>,
    pub(super) aggregation_temporality: Temporality,
}

/// What all points have.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Point {
    #[serde(deserialize_with = "unsigned")]
    pub(super) time_unix_nano: u64,
    pub(super) flags: u32,
}

impl Point {
    /// Nothing was recorded: the series ends here.
    pub(super) fn is_gone(&self) -> bool {
        self.flags & 1 == 1
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Number {
    #[serde(flatten)]
    pub(super) point: Point,
    pub(super) attributes: Vec<Attribute>,
    #[serde(deserialize_with = "float")]
    pub(super) as_double: Option<f64>,
    #[serde(deserialize_with = "long")]
    pub(super) as_int: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Histogram {
    #[serde(flatten)]
    pub(super) point: Point,
    pub(super) attributes: Vec<Attribute>,
    #[serde(deserialize_with = "unsigned")]
    pub(super) count: u64,
    #[serde(deserialize_with = "float")]
    pub(super) sum: Option<f64>,
    #[serde(deserialize_with = "unsigneds")]
    pub(super) bucket_counts: Vec<u64>,
    #[serde(deserialize_with = "floats")]
    pub(super) explicit_bounds: Vec<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Summary {
    #[serde(flatten)]
    pub(super) point: Point,
    pub(super) attributes: Vec<Attribute>,
    #[serde(deserialize_with = "unsigned")]
    pub(super) count: u64,
    #[serde(deserialize_with = "required")]
    pub(super) sum: f64,
    pub(super) quantile_values: Vec<Quantile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Quantile {
    #[serde(deserialize_with = "required")]
    pub(super) quantile: f64,
    #[serde(deserialize_with = "required")]
    pub(super) value: f64,
}

fn required<'de, D: serde::Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    float(from).map(Option::unwrap_or_default)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attribute {
    pub(super) key: String,
    /// As text: lists and maps as JSON.
    #[serde(deserialize_with = "anything")]
    pub(super) value: String,
}
