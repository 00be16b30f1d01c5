//! What answers here. Clients find out from it what they may ask.

use super::answer::{Answered, Success};
use super::parameters::Parameters;
use crate::Api;
use crate::resources::Routes;
use crate::schema::of;
use axum::extract::State;
use quarterdeck_model::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::routes;

/// The version of Prometheus that this API and its query language follow.
const FOLLOWS: &str = "3.0.0";

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(prometheus_build)).routes(routes!(prometheus_runtime))
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrometheusBuild {
    /// The version of Prometheus that is followed: clients choose by it what they ask.
    version: &'static str,
    /// Who answers in truth: `quarterdeck-` and its version.
    revision: String,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrometheusRuntime {
    start_time: Timestamp,
    server_time: Timestamp,
    /// A configuration that can't work is never in force here.
    reload_config_success: bool,
    corruption_count: u64,
}

/// The version of Prometheus that this API follows, and who answers.
#[utoipa::path(get, path = "/status/buildinfo", tag = "prometheus",
    responses((status = 200, description = "The build.", body = ref(of::<Success<PrometheusBuild>>()))))]
async fn prometheus_build(State(api): State<Arc<Api>>, _parameters: Parameters) -> Answered<PrometheusBuild> {
    Ok(Success::of(PrometheusBuild {
        version: FOLLOWS,
        revision: format!("quarterdeck-{}", api.options.version),
        branch: "",
        build_user: "",
        build_date: "",
        go_version: "",
    }))
}

/// Since when the host runs.
#[utoipa::path(get, path = "/status/runtimeinfo", tag = "prometheus",
    responses((status = 200, description = "The process.", body = ref(of::<Success<PrometheusRuntime>>()))))]
async fn prometheus_runtime(State(api): State<Arc<Api>>, _parameters: Parameters) -> Answered<PrometheusRuntime> {
    Ok(Success::of(PrometheusRuntime {
        start_time: api.options.started_at,
        server_time: api.now(),
        reload_config_success: true,
        corruption_count: 0,
    }))
}
