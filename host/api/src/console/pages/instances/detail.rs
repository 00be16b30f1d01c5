//! One instance, with all that is known of it.

use super::{BASE, at, found, grants, usage};
use crate::console::form::{self, Action};
use crate::console::pages::{events, plugins, processes};
use crate::console::view::View;
use crate::console::widgets::{self, text};
use crate::console::{address, live, time};
use crate::extract::At;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::resources::events as log;
use crate::resources::instances::{self, Instance, InstanceHealth};
use axum::response::Response;
use maud::{Markup, html};
use quarterdeck_config::push;
use quarterdeck_model::event::{EventFilter, StoredEvent};
use quarterdeck_model::plugin::{InstanceState, InstanceStatus, PluginStatus};
use quarterdeck_model::process::Process;
use std::sync::Arc;

const EVENTS: usize = 15;
const CONCERNS: [&str; 5] = ["instance.", "health.", "check.", "plugin.", "configuration.applied"];

struct Known {
    instance: Instance,
    /// Also versions that are on their way out: what an instance runs on may be one.
    plugins: Vec<PluginStatus>,
    origin: Option<String>,
    processes: Vec<Process>,
    events: Vec<StoredEvent>,
}

pub(super) async fn show(view: View, At((plugin, name)): At<(String, String)>) -> Result<Response, Problem> {
    let status = found(&view.api, &plugin, &name)?;
    let api = Arc::clone(&view.api);
    let known = blocking(move || {
        let filter = EventFilter {
            subject: Some(status.name.to_string()),
            without: vec!["audit".to_owned(), "instance.usage".to_owned()],
            ..EventFilter::default()
        };
        let events = log::backwards(&*api.options.store, &filter, EVENTS, None, None)?.items;
        let mut plugins = api.options.registry.plugins();
        plugins.retain(|plugin| plugin.name == status.spec.plugin);
        let mut processes = api.options.processes.list();
        processes.retain(|process| process.instance == status.name);
        let origin = api.options.configuration.origin(&push(&push("", "instances"), status.name.as_str()));
        let instance = instances::with_health(&api, vec![status]).pop();
        let instance = instance.ok_or_else(|| Problem::internal("an instance was lost on the way"))?;
        Ok(Known { instance, plugins, origin, processes, events })
    })
    .await?;
    let status = &known.instance.status;
    let title = status.name.to_string();
    let base = at(&status.name);
    let content = html! {
        p.crumbs { a href=(BASE) { "Instances" } }
        h1 { (text(&title)) }
        (live::part("instance", &CONCERNS, html! {
            p.badges { (widgets::state(status.state)) }
            @if let Some(reason) = &status.reason { p.problem { (text(reason)) } }
            @if status.state == InstanceState::Quarantined {
                p.muted { "It failed again and again, so it is left alone, and tried again from time to time. It comes back by itself once a call succeeds." }
            }
            (offers(&view, status))
            (widgets::section("What it is", facts(&known)))
            @if let Some(health) = &known.instance.health { (widgets::section("Its target", target(health))) }
            (grants::show(&view, status, &known.plugins))
        }))
        (live::ticking("use", &["instance.usage", "instance.over-budget"], 5, usage::show(status)))
        (live::part("what-it-says", &CONCERNS, html! {
            (widgets::section("Configuration", configuration(&known)))
            @if !known.processes.is_empty() { (widgets::section("Processes", processes::table(&view.api, &known.processes))) }
            (widgets::section("What happened", html! {
                @if known.events.is_empty() { p.muted { "Nothing that is still kept." } } @else { (events::table(&known.events)) }
                p { a href=(address::with("/console/events", [("subject", Some(title.as_str()))])) { "All events of it" } }
            }))
        }))
        (widgets::section("Log", html! {
            p { a href=(format!("{base}/logs")) { "What it logs, live" } }
            (widgets::command(&format!("quarterdeck plugin logs {title} --follow")))
        }))
    };
    Ok(view.page(&title, content))
}

fn offers(view: &View, status: &InstanceStatus) -> Markup {
    let base = at(&status.name);
    let (enable, disable) = (format!("{base}/enable"), format!("{base}/disable"));
    let action = if status.spec.enabled {
        Action {
            to: &disable,
            label: "Disable",
            effect: Some(
                "It is not called any more, until somebody enables it again. Calls under way go on to their end.",
            ),
            dangerous: true,
            ..Action::default()
        }
    } else {
        Action { to: &enable, label: "Enable", ..Action::default() }
    };
    form::actions(view, &[action])
}

fn facts(known: &Known) -> Markup {
    let status = &known.instance.status;
    let plugin = html! {
        @if known.plugins.is_empty() { (widgets::clip(&status.spec.plugin)) }
        @else { (widgets::link(&address::below(plugins::BASE, &status.spec.plugin), &status.spec.plugin)) }
        " "
        @match &status.plugin {
            Some(plugin) => (plugins::version(plugin)),
            None => span.none { "no version" },
        }
    };
    let every = status
        .spec
        .every
        .map_or_else(|| html! { span.none { "when it is asked" } }, |every| html! { (time::span(every)) });
    let failures: u64 = status.usage.failures.values().sum();
    widgets::definitions(&[
        ("Plugin", plugin),
        ("Kinds", html! { (plugins::named(&status.kinds)) }),
        ("Called every", every),
        ("Under way", html! { (status.usage.in_flight) " of " (status.spec.limits.concurrency) " calls at once" }),
        ("Failures", html! { (failures) " of " (status.usage.calls) " calls since the start" }),
        ("Last error", status.usage.last_error.as_deref().map_or_else(|| html! { span.none { "–" } }, text)),
    ])
}

fn target(health: &InstanceHealth) -> Markup {
    html! {
        p { (widgets::state(health.state)) " " (text(&health.message)) }
        (widgets::definitions(&[("Since", time::ago(health.since)), ("Looked at", time::ago(health.checked_at))]))
        @if let Some(check) = &health.check {
            h3 { "Check" }
            (widgets::definitions(&[
                ("State", widgets::state(check.phase)),
                ("Failed in a row", html! { (check.failures) }),
                ("Failing since", time::maybe(check.failing_since)),
                ("Told", html! { (check.attempts) " times of late" }),
                ("Not again before", time::maybe(check.next_attempt)),
            ]))
            @if !check.runs.is_empty() {
                (widgets::table("Runs that it started", &["Runbook", "State", "Started"], check.runs.iter().map(|run| {
                    let name = match address::of_id(run.run.as_str()) {
                        Some(to) => widgets::link(&to, &run.runbook),
                        None => widgets::clip(&run.runbook),
                    };
                    vec![name, widgets::state(run.state), time::ago(run.started_at)]
                })))
            }
        }
    }
}

fn configuration(known: &Known) -> Markup {
    let status = &known.instance.status;
    let object = address::below("/console/configuration/objects/instances", status.name.as_str());
    let schema = known.plugins.first().map(|plugin| &plugin.config_schema);
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(|properties| properties.as_object());
    // What the plugin names a default for, and nobody has set.
    let defaults = properties.into_iter().flatten().filter(|(key, _)| !status.spec.config.contains_key(*key));
    let defaults =
        defaults.filter_map(|(key, property)| Some((key, property.get("default").filter(|value| !value.is_null())?)));
    let origin = known.origin.as_deref().unwrap_or("the configuration");
    let set = status.spec.config.iter().map(|(key, value)| (key, value, origin));
    let rows: Vec<Vec<Markup>> = set
        .chain(defaults.map(|(key, value)| (key, value, "the plugin's default")))
        .map(|(key, value, from)| {
            vec![
                html! { code { (widgets::clip(key)) } },
                html! { code { (widgets::clip(&value.to_string())) } },
                widgets::clip(from),
            ]
        })
        .collect();
    html! {
        @if rows.is_empty() { p.muted { "Nothing is set, and the plugin names no defaults." } }
        @else { (widgets::table("Configuration", &["Key", "Value", "From"], rows)) }
        @if known.origin.is_some() { p { a href=(object) { "Look at it as a whole, and change it" } } }
    }
}
