//! Runbooks: what each one does, in words, and the form that starts it.

mod inputs;
mod words;

use super::{Group, Page, runs};
use crate::Api;
use crate::console::form::{self, Form};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{PRINCIPAL, address, live, time};
use crate::extract::{At, Params};
use crate::paging::{List, Slice, blocking, part};
use crate::problem::Problem;
use crate::unreadable::Unreadable;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use inputs::{Filled, Input};
use maud::{Markup, html};
use quarterdeck_engines::runbooks::StartRun;
use quarterdeck_model::domain::runbook::{Run, RunState, RunbookSpec};
use quarterdeck_model::store::Page as Part;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Runbooks",
    path: "/runbooks",
    group: Group::Acting,
    one: "Runbook",
    words: "procedures automation start run steps inputs",
    routes,
    find,
};

pub(super) use inputs::{PREFIX, as_text};
pub(super) use words::values;

pub(super) const BASE: &str = "/console/runbooks";
/// Runs that are looked at for the last one of each runbook.
const LOOK_AT: usize = 500;
/// Of one runbook that are shown beside it.
const SHOWN: usize = 10;

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/runbooks", get(list)).route("/runbooks/{slug}", get(show).post(start))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for (slug, spec) in &api.options.engines.catalog().runbooks {
        finds.offer(&spec.title, &[slug, &spec.description], || address::below(BASE, slug));
    }
    Ok(())
}

/// A runbook by its name; without a link where it was removed since.
pub(super) fn linked(view: &View, slug: &str) -> Markup {
    match view.api.options.engines.catalog().runbooks.contains_key(slug) {
        true => widgets::link(&address::below(BASE, slug), slug),
        false => clip(slug),
    }
}

async fn list(view: View) -> Result<Response, Problem> {
    let catalog = view.api.options.engines.catalog();
    let Json(List { items, next_cursor, .. }) =
        part(&catalog.runbooks, &Slice::of(&view.params()?)?, |(slug, _)| slug.as_str());
    let store = Arc::clone(&view.api.options.store);
    let told = Arc::clone(&view.api.unreadable);
    let (last, unreadable) = blocking(move || {
        let (mut last, mut unreadable) = (BTreeMap::new(), Vec::new());
        for document in store.list(Run::COLLECTION, &Part::newest(LOOK_AT))? {
            match Unreadable::or::<Run>(Run::COLLECTION, &document) {
                Ok(run) => {
                    last.entry(run.runbook.clone()).or_insert(run);
                }
                Err(one) => {
                    told.log(&one);
                    unreadable.push(one);
                }
            }
        }
        Ok((last, unreadable))
    })
    .await?;
    let rows = items.iter().map(|(slug, spec)| {
        let last = last.get(*slug);
        vec![
            html! {
                (widgets::link(&address::below(BASE, slug), &spec.title))
                @if !spec.enabled { " " (widgets::toned("switched off", Tone::Quiet)) }
                br; span.muted { code { (clip(slug)) } }
            },
            html! { (spec.steps.len()) },
            html! { (spec.inputs.len()) },
            words::triggers_short(spec),
            match last {
                Some(run) => {
                    html! { (widgets::state(run.state)) " " a href=(runs::at(run)) { (time::ago(run.started_at)) } }
                }
                None => html! { span.none { "–" } },
            },
        ]
    });
    let content = html! {
        h1 { "Runbooks" }
        (live::part("runbooks", &["run.", "configuration."], html! {
            @if items.is_empty() {
                (widgets::empty("There is no runbook.", "A runbook is a file with steps, each of which an action carries out:",
                    Some("quarterdeck config set runbooks restart-web --file restart-web.toml")))
            } @else {
                (widgets::table("Runbooks", &["Runbook", "Steps", "Inputs", "Starts by itself on", "Last run"], rows))
            }
            (widgets::unreadable(&unreadable))
            (widgets::pager(&view, next_cursor.as_deref()))
        }))
        p { a href=(runs::BASE) { "All runs" } }
    };
    Ok(view.page("Runbooks", content))
}

async fn show(view: View, At(slug): At<String>) -> Result<Response, Problem> {
    let spec = spec(&view, &slug)?;
    let params = view.params()?;
    let filled = Filled::of_query(&spec, &params)?;
    page(&view, StatusCode::OK, &slug, &spec, &filled).await
}

fn spec(view: &View, slug: &str) -> Result<RunbookSpec, Problem> {
    let catalog = view.api.options.engines.catalog();
    catalog.runbooks.get(slug).cloned().ok_or_else(|| Problem::no_document("runbooks", slug))
}

async fn page(
    view: &View,
    status: StatusCode,
    slug: &str,
    spec: &RunbookSpec,
    filled: &Filled,
) -> Result<Response, Problem> {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("runbook", slug)
        .append_pair("limit", &SHOWN.to_string())
        .finish();
    let newest = crate::resources::runs::read(&view.api, &Params::read(&query)?).await?;
    let here = address::below(BASE, slug);
    let all = address::with(runs::BASE, [("runbook", Some(slug))]);
    let content = html! {
        p.crumbs { a href=(BASE) { "Runbooks" } }
        h1 { (text(&spec.title)) }
        @if !spec.description.is_empty() { p { (text(&spec.description)) } }
        @if !spec.enabled {
            p.badges { (widgets::toned("switched off", Tone::Quiet)) " It is shown, and nothing starts it." }
        }
        div.columns {
            (widgets::section("Steps", words::steps(view, spec)))
            (widgets::section("Start it", html! {
                @if !filled.mistakes.is_empty() {
                    p.mistake role="alert" {
                        "It was not started: " (filled.mistakes.len()) " of the inputs can't be used. Each says why."
                    }
                }
                (form::sheet(view, &here, "Start", fields(spec, filled)))
                @if view.session.is_none() && !spec.inputs.is_empty() { (inputs::table(spec)) }
            }))
        }
        (widgets::section("When it starts by itself", words::triggers(spec)))
        (live::part("runs", &["run."], widgets::section("Runs", html! {
            @if newest.items.is_empty() {
                (widgets::empty("It has not run yet.", "Start it above, or from a shell:", Some(&format!("quarterdeck runbook run {slug}"))))
            } @else {
                (runs::table(&newest.items))
                @if newest.next_cursor.is_some() { p { a href=(all) { "All runs of it" } } }
            }
        })))
        (widgets::section("What is known", widgets::definitions(&[
            ("Name", html! { code { (text(slug)) } }),
            ("May take", html! { (time::span(spec.timeout)) ", then what is left of it is given up" }),
        ])))
    };
    Ok(view.page_with(status, &spec.title, content))
}

fn fields(spec: &RunbookSpec, filled: &Filled) -> Markup {
    html! {
        @if spec.inputs.is_empty() { p.muted { "It takes no inputs." } }
        @for (index, (name, default)) in spec.inputs.iter().enumerate() { (Input { index, name, default }.field(filled)) }
        (form::input("cause", "What for: the id of an incident or an alert (may be empty)", &filled.cause))
        (form::select("dry_run", "How", &[("", "Do it"), ("true", "Only say what each step would do")], filled.dry_run.then_some("true")))
    }
}

async fn start(At(slug): At<String>, form: Form) -> Result<Response, Problem> {
    let spec = spec(&form.view, &slug)?;
    let filled = Filled::of_form(&spec, &form);
    let inputs = match filled.values(&spec) {
        Ok(inputs) => inputs,
        Err(filled) => return page(&form.view, StatusCode::UNPROCESSABLE_ENTITY, &slug, &spec, &filled).await,
    };
    let request = StartRun {
        inputs,
        dry_run: filled.dry_run,
        principal: PRINCIPAL.to_owned(),
        cause: Some(filled.cause).filter(|cause| !cause.is_empty()),
        ancestors: Vec::new(),
    };
    let run = form.view.api.options.engines.runbooks.start(&slug, request).await?;
    let said = if run.state == RunState::Running {
        "It is under way."
    } else {
        "Nothing was done: this is what each step would do."
    };
    form.done(&runs::at(&run), said)
}
