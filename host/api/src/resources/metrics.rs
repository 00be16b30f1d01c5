//! Metrics: series that collectors bring or clients push.

use super::Routes;
use crate::Api;
use crate::extract::{Body, Params, bad};
use crate::paging::{List, Slice, Slicing, blocking, cursor, part};
use crate::problem::Problem;
use crate::schema::{of, taken};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use quarterdeck_engines::monitoring::{Taken, check_names};
use quarterdeck_model::series::{LOOKBACK, Part, Sample, Selector, SeriesData};
use quarterdeck_model::{Labels, Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa_axum::routes;

/// Points of one answer.
const POINTS: usize = 500_000;
/// Samples of one push.
const PUSHED: usize = 10_000;
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

/// A sample to be kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PushedSample {
    /// Letters, digits, `_` and `:`; no digit first.
    name: String,
    #[serde(default)]
    labels: Labels,
    value: f64,
    /// Now, unless given.
    #[serde(default)]
    at: Option<Timestamp>,
}

/// Samples to be kept: none if one of them is not valid. Those of new series are refused by themselves once the store has as many
/// series as it may.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Push(Vec<PushedSample>);

#[derive(Debug, Serialize, JsonSchema)]
struct Pushed {
    /// Samples that are kept. One of a series and time of which there is one already counts, and changes nothing.
    accepted: usize,
    /// Samples that are not kept: of new series, of which the store takes no more (`storage.max-series`).
    refused: usize,
}

fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}

fn selector(params: &Params) -> Result<Selector, Problem> {
    let mut labels = Labels::new();
    for label in params.many("label") {
        match label.split_once('=') {
            Some((name, value)) if !name.is_empty() => labels.insert(name, value),
            _ => return Err(bad("label", &format!("`{label}` is not `<name>=<value>`"))),
        }
    }
    Ok(Selector { metric: params.needed("metric")?.to_owned(), labels })
}

fn moment(params: &Params, name: &str) -> Result<Option<Timestamp>, Problem> {
    params.parsed(name, "an RFC 3339 time such as `2026-01-31T12:00:00Z`", Timestamp::parse)
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
    let step = params.parsed("step", "a duration such as `30s`", Span::parse)?;
    if from >= to {
        return Err(bad("from", "it must be before `to`"));
    }
    if step == Some(Span::ZERO) {
        return Err(bad("step", "it must be longer than nothing"));
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
        Ok(Json(List { items: found.series.into_iter().map(shown).collect(), next_cursor }))
    })
    .await
}

/// A part of the series of one metric, in the order of their labels.
fn by_labels<T>(series: impl Iterator<Item = T>, slice: &Slice, labels: impl Fn(&T) -> &Labels) -> Json<List<T>> {
    let mut keyed: Vec<_> = series.map(|series| (labels(&series).to_string(), series)).collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let Json(List { items, next_cursor }) = part(keyed, slice, |(key, _)| key);
    Json(List { items: items.into_iter().map(|(_, series)| series).collect(), next_cursor })
}

fn shown(series: SeriesData) -> SeriesRange {
    let SeriesData { name, labels, at, values } = series;
    SeriesRange { name, labels, at, values: values.into_iter().map(finite).collect() }
}

/// Keeps samples that come from elsewhere. Answered when they are on the disk, and says how many were kept. Where none of them
/// could be, since all are of series beyond `storage.max-series`, it is a refusal.
#[utoipa::path(post, path = "/metrics", tag = "metrics",
    request_body(content = ref(taken::<Push>()), content_type = "application/json"),
    responses((status = 202, description = "They are kept, but for those that it counts as refused.", body = ref(of::<Pushed>())),
        (status = 429, description = "More comes in than the disk takes.")))]
async fn push_samples(
    State(api): State<Arc<Api>>,
    Body(Push(pushed)): Body<Push>,
) -> Result<(StatusCode, Json<Pushed>), Problem> {
    let now = api.now();
    let mut mistakes = Problem::invalid("some of the samples are not valid; nothing was kept");
    if pushed.len() > PUSHED {
        return Err(Problem::invalid(format!(
            "there are more than {PUSHED} samples; hint: send them in several requests"
        )));
    }
    for (index, sample) in pushed.iter().enumerate() {
        if sample.at.is_some_and(|at| at > now.plus(AHEAD) || at < Timestamp::MIN) {
            mistakes =
                mistakes.mistake(format!("[{index}].at"), format!("it is more than {AHEAD} ahead, or before 1970"));
        }
        if let Err(reason) = check_names(&sample.name, &sample.labels) {
            mistakes = mistakes.mistake(format!("[{index}]"), reason);
        }
    }
    if !mistakes.errors.is_empty() {
        return Err(mistakes);
    }
    let keep = |sample: PushedSample| Sample {
        name: sample.name,
        labels: sample.labels,
        at: sample.at.unwrap_or(now),
        value: sample.value,
    };
    let Taken { accepted, refused } =
        api.options.engines.monitoring.push(pushed.into_iter().map(keep).collect()).await?;
    Ok((StatusCode::ACCEPTED, Json(Pushed { accepted, refused })))
}
