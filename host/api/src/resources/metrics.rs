//! Metrics: series that collectors bring or clients push.

use super::Routes;
use crate::extract::{Body, Params, bad};
use crate::paging::{List, Slice, Slicing, blocking, cursor, part};
use crate::problem::Problem;
use crate::schema::{of, taken};
use crate::{Api, samples};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use quarterdeck_engines::monitoring::{Written, check_names};
use quarterdeck_formats::{Batch, Metadata};
use quarterdeck_model::series::query::NAME;
use quarterdeck_model::series::{LOOKBACK, Part, Sample, Selector, SeriesData};
use quarterdeck_model::{Labels, Span, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa_axum::routes;

/// Points of one answer.
const POINTS: usize = 500_000;
/// Samples of one push.
const PUSHED: usize = 10_000;
/// Bytes of a source's name.
pub(super) const SOURCE_BYTES: usize = 100;
/// How far a pushed sample may be ahead of this host's clock.
const AHEAD: Span = Span::from_secs(600);
const RANGE: Span = Span::from_secs(3600);
/// How long a range waits for those that are being read.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_metrics, push_samples))
        .routes(routes!(latest_samples))
        .routes(routes!(range_of_samples))
}

#[derive(Debug, Serialize, JsonSchema)]
struct Metric {
    name: String,
}

/// A sample of a series.
#[derive(Debug, Serialize, JsonSchema)]
struct LatestSample {
    name: String,
    labels: Labels,
    at: Timestamp,
    /// `null`: not a number, or infinite.
    value: Option<f64>,
}

/// A series over a range, oldest first, as two columns of equal length.
#[derive(Debug, Serialize, JsonSchema)]
struct SeriesRange {
    name: String,
    labels: Labels,
    at: Vec<Timestamp>,
    /// `null`: not a number, or infinite.
    values: Vec<Option<f64>>,
}

/// A number; `"NaN"`, `"+Inf"` or `"-Inf"` for what has none in JSON.
#[derive(Clone, Copy, Debug)]
struct PushedValue(f64);

impl<'de> Deserialize<'de> for PushedValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = PushedValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or one of `\"NaN\"`, `\"+Inf\"`, `\"-Inf\"`")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<PushedValue, E> {
                Ok(PushedValue(value))
            }

            #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
            fn visit_i64<E: Error>(self, value: i64) -> Result<PushedValue, E> {
                Ok(PushedValue(value as f64))
            }

            #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
            fn visit_u64<E: Error>(self, value: u64) -> Result<PushedValue, E> {
                Ok(PushedValue(value as f64))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<PushedValue, E> {
                match text {
                    "NaN" => Ok(PushedValue(f64::NAN)),
                    "+Inf" => Ok(PushedValue(f64::INFINITY)),
                    "-Inf" => Ok(PushedValue(f64::NEG_INFINITY)),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }

        from.deserialize_any(Number)
    }
}

impl JsonSchema for PushedValue {
    fn schema_name() -> Cow<'static, str> {
        "PushedValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number; a text for what has none in JSON.",
            "oneOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "+Inf", "-Inf"]}],
        })
    }
}

/// A sample to be kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PushedSample {
    /// Letters, digits, `_` and `:`; no digit first.
    name: String,
    #[serde(default)]
    labels: Labels,
    value: PushedValue,
    /// Now, unless given.
    #[serde(default)]
    at: Option<Timestamp>,
}

/// What is said of a metric by who sends it.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum PushedType {
    Gauge,
    Counter,
    Histogram,
    Summary,
    #[default]
    Unknown,
}

impl PushedType {
    fn as_str(self) -> &'static str {
        match self {
            PushedType::Gauge => "gauge",
            PushedType::Counter => "counter",
            PushedType::Histogram => "histogram",
            PushedType::Summary => "summary",
            PushedType::Unknown => "unknown",
        }
    }
}

/// A sample of a source, with what is said of its metric.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PushedMetric {
    /// Letters, digits, `_` and `:`; no digit first.
    name: String,
    #[serde(default, rename = "type")]
    kind: PushedType,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    labels: Labels,
    value: PushedValue,
    /// Now, unless given.
    #[serde(default)]
    at: Option<Timestamp>,
}

/// Samples of one source: its limits are those of its name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PushedBySource {
    /// Whose they are: `shop`.
    source: String,
    metrics: Vec<PushedMetric>,
}

/// Samples to be kept: none if one of them is not valid. Those of new series are refused by themselves once the store or the source
/// has as many series as it may.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
enum Push {
    /// Of the source `push`.
    List(Vec<PushedSample>),
    Named(PushedBySource),
}

/// By hand: what is wrong is said with its place, which a derived choice does not know.
impl<'de> Deserialize<'de> for Push {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Push;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of samples, or an object with `source` and `metrics`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Push, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Push::List)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Push, A::Error> {
                PushedBySource::deserialize(MapAccessDeserializer::new(map)).map(Push::Named)
            }
        }

        from.deserialize_any(Either)
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Pushed {
    /// Samples that are kept. One of a series and time of which there is one already counts, and changes nothing.
    accepted: usize,
    /// Samples that are not kept: of new series, of which no more are taken (`storage.max-series`, `ingest.series`), or out of order.
    refused: usize,
    /// Why, of the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The source of a list that does not say it.
const UNNAMED: &str = "push";

fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}

fn selector(params: &Params) -> Result<Selector, Problem> {
    let mut labels = Labels::new();
    for label in params.many("label") {
        match label.split_once('=') {
            Some((name, value)) if !name.is_empty() => labels.insert(name, value),
            _ => {
                return Err(bad(
                    "label",
                    &format!(
                        "`{label}` is not `<name>=<value>`; hint: write it like `host=a`, and in an address like `label=host%3Da`"
                    ),
                ));
            }
        }
    }
    Ok(Selector { metric: params.needed("metric")?.to_owned(), labels })
}

fn moment(params: &Params, name: &str) -> Result<Option<Timestamp>, Problem> {
    params.parsed(name, "an RFC 3339 time like `2026-01-31T12:00:00Z`", Timestamp::parse)
}

/// Names of all metrics, sorted.
#[utoipa::path(get, path = "/metrics", tag = "metrics",
    params(Slicing, ("prefix" = Option<String>, Query, description = "Only those that begin so.")),
    responses((status = 200, description = "Metrics.", body = ref(of::<List<Metric>>()))))]
async fn list_metrics(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Metric>>, Problem> {
    let prefix = params.text("prefix")?.unwrap_or_default();
    let names = api.options.series.names().into_iter().filter(|name| name.starts_with(prefix));
    Ok(part(names.map(|name| Metric { name }), &Slice::of(&params)?, |metric| &metric.name))
}

/// The newest sample of each series of a metric, no older than five minutes.
#[utoipa::path(get, path = "/metrics/latest", tag = "metrics",
    params(Slicing, ("metric" = String, Query, description = "Name of the metric."),
        ("label" = Option<Vec<String>>, Query, description = "`<name>=<value>` that the series must have. Repeatable.")),
    responses((status = 200, description = "One sample per series.", body = ref(of::<List<LatestSample>>()))))]
async fn latest_samples(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<LatestSample>>, Problem> {
    let samples = api.options.series.latest(&selector(&params)?, api.now(), LOOKBACK);
    let show = |sample: Sample| LatestSample {
        name: sample.name,
        labels: sample.labels,
        at: sample.at,
        value: finite(sample.value),
    };
    Ok(by_labels(samples.into_iter().map(show), &Slice::of(&params)?, |sample| &sample.labels))
}

/// Series of a metric over a range of time.
#[utoipa::path(get, path = "/metrics/range", tag = "metrics",
    params(Slicing, ("metric" = String, Query, description = "Name of the metric."),
        ("label" = Option<Vec<String>>, Query, description = "`<name>=<value>` that the series must have. Repeatable."),
        ("from" = Option<String>, Query, description = "RFC 3339, exclusive; an hour before `to` unless given."),
        ("to" = Option<String>, Query, description = "RFC 3339, inclusive; now unless given."),
        ("step" = Option<String>, Query, description = "The last sample of every `30s` or `5m`; every sample unless given.")),
    responses((status = 200, description = "Series.", body = ref(of::<List<SeriesRange>>())),
        (status = 429, description = "Too many ranges are being read.")))]
async fn range_of_samples(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<SeriesRange>>, Problem> {
    let selector = selector(&params)?;
    let to = moment(&params, "to")?.unwrap_or_else(|| api.now());
    let from = moment(&params, "from")?.unwrap_or_else(|| to.minus(RANGE));
    let step = params.parsed("step", "a span like `30s`", Span::parse)?;
    if from >= to {
        return Err(bad("from", "it is not before `to`; hint: give an earlier time, or a later `to`"));
    }
    if step == Some(Span::ZERO) {
        return Err(bad(
            "step",
            "it is no time at all; hint: give a span like `30s`, or leave it out for every sample",
        ));
    }
    let slice = Slice::of(&params)?;
    let series = Arc::clone(&api.options.series);
    // What reading costs is bounded, and so is how often it is paid at once. It goes on when the client hangs up, so that the
    // place is given back by who reads.
    let place = timeout(PATIENCE, Arc::clone(&api.ranges).acquire_owned()).await.ok().and_then(Result::ok);
    let place = place.ok_or_else(|| {
        Problem::too_fast("too many ranges are being read; hint: ask for one after the other")
            .retry_after(Span::from_secs(5))
    })?;
    blocking(move || {
        let part = Part { step, after: slice.after, series: slice.limit, points: POINTS };
        let found = series.part_of_range(&selector, from, to, &part)?;
        drop(place);
        let next_cursor = found.next.as_deref().map(cursor);
        Ok(Json(List { items: found.series.into_iter().map(shown).collect(), next_cursor, unreadable: Vec::new() }))
    })
    .await
}

/// A part of the series of one metric, in the order of their labels.
fn by_labels<T>(series: impl Iterator<Item = T>, slice: &Slice, labels: impl Fn(&T) -> &Labels) -> Json<List<T>> {
    let mut keyed: Vec<_> = series.map(|series| (labels(&series).to_string(), series)).collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let Json(List { items, next_cursor, unreadable }) = part(keyed, slice, |(key, _)| key);
    Json(List { items: items.into_iter().map(|(_, series)| series).collect(), next_cursor, unreadable })
}

fn shown(series: SeriesData) -> SeriesRange {
    let SeriesData { name, labels, at, values } = series;
    SeriesRange { name, labels, at, values: values.into_iter().map(finite).collect() }
}

/// Keeps samples that come from elsewhere. Answered when they are on the disk, and says how many were kept. Where none of them
/// could be, since all are of series beyond `storage.max-series` or what the source may have, it is a refusal.
#[utoipa::path(post, path = "/metrics", tag = "metrics",
    request_body(content = ref(taken::<Push>()), content_type = "application/json"),
    responses((status = 202, description = "They are kept, but for those that it counts as refused.", body = ref(of::<Pushed>())),
        (status = 429, description = "The source sends more than it may.")))]
async fn push_samples(
    State(api): State<Arc<Api>>,
    Body(pushed): Body<Push>,
) -> Result<(StatusCode, Json<Pushed>), Problem> {
    let now = api.now();
    let (source, metrics, place) = match pushed {
        Push::List(samples) => (UNNAMED.to_owned(), samples.into_iter().map(PushedMetric::from).collect(), ""),
        Push::Named(PushedBySource { source, metrics }) => (source, metrics, "metrics"),
    };
    if source.is_empty() || source.len() > SOURCE_BYTES || source.chars().any(char::is_control) {
        let why = format!("it is not a name of {SOURCE_BYTES} bytes at most");
        return Err(Problem::invalid("the source has no name; nothing was kept").mistake("source", why));
    }
    let mut mistakes = Problem::invalid("some of the samples are not valid; nothing was kept");
    if metrics.len() > PUSHED {
        return Err(Problem::invalid(format!(
            "there are more than {PUSHED} samples; hint: send them in several requests"
        )));
    }
    let mut batch = Batch::default();
    for (index, metric) in metrics.iter().enumerate() {
        if metric.at.is_some_and(|at| at > now.plus(AHEAD) || at < Timestamp::MIN) {
            mistakes = mistakes
                .mistake(format!("{place}[{index}].at"), format!("it is more than {AHEAD} ahead, or before 1970"));
        }
        if let Err(reason) = check_names(&metric.name, &metric.labels).and_then(|()| add(&mut batch, metric, now)) {
            mistakes = mistakes.mistake(format!("{place}[{index}]"), reason);
        }
    }
    if !mistakes.errors.is_empty() {
        return Err(mistakes);
    }
    let Written { taken, duplicates, too_old, refused, reason, .. } = samples::store(&api, &source, batch).await?;
    if let (true, Some(reason)) = (refused > 0 && taken + duplicates + too_old == 0, &reason) {
        return Err(Problem::invalid(reason.clone()));
    }
    let pushed = Pushed { accepted: taken + duplicates, refused: refused + too_old, reason };
    Ok((StatusCode::ACCEPTED, Json(pushed)))
}

impl From<PushedSample> for PushedMetric {
    fn from(sample: PushedSample) -> Self {
        let PushedSample { name, labels, value, at } = sample;
        PushedMetric { name, kind: PushedType::Unknown, unit: String::new(), help: String::new(), labels, value, at }
    }
}

fn add(batch: &mut Batch, metric: &PushedMetric, now: Timestamp) -> Result<(), String> {
    let labels = metric.labels.iter().chain([(NAME, metric.name.as_str())]);
    let sample = quarterdeck_formats::Sample { at: metric.at.unwrap_or(now).as_millis(), value: metric.value.0 };
    batch.add(labels, [sample]).map_err(|error| error.to_string())?;
    if metric.help.is_empty() && metric.unit.is_empty() && matches!(metric.kind, PushedType::Unknown) {
        return Ok(());
    }
    let (name, help, unit) = (metric.name.clone(), metric.help.clone(), metric.unit.clone());
    batch.describe(Metadata { name, kind: metric.kind.as_str(), help, unit }).map_err(|error| error.to_string())
}
