//! Which series there are: themselves, names of their labels, and the values of one.

use super::answer::{Answered, Failure, Kind, Success};
use super::parameters::Parameters;
use super::{evaluation, names};
use crate::Api;
use crate::extract::At;
use crate::problem::Problem;
use crate::resources::Routes;
use crate::schema::{of, taken};
use axum::extract::State;
use quarterdeck_model::Timestamp;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Matcher, Querier};
use schemars::JsonSchema;
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa_axum::routes;

/// Series that are looked at for one answer. Whoever has more is told so, and asks with a selector.
const SERIES: usize = 1_000_000;

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(prometheus_series, prometheus_series_by_form))
        .routes(routes!(prometheus_labels, prometheus_labels_by_form))
        .routes(routes!(prometheus_label_values))
}

/// Which series.
#[derive(utoipa::IntoParams, JsonSchema)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the derives")]
struct PrometheusSelection {
    /// Selectors such as `up{job="api"}`: series of any of them.
    #[serde(rename = "match[]")]
    matching: Vec<String>,
    /// Seconds since 1970 or RFC 3339: series with samples since then.
    start: Option<String>,
    /// Seconds since 1970 or RFC 3339: series with samples until then.
    end: Option<String>,
    /// Results at most.
    limit: Option<u64>,
}

/// Labels of which series.
#[derive(utoipa::IntoParams, JsonSchema)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the derives")]
struct PrometheusLabelSelection {
    /// Selectors such as `up{job="api"}`: series of any of them; all series unless given.
    #[serde(rename = "match[]")]
    matching: Option<Vec<String>>,
    /// Seconds since 1970 or RFC 3339: series with samples since then.
    start: Option<String>,
    /// Seconds since 1970 or RFC 3339: series with samples until then.
    end: Option<String>,
    /// Results at most.
    limit: Option<u64>,
}

/// Series that a selector takes, as their labels with the name as `__name__`.
#[utoipa::path(get, path = "/series", tag = "prometheus", params(PrometheusSelection),
    responses((status = 200, description = "Series.", body = ref(of::<Success<Vec<Labels>>>()))))]
async fn prometheus_series(State(api): State<Arc<Api>>, parameters: Parameters) -> Answered<Vec<Arc<Labels>>> {
    if parameters.all("match[]").next().is_none() {
        return Err(Failure::bad("no match[] parameter provided"));
    }
    found(&api, &parameters, |series, found| {
        found.insert(series);
    })
    .await
}

/// Series that a selector takes, asked by a parameters.
#[utoipa::path(post, path = "/series", tag = "prometheus",
    request_body(content = ref(taken::<PrometheusSelection>()), content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Series.", body = ref(of::<Success<Vec<Labels>>>()))))]
async fn prometheus_series_by_form(state: State<Arc<Api>>, parameters: Parameters) -> Answered<Vec<Arc<Labels>>> {
    prometheus_series(state, parameters).await
}

/// Names of labels, sorted.
#[utoipa::path(get, path = "/labels", tag = "prometheus", params(PrometheusLabelSelection),
    responses((status = 200, description = "Names.", body = ref(of::<Success<Vec<String>>>()))))]
async fn prometheus_labels(State(api): State<Arc<Api>>, parameters: Parameters) -> Answered<Vec<String>> {
    found(&api, &parameters, |series, found: &mut BTreeSet<String>| {
        for (name, _) in series.iter().filter(|(name, _)| !found.contains(*name)).collect::<Vec<_>>() {
            found.insert(name.to_owned());
        }
    })
    .await
}

/// Names of labels, sorted, asked by a parameters.
#[utoipa::path(post, path = "/labels", tag = "prometheus",
    request_body(content = ref(taken::<PrometheusLabelSelection>()), content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Names.", body = ref(of::<Success<Vec<String>>>()))))]
async fn prometheus_labels_by_form(state: State<Arc<Api>>, parameters: Parameters) -> Answered<Vec<String>> {
    prometheus_labels(state, parameters).await
}

/// Values of a label, sorted.
#[utoipa::path(get, path = "/label/{name}/values", tag = "prometheus",
    params(PrometheusLabelSelection, ("name" = String, Path,
        description = "The label, as it is or escaped (`U__http_2e_status` is `http.status`).")),
    responses((status = 200, description = "Values.", body = ref(of::<Success<Vec<String>>>()))))]
async fn prometheus_label_values(
    State(api): State<Arc<Api>>,
    name: Result<At<String>, Problem>,
    parameters: Parameters,
) -> Answered<Vec<String>> {
    let name = names::unescape(&name?.0);
    if name.is_empty() {
        return Err(Failure::bad(format!("invalid label name: {name:?}")));
    }
    found(&api, &parameters, move |series, found: &mut BTreeSet<String>| {
        if let Some(value) = series.get(&name).filter(|value| !value.is_empty() && !found.contains(*value)) {
            found.insert(value.to_owned());
        }
    })
    .await
}

/// What is gathered of the series that the form asks about, sorted, as much of it as is wanted.
async fn found<T: Ord + Send + 'static>(
    api: &Api,
    parameters: &Parameters,
    gather: impl Fn(Arc<Labels>, &mut BTreeSet<T>) + Send + 'static,
) -> Answered<Vec<T>> {
    let (selectors, (start, end), limit) = (selectors(parameters)?, parameters.range()?, parameters.limit("limit")?);
    evaluation::run(api, parameters, move |querier, budget| {
        let mut gathered = BTreeSet::new();
        for selector in selectors {
            budget.check()?;
            // The beginning of a range is part of it here.
            let from = Timestamp::from_millis(start.as_millis() - 1);
            for series in all(querier, &selector, from, end)? {
                gather(series, &mut gathered);
            }
        }
        let truncated = limit.is_some_and(|limit| gathered.len() > limit);
        let wanted = gathered.into_iter().take(limit.unwrap_or(usize::MAX)).collect();
        Ok(Success::of(wanted).truncated(truncated))
    })
    .await
}

/// None given: one that takes every series.
fn selectors(parameters: &Parameters) -> Result<Vec<Vec<Matcher>>, Failure> {
    let selectors = parameters.selectors()?;
    Ok(if selectors.is_empty() { vec![Vec::new()] } else { selectors })
}

fn all(
    querier: &dyn Querier,
    selector: &[Matcher],
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Arc<Labels>>, Failure> {
    let found = querier.series(selector, from, to, SERIES + 1)?;
    if found.len() > SERIES {
        return Err(Failure::new(
            Kind::Execution,
            format!("there are more than {SERIES} series; hint: ask with a selector, match[], that takes fewer"),
        ));
    }
    Ok(found)
}
