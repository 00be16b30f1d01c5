//! Objectives: what was attained, what is left of the budget, and how both went over time.

use super::overview::percent;
use super::{Group, Page, instance, over, plugin};
use crate::Api;
use crate::console::chart::{Chart, Window};
use crate::console::form;
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{address, live, query, time};
use crate::extract::At;
use crate::paging::{List, blocking};
use crate::problem::Problem;
use crate::resources::slos;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_model::domain::slo::{Figures, SloSpec, SloState, SloStatus};
use quarterdeck_model::label::Labels;
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Objectives",
    path: "/slos",
    group: Group::Watching,
    one: "Objective",
    words: "slo sla service level error budget attainment burn",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/slos";
const RANGE: Span = Span::from_secs(86_400);
const RANGES: [(&str, &str); 5] =
    [("1h", "1 hour"), ("6h", "6 hours"), ("1day", "1 day"), ("7days", "7 days"), ("30days", "30 days")];
/// Seconds from one look at the figures to the next: that they change is no event.
const TICK: u32 = 15;
/// Over which the change of the budget is told.
const CHANGES: [(&str, u64); 3] = [("hour", 3600), ("6 hours", 6 * 3600), ("day", 86_400)];
/// How far from the time that is asked for a figure may be.
const NEAR: Span = Span::from_secs(600);

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/slos", get(list)).route("/slos/{name}", get(show))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for (name, spec) in &api.options.engines.catalog().slos {
        finds.offer(name, &[&spec.description], || address::below(BASE, name));
    }
    Ok(())
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let List { items, next_cursor, unreadable } = slos::read(&view.api, &params).await?;
    let catalog = view.api.options.engines.catalog();
    let state = params.text("state")?;
    let is_whole = state.is_none() && params.text("cursor")?.is_none() && next_cursor.is_none();
    let waiting = catalog.slos.iter().filter(|(name, _)| is_whole && !items.iter().any(|slo| slo.name == **name));
    let waiting: Vec<_> = waiting.map(|(name, spec)| (name.as_str(), spec.enabled)).collect();
    let content = html! {
        h1 { "Objectives" }
        (form::filters(&view, form::select("state", "State",
            &[("", "any"), ("met", "met"), ("breached", "breached"), ("no-data", "no data")], state)))
        (live::ticking("slos", &["slo.", "calculation.", "configuration."], TICK, html! {
            @if items.is_empty() && waiting.is_empty() {
                (widgets::empty("No objectives here.", "With fewer filters there may be more. An objective says how much of the time something has to be well, and how much budget is left:",
                    Some("quarterdeck config set slos checkout --file slo.toml")))
            }
            @if !items.is_empty() { (table(&items)) }
            @if !waiting.is_empty() {
                p.muted {
                    "Not calculated yet: "
                    @for (index, (name, enabled)) in waiting.iter().enumerate() {
                        @if index > 0 { ", " } (clip(name)) @if !enabled { " (switched off)" }
                    }
                }
            }
            (widgets::unreadable(&unreadable))
            (widgets::pager(&view, next_cursor.as_deref()))
        }))
    };
    Ok(view.page("Objectives", content))
}

fn table(slos: &[SloStatus]) -> Markup {
    let rows = slos.iter().map(|slo| {
        vec![
            html! {
                (widgets::link(&address::below(BASE, &slo.name), &slo.name))
                @if !slo.spec.description.is_empty() { br; span.muted { (clip(&slo.spec.description)) } }
            },
            state(slo),
            html! { (attained(&slo.spec, slo.attainment.adjusted.attained)) },
            target(&slo.spec),
            budget(slo),
            html! { (time::span(slo.spec.window)) },
            time::ago(slo.calculated_at),
        ]
    });
    widgets::table(
        "Objectives",
        &["Objective", "State", "Attained", "Target", "Budget left", "Over", "Calculated"],
        rows,
    )
}

fn state(slo: &SloStatus) -> Markup {
    html! {
        @match slo.state {
            SloState::NoData => (widgets::toned("no-data", Tone::Warning)),
            state => (widgets::state(state)),
        }
        @if slo.error.is_some() { " " (widgets::toned("can't be calculated", Tone::Warning)) }
    }
}

/// What is attained, in percent or in the unit of the metric.
pub(super) fn attained(spec: &SloSpec, value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| Figures::of(spec).attained(value))
}

fn target(spec: &SloSpec) -> Markup {
    match Figures::of(spec).target() {
        Some(target) => html! { (target) },
        None => html! { span.muted { "its calculator's" } },
    }
}

fn budget(slo: &SloStatus) -> Markup {
    match slo.attainment.budget_left {
        Some(left) => html! { (widgets::meter("budget left", left)) " " (percent(left)) },
        None => html! { span.none { "–" } },
    }
}

async fn show(view: View, At(name): At<String>) -> Result<Response, Problem> {
    let slo: SloStatus = crate::precondition::find(&view.api, SloStatus::COLLECTION, &name)?.decode()?;
    // What is in memory is that of the last calculation; the document is written less often.
    let slo = view.api.options.engines.slos.get(&name).unwrap_or(slo);
    let now = view.api.now();
    let window = Window::of(&view.params()?, now, RANGE)?;
    let api = Arc::clone(&view.api);
    let of = Labels::new().with("slo", &name);
    let spec = slo.spec.clone();
    let (charts, changes) =
        blocking(move || Ok((charts(&api, &spec, &of, &window)?, changes(&api, &of, now)?))).await?;
    let content = html! {
        p.crumbs { a href=(BASE) { "Objectives" } }
        h1 { (text(&slo.name)) }
        @if !slo.spec.description.is_empty() { p { (text(&slo.spec.description)) } }
        (live::ticking("slo", &["slo.", "calculation."], TICK, html! {
            p.badges { (state(&slo)) @if slo.at_risk { " " (widgets::toned("told as breached", Tone::Bad)) } }
            @if let Some(error) = &slo.error { p.mistake { (text(error)) } }
            (widgets::section("How it is", figures(&slo, &changes)))
            (over::ranges(&view, &RANGES, "1day"))
            @for chart in &charts { (chart.show()) }
            @if !slo.spec.exclusions.is_empty() { (widgets::section("Times that do not count", exclusions(&slo.spec))) }
            (widgets::section("What is known", facts(&view, &slo)))
        }))
    };
    Ok(view.page(&slo.name, content))
}

fn figures(slo: &SloStatus, changes: &[(&str, f64)]) -> Markup {
    let attained = |value: Option<f64>| attained(&slo.spec, value);
    let (adjusted, raw) = (&slo.attainment.adjusted, &slo.attainment.raw);
    let count = |value: f64| crate::console::chart::number(value);
    widgets::definitions(&[
        (
            "Attained",
            html! { strong { (attained(adjusted.attained)) } ": " (count(adjusted.good)) " good of " (count(adjusted.total)) },
        ),
        ("Target", target(&slo.spec)),
        ("Budget left", budget(slo)),
        (
            "Change of the budget",
            html! {
                @if changes.is_empty() { span.none { "–" } }
                @for (index, (over, change)) in changes.iter().enumerate() {
                    @if index > 0 { ", " }
                    @if *change > 0.0 { "+" } (percent(*change)) " in the last " (over)
                }
            },
        ),
        (
            "With what does not count",
            html! { (attained(raw.attained)) ": " (count(raw.good)) " good of " (count(raw.total)) },
        ),
        ("Over", html! { (time::span(slo.spec.window)) ": " (time::at(slo.from)) " to " (time::at(slo.to)) }),
        (
            "Complete since",
            match slo.complete_since {
                Some(since) => html! { (time::at(since)) ": what came before was calculated in another way" },
                None => html! { "the beginning of the window" },
            },
        ),
    ])
}

fn facts(view: &View, slo: &SloStatus) -> Markup {
    let series = |labels: &Labels| html! { code { (clip(&slo.spec.select.metric)) } " " (widgets::labels(labels)) };
    widgets::definitions(&[
        (
            "Calculated",
            html! { (time::ago(slo.calculated_at)) " by " (instance(view, &slo.spec.calculator)) ", " (plugin(slo.plugin.as_ref())) },
        ),
        ("From the series", series(&slo.spec.select.labels)),
        ("Data since", time::maybe(slo.observed_since)),
        (
            "Told when missed",
            html! { (widgets::severity(slo.spec.severity)) ", with at least " (slo.spec.minimum_samples) " samples" },
        ),
        ("Labels", widgets::labels(&slo.spec.labels)),
        (
            "Settings",
            if slo.spec.config.is_empty() {
                html! { span.muted { "those of its calculator" } }
            } else {
                widgets::json(&serde_json::Value::Object(slo.spec.config.clone()))
            },
        ),
    ])
}

fn exclusions(spec: &SloSpec) -> Markup {
    let rows = spec.exclusions.iter().map(|excluded| {
        vec![time::at(excluded.from), time::at(excluded.to), clip(&excluded.author), text(&excluded.reason)]
    });
    widgets::table("Times that do not count", &["From", "To", "By", "Why"], rows)
}

fn charts(api: &Api, spec: &SloSpec, of: &Labels, window: &Window) -> Result<Vec<Chart<'static>>, Problem> {
    let (from, to) = (window.from, window.to);
    let one = |title: &'static str, metric: &str, name: &str, is_share: bool| {
        let mut lines = over::lines(api, metric, of, from, to, |_| name.to_owned())?;
        for (_, value) in lines.iter_mut().flat_map(|line| line.points.iter_mut()).filter(|_| is_share) {
            *value *= 100.0;
        }
        let notes = query::notes(api, window)?;
        Ok::<_, Problem>(Chart { title, unit: if is_share { "%" } else { "" }, from, to, lines, notes })
    };
    Ok(vec![
        one("Budget left", "slo_error_budget_left_ratio", "budget left", true)?,
        one("Attained", "slo_attained", "attained", !Figures::of(spec).is_measured())?,
    ])
}

/// How the budget has changed: over the last hour, and so on, as far as there are figures of then.
fn changes(api: &Api, of: &Labels, now: Timestamp) -> Result<Vec<(&'static str, f64)>, StoreError> {
    let longest = Span::from_secs(CHANGES.iter().map(|(_, seconds)| *seconds).max().unwrap_or_default());
    let from = now.minus(longest).minus(NEAR);
    let lines = over::lines(api, "slo_error_budget_left_ratio", of, from, now, |_| String::new())?;
    let points = lines.first().map(|line| line.points.as_slice()).unwrap_or_default();
    let Some((_, last)) = points.last() else { return Ok(Vec::new()) };
    let change = |(over, seconds): (&'static str, u64)| {
        let then = now.minus(Span::from_secs(seconds));
        let (at, value) = points.iter().rev().find(|(at, _)| *at <= then)?;
        (then.since(*at) <= NEAR).then_some((over, last - value))
    };
    Ok(CHANGES.into_iter().filter_map(change).collect())
}
