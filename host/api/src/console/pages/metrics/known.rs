//! Which metrics there are.

use super::explore;
use crate::Api;
use crate::console::form;
use crate::console::query::selector;
use crate::console::view::View;
use crate::console::widgets::{self, clip};
use crate::extract::Params;
use crate::paging::{List, Slice, blocking, part};
use crate::problem::Problem;
use axum::Json;
use maud::{Markup, html};
use quarterdeck_engines::monitoring::Described;
use quarterdeck_model::label::Labels;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names for the browser's own list, where there is no script.
const OFFERED: usize = 300;
/// Instances of the collector of this host show that there is something to see at once.
const EXAMPLES: [&str; 3] = ["up", "cpu_usage_percent", "rate(quarterdeck_http_requests_total[5m])"];

pub(super) async fn offered(view: &View) -> Result<Vec<String>, Problem> {
    // The script's renewal does without.
    if view.renewed {
        return Ok(Vec::new());
    }
    let series = Arc::clone(&view.api.options.series);
    blocking(move || Ok(series.names().into_iter().take(OFFERED).collect())).await
}

fn described(api: &Api) -> BTreeMap<String, Vec<Described>> {
    api.options.engines.monitoring.described()
}

/// All metrics, a part at a time.
pub(super) async fn list(view: &View, params: &Params) -> Result<Markup, Problem> {
    let wanted = params.text("name")?.unwrap_or_default().to_lowercase();
    let slice = Slice::of(params)?;
    let (api, asked) = (Arc::clone(&view.api), wanted.clone());
    let (Json(List { items, next_cursor, .. }), described) = blocking(move || {
        let names = api.options.series.names().into_iter().filter(|name| name.to_lowercase().contains(&asked));
        Ok((part(names, &slice, |name: &String| name.as_str()), described(&api)))
    })
    .await?;
    let rows = items.iter().map(|name| {
        let said = described.get(name).and_then(|all| all.first());
        let kind = said.and_then(|said| serde_json::to_value(said.metric_type).ok());
        vec![
            widgets::link(&explore(&[&selector(name, &Labels::new())]), name),
            html! { (kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("–")) },
            html! { (clip(said.map_or("", |said| &said.help))) },
        ]
    });
    Ok(html! {
        @if wanted.is_empty() && items.is_empty() {
            (widgets::empty("There are no metrics yet.", "The built-in collector measures this host every few seconds; a program of yours can send its own:",
                Some("quarterdeck metric push my_metric 1")))
        } @else {
            section.card {
                h2 { "All metrics" }
                (form::filters_of(view, "Names of metrics", form::input("name", "Name has", &wanted)))
                @if items.is_empty() {
                    (widgets::empty("No metric has that in its name.", "Fewer letters find more.", None))
                } @else {
                    (widgets::table("Metrics", &["Metric", "Type", "What it is"], rows))
                }
                (widgets::pager(view, next_cursor.as_deref()))
            }
            p.muted { "For example: " @for (index, text) in EXAMPLES.iter().enumerate() { @if index > 0 { ", " } code { (text) } } "." }
        }
    })
}
