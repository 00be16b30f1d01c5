//! For whoever watches over this host: does it live, and can it work?

use super::Routes;
use crate::Api;
use crate::schema::of;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use quarterdeck_model::plugin::Registry;
use quarterdeck_model::store::StoreHealth;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(get_health)).routes(routes!(get_readiness))
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    pub(crate) checks: Vec<Check>,
}

impl Readiness {
    pub(super) fn of(registry: &dyn Registry, store: &StoreHealth) -> Self {
        // What is dropped in later is no reason to send this host no more work.
        let awaited = registry.awaited();
        let waiting = if !awaited.is_empty() {
            Some(format!("being loaded: {}", awaited.join(", ")))
        } else if registry.plugin_states().is_empty() {
            Some("no plugin is loaded yet".to_owned())
        } else {
            None
        };
        let checks = vec![
            Check { name: "store", ok: store.writable, reason: store.reason.clone() },
            Check { name: "plugins", ok: waiting.is_none(), reason: waiting },
        ];
        Readiness { ready: checks.iter().all(|check| check.ok), checks }
    }
}

/// `ok` as long as the process lives.
#[utoipa::path(get, path = "/healthz", tag = "host",
    responses((status = 200, description = "It lives.", body = String, content_type = "text/plain")))]
async fn get_health() -> &'static str {
    "ok"
}

/// Whether it can do its work.
#[utoipa::path(get, path = "/readyz", tag = "host",
    responses((status = 200, description = "It can.", body = ref(of::<Readiness>())),
        (status = 503, description = "It can't, and why.", body = ref(of::<Readiness>()))))]
async fn get_readiness(State(api): State<Arc<Api>>) -> (StatusCode, Json<Readiness>) {
    let readiness = Readiness::of(&*api.options.registry, &api.options.store.health());
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}
