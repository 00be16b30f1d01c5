//! The host at a glance: what is wrong, what is under way, what happened last.

use super::{Group, Page, deployments, events, finds_nothing, incidents, instances};
use crate::Api;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip};
use crate::console::{address, live, time};
use crate::glances::HAPPENED;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::resources::status::Status;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::deployment::Deployment;
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::domain::slo::{SloState, SloStatus};
use quarterdeck_model::event::StoredEvent;
use quarterdeck_model::store::Store;
use serde::de::DeserializeOwned;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Overview",
    path: "",
    group: Group::Watching,
    one: "",
    words: "home start status health",
    routes,
    find: finds_nothing,
};

const FIRING: &str = "/console/alerts?state=firing";
/// Of each kind that are shown.
const SHOWN: usize = 8;
/// What happened on which the page changes. What plugins do all the time does not count.
const CONCERNS: [&str; 9] = [
    "incident.",
    "alert.",
    "slo.",
    "deployment.",
    "instance.state-changed",
    "health.",
    "configuration.",
    "plugin.",
    "run.",
];

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/", get(show))
}

/// The first of each kind, and how many there are.
struct First<T> {
    first: Vec<T>,
    count: usize,
}

struct Glance {
    status: Status,
    incidents: First<Incident>,
    alerts: First<Arc<Alert>>,
    deployments: First<Deployment>,
    slos: First<SloStatus>,
    breached: usize,
    events: Vec<StoredEvent>,
}

async fn glance(api: &Arc<Api>) -> Result<Glance, Problem> {
    let status = Status::of(api).await?;
    let api = Arc::clone(api);
    blocking(move || {
        let (store, glances) = (&*api.options.store, &api.glances);
        let open = glances.incidents.read(store, |all| {
            // Within one severity they stay newest first.
            let open = all.iter().rev().filter(|(_, incident)| incident.is_open);
            let mut open: Vec<_> = open.map(|(id, incident)| (incident.severity, id.clone())).collect();
            open.sort_by_key(|(severity, _)| *severity);
            open.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
        })?;
        let alerts = glances.alerts.read(store, |all| {
            let firing = all.values().map(|at| &at.alert).filter(|alert| alert.state == AlertState::Firing);
            let key = |alert: &Arc<Alert>| (alert.severity, std::cmp::Reverse(alert.active_at));
            let mut firing: Vec<_> = firing.map(|alert| (key(alert), alert)).collect();
            let count = firing.len();
            // Of many only those that are shown are put in order.
            if count > SHOWN {
                firing.select_nth_unstable_by_key(SHOWN, |(key, _)| *key);
                firing.truncate(SHOWN);
            }
            firing.sort_by_key(|(key, _)| *key);
            First { first: firing.into_iter().map(|(_, alert)| Arc::clone(alert)).collect(), count }
        })?;
        let in_flight = glances.deployments.read(store, |all| {
            let in_flight = all.iter().rev().filter(|(_, deployment)| deployment.is_in_flight);
            in_flight.map(|(id, _)| id.clone()).collect::<Vec<_>>()
        })?;
        let (slos, breached) = glances.slos.read(store, |all| {
            let mut slos: Vec<&SloStatus> = all.values().collect();
            slos.sort_by(|one, other| left(one).total_cmp(&left(other)));
            let breached = slos.iter().filter(|slo| slo.state == SloState::Breached).count();
            (First { first: slos.iter().take(SHOWN).map(|slo| (*slo).clone()).collect(), count: slos.len() }, breached)
        })?;
        let events = glances.happened.last(store)?;
        Ok(Glance {
            status,
            incidents: first(store, Incident::COLLECTION, &open)?,
            alerts,
            deployments: first(store, Deployment::COLLECTION, &in_flight)?,
            slos,
            breached,
            events,
        })
    })
    .await
}

/// The first of the documents of these ids. One that is gone by now, or was broken just now, is not shown.
fn first<T: DeserializeOwned>(store: &dyn Store, collection: &str, ids: &[String]) -> Result<First<T>, Problem> {
    let mut first = Vec::new();
    for id in ids.iter().take(SHOWN) {
        if let Some(document) = store.get(collection, id)? {
            first.extend(document.decode::<T>());
        }
    }
    Ok(First { first, count: ids.len() })
}

/// The smallest budget comes first; of what has none nothing can be said.
fn left(slo: &SloStatus) -> f64 {
    slo.attainment.budget_left.unwrap_or(f64::MAX)
}

async fn show(view: View) -> Result<Response, Problem> {
    let glance = glance(&view.api).await?;
    let content = html! {
        h1 { "Overview" }
        (live::part("glance", &CONCERNS, html! {
            (health(&glance.status))
            (widgets::unreadable(&glance.status.unreadable))
            (figures(&glance))
            div.columns {
                (widgets::section("Open incidents", open_incidents(&glance.incidents)))
                (widgets::section("Firing alerts", firing(&glance.alerts)))
                (widgets::section("Objectives", budgets(&glance.slos)))
                (widgets::section("Deployments in flight", in_flight(&glance.deployments)))
            }
        }))
        (live::part("last-events", &HAPPENED, widgets::section("What happened last", happened(&glance.events))))
        p.muted {
            "Quarterdeck " (glance.status.version) ", up since " (time::at(glance.status.started_at)) ". "
            (widgets::bytes(glance.status.store.size_bytes)) " stored, " (widgets::bytes(glance.status.store.free_bytes)) " free."
        }
    };
    Ok(view.page("Overview", content))
}

fn health(status: &Status) -> Markup {
    let wrong = status.checks.iter().filter(|check| !check.ok);
    let wrong: Vec<_> = wrong.map(|check| (check.name, check.reason.clone().unwrap_or_default())).collect();
    html! {
        @if wrong.is_empty() && status.configuration.refused == 0 {
            p.badges { (widgets::toned("ready", Tone::Good)) }
        } @else {
            ul.badges {
                @for (name, reason) in &wrong { li { (widgets::toned(name, Tone::Bad)) " " (widgets::text(reason)) } }
                @if status.configuration.refused > 0 {
                    li {
                        (widgets::toned("configuration refused", Tone::Warning)) " "
                        (widgets::text(status.configuration.reason.as_deref().unwrap_or_default()))
                        " What it said before is in force. " code { "quarterdeck config check" } " says more."
                    }
                }
            }
        }
    }
}

fn figures(glance: &Glance) -> Markup {
    let count = |number: usize, bad: Tone| (number.to_string(), if number == 0 { Tone::Good } else { bad });
    let unwell =
        glance.status.instances.iter().filter(|(word, _)| Tone::of(word) != Tone::Good && word.as_str() != "disabled");
    let unwell = unwell.map(|(_, count)| usize::try_from(*count).unwrap_or(usize::MAX)).sum::<usize>();
    // Each leads to the list of exactly those that it counts.
    let figure = |label: &str, (value, tone): (String, Tone), to: &str| widgets::figure(label, &value, to, tone);
    html! {
        div.figures {
            (figure("open incidents", count(glance.incidents.count, Tone::Bad), &incidents::unresolved()))
            (figure("firing alerts", count(glance.alerts.count, Tone::Bad), FIRING))
            (figure("objectives breached", count(glance.breached, Tone::Bad), "/console/slos?state=breached"))
            (figure("deployments in flight", (glance.deployments.count.to_string(), Tone::Busy), &deployments::in_flight()))
            (figure("runs under way", (glance.status.open.runs.to_string(), Tone::Busy), "/console/runs?state=running"))
            (figure("instances not active", count(unwell, Tone::Warning), &instances::unwell()))
        }
    }
}

/// The page of this path, as long as there is one.
fn at_or_home(path: &str) -> String {
    super::at(path).unwrap_or_else(|| PAGE.at())
}

/// A link to the object below the page, as long as there is one.
fn linked(page: &str, id: &str, name: &str) -> Markup {
    match super::at(page) {
        Some(base) => widgets::link(&address::below(&base, id), name),
        None => clip(name),
    }
}

fn happened(events: &[StoredEvent]) -> Markup {
    html! {
        @if events.is_empty() {
            p.muted { "Nothing yet that somebody would have to know of." }
        } @else {
            (events::table(events))
        }
        @if let Some(all) = super::at("/events") { p { a href=(all) { "All events" } } }
    }
}

fn open_incidents(open: &First<Incident>) -> Markup {
    if open.count == 0 {
        return html! { p.muted { "None. Nothing asks for a person." } };
    }
    html! {
        (incidents::table(&open.first))
        @if open.count > SHOWN { p { a href=(incidents::unresolved()) { "All " (open.count) } } }
    }
}

fn firing(alerts: &First<Arc<Alert>>) -> Markup {
    if alerts.count == 0 {
        return html! { p.muted { "None." } };
    }
    let name = |alert: &Alert| alert.labels.get("alertname").unwrap_or(&alert.rule).to_owned();
    let rows = alerts.first.iter().map(|alert| {
        vec![
            widgets::severity(alert.severity),
            html! { (linked("/alerts", &alert.fingerprint, &name(alert))) br; span.muted { (clip(&alert.summary)) } },
            time::ago(alert.fired_at.unwrap_or(alert.active_at)),
        ]
    });
    html! {
        (widgets::table("Firing alerts", &["Severity", "Alert", "Since"], rows))
        @if alerts.count > SHOWN { p { a href=(FIRING) { "All " (alerts.count) } } }
    }
}

fn budgets(slos: &First<SloStatus>) -> Markup {
    if slos.count == 0 {
        return widgets::empty(
            "No objective was calculated yet.",
            "An objective says how much of the time something has to be well, and how much budget is left:",
            Some("quarterdeck config set slos checkout --file slo.toml"),
        );
    }
    let rows = slos.first.iter().map(|slo| {
        let budget = match slo.attainment.budget_left {
            Some(left) => html! { (widgets::meter("budget left", left)) " " (percent(left)) },
            None => html! { span.none { "–" } },
        };
        vec![
            linked("/slos", &slo.name, &slo.name),
            widgets::state(slo.state),
            html! { (super::slos::attained(&slo.spec, slo.attainment.adjusted.attained)) },
            budget,
        ]
    });
    html! {
        (widgets::table("Objectives", &["Objective", "State", "Attained", "Budget left"], rows))
        @if slos.count > SHOWN { p { a href=(at_or_home("/slos")) { "All " (slos.count) } } }
    }
}

fn in_flight(deployments: &First<Deployment>) -> Markup {
    if deployments.count == 0 {
        return html! { p.muted { "None. " code { "quarterdeck deploy <service> <revision>" } " starts one." } };
    }
    let rows = deployments.first.iter().map(|deployment| {
        vec![
            linked("/deployments", deployment.id.as_str(), &deployment.service),
            clip(&deployment.candidate),
            widgets::state(deployment.state),
            html! { (deployment.weight) " %" },
            time::going_on(deployment.started_at),
        ]
    });
    html! {
        (widgets::table("Deployments in flight", &["Service", "Revision", "State", "Weight", "Goes on for"], rows))
        @if deployments.count > SHOWN { p { a href=(deployments::in_flight()) { "All " (deployments.count) } } }
    }
}

/// A part of one as percent, with digits where they matter.
pub(super) fn percent(part: f64) -> String {
    let text = format!("{:.3}", part * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
