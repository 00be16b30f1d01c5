//! A file per resource, and the list of all of them.

pub(crate) mod alerts;
mod backtests;
pub(crate) mod configuration;
mod console;
pub(crate) mod dead_letters;
mod decisions;
pub(crate) mod deployments;
pub(crate) mod events;
mod exposition;
mod findings;
mod health;
mod home;
pub(crate) mod incidents;
pub(crate) mod instances;
mod jobs;
mod maintenance;
mod metrics;
mod notifications;
mod openapi;
pub(crate) mod plugin_files;
pub(crate) mod plugins;
pub(crate) mod processes;
mod runbooks;
pub(crate) mod runs;
pub(crate) mod scans;
pub(crate) mod services;
mod sessions;
pub(crate) mod silences;
pub(crate) mod slos;
pub(crate) mod status;
pub(crate) mod stream;

use crate::problem::Problem;
use crate::{Api, alertmanager, document, otlp, prometheus};
use http::{Method, Uri};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// Who changes something by the API; there is one token.
pub(crate) const PRINCIPAL: &str = "operator";

pub(crate) type Routes = OpenApiRouter<Arc<Api>>;

pub(crate) fn all() -> Routes {
    Routes::with_openapi(document::head())
        .merge(health::routes())
        .merge(exposition::routes())
        .merge(home::routes())
        .nest("/api/v1", api())
        .nest(prometheus::PREFIX, prometheus::routes())
        .nest(otlp::PREFIX, otlp::routes())
        .nest(alertmanager::PREFIX, alertmanager::routes())
}

fn api() -> Routes {
    Routes::new()
        .merge(status::routes())
        .merge(plugins::routes())
        .merge(plugin_files::routes())
        .merge(instances::routes())
        .merge(decisions::routes())
        .merge(processes::routes())
        .merge(jobs::routes())
        .merge(metrics::routes())
        .merge(events::routes())
        .merge(stream::routes())
        .merge(alerts::routes())
        .merge(silences::routes())
        .merge(maintenance::routes())
        .merge(backtests::routes())
        .merge(incidents::routes())
        .merge(scans::routes())
        .merge(findings::routes())
        .merge(services::routes())
        .merge(deployments::routes())
        .merge(runbooks::routes())
        .merge(runs::routes())
        .merge(slos::routes())
        .merge(notifications::routes())
        .merge(dead_letters::routes())
        .merge(configuration::routes())
        .merge(console::routes())
        .merge(sessions::routes())
        .merge(openapi::routes())
}

pub(crate) async fn no_route(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no `{}`; hint: /api/v1/openapi.json lists what there is", uri.path()))
}

pub(crate) async fn no_method(method: Method, uri: Uri) -> Problem {
    Problem::method_not_allowed(format!(
        "`{}` can't be asked with {method}; hint: the header `Allow` says how",
        uri.path()
    ))
}
