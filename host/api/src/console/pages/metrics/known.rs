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
use quarterdeck_model::Span;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::Selector;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names for the browser's own list, where there is no script.
const OFFERED: usize = 300;
/// Examples that are shown.
const SHOWN: usize = 3;
/// Metrics that may be examples where none of [`EXAMPLES`] is there.
const LOOK_AT: usize = 50;
/// A sample counts for so long.
const LOOKBACK: Span = Span::from_secs(300);
/// By the metric that each needs. Those of the collector of this host show on a new machine that there is something to see at once.
const EXAMPLES: [(&str, &str); 6] = [
    ("cpu_usage_percent", "cpu_usage_percent"),
    ("disk_used_percent", "max by (mount) (disk_used_percent)"),
    ("memory_used_percent", "memory_used_percent"),
    ("load1", "load1"),
    ("up", "up"),
    ("probe_success", "probe_success"),
];

/// What is offered to whoever is about to ask.
#[derive(Default)]
pub(super) struct Offered {
    /// For the browser's own list.
    pub(super) names: Vec<String>,
    /// Expressions that have values now.
    pub(super) examples: Vec<String>,
}

pub(super) async fn offered(view: &View) -> Result<Offered, Problem> {
    // The script's renewal does without.
    if view.renewed {
        return Ok(Offered::default());
    }
    let api = Arc::clone(&view.api);
    blocking(move || {
        let names = api.options.series.names();
        let has_values = |metric: &str| {
            let selector = Selector { metric: metric.to_owned(), labels: Labels::new() };
            !api.options.series.latest(&selector, api.now(), LOOKBACK).is_empty()
        };
        let usual = EXAMPLES.iter().filter(|(metric, _)| has_values(metric)).map(|(_, text)| (*text).to_owned());
        let others = names.iter().take(LOOK_AT).filter(|name| !EXAMPLES.iter().any(|(metric, _)| metric == name));
        let others = others.filter(|name| has_values(name)).map(|name| selector(name, &Labels::new()));
        let examples = usual.chain(others).take(SHOWN).collect();
        Ok(Offered { examples, names: names.into_iter().take(OFFERED).collect() })
    })
    .await
}

fn described(api: &Api) -> BTreeMap<String, Vec<Described>> {
    api.options.engines.monitoring.described()
}

/// All metrics, a part at a time.
pub(super) async fn list(view: &View, params: &Params, examples: &[String]) -> Result<Markup, Problem> {
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
            @if !examples.is_empty() {
                p.muted {
                    "For example: "
                    @for (index, text) in examples.iter().enumerate() {
                        @if index > 0 { ", " } a href=(explore(&[text])) { code { (clip(text)) } }
                    }
                    "."
                }
            }
        }
    })
}
