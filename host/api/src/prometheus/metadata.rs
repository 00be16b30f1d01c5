//! What is known of metrics beside their samples.

use super::answer::{Answered, Success};
use super::parameters::Parameters;
use crate::Api;
use crate::resources::Routes;
use crate::schema::of;
use axum::extract::State;
use quarterdeck_engines::monitoring::Described;
use quarterdeck_model::kind::collector::MetricType;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::routes;

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(prometheus_metadata))
}

type Metadata = BTreeMap<String, Vec<PrometheusMetadata>>;

/// What is said of a metric.
#[derive(Debug, Serialize, JsonSchema)]
struct PrometheusMetadata {
    #[serde(rename = "type")]
    kind: MetricType,
    help: String,
    /// Always empty: names say it.
    unit: &'static str,
}

impl From<Described> for PrometheusMetadata {
    fn from(described: Described) -> Self {
        PrometheusMetadata { kind: described.metric_type, help: described.help, unit: "" }
    }
}

/// Types and descriptions of metrics, as collectors, pages that are scraped, and those who send samples said last.
#[utoipa::path(get, path = "/metadata", tag = "prometheus",
    params(("metric" = Option<String>, Query, description = "Only this one."),
        ("limit" = Option<u64>, Query, description = "Metrics at most."),
        ("limit_per_metric" = Option<u64>, Query, description = "Of what is said of one metric, at most so much.")),
    responses((status = 200, description = "By the metric's name.", body = ref(of::<Success<Metadata>>()))))]
async fn prometheus_metadata(State(api): State<Arc<Api>>, parameters: Parameters) -> Answered<Metadata> {
    let limit = parameters.limit("limit")?.unwrap_or(usize::MAX);
    let of_each = parameters.limit("limit_per_metric")?.unwrap_or(usize::MAX);
    let wanted = parameters.text("metric");
    let described = api.options.engines.monitoring.described().into_iter();
    let shown = described.filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name)).take(limit);
    let said = |all: Vec<Described>| all.into_iter().take(of_each).map(PrometheusMetadata::from).collect();
    Ok(Success::of(shown.map(|(name, all)| (name, said(all))).collect()))
}
