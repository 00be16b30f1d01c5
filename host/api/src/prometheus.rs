//! `/prometheus/api/v1`: the store's series, rules and alerts as Prometheus's API has them, so that its clients (Grafana, `promtool`,
//! scripts) work unchanged. Answers are Prometheus's, errors too: no problem documents here.
//!
//! Everything here but `write` reads, whether it is asked by GET or, where the query is long, by a form in a POST. Parameters that are
//! not known are passed over, as Prometheus does.
//!
//! - `parameters`: from the URL and the form; `names`: names of labels in a path
//! - `answer`: what every answer has, and failures; `encode`: what a query evaluates to, as JSON
//! - `evaluation`: bounds of samples, time and queries at once
//! - `query`, `shown`, `series`, `metadata`, `rules`, `targets`, `status`: a file per family of endpoints
//! - `write`: remote write
//! - `document`: how operations here differ in the OpenAPI document

mod answer;
mod document;
mod encode;
mod evaluation;
mod metadata;
mod names;
mod parameters;
mod query;
mod rules;
mod series;
mod shown;
mod status;
mod targets;
mod write;

pub(crate) use answer::Failure;
pub(crate) use document::{complete, failures};
pub use evaluation::Limits;
pub(crate) use evaluation::within;

use crate::resources::Routes;

pub(crate) const PREFIX: &str = "/prometheus/api/v1";

/// Whether the route is one of these.
pub(crate) fn has(route: &str) -> bool {
    route.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether it is one of these, and reads.
pub(crate) fn reads(route: &str) -> bool {
    has(route) && !crate::samples::is_one(route)
}

pub(crate) fn routes() -> Routes {
    Routes::new()
        .merge(query::routes())
        .merge(shown::routes())
        .merge(series::routes())
        .merge(metadata::routes())
        .merge(rules::routes())
        .merge(targets::routes())
        .merge(status::routes())
        .merge(write::routes())
}
