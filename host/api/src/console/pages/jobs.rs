//! Jobs: what runs when, how it went the last time, and running one now.

use super::{Group, Page};
use crate::Api;
use crate::console::form::{self, Action, Form};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{address, live, time};
use crate::extract::{At, bad};
use crate::paging::{List, Slice, part};
use crate::problem::Problem;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use maud::{Markup, html};
use quarterdeck_model::domain::job::{JobStatus, Missed, Schedule};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Jobs",
    path: "/jobs",
    group: Group::Host,
    one: "Job",
    words: "schedule cron interval run now next last",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/jobs";
/// Seconds from one look to the next: runs of jobs are no events.
const TICK: u32 = 3;

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/jobs", get(list)).route("/jobs/{name}", get(show).post(run))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for job in api.options.scheduler.list() {
        finds.offer(&job.spec.name, &[], || address::below(BASE, &job.spec.name));
    }
    Ok(())
}

/// How the last run ended, as far as there was one.
fn outcome(job: &JobStatus) -> &'static str {
    match (job.running > 0, job.last_run, &job.last_error) {
        (true, ..) => "running",
        (_, None, _) => "not yet",
        (_, _, Some(_)) => "failed",
        _ => "succeeded",
    }
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let mut jobs = view.api.options.scheduler.list();
    let kind = |job: &JobStatus| job.spec.name.split('/').next().unwrap_or_default().to_owned();
    let mut kinds: BTreeSet<String> = jobs.iter().map(kind).collect();
    let (wanted, state) = (params.text("kind")?, params.text("state")?);
    if state.is_some_and(|state| !["running", "failed", "succeeded", "not yet"].contains(&state)) {
        return Err(bad("state", "there is no such state; hint: choose `running`, `failed`, `succeeded` or `not yet`"));
    }
    jobs.retain(|job| {
        wanted.is_none_or(|wanted| kind(job) == wanted) && state.is_none_or(|state| outcome(job) == state)
    });
    jobs.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
    let total = jobs.len();
    let Json(List { items, next_cursor, .. }) = part(jobs, &Slice::of(&params)?, |job| &job.spec.name);
    kinds.extend(wanted.map(str::to_owned));
    let kinds: Vec<(&str, &str)> =
        std::iter::once(("", "any")).chain(kinds.iter().map(|kind| (kind.as_str(), kind.as_str()))).collect();
    let states =
        [("", "any"), ("failed", "failed"), ("running", "running"), ("succeeded", "succeeded"), ("not yet", "not yet")];
    let content = html! {
        h1 { "Jobs" }
        (form::filters(&view, html! {
            (form::select("kind", "Kind", &kinds, wanted))
            (form::select("state", "Last run", &states, state))
        }))
        (live::ticking("jobs", &["configuration."], TICK, html! {
            @if items.is_empty() {
                (widgets::empty("No jobs here.", "What runs on a schedule follows from the configuration: collectors, rules, scans, objectives. With fewer filters there may be more.",
                    Some("quarterdeck job list")))
            } @else {
                p.muted { (total) @if total == 1 { " job" } @else { " jobs" } }
                (table(&items))
            }
            (widgets::pager(&view, next_cursor.as_deref()))
        }))
    };
    Ok(view.page("Jobs", content))
}

fn table(jobs: &[JobStatus]) -> Markup {
    let rows = jobs.iter().map(|job| {
        vec![
            widgets::link(&address::below(BASE, &job.spec.name), &job.spec.name),
            schedule(&job.spec.schedule),
            state(job),
            time::maybe(job.last_run),
            job.last_duration.map_or_else(|| html! { span.none { "–" } }, |took| html! { (time::span(took)) }),
            time::maybe(job.next_run),
            html! { (job.runs) @if job.failures > 0 { ", " (job.failures) " failed" } @if job.missed > 0 { ", " (job.missed) " left out" } },
        ]
    });
    widgets::table("Jobs", &["Job", "When", "Last run", "Began", "Took", "Next", "Runs"], rows)
}

fn state(job: &JobStatus) -> Markup {
    let word = outcome(job);
    html! {
        (widgets::toned(word, if word == "running" { Tone::Busy } else { Tone::of(word) }))
        @if let Some(error) = &job.last_error { br; span.muted { (clip(error)) } }
    }
}

fn schedule(schedule: &Schedule) -> Markup {
    match schedule {
        Schedule::Every(span) => html! { "every " (time::span(*span)) },
        Schedule::Cron { expression, zone } => html! { code { (clip(expression)) } " in " (clip(zone)) },
    }
}

async fn show(view: View, At(name): At<String>) -> Result<Response, Problem> {
    let job = view.api.options.scheduler.get(&name).ok_or_else(|| Problem::no_document("jobs", &name))?;
    let to = address::below(BASE, &name);
    let content = html! {
        p.crumbs { a href=(BASE) { "Jobs" } }
        h1 { (text(&name)) }
        (form::actions(&view, &[Action { to: &to, label: "Run now", ..Action::default() }]))
        (live::ticking("job", &["configuration."], TICK, html! {
            p.badges { (widgets::toned(outcome(&job), if job.running > 0 { Tone::Busy } else { Tone::of(outcome(&job)) })) }
            @if let Some(error) = &job.last_error { p.mistake { "The last run failed: " (text(error)) } }
            (widgets::section("How it goes", widgets::definitions(&[
                ("Last run", time::maybe(job.last_run)),
                ("Took", job.last_duration.map_or_else(|| html! { span.none { "–" } }, |took| html! { (time::span(took)) })),
                ("Next run", time::maybe(job.next_run)),
                ("Under way", html! { (job.running) " of " (job.spec.concurrency) " at once" }),
                ("Since the start", html! { (job.runs) " runs, " (job.failures) " failed, " (job.missed) " left out" }),
            ])))
            (widgets::section("When it runs", widgets::definitions(&[
                ("Schedule", schedule(&job.spec.schedule)),
                ("Spread", html! { "up to " (time::span(job.spec.jitter)) " behind the plan, always the same for one job" }),
                ("First run", html! { @if job.spec.at_start { "at the host's start" } @else { "when its time comes" } }),
                ("What can't run in time", html! {
                    @match job.spec.missed {
                        Missed::Skip => "is left out, and counted",
                        Missed::RunOnce => "runs once, as soon as possible, however often it was missed",
                    }
                }),
            ])))
        }))
    };
    Ok(view.page(&name, content))
}

async fn run(At(name): At<String>, form: Form) -> Result<Response, Problem> {
    form.view.api.options.scheduler.run_now(&name)?;
    form.done(&address::below(BASE, &name), "It runs now, beside its schedule.")
}
