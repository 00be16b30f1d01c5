//! The host itself: what it is, how much room it has, and how far behind its parts are.

use super::{Group, Page, finds_nothing};
use crate::console::view::View;
use crate::console::widgets::{self, Tone, bytes, clip, text};
use crate::console::{live, time};
use crate::paging::blocking;
use crate::problem::Problem;
use crate::resources::status::Status;
use crate::{Api, STREAMS};
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_model::effect::DEAD_LETTERS;
use quarterdeck_model::store::Page as Part;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub(super) const PAGE: Page = Page {
    title: "This host",
    path: "/host",
    group: Group::Host,
    one: "",
    words: "status version store disk free space consumers lag outbox event loop requests",
    routes,
    find: finds_nothing,
};

/// Dead letters that are counted.
const COUNTED: usize = 10_000;
/// Events that a consumer may be behind for a moment.
const BEHIND: u64 = 1000;
/// Free space below which the store is near its end.
const LITTLE_SPACE: u64 = 1 << 30;
/// Until a task begins.
const LATE: Duration = Duration::from_millis(50);
/// Routes that are shown, those that took longest.
const ROUTES: usize = 15;

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/host", get(show))
}

struct Known {
    status: Status,
    /// By name: events that it has not acknowledged.
    consumers: BTreeMap<String, u64>,
    dead: usize,
    /// How long a task of one's own waited for its turn.
    turn: Duration,
}

async fn known(api: &Arc<Api>) -> Result<Known, Problem> {
    let began = Instant::now();
    let turn = tokio::spawn(async move { began.elapsed() }).await.unwrap_or_default();
    let status = Status::of(api).await?;
    let store = Arc::clone(&api.options.store);
    let (consumers, dead) = blocking(move || {
        let head = store.head().0;
        let consumers = store.consumers()?.into_iter().map(|(name, at)| (name, head.saturating_sub(at.0))).collect();
        Ok((consumers, store.list(DEAD_LETTERS, &Part::newest(COUNTED))?.len()))
    })
    .await?;
    Ok(Known { status, consumers, dead, turn })
}

async fn show(view: View) -> Result<Response, Problem> {
    let known = known(&view.api).await?;
    let status = &known.status;
    let content = html! {
        h1 { "This host" }
        (live::ticking("host", &["configuration.", "instance.state-changed"], 5, html! {
            (checks(status))
            div.columns {
                (widgets::section("What it is", facts(status)))
                (widgets::section("Store", store(status)))
                (widgets::section("Consumers of the bus", consumers(&known.consumers)))
                (widgets::section("What is under way", under_way(&view.api, &known)))
                (widgets::section("Event loop", event_loop(&known)))
                (widgets::section("Plugins and instances", tallies(status)))
            }
            (widgets::section("Requests", requests(&view.api)))
        }))
        p.muted { "The same for machines: " code { "/metrics" } ", " code { "/healthz" } ", " code { "/readyz" } ", " code { "quarterdeck status" } "." }
    };
    Ok(view.page("This host", content))
}

fn checks(status: &Status) -> Markup {
    html! {
        ul.badges {
            @for check in &status.checks {
                li {
                    (widgets::toned(check.name, if check.ok { Tone::Good } else { Tone::Bad }))
                    @if let Some(reason) = &check.reason { " " (text(reason)) }
                }
            }
            @if status.configuration.refused > 0 {
                li { (widgets::toned("configuration refused", Tone::Warning)) " " a href="/console/configuration/problems" { "why" } }
            }
        }
    }
}

fn facts(status: &Status) -> Markup {
    widgets::definitions(&[
        ("Version", clip(&status.version)),
        ("Started", time::ago(status.started_at)),
        ("Up for", html! { (time::span(status.uptime)) }),
        ("Its clock", time::at(status.now)),
        (
            "Audit",
            html! {
                @if status.audit.lost == 0 { "no record was lost" }
                @else { (widgets::toned("lost", Tone::Bad)) " " (status.audit.lost) " records of what plugins did, since the start" }
            },
        ),
    ])
}

fn store(status: &Status) -> Markup {
    let store = &status.store;
    html! {
        p {
            @if store.writable { (widgets::toned("takes writes", Tone::Good)) } @else { (widgets::toned("takes no writes", Tone::Bad)) }
            @if let Some(reason) = &store.reason { " " (text(reason)) }
        }
        (widgets::definitions(&[
            ("Size", html! { (bytes(store.size_bytes)) }),
            ("Free on its disk", html! {
                (bytes(store.free_bytes))
                @if store.free_bytes < LITTLE_SPACE { " " (widgets::toned("little", Tone::Warning)) }
            }),
            ("Newest event", html! { (status.log.head) }),
            ("Oldest event", html! { "behind " (status.log.tail) }),
        ]))
    }
}

fn consumers(consumers: &BTreeMap<String, u64>) -> Markup {
    if consumers.is_empty() {
        return html! { p.muted { "None is known to the store yet." } };
    }
    widgets::table(
        "Consumers",
        &["Consumer", "Behind", "State"],
        consumers.iter().map(|(name, behind)| {
            let state = match behind {
                0 => widgets::toned("up to date", Tone::Good),
                1..=BEHIND => widgets::toned("at work", Tone::Good),
                _ => widgets::toned("behind", Tone::Warning),
            };
            vec![html! { code { (clip(name)) } }, html! { (behind) " events" }, state]
        }),
    )
}

fn under_way(api: &Api, known: &Known) -> Markup {
    let outbox = &api.options.engines.outbox;
    let (jobs, open) = (&known.status.jobs, STREAMS.saturating_sub(api.streams.available_permits()));
    widgets::definitions(&[
        ("Outbox", html! { (outbox.depth()) " effects wait or run, " (outbox.in_flight()) " of them run" }),
        (
            "Outbox works",
            html! {
                @if outbox.is_over() { (widgets::toned("no", Tone::Bad)) " the store has failed" } @else { (widgets::toned("yes", Tone::Good)) }
            },
        ),
        (
            "Dead letters",
            html! {
                (known.dead) @if known.dead > 0 { " " (widgets::toned("look at them", Tone::Warning)) " " a href=(super::dead_letters::BASE) { "All of them" } }
            },
        ),
        ("Jobs", html! { (jobs.jobs) " scheduled, " (jobs.running) " run, " (jobs.queued) " wait for a slot" }),
        (
            "Event streams",
            html! { (open) " of " (STREAMS) " open, " (api.cut_off.load(Ordering::Relaxed)) " were cut off as too slow" },
        ),
    ])
}

fn event_loop(known: &Known) -> Markup {
    let runtime = tokio::runtime::Handle::current();
    let metrics = runtime.metrics();
    widgets::definitions(&[
        (
            "A task's turn",
            html! {
                (known.turn.as_micros()) " µs after it was asked for "
                @if known.turn > LATE { (widgets::toned("late", Tone::Warning)) } @else { (widgets::toned("in time", Tone::Good)) }
            },
        ),
        ("Threads", html! { (metrics.num_workers()) }),
        ("Tasks", html! { (metrics.num_alive_tasks()) }),
        ("Wait for a thread", html! { (metrics.global_queue_depth()) " tasks" }),
    ])
}

fn tallies(status: &Status) -> Markup {
    let row = |what: &'static str, to: &'static str, tally: &BTreeMap<String, u64>| {
        let words = tally.iter().map(|(word, count)| html! { (widgets::state(word)) " " (count) " " });
        vec![html! { a href=(to) { (what) } }, html! { @for word in words { (word) } }]
    };
    widgets::table(
        "Plugins and instances",
        &["What", "States"],
        [
            row("Plugins", super::plugins::BASE, &status.plugins),
            row("Instances", super::instances::BASE, &status.instances),
        ],
    )
}

fn requests(api: &Api) -> Markup {
    let mut counts: Vec<_> = api.requests.counts().into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(count.time));
    let shown = counts.len().min(ROUTES);
    html! {
        @if counts.is_empty() { p.muted { "None yet." } } @else {
            p.muted { "Those " (shown) " of " (counts.len()) " that took longest together." }
            (widgets::table("Requests", &["Method", "Route", "Status", "Requests", "Mean"], counts.iter().take(shown).map(|(key, count)| {
                let mean = count.time.as_secs_f64() * 1000.0 / (count.requests as f64).max(1.0);
                vec![
                    html! { (key.method) },
                    html! { code { (clip(&key.route)) } },
                    html! { (key.status) },
                    html! { (count.requests) },
                    html! { (crate::console::chart::number(mean)) " ms" },
                ]
            })))
        }
    }
}
