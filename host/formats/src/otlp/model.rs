//! What of OTLP's messages matters here. Names are those of their JSON. There, `null` is what is not said, as protobuf has it; whatever
//! else is not what it should be is an error.

use super::json::{anything, flags, float, floats, long, plain, unsigned, unsigneds};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Request {
    #[serde(deserialize_with = "plain")]
    pub(super) resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ResourceMetrics {
    #[serde(deserialize_with = "plain")]
    pub(super) resource: Resource,
    #[serde(deserialize_with = "plain")]
    pub(super) scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resource {
    #[serde(deserialize_with = "plain")]
    pub(super) attributes: Vec<Attribute>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ScopeMetrics {
    #[serde(deserialize_with = "plain")]
    pub(super) metrics: Vec<Metric>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) unit: String,
    /// `None`: of a kind that is not known here.
    pub(super) kind: Option<Kind>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Gauge(Points<Number>),
    Sum(Sum),
    Histogram(Histograms),
    ExponentialHistogram(Points<Anything>),
    Summary(Points<Summary>),
}

/// A metric in JSON: each kind is a field of its own, so that what is wrong in one is not taken for no kind at all.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    #[serde(deserialize_with = "plain")]
    name: String,
    #[serde(deserialize_with = "plain")]
    description: String,
    #[serde(deserialize_with = "plain")]
    unit: String,
    gauge: Option<Points<Number>>,
    sum: Option<Sum>,
    histogram: Option<Histograms>,
    exponential_histogram: Option<Points<Anything>>,
    summary: Option<Points<Summary>>,
}

impl TryFrom<Written> for Metric {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { name, description, unit, gauge, sum, histogram, exponential_histogram, summary } = written;
        let kinds = [
            gauge.map(Kind::Gauge),
            sum.map(Kind::Sum),
            histogram.map(Kind::Histogram),
            exponential_histogram.map(Kind::ExponentialHistogram),
            summary.map(Kind::Summary),
        ];
        let mut kinds = kinds.into_iter().flatten();
        let kind = kinds.next();
        if kinds.next().is_some() {
            return Err(format!("`{}` is of two kinds at once", crate::exposition::shortened(&name)));
        }
        Ok(Metric { name, description, unit, kind })
    }
}

/// A point that is only counted.
#[derive(Debug, Deserialize)]
pub(super) struct Anything {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: Deserialize<'de>")]
pub(super) struct Points<T> {
    #[serde(default = "Vec::new", deserialize_with = "plain")]
    pub(super) data_points: Vec<T>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
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
impl TryFrom<Value> for Temporality {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let named = match value.as_str() {
            Some("AGGREGATION_TEMPORALITY_UNSPECIFIED") => Some(Temporality::Unspecified),
            Some("AGGREGATION_TEMPORALITY_DELTA") => Some(Temporality::Delta),
            Some("AGGREGATION_TEMPORALITY_CUMULATIVE") => Some(Temporality::Cumulative),
            None if value.is_null() => Some(Temporality::Unspecified),
            _ => value.as_u64().map(Temporality::from),
        };
        named.ok_or_else(|| format!("`{}` is not a temporality", crate::exposition::shortened(&value.to_string())))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Sum {
    #[serde(deserialize_with = "plain")]
    pub(super) data_points: Vec<Number>,
    pub(super) aggregation_temporality: Temporality,
    #[serde(deserialize_with = "plain")]
    pub(super) is_monotonic: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Histograms {
    #[serde(deserialize_with = "plain")]
    pub(super) data_points: Vec<Histogram>,
    pub(super) aggregation_temporality: Temporality,
}

/// What all points have.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Point {
    #[serde(deserialize_with = "unsigned")]
    pub(super) time_unix_nano: u64,
    #[serde(deserialize_with = "flags")]
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
    #[serde(deserialize_with = "plain")]
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
    #[serde(deserialize_with = "plain")]
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
    #[serde(deserialize_with = "plain")]
    pub(super) attributes: Vec<Attribute>,
    #[serde(deserialize_with = "unsigned")]
    pub(super) count: u64,
    #[serde(deserialize_with = "required")]
    pub(super) sum: f64,
    #[serde(deserialize_with = "plain")]
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
    #[serde(deserialize_with = "plain")]
    pub(super) key: String,
    /// As text: lists and maps as JSON.
    #[serde(deserialize_with = "anything")]
    pub(super) value: String,
}
