//! Queries, at one time and over a range.

use super::answer::{Failure, Success, TRUNCATED};
use super::parameters::{Parameters, span};
use super::{encode, evaluation};
use crate::Api;
use crate::resources::Routes;
use crate::schema::{of, taken};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use quarterdeck_model::Span;
use quarterdeck_promql::{Answer, Expression, Options, Times, Value, evaluate};
use schemars::JsonSchema;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::routes;

/// Steps between the points of a series, at most: one less than there are points.
const STEPS: i64 = 11_000;

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(prometheus_query, prometheus_query_by_form))
        .routes(routes!(prometheus_query_range, prometheus_query_range_by_form))
        .routes(routes!(prometheus_exemplars, prometheus_exemplars_by_form))
}

/// An instant query.
#[derive(utoipa::IntoParams, JsonSchema)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the derives")]
struct PrometheusQuery {
    /// PromQL.
    query: String,
    /// Seconds since 1970 or RFC 3339; now unless given.
    time: Option<String>,
    /// Seconds, or a duration such as `30s`: less than what the host allows.
    timeout: Option<String>,
    /// Series at most.
    limit: Option<u64>,
    /// How old a sample may be that still counts, instead of five minutes.
    lookback_delta: Option<String>,
}

/// A range query.
#[derive(utoipa::IntoParams, JsonSchema)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the derives")]
struct PrometheusRangeQuery {
    /// PromQL.
    query: String,
    /// Seconds since 1970 or RFC 3339, inclusive.
    start: String,
    /// Seconds since 1970 or RFC 3339, inclusive.
    end: String,
    /// Seconds, or a duration such as `15s`.
    step: String,
    /// Seconds, or a duration such as `30s`: less than what the host allows.
    timeout: Option<String>,
    /// Series at most.
    limit: Option<u64>,
    /// How old a sample may be that still counts, instead of five minutes.
    lookback_delta: Option<String>,
}

/// Exemplars of the series in a query.
#[derive(utoipa::IntoParams, JsonSchema)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the derives")]
struct PrometheusExemplarQuery {
    /// PromQL.
    query: String,
    /// Seconds since 1970 or RFC 3339.
    start: Option<String>,
    /// Seconds since 1970 or RFC 3339.
    end: Option<String>,
}

/// Seconds since 1970, and a number as text: `NaN`, `+Inf` and `-Inf` among them.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by the derive: `encode` writes it")]
struct PrometheusPoint(f64, String);

/// What a query evaluates to.
#[derive(JsonSchema)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
#[expect(dead_code, reason = "read by the derive: `encode` writes it")]
enum Evaluated {
    Scalar(PrometheusPoint),
    String(PrometheusPoint),
    Vector(Vec<PrometheusSample>),
    Matrix(Vec<PrometheusSeries>),
}

/// A series at one time.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by the derive: `encode` writes it")]
struct PrometheusSample {
    /// The name as `__name__`.
    metric: BTreeMap<String, String>,
    value: PrometheusPoint,
}

/// A series over a range, oldest first.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read by the derive: `encode` writes it")]
struct PrometheusSeries {
    /// The name as `__name__`.
    metric: BTreeMap<String, String>,
    values: Vec<PrometheusPoint>,
}

/// Evaluates PromQL at one time.
#[utoipa::path(get, path = "/query", tag = "prometheus", params(PrometheusQuery),
    responses((status = 200, description = "What it evaluates to.", body = ref(of::<Success<Evaluated>>()))))]
async fn prometheus_query(State(api): State<Arc<Api>>, parameters: Parameters) -> Result<Response, Failure> {
    let at = parameters.time("time")?.unwrap_or_else(|| api.now());
    answer(&api, &parameters, Times::at(at)).await
}

/// Evaluates PromQL at one time, asked by a parameters.
#[utoipa::path(post, path = "/query", tag = "prometheus",
    request_body(content = ref(taken::<PrometheusQuery>()), content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "What it evaluates to.", body = ref(of::<Success<Evaluated>>()))))]
async fn prometheus_query_by_form(state: State<Arc<Api>>, parameters: Parameters) -> Result<Response, Failure> {
    prometheus_query(state, parameters).await
}

/// Evaluates PromQL over a range, at each step.
#[utoipa::path(get, path = "/query_range", tag = "prometheus", params(PrometheusRangeQuery),
    responses((status = 200, description = "What it evaluates to.", body = ref(of::<Success<Evaluated>>()))))]
async fn prometheus_query_range(State(api): State<Arc<Api>>, parameters: Parameters) -> Result<Response, Failure> {
    let time =
        |name| parameters.time(name)?.ok_or_else(|| Failure::parameter(name, "cannot parse \"\" to a valid timestamp"));
    let (start, end) = (time("start")?, time("end")?);
    if end < start {
        return Err(Failure::parameter("end", "end timestamp must not be before start time"));
    }
    let step = parameters
        .duration("step")?
        .ok_or_else(|| Failure::parameter("step", "cannot parse \"\" to a valid duration"))?;
    let step = span(step).ok_or_else(|| {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        Failure::parameter("step", why)
    })?;
    if steps(end.as_millis().saturating_sub(start.as_millis()), step) > STEPS {
        return Err(Failure::bad(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    answer(&api, &parameters, Times::Range { start, end, step }).await
}

/// Evaluates PromQL over a range, at each step, asked by a parameters.
#[utoipa::path(post, path = "/query_range", tag = "prometheus",
    request_body(content = ref(taken::<PrometheusRangeQuery>()), content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "What it evaluates to.", body = ref(of::<Success<Evaluated>>()))))]
async fn prometheus_query_range_by_form(state: State<Arc<Api>>, parameters: Parameters) -> Result<Response, Failure> {
    prometheus_query_range(state, parameters).await
}

/// Exemplars of the series in a query: none are kept.
#[utoipa::path(get, path = "/query_exemplars", tag = "prometheus", params(PrometheusExemplarQuery),
    responses((status = 200, description = "An empty list.", body = ref(of::<Success<Vec<String>>>()))))]
async fn prometheus_exemplars(parameters: Parameters) -> Result<Response, Failure> {
    Expression::parse(parameters.text("query").unwrap_or_default())?;
    parameters.range()?;
    Ok(Success::of(Vec::<String>::new()).into_response())
}

/// Exemplars of the series in a query, asked by a form: none are kept.
#[utoipa::path(post, path = "/query_exemplars", tag = "prometheus",
    request_body(content = ref(taken::<PrometheusExemplarQuery>()), content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "An empty list.", body = ref(of::<Success<Vec<String>>>()))))]
async fn prometheus_exemplars_by_form(parameters: Parameters) -> Result<Response, Failure> {
    prometheus_exemplars(parameters).await
}

fn steps(length: i64, step: Span) -> i64 {
    length / i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1)
}

async fn answer(api: &Api, parameters: &Parameters, times: Times) -> Result<Response, Failure> {
    let limit = parameters.limit("limit")?;
    let mut options = Options { points: usize::try_from(STEPS).unwrap_or(0) + 1, ..Options::default() };
    if let Some(lookback) = parameters.duration("lookback_delta")?.and_then(span) {
        options.lookback = lookback;
    }
    let text = parameters.text("query").unwrap_or_default().to_owned();
    let body = evaluation::run(api, parameters, move |querier, budget| {
        let mut answer = evaluate(&Expression::parse(&text)?, times, querier, budget, &options)?;
        shorten(&mut answer, limit);
        Ok(encode::answer(answer))
    })
    .await?;
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// Leaves out series beyond the limit, and says so.
fn shorten(answer: &mut Answer, limit: Option<usize>) {
    let Some(limit) = limit else { return };
    let truncated = match &mut answer.value {
        Value::Vector(samples) if samples.len() > limit => {
            samples.truncate(limit);
            true
        }
        Value::Matrix(series) if series.len() > limit => {
            series.truncate(limit);
            true
        }
        _ => false,
    };
    answer.warnings.extend(truncated.then(|| TRUNCATED.to_owned()));
}
