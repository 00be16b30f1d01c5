//! Queries as they are, not evaluated: written anew, and as a tree. Editors of queries ask for them.

use super::answer::{Answered, Success};
use super::parameters::Parameters;
use crate::resources::Routes;
use crate::schema::{of, taken};
use quarterdeck_promql::{Error, STACK, format_query, tree_of};
use schemars::JsonSchema;
use serde_json::Value;
use utoipa_axum::routes;

pub(super) fn routes() -> Routes {
    Routes::new()
        .routes(routes!(prometheus_format_query, prometheus_format_query_by_form))
        .routes(routes!(prometheus_parse_query, prometheus_parse_query_by_form))
}

/// A query that is not evaluated.
#[derive(utoipa::IntoParams, JsonSchema)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read by the derives")]
struct PrometheusText {
    /// PromQL.
    query: String,
}

/// Writes PromQL as Prometheus does: in several lines where it is long, without comments.
#[utoipa::path(get, path = "/format_query", tag = "prometheus", params(PrometheusText),
    responses((status = 200, description = "The same query.", body = ref(of::<Success<String>>()))))]
async fn prometheus_format_query(parameters: Parameters) -> Answered<String> {
    shown(&parameters, format_query).await
}

/// Writes PromQL as Prometheus does, asked by a form.
#[utoipa::path(post, path = "/format_query", tag = "prometheus",
    request_body(content = ref(taken::<PrometheusText>()), content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The same query.", body = ref(of::<Success<String>>()))))]
async fn prometheus_format_query_by_form(parameters: Parameters) -> Answered<String> {
    prometheus_format_query(parameters).await
}

/// PromQL as a tree, as Prometheus has it: each node with its `type`.
#[utoipa::path(get, path = "/parse_query", tag = "prometheus", params(PrometheusText),
    responses((status = 200, description = "The tree.", body = ref(of::<Success<Value>>()))))]
async fn prometheus_parse_query(parameters: Parameters) -> Answered<Value> {
    shown(&parameters, tree_of).await
}

/// PromQL as a tree, asked by a form.
#[utoipa::path(post, path = "/parse_query", tag = "prometheus",
    request_body(content = ref(taken::<PrometheusText>()), content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The tree.", body = ref(of::<Success<Value>>()))))]
async fn prometheus_parse_query_by_form(parameters: Parameters) -> Answered<Value> {
    prometheus_parse_query(parameters).await
}

/// A query may be long, and nested: not where requests are answered, and on a stack that has room for it.
async fn shown<T: Send + 'static>(parameters: &Parameters, show: fn(&str) -> Result<T, Error>) -> Answered<T> {
    let text = parameters.text("query").unwrap_or_default().to_owned();
    let shown = tokio::task::spawn_blocking(move || {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || show(&text));
        thread.ok()?.join().ok()
    });
    let shown = shown.await.ok().flatten();
    let failed = || Err(Error::Evaluation("the query can't be shown".to_owned()));
    Ok(Success::of(shown.unwrap_or_else(failed)?))
}
