//! Series over time on pages that are about something else: as lines of a chart, and the choice of how long a time is shown.

use crate::Api;
use crate::console::address;
use crate::console::chart::Line;
use crate::console::view::View;
use maud::{Markup, html};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::{Part, Selector, SeriesData};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};

/// Points of a line, about.
const POINTS: u64 = 300;
/// Series that one chart shows.
const LINES: usize = 20;

/// Ways to see the same charts over a shorter or a longer time, up to now. `otherwise`: what is shown where the address says nothing.
pub(super) fn ranges(view: &View, spans: &[(&str, &str)], otherwise: &str) -> Markup {
    let query = view.uri.query().unwrap_or_default();
    let given = |name: &str| {
        form_urlencoded::parse(query.as_bytes()).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    };
    let is_chosen = given("from").is_some() || given("to").is_some();
    let here = given("range").unwrap_or_else(|| otherwise.to_owned());
    html! {
        nav.tabs aria-label="Time shown" {
            @for (value, title) in spans {
                a href=(address::with(view.path(), [("range", Some(*value))])) aria-current=[(!is_chosen && *value == here).then_some("page")] { (title) }
            }
            @if is_chosen { a href=(view.address()) aria-current="page" { "the part that was chosen" } }
        }
    }
}

/// The way back where a part of a chart was chosen, on pages that otherwise show one time only.
pub(super) fn whole(view: &View) -> Markup {
    let query = view.uri.query().unwrap_or_default();
    let is_part = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "from" || name == "to");
    html! { @if is_part { p { a.button href=(view.with_all(&[("from", None), ("to", None)])) { "Show the whole time" } } } }
}

/// The series of a metric as lines, with no more points than can be seen.
pub(super) fn lines(
    api: &Api,
    metric: &str,
    of: &Labels,
    from: Timestamp,
    to: Timestamp,
    name: impl Fn(&Labels) -> String,
) -> Result<Vec<Line>, StoreError> {
    let step = Span::from_millis((to.since(from).as_millis() / POINTS).max(1000));
    let part = Part { step: Some(step), series: LINES, ..Part::all() };
    let selector = Selector { metric: metric.to_owned(), labels: of.clone() };
    let read = api.options.series.part_of_range(&selector, from, to, &part)?;
    let line = |series: SeriesData| Line {
        name: name(&series.labels),
        points: series.at.into_iter().zip(series.values).collect(),
    };
    Ok(read.series.into_iter().map(line).collect())
}
