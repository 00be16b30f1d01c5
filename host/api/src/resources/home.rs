//! The page at the root: what this is, and where to look.

use super::Routes;
use crate::Api;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::header::{ACCEPT, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::sync::Arc;
use utoipa_axum::routes;

type Link = (&'static str, &'static str);

/// Every resource that can be read without naming one of its parts.
const SECTIONS: [(&str, &[Link]); 6] = [
    (
        "The host",
        &[
            ("/api/v1/status", "Status"),
            ("/api/v1/events?newest=true", "Events, newest first"),
            ("/api/v1/jobs", "Jobs"),
            ("/api/v1/dead-letters", "Dead letters"),
            ("/api/v1/sessions", "Browsers that are signed in"),
        ],
    ),
    (
        "Plugins",
        &[
            ("/api/v1/plugins", "Plugins"),
            ("/api/v1/plugin-files", "Files of the plugins folder"),
            ("/api/v1/instances", "Instances"),
            ("/api/v1/processes", "Processes"),
            ("/api/v1/journals", "Journals of decisions"),
            ("/api/v1/shadows", "Candidates beside plugins in use"),
        ],
    ),
    (
        "Watching",
        &[
            ("/api/v1/metrics", "Metrics that were collected"),
            ("/api/v1/alerts", "Alerts"),
            ("/api/v1/silences", "Silences"),
            ("/api/v1/maintenance-windows", "Planned work"),
            ("/api/v1/incidents", "Incidents"),
            ("/api/v1/notifications", "Notifications"),
            ("/api/v1/slos", "Objectives"),
            ("/api/v1/scans", "Scans"),
            ("/api/v1/findings", "Findings"),
        ],
    ),
    (
        "Acting",
        &[
            ("/api/v1/runbooks", "Runbooks"),
            ("/api/v1/runs", "Runs"),
            ("/api/v1/services", "Services"),
            ("/api/v1/deployments", "Deployments"),
        ],
    ),
    (
        "The configuration",
        &[
            ("/api/v1/configuration", "In force"),
            ("/api/v1/configuration/objects", "Objects"),
            ("/api/v1/configuration/versions", "Versions"),
        ],
    ),
    (
        "For programs",
        &[
            ("/api/v1/openapi.json", "The API's OpenAPI document"),
            ("/prometheus/api/v1/status/buildinfo", "What answers Prometheus's queries, under /prometheus"),
            ("/metrics", "The host's own metrics, for Prometheus"),
            ("/healthz", "Whether it lives"),
            ("/readyz", "Whether it can work"),
        ],
    ),
];

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(get_home))
}

/// A page with links. A browser is led on to the console.
#[utoipa::path(get, path = "/", tag = "host",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 303, description = "Whoever says that HTML is accepted is led to the console.",
            headers(("Location" = String, description = "The console.")))))]
async fn get_home(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.any(|value| value.contains("text/html")) {
        let led = [(LOCATION, HeaderValue::from_static("/console")), (VARY, HeaderValue::from_static("Accept"))];
        return (StatusCode::SEE_OTHER, led).into_response();
    }
    let list = |links: &[(&str, &str)]| -> String {
        links.iter().map(|(to, text)| format!("<li><a href=\"{to}\">{text}</a></li>\n")).collect()
    };
    let sections: String =
        SECTIONS.iter().map(|(title, links)| format!("<h2>{title}</h2>\n<ul>\n{}</ul>\n", list(links))).collect();
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Quarterdeck</title></head>\n<body>\n\
         <h1>Quarterdeck {}</h1>\n\
         <p>The daemon runs. People use it with the command <code>quarterdeck</code> (begin with <code>quarterdeck status</code>), programs \
         over the API. These links show what the API answers, as JSON.</p>\n{sections}</body>\n</html>\n",
        api.options.version
    ))
    .into_response()
}
