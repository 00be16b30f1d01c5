//! What is known of metrics beside their samples.

use super::answer::{Answered, Failure, Success};
use super::parameters::Parameters;
use crate::resources::Routes;
use crate::schema::of;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa_axum::routes;

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(prometheus_metadata))
}

#[derive(Debug, Serialize, JsonSchema)]
struct PrometheusMetadata {
    /// `counter`, `gauge`, `histogram`, `summary` or `unknown`.
    #[serde(rename = "type")]
    kind: String,
    help: String,
    unit: String,
}

/// Types and descriptions of metrics: none are kept with their samples, so it is empty.
#[utoipa::path(get, path = "/metadata", tag = "prometheus",
    params(("metric" = Option<String>, Query, description = "Only this one."),
        ("limit" = Option<u64>, Query, description = "Metrics at most.")),
    responses((status = 200, description = "By the metric's name.",
        body = ref(of::<Success<BTreeMap<String, Vec<PrometheusMetadata>>>>()))))]
async fn prometheus_metadata(form: Parameters) -> Answered<BTreeMap<String, Vec<PrometheusMetadata>>> {
    form.limit()?;
    Ok::<_, Failure>(Success::of(BTreeMap::new()))
}
