//! Processes that the host runs for instances, and what they printed.

use super::{Group, Page, instances};
use crate::Api;
use crate::console::form;
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, clip, text};
use crate::console::{address, live, time};
use crate::extract::At;
use crate::paging::{List, blocking};
use crate::problem::Problem;
use crate::resources::processes;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::process::Process;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Processes",
    path: "/processes",
    group: Group::Host,
    one: "Process",
    words: "supervisor programs pid restarts replicas printed output",
    routes,
    find,
};

const BASE: &str = "/console/processes";
/// Lines of what a process printed.
const LINES: usize = 400;
/// Nothing is told of most changes of a process: they are looked for.
const EVERY: u32 = 5;

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/processes", get(list)).route("/processes/{plugin}/{name}/{process}", get(show))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for process in api.options.processes.list() {
        finds.offer(&process.id, &[&process.program], || at(&process.instance, &process.name));
    }
    Ok(())
}

fn at(instance: &InstanceName, name: &str) -> String {
    let (plugin, rest) = instance.as_str().split_once('/').unwrap_or((instance.as_str(), ""));
    address::below(&address::below(&address::below(BASE, plugin), rest), name)
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let (instance, state) = (params.text("instance")?.map(str::to_owned), params.text("state")?.map(str::to_owned));
    let List { items, next_cursor, .. } = processes::read(&view.api, &params)?;
    let states = [
        ("", "any"),
        ("starting", "starting"),
        ("healthy", "healthy"),
        ("unhealthy", "unhealthy"),
        ("stopping", "stopping"),
        ("exited", "exited"),
    ];
    let shown = html! {
        @if items.is_empty() {
            (widgets::empty("No processes here.", "The host runs programs for instances that are granted `process`, replicas of a deployment for one:",
                Some("quarterdeck deploy <service> <revision>")))
        } @else { (table(&view.api, &items)) }
        (widgets::pager(&view, next_cursor.as_deref()))
    };
    let content = html! {
        h1 { "Processes" }
        (form::filters(&view, html! {
            (form::input("instance", "Instance", instance.as_deref().unwrap_or_default()))
            (form::select("state", "State", &states, state.as_deref()))
        }))
        (live::ticking("processes", &["deployment."], EVERY, shown))
    };
    Ok(view.page("Processes", content))
}

/// Also for an instance.
pub(super) fn table(api: &Api, processes: &[Process]) -> Markup {
    widgets::table(
        "Processes",
        &["Process", "Instance", "State", "Health", "Since", "Pid", "Restarts", "Last words"],
        processes.iter().map(|process| {
            let last = process.last_words.as_deref().and_then(|words| words.trim_end().lines().next_back());
            vec![
                widgets::link(&at(&process.instance, &process.name), &process.name),
                instances::linked(api, &process.instance),
                widgets::state(process.state),
                widgets::state(process.health),
                time::ago(process.since),
                process.pid.map_or_else(|| html! { span.none { "–" } }, |pid| html! { (pid) }),
                html! { (process.restarts) },
                last.map_or_else(|| html! { span.none { "–" } }, |last| html! { code { (clip(last)) } }),
            ]
        }),
    )
}

async fn show(view: View, At((plugin, instance, name)): At<(String, String, String)>) -> Result<Response, Problem> {
    let (id, instance) = (format!("{plugin}/{instance}/{name}"), InstanceName(format!("{plugin}/{instance}")));
    let (processes, signed_in) = (Arc::clone(&view.api.options.processes), view.session.is_some());
    let (wanted, owner, named) = (id.clone(), instance.clone(), name.clone());
    let (process, log) = blocking(move || {
        let process = processes.list().into_iter().find(|process| process.id == wanted);
        // As the API has it: what programs print is not meant for everybody who can reach this machine.
        let log = if signed_in { processes.log(&owner, &named, LINES).map_err(Problem::internal)? } else { None };
        if process.is_none() && log.is_none() {
            return Err(Problem::no_document("processes", &wanted));
        }
        Ok((process, log))
    })
    .await?;
    let content = html! {
        p.crumbs { a href=(BASE) { "Processes" } }
        h1 { (text(&id)) }
        (live::ticking("process", &["deployment."], EVERY, html! {
            @match &process {
                Some(process) => (facts(&view.api, process)),
                None => p.muted { "It ended a while ago; what it printed is still kept." },
            }
        }))
        (widgets::section("What it printed", html! {
            @if view.session.is_none() {
                p { "That is shown to those who are signed in." }
                (form::notice())
            } @else {
                (live::ticking("printed", &["deployment."], 3, html! {
                    @match &log {
                        Some(log) if !log.text.is_empty() => {
                            @if log.cut { p.muted { "There is more in front of it: " code { "quarterdeck process logs " (instance) " " (name) " --lines 10000" } } }
                            pre.json tabindex="0" { code { (text(&log.text)) } }
                        },
                        _ => p.muted { "Nothing." },
                    }
                }))
            }
        }))
    };
    Ok(view.page(&id, content))
}

fn facts(api: &Api, process: &Process) -> Markup {
    let number = |number: Option<i64>| number.map_or_else(|| html! { span.none { "–" } }, |number| html! { (number) });
    html! {
        p.badges { (widgets::state(process.state)) " " (widgets::state(process.health)) }
        (widgets::section("What it is", widgets::definitions(&[
            ("Instance", instances::linked(api, &process.instance)),
            ("Program", html! { code { (text(&process.program)) } }),
            ("In this state", time::ago(process.since)),
            ("Started", time::ago(process.started_at)),
            ("Pid", number(process.pid.map(i64::from))),
            ("Exit code", number(process.exit_code.map(i64::from))),
            ("Restarts", html! { (process.restarts) }),
        ])))
        @if let Some(words) = &process.last_words {
            (widgets::section("Its last words", html! { pre.json tabindex="0" { code { (text(words)) } } }))
        }
    }
}
