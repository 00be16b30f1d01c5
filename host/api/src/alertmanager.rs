//! `/alertmanager/api/v2`: alerts, groups and silences as Alertmanager's API has them, so that `amtool`, Prometheus and other clients of it
//! work unchanged. Answers and errors are Alertmanager's: no problem documents here.
//!
//! Reading is free where it is free elsewhere. What changes anything needs the token: `amtool --http.config.file` and Prometheus's
//! `authorization` send it. Parameters that are not known are passed over, as Alertmanager does.
//!
//! - `answer`: failures, and what handlers take; `filter`: which alerts and silences are asked for
//! - `post`: alerts that are sent, of which there may be many
//! - `alerts`, `silences`, `status`: a file per family of endpoints
//! - `original`: the configuration in Alertmanager's own form
//! - `document`: how operations here differ in the OpenAPI document

mod alerts;
mod answer;
mod document;
mod filter;
mod original;
mod post;
mod silences;
mod status;

pub(crate) use answer::Failure;
pub(crate) use document::complete;
pub(crate) use post::{Posts, largest, takes_many};

use crate::resources::Routes;

pub(crate) const PREFIX: &str = "/alertmanager/api/v2";

/// Whether the route is one of these.
pub(crate) fn has(route: &str) -> bool {
    route.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('/'))
}

pub(crate) fn routes() -> Routes {
    Routes::new().merge(status::routes()).merge(alerts::routes()).merge(post::routes()).merge(silences::routes())
}
