//! What answers here, and whom it tells.

use super::alerts::AlertmanagerReceiver;
use super::answer::Parameters;
use super::original::original;
use crate::Api;
use crate::resources::Routes;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use quarterdeck_model::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::routes;

/// The version of Alertmanager that this API follows.
const FOLLOWS: &str = "0.25.0";

pub(super) fn routes() -> Routes {
    Routes::new().routes(routes!(alertmanager_status)).routes(routes!(alertmanager_receivers))
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AlertmanagerStatus {
    cluster: AlertmanagerCluster,
    config: AlertmanagerConfig,
    /// Since when the host runs.
    uptime: Timestamp,
    version_info: AlertmanagerVersion,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AlertmanagerCluster {
    /// `disabled`.
    status: &'static str,
    peers: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AlertmanagerConfig {
    /// Routes, receivers, inhibition rules and time intervals in Alertmanager's form.
    original: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AlertmanagerVersion {
    /// The version of Alertmanager that is followed.
    version: &'static str,
    /// Who answers in truth: `quarterdeck-` and its version.
    revision: String,
    branch: &'static str,
    build_user: &'static str,
    build_date: &'static str,
    go_version: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AlertmanagerReceivers(Vec<AlertmanagerReceiver>);

/// The configuration in force, and who answers.
#[utoipa::path(get, path = "/status", tag = "alertmanager",
    responses((status = 200, description = "The status.", body = ref(of::<AlertmanagerStatus>()))))]
async fn alertmanager_status(State(api): State<Arc<Api>>, _parameters: Parameters) -> Json<AlertmanagerStatus> {
    Json(AlertmanagerStatus {
        cluster: AlertmanagerCluster { status: "disabled", peers: Vec::new() },
        config: AlertmanagerConfig { original: original(&api.options.engines.alerting.spec()) },
        uptime: api.options.started_at,
        version_info: AlertmanagerVersion {
            version: FOLLOWS,
            revision: format!("quarterdeck-{}", api.options.version),
            branch: "",
            build_user: "",
            build_date: "",
            go_version: "",
        },
    })
}

/// Names of the receivers.
#[utoipa::path(get, path = "/receivers", tag = "alertmanager",
    responses((status = 200, description = "Receivers.", body = ref(of::<AlertmanagerReceivers>()))))]
async fn alertmanager_receivers(State(api): State<Arc<Api>>, _parameters: Parameters) -> Json<AlertmanagerReceivers> {
    let spec = api.options.engines.alerting.spec();
    let names = spec.receivers.keys().map(|name| AlertmanagerReceiver { name: name.clone() });
    Json(AlertmanagerReceivers(names.collect()))
}
