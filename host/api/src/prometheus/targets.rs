//! What is scraped.

use super::answer::{Answered, Success};
use super::parameters::Parameters;
use crate::resources::Routes;
use crate::schema::of;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa_axum::routes;

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(prometheus_targets))
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrometheusTargets {
    active_targets: Vec<Map<String, Value>>,
    dropped_targets: Vec<Map<String, Value>>,
    dropped_target_counts: Map<String, Value>,
}

/// Targets that are scraped: there are none. What collectors watch is listed by `/api/v1/instances`.
#[utoipa::path(get, path = "/targets", tag = "prometheus",
    params(("state" = Option<String>, Query, description = "`active`, `dropped` or `any`.")),
    responses((status = 200, description = "Targets.", body = ref(of::<Success<PrometheusTargets>>()))))]
async fn prometheus_targets(_parameters: Parameters) -> Answered<PrometheusTargets> {
    Ok(Success::of(PrometheusTargets::default()))
}
