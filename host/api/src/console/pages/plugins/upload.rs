//! A component that is sent by the browser: its own script does it, since a form would have to be taken apart here, and could not tell how
//! far it got.

use super::{BASE, back, needs_session, waits};
use crate::console::form::Sent;
use crate::console::session::{Said, Undo};
use crate::console::view::View;
use crate::console::{PRINCIPAL, address, assets, session, widgets};
use crate::extract::{At, Component};
use crate::problem::Problem;
use axum::Json;
use maud::{Markup, html};
use quarterdeck_model::plugin::files::{Install, Seen};
use serde::Serialize;

/// Names of files that a browser may say.
const LONGEST_NAME: usize = 200;

pub(super) struct Offer<'a> {
    /// Ends with a slash where the file's name comes behind it.
    pub(super) to: &'a str,
    pub(super) label: &'a str,
    pub(super) says: &'a str,
    /// Whether another plugin's file may be meant.
    pub(super) may_replace: bool,
    /// The tag of the file that is replaced, where that is known.
    pub(super) seen: Option<&'a str>,
    /// The same by the command line.
    pub(super) command: &'a str,
}

/// What sends components, once for each page that takes some.
pub(super) fn script() -> Markup {
    html! { script src=(assets::address("upload.js")) defer {} }
}

/// A field, and a place to drop a file on. Only the script can send it.
pub(super) fn offer(view: &View, offer: &Offer<'_>) -> Markup {
    if view.session.is_none() {
        return needs_session(view);
    }
    html! {
        p.muted { (offer.says) }
        div.upload data-upload=(offer.to) data-seen=[offer.seen] hidden {
            label.field {
                span { (offer.label) " (.wasm): choose it, or drop it here" }
                input type="file" accept=".wasm,application/wasm";
            }
            @if offer.may_replace {
                label.check { input type="checkbox" value="true" data-replace; " Also where the file holds another plugin, which has no file then" }
            }
            div.actions {
                button.button.primary type="button" data-send { "Upload" }
                button.button type="button" data-cancel hidden { "Cancel" }
            }
            progress max="1" value="0" aria-label="Sent" hidden {}
            p.result role="status" {}
        }
        noscript { p { "Without script, by the command line:" } (widgets::command(offer.command)) }
    }
}

/// What became of it, for the script: where to go on. What is to be said waits there.
#[derive(Serialize)]
pub(super) struct Taken {
    to: String,
}

fn taken(view: &View, to: String, text: String, undo: Option<Undo>) -> Json<Taken> {
    if let Some(session) = &view.session {
        session::say(&view.api, session, Said { text, undo });
    }
    Json(Taken { to })
}

pub(super) async fn install(
    At(file): At<String>,
    Sent(view): Sent,
    Component(bytes): Component,
) -> Result<Json<Taken>, Problem> {
    let params = view.params()?;
    let replace = params.parsed("replace", "`true` or `false`", |text| text.parse().ok())?.unwrap_or(false);
    // On the page of a plugin it is known what is replaced.
    let seen = params.text("seen")?.map_or(Seen::Any, |tag| Seen::Tags(vec![tag.to_owned()]));
    let origin =
        params.text("name")?.map(|name| name.chars().filter(|one| !one.is_control()).take(LONGEST_NAME).collect());
    let install =
        Install { file, bytes: bytes.into(), digest: None, origin, seen, replace, principal: PRINCIPAL.to_owned() };
    let done = view.api.options.files.install(install).await?;
    let held = done.file.plugin.as_ref();
    let what = held.map_or(done.file.file.clone(), |plugin| format!("{} {}", plugin.name, plugin.version));
    let how = match (&done.replaced, done.file.serves) {
        (_, false) => format!("{what} is in the plugins folder, but another file serves under its name."),
        (Some(before), true) => format!("{what} is in use, in place of {} {}.", before.name, before.version),
        (None, true) => format!("{what} is in use."),
    };
    let to = held.map_or(super::files::BASE.to_owned(), |plugin| address::below(BASE, &plugin.name));
    // What another file serves under its name is as it was; and what another plugin had is not brought back by this one's versions.
    let undo = match (held, &done.replaced) {
        (Some(held), Some(before)) if done.file.serves && before.name == held.name => Some(back(held, before)),
        (Some(held), None) => Some(Undo {
            to: format!("{}/remove", address::below(super::files::BASE, &done.file.file)),
            fields: vec![("seen", held.digest.tag())],
        }),
        _ => None,
    };
    Ok(taken(&view, to, how + &waits(&done.awaiting), undo))
}

pub(super) async fn shadow(
    At(plugin): At<String>,
    Sent(view): Sent,
    Component(bytes): Component,
) -> Result<Json<Taken>, Problem> {
    let shadow = view.api.options.decisions.shadow(&plugin, bytes.into()).await?;
    let said = format!("{} is asked beside the version in use from now on.", shadow.candidate.version);
    let undo = Undo { to: format!("{}/end-shadow", address::below(BASE, &plugin)), fields: Vec::new() };
    Ok(taken(&view, address::below(BASE, &plugin), said, Some(undo)))
}
