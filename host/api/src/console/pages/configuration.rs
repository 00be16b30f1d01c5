//! The configuration: what is in force and where it comes from. `problems`: what is wrong with it; `objects`: the named ones; `edit`: how one
//! is changed; `undo`: the way back from a change; `versions`: what was in force before; `export`: all of it as files.

mod edit;
mod export;
mod objects;
mod problems;
pub(super) mod undo;
mod versions;

use super::{Group, Page};
use crate::Api;
use crate::console::form::{self, Action, Form};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip};
use crate::console::{address, live};
use crate::paging::blocking;
use crate::problem::Problem;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use quarterdeck_config::{key_path, push, sections};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Configuration",
    path: "/configuration",
    group: Group::Host,
    one: "Configuration object",
    words: "settings toml objects rules routes instances versions restore export reload problems",
    routes,
    find,
};

const BASE: &str = "/console/configuration";
const CONCERNS: [&str; 1] = ["configuration."];
/// Settings that are shown; the rest is told by the command line.
const SHOWN: usize = 1000;

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/configuration", get(show))
        .route("/configuration/reload", post(reload))
        .route("/configuration/problems", get(problems::show))
        .route("/configuration/objects", get(objects::list))
        .route("/configuration/new", get(edit::new).post(edit::create))
        .route("/configuration/objects/{section}/{name}", get(objects::show).post(edit::set))
        .route("/configuration/objects/{section}/{name}/delete", post(edit::delete))
        .route("/configuration/objects/{section}/{name}/reset", post(edit::reset))
        .route("/configuration/versions", get(versions::list))
        .route("/configuration/versions/{id}", get(versions::show))
        .route("/configuration/versions/{id}/restore", post(versions::restore))
        .route("/configuration/export", get(export::show))
        .route("/configuration/export/{*path}", get(export::download))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for object in api.options.configuration.objects() {
        finds.offer(&object.name, &[&object.section], || objects::at(&object.section, &object.name));
    }
    Ok(())
}

fn tabs(view: &View) -> Markup {
    widgets::tabs(
        "Configuration",
        view.path(),
        &[
            ("In force", BASE),
            ("Objects", "/console/configuration/objects"),
            ("Problems", "/console/configuration/problems"),
            ("Versions", "/console/configuration/versions"),
            ("Export", "/console/configuration/export"),
        ],
    )
}

/// A single setting: its JSON pointer, its value, and where that comes from.
struct Setting {
    pointer: String,
    value: String,
    from: String,
}

impl Setting {
    fn is_built_in(&self) -> bool {
        self.from == BUILT_IN
    }
}

/// As the configuration says it of what nobody has set.
const BUILT_IN: &str = "built in";

/// Every single value at and below the pointer, with where it comes from.
fn settings(api: &Api, pointer: &str, value: &Value, found: &mut Vec<Setting>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                settings(api, &push(pointer, key), value, found);
            }
        }
        // Absent: its default holds.
        Value::Null => {}
        value => {
            let from = api.options.configuration.origin(pointer).unwrap_or_else(|| BUILT_IN.to_owned());
            found.push(Setting { pointer: pointer.to_owned(), value: value.to_string(), from });
        }
    }
}

fn setting_table(caption: &str, settings: &[Setting]) -> Markup {
    widgets::table(
        caption,
        &["Setting", "Value", "From"],
        settings.iter().take(SHOWN).map(|setting| {
            vec![
                html! { code { (clip(&key_path(&setting.pointer))) } },
                html! { code { (clip(&setting.value)) } },
                if setting.is_built_in() {
                    html! { span.muted { (BUILT_IN) } }
                } else {
                    clip(&setting.from)
                },
            ]
        }),
    )
}

async fn show(view: View) -> Result<Response, Problem> {
    let all = view.params()?.parsed("all", "`true` or `false`", |text| text.parse::<bool>().ok())?.unwrap_or(false);
    let api = Arc::clone(&view.api);
    let (standing, mut found, counts) = blocking(move || {
        let configuration = &api.options.configuration;
        let (mut found, mut counts) = (Vec::new(), Vec::new());
        let objects: BTreeSet<&str> = sections().collect();
        let in_force = configuration.effective();
        for (key, value) in
            in_force.as_object().into_iter().flatten().filter(|(key, _)| !objects.contains(key.as_str()))
        {
            settings(&api, &push("", key), value, &mut found);
        }
        for section in objects {
            counts.push((section, in_force.get(section).and_then(Value::as_object).map_or(0, Map::len)));
        }
        Ok((configuration.standing(), found, counts))
    })
    .await?;
    let total = found.len();
    if !all {
        found.retain(|setting| !setting.is_built_in());
    }
    let wrong = standing.refused.len() + standing.problems.len();
    let reload = Action { to: "/console/configuration/reload", label: "Read the files again", ..Action::default() };
    let content = html! {
        h1 { "Configuration" }
        (tabs(&view))
        (form::actions(&view, &[reload]))
        (live::part("standing", &CONCERNS, html! {
            p.badges {
                @if wrong > 0 { a href="/console/configuration/problems" { (widgets::toned(&format!("{wrong} problems"), Tone::Bad)) } }
                @else { (widgets::toned("in force as it stands", Tone::Good)) }
                @if !standing.warnings.is_empty() {
                    a href="/console/configuration/problems" { (widgets::toned(&format!("{} warnings", standing.warnings.len()), Tone::Warning)) }
                }
            }
            (widgets::section("What is in force", widgets::definitions(&[
                ("Version", if standing.version.is_empty() { html! { span.none { "not kept: the log says why" } } } else {
                    html! { code { (clip(&standing.version)) } }
                }),
                ("Values", html! { code { (clip(&standing.digest)) } }),
                ("At the next start", if standing.pending_restart.is_empty() { html! { span.none { "nothing waits for it" } } } else {
                    html! { (widgets::toned("waits for a restart", Tone::Warning)) " " (clip(&standing.pending_restart.join(", "))) }
                }),
            ])))
            (widgets::section("Objects", html! {
                ul.labels { @for (section, count) in &counts {
                    li { a href=(address::with("/console/configuration/objects", [("section", Some(*section))])) { (section) } " " (count) }
                } }
            }))
            (widgets::section("Settings", html! {
                p.muted {
                    @if all { (total) " settings. " a href=(BASE) { "Only those that somebody has set" } }
                    @else { (found.len()) " of " (total) " settings are not as they are built in. " a href={ (BASE) "?all=true" } { "All of them" } }
                }
                @if found.is_empty() {
                    (widgets::empty("Nobody has set anything.", "Settings stand in files, which this writes with a comment to each:", Some("quarterdeck init")))
                } @else { (setting_table("Settings", &found)) }
                @if found.len() > SHOWN { p.muted { "The others are told by " code { "quarterdeck config show" } "." } }
            }))
        }))
    };
    Ok(view.page("Configuration", content))
}

async fn reload(form: Form) -> Result<Response, Problem> {
    let configuration = &form.view.api.options.configuration;
    configuration.reload().await?;
    let warnings = configuration.standing().warnings.len();
    let said = if warnings == 0 { String::new() } else { format!(" There are {warnings} warnings.") };
    form.done(BASE, format!("The files were read again, and are in force.{said}"))
}
