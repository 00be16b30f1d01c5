//! Deployments: the list, and one as it goes on: steps, weights, and what its strategy made of the figures.

mod moves;

use super::{Group, Page, instance, over, services};
use crate::Api;
use crate::console::chart::Window;
use crate::console::form::{self, Action, Form};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{PRINCIPAL, address, live, time};
use crate::extract::At;
use crate::paging::{List, blocking};
use crate::problem::Problem;
use crate::resources::deployments;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use quarterdeck_engines::deployments::StartDeployment;
use quarterdeck_model::Span;
use quarterdeck_model::domain::deployment::{Deployment, DeploymentState};
use quarterdeck_model::kind::deployment_strategy::Move;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Deployments",
    path: "/deployments",
    group: Group::Acting,
    one: "Deployment",
    words: "deploy promote abort roll back canary rollout release",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/deployments";
/// The states that are not at their end.
const IN_FLIGHT: &str = "progressing,paused,rolling-back";
/// Of the counters of targets: all of the traffic.
const FULL_WEIGHT: u32 = 256;

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/deployments", get(list).post(start))
        .route("/deployments/{id}", get(show))
        .route("/deployments/{id}/promote", post(promote))
        .route("/deployments/{id}/abort", post(abort))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    api.glances.deployments.read(&*api.options.store, |all| {
        for (id, deployment) in all.iter().rev() {
            finds.offer_known(&deployment.words, || (deployment.title.clone(), address::below(BASE, id)));
        }
    })?;
    Ok(())
}

/// Those that are not at their end.
pub(super) fn in_flight() -> String {
    address::with(BASE, [("state", Some(IN_FLIGHT))])
}

pub(super) fn at(deployment: &Deployment) -> String {
    address::below(BASE, deployment.id.as_str())
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let List { items, next_cursor, unreadable } = deployments::read(&view.api, &params.split("state")).await?;
    let catalog = view.api.options.engines.catalog();
    let (state, service) = (params.text("state")?, params.text("service")?);
    let states = [
        ("", "any"),
        (IN_FLIGHT, "in flight"),
        ("progressing", "progressing"),
        ("paused", "paused"),
        ("rolling-back", "rolling back"),
        ("succeeded", "succeeded"),
        ("rolled-back", "rolled back"),
        ("failed", "failed"),
    ];
    let named: Vec<(&str, &str)> = catalog.services.keys().map(|name| (name.as_str(), name.as_str())).collect();
    let mut names = vec![("", "any")];
    names.extend(&named);
    names.extend(service.filter(|chosen| !catalog.services.contains_key(*chosen)).map(|chosen| (chosen, chosen)));
    let content = html! {
        h1 { "Deployments" }
        @if !named.is_empty() {
            (form::actions(&view, &[Action {
                to: BASE,
                label: "Deploy",
                effect: Some("Starts the deployment of a revision. The service's strategy decides how fast it takes over the traffic, and takes it back if it is bad."),
                inputs: html! {
                    (form::select("service", "Service", &named, service))
                    (form::needed("revision", "Revision, as the target knows it (r2, v1.4.2, a digest)", ""))
                },
                ..Action::default()
            }]))
        }
        (form::filters(&view, html! {
            (form::select("state", "State", &states, state))
            (form::select("service", "Service", &names, service))
        }))
        (live::part("deployments", &["deployment."], html! {
            @if items.is_empty() {
                (widgets::empty("No deployments here.", "With fewer filters there may be more. A revision of a service is deployed here, from its page, or from a shell:",
                    Some("quarterdeck deploy <service> <revision>")))
            } @else { (table(&items)) }
            (widgets::unreadable(&unreadable))
            (widgets::pager(&view, next_cursor.as_deref()))
        }))
        p { a href=(services::BASE) { "All services" } }
    };
    Ok(view.page("Deployments", content))
}

/// Also for the page of a service.
pub(super) fn table(deployments: &[Deployment]) -> Markup {
    let rows = deployments.iter().map(|deployment| {
        vec![
            widgets::link(&at(deployment), &deployment.service),
            html! { (clip(&deployment.candidate)) @if !deployment.stable.is_empty() { br; span.muted { "before: " (clip(&deployment.stable)) } } },
            state(deployment),
            weight(deployment.weight),
            clip(&deployment.principal),
            time::ago(deployment.started_at),
            took(deployment),
        ]
    });
    widgets::table("Deployments", &["Service", "Revision", "State", "Weight", "Started by", "Started", "Took"], rows)
}

/// What was rolled back is over, and is not what was wanted.
fn state(deployment: &Deployment) -> Markup {
    match deployment.state {
        DeploymentState::RolledBack => widgets::toned("rolled-back", Tone::Warning),
        state => widgets::state(state),
    }
}

fn weight(percent: u32) -> Markup {
    html! { progress max="100" value=(percent) aria-label="Weight of the new revision" {} " " (percent) " %" }
}

fn took(deployment: &Deployment) -> Markup {
    match deployment.finished_at {
        Some(end) => html! { (time::span(end.since(deployment.started_at))) },
        None => time::going_on(deployment.started_at),
    }
}

async fn show(view: View, At(id): At<String>) -> Result<Response, Problem> {
    let (store, wanted) = (Arc::clone(&view.api.options.store), id.clone());
    let deployment = blocking(move || {
        let found = store.get(Deployment::COLLECTION, &wanted)?;
        let found = found.ok_or_else(|| Problem::no_document(Deployment::COLLECTION, &wanted))?;
        Ok(found.decode::<Deployment>()?)
    })
    .await?;
    let title = format!("{} {}", deployment.service, deployment.candidate);
    let now = view.api.now();
    let params = view.params()?;
    let shown = match params.text("from")?.or(params.text("to")?) {
        Some(_) => Window::of(&params, now, Span::from_secs(3600))?,
        None => moves::whole(&deployment, now),
    };
    let content = html! {
        p.crumbs { a href=(BASE) { "Deployments" } " / " (services::linked(&view, &deployment.service)) }
        h1 { (text(&title)) }
        (live::going_on("deployment", &["deployment.", "effect."], deployment.finished_at.is_none(), html! {
            p.badges { (state(&deployment)) " " (weight(deployment.weight)) }
            @if let Some(error) = &deployment.error { p.mistake { (text(error)) } }
            (offers(&view, &deployment))
            @if !deployment.in_flight.is_empty() { (widgets::section("Under way", moves::in_flight(&deployment))) }
            (over::whole(&view))
            (moves::chart(&deployment, &shown, now).show())
            (widgets::section("Replicas", replicas(&deployment)))
            (widgets::section("What was decided", moves::table(&deployment)))
            (widgets::section("What is known", facts(&view, &deployment)))
        }))
    };
    Ok(view.page(&title, content))
}

fn offers(view: &View, deployment: &Deployment) -> Markup {
    if !matches!(deployment.state, DeploymentState::Progressing | DeploymentState::Paused) {
        return html! {};
    }
    let (promote, abort) = (format!("{}/promote", at(deployment)), format!("{}/abort", at(deployment)));
    let stage = stage(deployment);
    let (on, full) = ([("seen", stage.as_str())], [("seen", stage.as_str()), ("full", "true")]);
    let mut actions = Vec::new();
    if deployment.state == DeploymentState::Paused {
        actions.push(Action {
            to: &promote,
            label: "Promote",
            fields: &on,
            effect: Some("Lets it go on to the next step that its strategy decides. Figures that are bad take it back all the same."),
            ..Action::default()
        });
    }
    if !deployment.in_full {
        actions.push(Action {
            to: &promote,
            label: "Promote in full",
            effect: Some("Skips every step, hold and pause that is left: the new revision takes all of the traffic as soon as it is healthy."),
            fields: &full,
            dangerous: true,
            ..Action::default()
        });
    }
    let back = match deployment.stable.as_str() {
        "" => "Takes it back: what was started of the revision is stopped. There is none before it, so the service has nothing else to run.".to_owned(),
        stable => format!("Rolls it back: {stable} gets all of the traffic again, then the replicas of {} are stopped.", deployment.candidate),
    };
    actions.push(Action {
        to: &abort,
        label: "Abort and roll back",
        effect: Some(&back),
        dangerous: true,
        inputs: form::area("reason", "Why, for whoever looks at it later (may be empty)", ""),
        ..Action::default()
    });
    form::actions(view, &actions)
}

/// How far it was when a person decided about it: its state and share of the traffic. Two people who promote it out of the same pause
/// must not take it through the next one as well, which neither has seen.
fn stage(deployment: &Deployment) -> String {
    let asked = deployment.moves.iter().filter(|record| matches!(record.decided, Move::Pause { .. })).count();
    format!("{} {} {asked}", crate::resources::status::word(deployment.state), deployment.weight)
}

fn replicas(deployment: &Deployment) -> Markup {
    if deployment.replicas.is_empty() {
        return html! { p.muted { "None was seen yet." } };
    }
    let rows = deployment.replicas.iter().map(|replica| {
        let is_new = replica.revision == deployment.candidate;
        vec![
            clip(&replica.name),
            html! { (clip(&replica.revision)) @if is_new { " " span.muted { "(new)" } } },
            widgets::state(replica.phase),
            html! { (replica.weight) " of " (FULL_WEIGHT) },
            html! { (replica.responses) },
            moves::failures(replica.failures, replica.responses),
            clip(&replica.message),
        ]
    });
    widgets::table(
        "Replicas",
        &["Replica", "Revision", "State", "Weight", "Responses", "Failures", "What it says"],
        rows,
    )
}

fn facts(view: &View, deployment: &Deployment) -> Markup {
    let stable = match (deployment.stable.as_str(), deployment.restores) {
        (_, true) => html! { "it is the one that the service runs: its replicas are brought back" },
        ("", _) => html! { "none: it is the first" },
        (stable, _) => text(stable),
    };
    widgets::definitions(&[
        ("Id", html! { code { (text(deployment.id.as_str())) } }),
        ("Service", services::linked(view, &deployment.service)),
        ("Revision", text(&deployment.candidate)),
        ("Before it", stable),
        ("Started", html! { (time::ago(deployment.started_at)) " by " (clip(&deployment.principal)) }),
        ("Ended", time::maybe(deployment.finished_at)),
        ("Took", took(deployment)),
        ("Rolled back", html! { "if it is not done at " (time::at(deployment.deadline)) }),
        ("Target", instance(view, &deployment.spec.target)),
        ("Strategy", instance(view, &deployment.spec.strategy)),
        (
            "Replicas",
            html! { (deployment.spec.replicas) ", each healthy within " (time::span(deployment.spec.start_timeout)) },
        ),
        ("Strategy's settings", settings(deployment)),
    ])
}

fn settings(deployment: &Deployment) -> Markup {
    if deployment.spec.config.is_empty() {
        return html! { span.muted { "those of its instance" } };
    }
    widgets::json(&serde_json::Value::Object(deployment.spec.config.clone()))
}

async fn start(form: Form) -> Result<Response, Problem> {
    let service = form.needed("service")?;
    let request = StartDeployment { revision: form.needed("revision")?.to_owned(), principal: PRINCIPAL.to_owned() };
    let deployment = form.view.api.options.engines.deployments.start(service, request).await?;
    form.done(&at(&deployment), format!("The deployment of {} is under way.", deployment.candidate))
}

async fn promote(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    let full = form.text("full") == Some("true");
    let found = crate::precondition::find(&form.view.api, Deployment::COLLECTION, &id)?;
    form.must_have_seen(&stage(&found.decode()?))?;
    let asked = [found.revision];
    form.view.api.options.engines.deployments.promote(&id, form.asked_of(&asked), full).await?;
    let said =
        if full { "It is promoted in full: it skips the steps that are left." } else { "It is promoted: it goes on." };
    form.done(&address::below(BASE, &id), said)
}

async fn abort(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    let reason = form.text("reason").unwrap_or("a person asked for it");
    form.view.api.options.engines.deployments.abort(&id, form.asked(), reason).await?;
    form.done(&address::below(BASE, &id), "It is being rolled back.")
}
