//! Runs of runbooks: the list, and one as it goes on: steps, what they were given and what they gave.

mod steps;

use super::runbooks;
use super::{Group, Page, cause};
use crate::Api;
use crate::console::form::{self, Action, Form};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{address, live, time};
use crate::extract::At;
use crate::paging::{List, blocking};
use crate::problem::Problem;
use crate::resources::runs;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use quarterdeck_model::domain::runbook::{Run, RunState, StepState};
use quarterdeck_model::effect::{OUTBOX, Pending};
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Runs",
    path: "/runs",
    group: Group::Acting,
    one: "Run",
    words: "runbook running failed output cancel",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/runs";

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/runs", get(list)).route("/runs/{id}", get(show)).route("/runs/{id}/cancel", post(cancel))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    api.glances.runs.read(&*api.options.store, |all| {
        for (id, run) in all.iter().rev() {
            finds.offer_known(&run.words, || (run.title.clone(), address::below(BASE, id)));
        }
    })?;
    Ok(())
}

/// Where the run is shown.
pub(super) fn at(run: &Run) -> String {
    address::below(BASE, run.id.as_str())
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let List { items, next_cursor, unreadable } = runs::read(&view.api, &params).await?;
    let catalog = view.api.options.engines.catalog();
    let (state, runbook) = (params.text("state")?, params.text("runbook")?);
    let states = [
        ("", "any"),
        ("running", "running"),
        ("succeeded", "succeeded"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
        ("timed-out", "timed out"),
        ("planned", "planned (dry run)"),
    ];
    let mut slugs: Vec<(&str, &str)> = std::iter::once(("", "any"))
        .chain(catalog.runbooks.keys().map(|slug| (slug.as_str(), slug.as_str())))
        .collect();
    // One that was removed since still has runs.
    slugs.extend(runbook.filter(|chosen| !catalog.runbooks.contains_key(*chosen)).map(|chosen| (chosen, chosen)));
    let content = html! {
        h1 { "Runs" }
        (form::filters(&view, html! {
            (form::select("state", "State", &states, state))
            (form::select("runbook", "Runbook", &slugs, runbook))
        }))
        (live::part("runs", &["run."], html! {
            @if items.is_empty() {
                (widgets::empty("No runs here.", "With fewer filters there may be more. A runbook is started from its page, from an incident, or from a shell:",
                    Some("quarterdeck runbook run <name>")))
            } @else { (table(&items)) }
            (widgets::unreadable(&unreadable))
            (widgets::pager(&view, next_cursor.as_deref()))
        }))
        p { a href=(runbooks::BASE) { "All runbooks" } }
    };
    Ok(view.page("Runs", content))
}

/// Also for the page of a runbook.
pub(super) fn table(runs: &[Run]) -> Markup {
    let rows = runs.iter().map(|run| {
        vec![
            html! { (widgets::link(&at(run), &run.spec.title)) @if run.dry_run { " " (widgets::toned("dry run", Tone::Quiet)) } },
            widgets::state(run.state),
            progress(run),
            html! { (clip(&run.principal)) @if let Some(id) = &run.cause { " for " (cause(id)) } },
            time::ago(run.started_at),
            took(run),
        ]
    });
    widgets::table("Runs", &["Runbook", "State", "Steps", "Started by", "Started", "Took"], rows)
}

fn progress(run: &Run) -> Markup {
    let over = |state| !matches!(state, StepState::Waiting | StepState::Running);
    let done = run.steps.iter().filter(|step| over(step.state)).count();
    let at = run.steps.iter().find(|step| step.state == StepState::Running);
    html! { (done) " of " (run.steps.len()) @if let Some(step) = at { ", at " (clip(&step.name)) } }
}

fn took(run: &Run) -> Markup {
    match run.finished_at {
        Some(end) => html! { (time::span(end.since(run.started_at))) },
        None => time::going_on(run.started_at),
    }
}

async fn show(view: View, At(id): At<String>) -> Result<Response, Problem> {
    let (store, wanted) = (Arc::clone(&view.api.options.store), id.clone());
    let (run, pending) = blocking(move || {
        let found = store.get(Run::COLLECTION, &wanted)?;
        let run: Run = found.ok_or_else(|| Problem::no_document(Run::COLLECTION, &wanted))?.decode()?;
        let in_flight =
            run.steps.iter().find(|step| step.state == StepState::Running).and_then(|step| step.effect.as_ref());
        let pending = in_flight.map(|effect| store.get(OUTBOX, effect.as_str())).transpose()?.flatten();
        Ok((run, pending.and_then(|document| document.decode::<Pending>().ok())))
    })
    .await?;
    // What a step prints and does while it goes on is told by the log of its instance.
    let concerns: &[&str] = if run.state == RunState::Running { &["run.", "effect.", "audit."] } else { &["run."] };
    let content = html! {
        p.crumbs { a href=(BASE) { "Runs" } " / " (runbooks::linked(&view, &run.runbook)) }
        h1 { (text(&run.spec.title)) }
        (live::going_on("run", concerns, run.state == RunState::Running, html! {
            p.badges {
                (widgets::state(run.state))
                @if run.dry_run { " " (widgets::toned("dry run", Tone::Quiet)) " Nothing was done; each step says what it would do." }
            }
            @if let Some(error) = &run.error { p.mistake { (text(error)) } }
            (offers(&view, &run))
            (widgets::section("Steps", html! {
                @if run.state == RunState::Running { p.muted { (progress(&run)) " steps are over." } }
                (steps::list(&view, &run, pending.as_ref()))
            }))
            (widgets::section("What is known", facts(&view, &run)))
        }))
    };
    Ok(view.page(&run.spec.title, content))
}

fn offers(view: &View, run: &Run) -> Markup {
    let to = format!("{}/cancel", at(run));
    let mut actions = Vec::new();
    if run.state == RunState::Running {
        actions.push(Action {
            to: &to,
            label: "Cancel",
            effect: Some("Ends the run now: no further step begins, and the one under way is told to stop where it can be. What has been done stays done."),
            dangerous: true,
            ..Action::default()
        });
    }
    let is_known = view.api.options.engines.catalog().runbooks.contains_key(&run.runbook);
    html! {
        @if !actions.is_empty() { (form::actions(view, &actions)) }
        @if is_known { p { a.button href=(again(run)) { "Run it again…" } } }
    }
}

/// The form of its runbook, filled in as it was for this run.
fn again(run: &Run) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in &run.inputs {
        query.append_pair(&format!("{}{name}", runbooks::PREFIX), &runbooks::as_text(value));
    }
    if let Some(cause) = &run.cause {
        query.append_pair("cause", cause);
    }
    if run.dry_run {
        query.append_pair("dry_run", "true");
    }
    let (page, query) = (address::below(runbooks::BASE, &run.runbook), query.finish());
    // What is too long for an address is left to whoever fills it in.
    if query.is_empty() || query.len() > 4_000 { page } else { format!("{page}?{query}") }
}

fn facts(view: &View, run: &Run) -> Markup {
    let inputs = run.inputs.iter().map(|(name, value)| (name.as_str(), value));
    widgets::definitions(&[
        ("Id", html! { code { (text(run.id.as_str())) } }),
        ("Started", html! { (time::ago(run.started_at)) " by " (clip(&run.principal)) }),
        ("For", run.cause.as_deref().map_or_else(|| html! { span.none { "–" } }, cause)),
        (
            "Led to by runs of",
            html! {
                @if run.ancestors.is_empty() { span.none { "–" } }
                @for (index, slug) in run.ancestors.iter().enumerate() {
                    @if index > 0 { ", then " }
                    (runbooks::linked(view, slug))
                }
            },
        ),
        ("Ended", time::maybe(run.finished_at)),
        ("Took", took(run)),
        ("Given up on", html! { (time::at(run.deadline)) ", if it has not ended by then" }),
        (
            "Inputs",
            if run.inputs.is_empty() {
                html! { span.none { "–" } }
            } else {
                runbooks::values(inputs)
            },
        ),
    ])
}

async fn cancel(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    form.view.api.options.engines.runbooks.cancel(&id, form.asked()).await?;
    form.done(&address::below(BASE, &id), "The run is cancelled. What has been done stays done.")
}
