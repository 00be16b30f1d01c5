//! The page at the root: what this is, and where to look.

use super::Routes;
use crate::Api;
use axum::extract::State;
use axum::response::Html;
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(get_home))
}

/// A page for people, with links.
#[utoipa::path(get, path = "/", tag = "host",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")))]
async fn get_home(State(api): State<Arc<Api>>) -> Html<String> {
    let links = [
        ("/api/v1/status", "Status"),
        ("/api/v1/plugins", "Plugins"),
        ("/api/v1/instances", "Instances"),
        ("/api/v1/alerts", "Alerts"),
        ("/api/v1/incidents", "Incidents"),
        ("/api/v1/slos", "Objectives"),
        ("/api/v1/openapi.json", "The API's document"),
        ("/metrics", "Metrics of the host"),
    ];
    let items: String = links.iter().map(|(to, text)| format!("<li><a href=\"{to}\">{text}</a></li>\n")).collect();
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Quarterdeck</title></head>\n<body>\n\
         <h1>Quarterdeck {}</h1>\n<ul>\n{items}</ul>\n</body>\n</html>\n",
        api.options.version
    ))
}
