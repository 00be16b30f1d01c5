//! A component that is sent by the browser: its own script does it, since a form would have to be taken apart here, and could not tell how
//! far it got.
//!
//! What comes into use is sent twice. First it is only looked at, and what it would replace is said; what is confirmed is that, and nothing
//! else: neither another content nor over another version.

use super::{BASE, back, needs_session, short, waits};
use crate::console::form::{NOTHING, Sent, seen};
use crate::console::session::{Said, Undo};
use crate::console::view::View;
use crate::console::{PRINCIPAL, address, assets, session, widgets};
use crate::extract::{At, Component};
use crate::problem::Problem;
use axum::Json;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use quarterdeck_model::plugin::files::{Install, Prospect};
use quarterdeck_model::plugin::{Digest, PluginRef};
use serde::Serialize;

/// Names of files that a browser may say.
const LONGEST_NAME: usize = 200;

pub(super) struct Offer<'a> {
    /// Ends with a slash where the file's name comes behind it.
    pub(super) to: &'a str,
    pub(super) label: &'a str,
    pub(super) says: &'a str,
    /// Whether it comes into use, so that what it would replace is said before.
    pub(super) is_confirmed: bool,
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
        div.upload data-upload=(offer.to) hidden {
            label.field {
                span { (offer.label) " (.wasm): choose it, or drop it here" }
                input type="file" accept=".wasm,application/wasm";
            }
            div.actions {
                button.button.primary type="button" data-send { "Upload" }
                button.button type="button" data-cancel hidden { "Cancel" }
            }
            progress max="1" value="0" aria-label="Sent" hidden {}
            p.result role="status" {}
            @if offer.is_confirmed {
                div.actions { button.button.danger type="button" data-confirm hidden { "Put it into use" } }
            }
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

/// What a component would replace, for the script: in words, and what is sent back when somebody confirms that.
#[derive(Serialize)]
struct Outlook {
    says: String,
    digest: String,
    seen: String,
    serving: String,
}

impl Outlook {
    fn of(file: &str, prospect: &Prospect) -> Self {
        let Prospect { plugin, serving, content, held } = prospect;
        let named = |plugin: &PluginRef| format!("{} {} ({})", plugin.name, plugin.version, short(&plugin.digest.0));
        let mut says = match serving {
            Some(serving) if serving.digest == plugin.digest => format!("{} is in use already.", named(plugin)),
            Some(serving) => {
                format!("{} comes into use in place of {}, which can be gone back to.", named(plugin), named(serving))
            }
            None => format!("{} comes into use. Nothing serves under its name now.", named(plugin)),
        };
        match (held, content) {
            (Some(held), _) if held.name != plugin.name => {
                says += &format!(" {file} holds another plugin, {}, which has no file then.", named(held));
            }
            (Some(held), _) if held.digest != plugin.digest && Some(held) != serving.as_ref() => {
                says += &format!(" {file} holds {}, which is replaced.", named(held));
            }
            (None, Some(_)) => says += &format!(" {file} holds nothing that can be used, and is replaced."),
            _ => {}
        }
        let or_nothing = |digest: Option<&Digest>| digest.map_or(NOTHING.to_owned(), |digest| digest.0.clone());
        Outlook {
            says,
            digest: plugin.digest.0.clone(),
            seen: or_nothing(content.as_ref()),
            serving: or_nothing(serving.as_ref().map(|serving| &serving.digest)),
        }
    }
}

pub(super) async fn install(
    At(file): At<String>,
    Sent(view): Sent,
    Component(bytes): Component,
) -> Result<Response, Problem> {
    let params = view.params()?;
    let Some(digest) = params.text("digest")? else {
        let prospect = view.api.options.files.look_at(&file, bytes.into()).await?;
        return Ok(Json(Outlook::of(&file, &prospect)).into_response());
    };
    let shown = |name: &str| {
        let unseen =
            || Problem::invalid(format!("`{name}` is needed: what it would replace; hint: load the page anew"));
        params.text(name)?.map(seen).ok_or_else(unseen)
    };
    let origin =
        params.text("name")?.map(|name| name.chars().filter(|one| !one.is_control()).take(LONGEST_NAME).collect());
    let install = Install {
        file,
        bytes: bytes.into(),
        digest: Some(Digest(digest.to_owned())),
        origin,
        seen: shown("seen")?,
        serving: shown("serving")?,
        // That it holds another plugin was said, and confirmed.
        replace: true,
        principal: PRINCIPAL.to_owned(),
    };
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
    Ok(taken(&view, to, how + &waits(&done.awaiting), undo).into_response())
}

pub(super) async fn shadow(
    At(plugin): At<String>,
    Sent(view): Sent,
    Component(bytes): Component,
) -> Result<Json<Taken>, Problem> {
    let shadow = view.api.options.decisions.shadow(&plugin, bytes.into()).await?;
    let said = format!("{} is asked beside the version in use from now on.", shadow.candidate.version);
    let undo = Undo {
        to: format!("{}/end-shadow", address::below(BASE, &plugin)),
        fields: vec![("seen", shadow.candidate.digest.0.clone())],
    };
    Ok(taken(&view, address::below(BASE, &plugin), said, Some(undo)))
}
