//! Dashboards of the configuration: the list, and one with its panels over a time.

mod panel;

use super::{Group, Page};
use crate::Api;
use crate::console::chart::Window;
use crate::console::frame::Frame;
use crate::console::query::{self, Question};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, clip, text};
use crate::console::{address, form, live};
use crate::extract::At;
use crate::paging::{List, Slice, blocking, part};
use crate::problem::Problem;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use maud::html;
use quarterdeck_model::Span;
use quarterdeck_model::domain::dashboard::PanelKind;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Dashboards",
    path: "/dashboards",
    group: Group::Watching,
    one: "Dashboard",
    words: "panels charts machine cpu memory disk network graphs",
    routes,
    find,
};

const BASE: &str = "/console/dashboards";

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/dashboards", get(list)).route("/dashboards/{name}", get(show))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for (name, dashboard) in &api.options.engines.catalog().dashboards {
        finds.offer(&dashboard.title, &[name, &dashboard.description], || address::below(BASE, name));
    }
    Ok(())
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let wanted = params.text("text")?.unwrap_or_default().to_lowercase();
    let catalog = view.api.options.engines.catalog();
    let fits = |text: &str| text.to_lowercase().contains(&wanted);
    let all =
        catalog.dashboards.iter().filter(|(name, spec)| fits(name) || fits(&spec.title) || fits(&spec.description));
    let Json(List { items, next_cursor, .. }) = part(all, &Slice::of(&params)?, |(name, _)| name.as_str());
    let rows = items.iter().map(|(name, spec)| {
        vec![
            widgets::link(&address::below(BASE, name), &spec.title),
            clip(&spec.description),
            html! { (spec.panels.len()) },
        ]
    });
    let content = html! {
        h1 { "Dashboards" }
        (form::filters(&view, form::input("text", "Has the words", &wanted)))
        (live::part("dashboards", &["configuration."], html! {
            @if items.is_empty() {
                (widgets::empty("No dashboard is like that.",
                    "A dashboard is an object of the configuration: a file in dashboards/, or set over the API. The annotated configuration shows one.",
                    Some("quarterdeck config set dashboards shop --file shop.toml")))
            } @else { (widgets::table("Dashboards", &["Dashboard", "What it shows", "Panels"], rows)) }
            (widgets::pager(&view, next_cursor.as_deref()))
        }))
    };
    Ok(view.page("Dashboards", content))
}

async fn show(view: View, At(name): At<String>) -> Result<Response, Problem> {
    let params = view.params()?;
    let catalog = view.api.options.engines.catalog();
    let Some(spec) = catalog.dashboards.get(&name) else {
        return Err(Problem::not_found(format!(
            "there is no dashboard `{name}`; hint: the list of dashboards shows those that there are"
        )));
    };
    let frame = Frame::of(&params, view.api.options.clock.now(), Span::from_secs(3600))?;
    let (from, to) = (frame.window.from, frame.window.to);
    let questions = spec.panels.iter().flat_map(|panel| {
        let over_time = panel.kind == PanelKind::Chart;
        panel.queries.iter().map(move |text| Question { text: text.clone(), over_time, at_end: !over_time })
    });
    let mut answers =
        query::ask(&view.api, questions.collect(), &frame.window, query::step(&frame.window)).await.into_iter();
    let api = Arc::clone(&view.api);
    let notes = blocking(move || query::notes(&api, &Window { from, to })).await?;
    let panels = html! {
        div.panels {
            @for spec in &spec.panels {
                @let own = answers.by_ref().take(spec.queries.len()).collect::<Vec<_>>();
                (panel::show(spec, own, &frame.window, &notes))
            }
        }
    };
    let types = ["deployment.started", "incident.opened", "configuration."];
    let content = html! {
        p.crumbs { a href=(BASE) { "Dashboards" } }
        h1 { (text(&spec.title)) }
        @if !spec.description.is_empty() { p.muted { (text(&spec.description)) } }
        (form::filters(&view, frame.inputs()))
        (frame.moments(&view))
        (live::part_every("panels", &types, frame.renewal(), panels))
    };
    Ok(view.page(&spec.title, content))
}
