//! Instances: plugins put to use under a name. `detail`: the page of one; `grants`: what it asks for and was given; `usage`: what it may use,
//! and has; `logs`: what it logs; `change`: what is changed about one.

mod change;
mod detail;
mod grants;
mod logs;
mod usage;

use super::{Group, Page};
use crate::Api;
use crate::console::form;
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, clip};
use crate::console::{address, live};
use crate::paging::{List, blocking};
use crate::problem::Problem;
use crate::resources::instances::{self, Instance};
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use quarterdeck_model::plugin::{InstanceName, InstanceState, Kind};
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Instances",
    path: "/instances",
    group: Group::Host,
    one: "Instance",
    words: "grants limits logs enable disable quarantined budget usage",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/instances";
const CONCERNS: [&str; 3] = ["instance.state-changed", "instance.over-budget", "health.changed"];
const STATES: [InstanceState; 6] = [
    InstanceState::Active,
    InstanceState::Quarantined,
    InstanceState::AwaitingGrant,
    InstanceState::Misconfigured,
    InstanceState::MissingPlugin,
    InstanceState::Disabled,
];

/// The states of those that should be active and are not.
const UNWELL: &str = "quarantined,awaiting-grant,misconfigured,missing-plugin";

/// Those that should be active and are not.
pub(super) fn unwell() -> String {
    address::with(BASE, [("state", Some(UNWELL))])
}

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/instances", get(list))
        .route("/instances/{plugin}/{name}", get(detail::show))
        .route("/instances/{plugin}/{name}/logs", get(logs::show))
        .route("/instances/{plugin}/{name}/enable", post(change::enable))
        .route("/instances/{plugin}/{name}/disable", post(change::disable))
        .route("/instances/{plugin}/{name}/grant", post(change::grant))
        .route("/instances/{plugin}/{name}/revoke", post(change::revoke))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for instance in api.options.registry.instances() {
        finds.offer(instance.name.as_str(), &[&instance.spec.plugin], || at(&instance.name));
    }
    Ok(())
}

/// Where the page of an instance is, if there is one.
pub(super) fn at(name: &InstanceName) -> String {
    let (plugin, rest) = name.as_str().split_once('/').unwrap_or((name.as_str(), ""));
    address::below(&address::below(BASE, plugin), rest)
}

/// A link to the instance, if it is still there.
pub(super) fn linked(api: &Api, name: &InstanceName) -> Markup {
    match api.options.registry.instance(name) {
        Some(_) => widgets::link(&at(name), name.as_str()),
        None => clip(name.as_str()),
    }
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let (plugin, name) = (params.text("plugin")?.map(str::to_owned), params.text("name")?.map(str::to_owned));
    let (kind, state) = (params.word::<Kind>("kind")?, params.text("state")?.map(str::to_owned));
    let api = Arc::clone(&view.api);
    let (counts, List { items, next_cursor, .. }) = blocking(move || {
        let counts = crate::resources::status::tally(api.options.registry.states());
        Ok((counts, instances::read(&api, &params.split("state"))?))
    })
    .await?;
    let kinds: Vec<(&str, String)> =
        Kind::ALL.iter().map(|kind| (kind.as_str(), kind.as_str().replace('-', " "))).collect();
    let kinds: Vec<(&str, &str)> =
        std::iter::once(("", "any")).chain(kinds.iter().map(|(word, said)| (*word, said.as_str()))).collect();
    let states: Vec<(String, String)> = STATES
        .iter()
        .map(|state| {
            let word = crate::resources::status::word(state);
            let said = format!("{} ({})", word.replace('-', " "), counts.get(&word).copied().unwrap_or(0));
            (word, said)
        })
        .collect();
    let states: Vec<(&str, &str)> = [("", "any"), (UNWELL, "not active")]
        .into_iter()
        .chain(states.iter().map(|(word, said)| (word.as_str(), said.as_str())))
        .collect();
    let shown = html! {
        @if items.is_empty() {
            (widgets::empty("No instances here.", "With fewer filters there may be more. One is made of a plugin by the configuration:",
                Some("quarterdeck config set instances http-probe/shop --file instance.toml")))
        } @else { (table(&items)) }
        (widgets::pager(&view, next_cursor.as_deref()))
    };
    let content = html! {
        h1 { "Instances" }
        (form::filters(&view, html! {
            (form::input("name", "Name has", name.as_deref().unwrap_or_default()))
            (form::input("plugin", "Plugin", plugin.as_deref().unwrap_or_default()))
            (form::select("kind", "Kind", &kinds, kind.map(Kind::as_str)))
            (form::select("state", "State", &states, state.as_deref()))
        }))
        p.muted { (counts.values().sum::<u64>()) " in all. " a href="/console/configuration/new?section=instances" { "Make another" } }
        (live::part("instances", &CONCERNS, shown))
    };
    Ok(view.page("Instances", content))
}

fn table(items: &[Instance]) -> Markup {
    widgets::table(
        "Instances",
        &["Instance", "State", "Version", "Its target", "Calls", "Failed"],
        items.iter().map(|Instance { status, health }| {
            let failed: u64 = status.usage.failures.values().sum();
            vec![
                widgets::link(&at(&status.name), status.name.as_str()),
                html! {
                    (widgets::state(status.state))
                    @if let Some(reason) = &status.reason { " " (clip(reason)) }
                },
                status.plugin.as_ref().map_or_else(|| html! { span.none { "–" } }, |plugin| clip(&plugin.version)),
                match health {
                    Some(health) => html! { (widgets::state(health.state)) " " (clip(&health.message)) },
                    None => html! { span.none { "–" } },
                },
                html! { (status.usage.calls) },
                html! { @if failed > 0 { strong { (failed) } } @else { "0" } },
            ]
        }),
    )
}

/// Whether the instance is there, or the problem to answer with.
fn found(api: &Api, plugin: &str, name: &str) -> Result<quarterdeck_model::plugin::InstanceStatus, Problem> {
    let name = InstanceName(format!("{plugin}/{name}"));
    api.options.registry.instance(&name).ok_or_else(|| Problem::no_document("instances", name.as_str()))
}
