//! Incidents: the list, and one with its time line and what can be done about it.

use super::{Group, Page, alerts, runbooks};
use crate::Api;
use crate::console::form::{self, Action, Form};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, clip, text};
use crate::console::{address, live, time};
use crate::extract::At;
use crate::paging::{List, blocking};
use crate::problem::Problem;
use crate::resources::incidents;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use quarterdeck_engines::runbooks::StartRun;
use quarterdeck_model::domain::alert::AlertState;
use quarterdeck_model::domain::incident::{Incident, IncidentState, Member};
use quarterdeck_model::domain::runbook::{Run, is_required};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Incidents",
    path: "/incidents",
    group: Group::Watching,
    one: "Incident",
    words: "open acknowledged resolved outage problem",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/incidents";
/// The states that are not at their end.
const UNRESOLVED: &str = "open,acknowledged";
/// Runs for one incident that are shown.
const RUNS: usize = 50;

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/incidents", get(list))
        .route("/incidents/{id}", get(show))
        .route("/incidents/{id}/acknowledge", post(acknowledge))
        .route("/incidents/{id}/resolve", post(resolve))
        .route("/incidents/{id}/run", post(run))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    api.glances.incidents.read(&*api.options.store, |all| {
        for (id, incident) in all.iter().rev() {
            finds.offer_known(&incident.words, || (incident.title.clone(), address::below(BASE, id)));
        }
    })?;
    Ok(())
}

/// Those that are not resolved.
pub(super) fn unresolved() -> String {
    address::with(BASE, [("state", Some(UNRESOLVED))])
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let List { items, next_cursor, unreadable } = incidents::read(&view.api, &params.split("state")).await?;
    let chosen = |name: &str| params.many(name).next().map(str::to_owned);
    let states = [
        ("", "any"),
        (UNRESOLVED, "open or acknowledged"),
        ("open", "open"),
        ("acknowledged", "acknowledged"),
        ("resolved", "resolved"),
    ];
    let list = html! {
        @if items.is_empty() {
            (widgets::empty("No incidents here.", "They are opened by alerts that a correlator gathers. With filters, fewer of them show more.",
                Some("quarterdeck alert list")))
        } @else {
            (table(&items))
        }
        (widgets::unreadable(&unreadable))
        (widgets::pager(&view, next_cursor.as_deref()))
    };
    let content = html! {
        h1 { "Incidents" }
        (form::filters(&view, html! {
            (form::select("state", "State", &states, chosen("state").as_deref()))
            (form::severity(chosen("severity").as_deref()))
        }))
        (live::part("incidents", &["incident."], list))
    };
    Ok(view.page("Incidents", content))
}

/// Also for the overview.
pub(super) fn table(incidents: &[Incident]) -> Markup {
    widgets::table(
        "Incidents",
        &["Severity", "Incident", "State", "Alerts", "Opened"],
        incidents.iter().map(|incident| {
            let left = incident.members.iter().filter(|member| member.resolved_at.is_none()).count();
            vec![
                widgets::severity(incident.severity),
                widgets::link(&address::below(BASE, incident.id.as_str()), &incident.title),
                widgets::state(incident.state),
                html! { (left) " of " (incident.members.len()) },
                time::ago(incident.opened_at),
            ]
        }),
    )
}

async fn show(view: View, At(id): At<String>) -> Result<Response, Problem> {
    let (api, wanted) = (Arc::clone(&view.api), id.clone());
    let (incident, runs, states) = blocking(move || {
        let found = api.options.store.get(Incident::COLLECTION, &wanted)?;
        let found = found.ok_or_else(|| Problem::no_document(Incident::COLLECTION, &wanted))?;
        let incident = found.decode::<Incident>()?;
        let states = states_of(&api, &incident)?;
        Ok((incident, runs_of(&api, &wanted)?, states))
    })
    .await?;
    let title = incident.title.clone();
    let content = html! {
        p.crumbs { a href=(BASE) { "Incidents" } }
        h1 { (text(&title)) }
        (live::part("incident", &["incident.", "run.", "alert."], html! {
            p.badges { (widgets::severity(incident.severity)) " " (widgets::state(incident.state)) }
            (offers(&view, &incident))
            (named(&view, &incident))
            (widgets::section("What is known", facts(&incident)))
            (widgets::section("Alerts", members(&incident, &states)))
            (widgets::section("Time line", timeline(&incident)))
            @if !runs.is_empty() { (widgets::section("Runs for it", runs_table(&runs))) }
        }))
    };
    Ok(view.page(&title, content))
}

/// The states of its alerts as they are now, by fingerprint; of those that are still kept.
fn states_of(api: &Api, incident: &Incident) -> Result<HashMap<String, AlertState>, Problem> {
    let found = api.glances.alerts.read(&*api.options.store, |all| {
        let members = incident.members.iter().map(|member| &member.alert.fingerprint);
        members.filter_map(|id| Some((id.clone(), all.get(id)?.alert.state))).collect()
    })?;
    Ok(found)
}

/// The newest runs that were started for the incident.
fn runs_of(api: &Api, id: &str) -> Result<Vec<Run>, Problem> {
    let store = &*api.options.store;
    let ids = api.glances.runs.read(store, |all| {
        let of_it = all.iter().rev().filter(|(_, run)| run.cause.as_deref() == Some(id));
        of_it.take(RUNS).map(|(id, _)| id.clone()).collect::<Vec<_>>()
    })?;
    let mut runs = Vec::new();
    for id in ids {
        if let Some(document) = store.get(Run::COLLECTION, &id)? {
            runs.extend(document.decode::<Run>());
        }
    }
    Ok(runs)
}

fn offers(view: &View, incident: &Incident) -> Markup {
    if incident.state == IncidentState::Resolved {
        return html! {};
    }
    let base = address::below(BASE, incident.id.as_str());
    let (acknowledge, resolve, run) = (format!("{base}/acknowledge"), format!("{base}/resolve"), format!("{base}/run"));
    let catalog = view.api.options.engines.catalog();
    let members = incident.members.len().to_string();
    let resolving = [("seen", members.as_str())];
    let mut actions = Vec::new();
    if incident.state == IncidentState::Open {
        actions.push(Action { to: &acknowledge, label: "Acknowledge", ..Action::default() });
    }
    actions.push(Action {
        to: &resolve,
        label: "Resolve",
        effect: Some(
            "Ends the incident. Alerts that still fire stay, and don't open it again; what fires anew opens another.",
        ),
        fields: &resolving,
        inputs: form::area("note", "Note for the time line (may be empty)", ""),
        ..Action::default()
    });
    // Those that its alerts name come first, then all others that need no input.
    let ready = |slug: &&String| {
        catalog
            .runbooks
            .get(*slug)
            .is_some_and(|spec| !spec.inputs.values().any(|input| input.is_null() || is_required(input)))
    };
    let named = incident.runbooks.iter().filter(ready);
    let others = catalog.runbooks.keys().filter(ready).filter(|slug| !incident.runbooks.contains(slug));
    let runbooks: Vec<(&str, &str)> = named
        .chain(others)
        .filter_map(|slug| Some((slug.as_str(), catalog.runbooks.get(slug)?.title.as_str())))
        .collect();
    if !runbooks.is_empty() {
        actions.push(Action {
            to: &run,
            label: "Run a runbook",
            effect: Some(
                "Starts the runbook with its default inputs, for this incident. What a step has done stays done.",
            ),
            inputs: form::select("runbook", "Runbook", &runbooks, None),
            ..Action::default()
        });
    }
    form::actions(view, &actions)
}

/// The runbooks that its alerts name, each with its form, in which the incident stands already.
fn named(view: &View, incident: &Incident) -> Markup {
    let catalog = view.api.options.engines.catalog();
    let known: Vec<_> = incident.runbooks.iter().filter_map(|slug| Some((slug, catalog.runbooks.get(slug)?))).collect();
    html! {
        @if !known.is_empty() && incident.state != IncidentState::Resolved {
            p.muted {
                "With inputs of your own: "
                @for (index, (slug, spec)) in known.iter().enumerate() {
                    @if index > 0 { ", " }
                    (widgets::link(&address::with(&address::below(runbooks::BASE, slug), [("cause", Some(incident.id.as_str()))]), &spec.title))
                }
            }
        }
    }
}

fn facts(incident: &Incident) -> Markup {
    let by = |at, who: &Option<String>| {
        html! { (time::maybe(at)) @if let Some(who) = who { " by " (clip(who)) } }
    };
    widgets::definitions(&[
        ("Id", html! { code { (text(incident.id.as_str())) } }),
        ("Key", text(&incident.key)),
        ("Opened", time::ago(incident.opened_at)),
        ("Acknowledged", by(incident.acknowledged_at, &incident.acknowledged_by)),
        ("Resolved", by(incident.resolved_at, &incident.resolved_by)),
    ])
}

/// Oldest first: what came first is likely to be what the others come from.
fn members(incident: &Incident, states: &HashMap<String, AlertState>) -> Markup {
    if incident.members.is_empty() {
        return html! { p.muted { "None: it was not opened by alerts." } };
    }
    let mut members: Vec<&Member> = incident.members.iter().collect();
    members.sort_by_key(|member| member.alert.active_at);
    widgets::table(
        "Alerts of this incident",
        &["Severity", "State", "Alert", "Labels", "Since", "Over"],
        members.into_iter().map(|member| {
            let (name, now) = (&member.alert.name, states.get(&member.alert.fingerprint));
            vec![
                widgets::severity(member.alert.severity),
                match (member.resolved_at, now) {
                    (None, Some(state)) => widgets::state(state),
                    (None, None) => widgets::state(AlertState::Firing),
                    (Some(_), _) => widgets::state(AlertState::Resolved),
                },
                html! {
                    @if now.is_some() { (widgets::link(&alerts::to(&member.alert.fingerprint), name)) } @else { (clip(name)) }
                    br; span.muted { (clip(&member.alert.summary)) }
                },
                widgets::labels(&member.alert.labels),
                time::ago(member.alert.active_at),
                time::maybe(member.resolved_at),
            ]
        }),
    )
}

fn timeline(incident: &Incident) -> Markup {
    html! {
        ol.timeline {
            @for entry in incident.timeline.iter().rev() {
                li { (time::ago(entry.at)) " " span.who { (clip(&entry.principal)) } " " (text(&entry.text)) }
            }
        }
    }
}

fn runs_table(runs: &[Run]) -> Markup {
    widgets::table(
        "Runs for this incident",
        &["Runbook", "State", "Started"],
        runs.iter().map(|run| {
            let name = match address::of_id(run.id.as_str()) {
                Some(to) => widgets::link(&to, &run.runbook),
                None => clip(&run.runbook),
            };
            vec![name, widgets::state(run.state), time::ago(run.started_at)]
        }),
    )
}

async fn acknowledge(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    form.view.api.options.engines.incidents.acknowledge(&id, form.asked()).await?;
    form.done(&address::below(BASE, &id), "The incident is acknowledged: others see that somebody works on it.")
}

async fn resolve(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    let found = crate::precondition::find(&form.view.api, Incident::COLLECTION, &id)?;
    let (incident, asked) = (found.decode::<Incident>()?, [found.revision]);
    // What has joined it since would be over with it, unseen.
    if incident.members.len().to_string() != form.needed("seen")? {
        return Err(Problem::precondition_failed(
            "another alert has joined the incident meanwhile; hint: go back, load the page anew, look at it, and decide again",
        ));
    }
    form.view.api.options.engines.incidents.resolve(&id, form.asked_of(&asked), form.text("note")).await?;
    form.done(&address::below(BASE, &id), "The incident is resolved.")
}

async fn run(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    let api = &form.view.api;
    if api.options.store.get(Incident::COLLECTION, &id)?.is_none() {
        return Err(Problem::no_document(Incident::COLLECTION, &id));
    }
    let request = StartRun {
        inputs: BTreeMap::new(),
        dry_run: false,
        principal: crate::console::PRINCIPAL.to_owned(),
        cause: Some(id.clone()),
        ancestors: Vec::new(),
    };
    let run = api.options.engines.runbooks.start(form.needed("runbook")?, request).await?;
    form.done(&address::below(BASE, &id), format!("The runbook {} is under way.", run.runbook))
}
