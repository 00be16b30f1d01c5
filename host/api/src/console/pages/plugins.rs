//! Plugins: what is loaded, by kind, and what can be done about one. `detail`: the page of one; `files`: the plugins folder; `upload`: what
//! comes into it by the browser.

mod detail;
mod files;
mod upload;

use super::{Group, Page};
use crate::Api;
use crate::console::form::{self, Action, Form};
use crate::console::search::Finds;
use crate::console::session::Undo;
use crate::console::view::View;
use crate::console::widgets::{self, clip};
use crate::console::{PRINCIPAL, address, live};
use crate::extract::At;
use crate::paging::{List, blocking};
use crate::problem::Problem;
use crate::resources::plugins;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use quarterdeck_model::plugin::files::Waiting;
use quarterdeck_model::plugin::publisher::Publisher;
use quarterdeck_model::plugin::{Kind, PluginRef, PluginStatus};
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Plugins",
    path: "/plugins",
    group: Group::Host,
    one: "Plugin",
    words: "component wasm kind version upload install roll back promote shadow candidate",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/plugins";
/// On which the pages about plugins change.
const CONCERNS: [&str; 3] = ["plugin.", "instance.state-changed", "instance.grants-changed"];

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/plugins", get(list))
        .route("/plugins/{name}", get(detail::show))
        .route("/plugins/{name}/roll-back", post(roll_back))
        .route("/plugins/{name}/promote", post(promote))
        .route("/plugins/{name}/end-shadow", post(end_shadow))
        .route("/plugin-files", get(files::list))
        .route("/plugin-files/reload", post(files::reload))
        .route("/plugin-files/{file}/remove", post(files::remove))
        .route("/upload/plugin-files/{file}", post(upload::install))
        .route("/upload/shadows/{plugin}", post(upload::shadow))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for plugin in plugins::sorted(api) {
        let kinds = plugin.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ");
        finds.offer(&plugin.name, &[&kinds, &plugin.summary], || address::below(BASE, &plugin.name));
    }
    Ok(())
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let kind = params.word::<Kind>("kind")?;
    let (api, asked) = (Arc::clone(&view.api), view.params()?);
    let (all, List { items, next_cursor, .. }) =
        blocking(move || Ok((plugins::sorted(&api), plugins::read(&api, &asked)?))).await?;
    let shown = html! {
        @if items.is_empty() {
            (widgets::empty("No plugin of that kind is loaded.", "A component is put into use by dropping it above, or by the command line:",
                Some("quarterdeck plugin install my-plugin.wasm")))
        } @else { (table(&items)) }
        (widgets::pager(&view, next_cursor.as_deref()))
    };
    let content = html! {
        h1 { "Plugins" }
        (tabs(&view))
        (kinds(&all, kind))
        (live::part("plugins", &CONCERNS, shown))
        (widgets::section("Put a plugin into use", upload::offer(&view, &upload::Offer {
            to: "/console/upload/plugin-files/",
            label: "A component",
            says: "It is verified first. Then it is said what it would replace, and it comes into use when that is confirmed. The version before can be gone back to.",
            is_confirmed: true,
            command: "quarterdeck plugin install my-plugin.wasm",
        })))
        (upload::script())
    };
    Ok(view.page("Plugins", content))
}

fn tabs(view: &View) -> Markup {
    widgets::tabs("Plugins and files", view.path(), &[("Plugins", BASE), ("Files", files::BASE)])
}

/// Each kind with how many there are of it.
fn kinds(all: &[PluginStatus], chosen: Option<Kind>) -> Markup {
    let count = |kind: Kind| all.iter().filter(|plugin| plugin.kinds.contains(&kind)).count();
    html! {
        nav.kinds aria-label="Kinds" {
            a.button.quiet href=(BASE) aria-current=[chosen.is_none().then_some("page")] { "All " span.muted { (all.len()) } }
            @for kind in Kind::ALL {
                a.button.quiet href=(address::with(BASE, [("kind", Some(kind.as_str()))])) aria-current=[(chosen == Some(kind)).then_some("page")] {
                    (kind.as_str().replace('-', " ")) " " span.muted { (count(kind)) }
                }
            }
        }
    }
}

fn table(plugins: &[PluginStatus]) -> Markup {
    widgets::table(
        "Plugins",
        &["Plugin", "Kinds", "Version", "State", "From", "Signed by", "Content"],
        plugins.iter().map(|plugin| {
            vec![
                html! { (widgets::link(&address::below(BASE, &plugin.name), &plugin.name)) br; span.muted { (clip(&plugin.summary)) } },
                html! { (named(&plugin.kinds)) },
                clip(&plugin.version),
                html! {
                    (widgets::state(plugin.state))
                    @if let Some(reason) = &plugin.reason { " " (clip(reason)) }
                },
                clip(&plugin.source),
                signed_by(plugin.publisher.as_ref()),
                widgets::digest(&plugin.digest.0),
            ]
        }),
    )
}

pub(super) fn named(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.as_str().replace('-', " ")).collect::<Vec<_>>().join(", ")
}

fn signed_by(publisher: Option<&Publisher>) -> Markup {
    let Some(publisher) = publisher else { return html! { span.none { "nobody" } } };
    let key = publisher.key.to_string();
    let tone = if publisher.trusted { widgets::Tone::Good } else { widgets::Tone::Warning };
    html! {
        code title=(key) { (key.chars().take(16).collect::<String>()) } " "
        (widgets::toned(if publisher.trusted { "trusted" } else { "not trusted" }, tone))
    }
}

/// A version as people name it.
pub(super) fn version(plugin: &PluginRef) -> Markup {
    html! { (clip(&plugin.version)) " " (widgets::digest(&plugin.digest.0)) }
}

/// What waits after a change, in words.
fn waits(awaiting: &[Waiting]) -> String {
    if awaiting.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = awaiting.iter().take(5).map(|waiting| waiting.instance.as_str()).collect();
    let others = awaiting.len().saturating_sub(names.len());
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    format!(" Waiting for a grant: {}{more}; their pages offer it.", names.join(", "))
}

async fn roll_back(At(name): At<String>, form: Form) -> Result<Response, Problem> {
    let done = form.view.api.options.files.roll_back(&name, form.text("to"), &form.seen()?, PRINCIPAL).await?;
    let from = done.from.as_ref().map_or("none", |from| from.version.as_str());
    let said = format!("{name} went back from {from} to {}.{}", done.to.version, waits(&done.awaiting));
    let undo = done.from.as_ref().map(|from| back(&done.to, from));
    form.done_but(&address::below(BASE, &name), said, undo)
}

/// The way from a version that is in use to the one before it.
fn back(from: &PluginRef, to: &PluginRef) -> Undo {
    Undo {
        to: format!("{}/roll-back", address::below(BASE, &to.name)),
        fields: vec![("to", to.digest.0.clone()), ("seen", from.digest.0.clone())],
    }
}

async fn promote(At(name): At<String>, form: Form) -> Result<Response, Problem> {
    // Another candidate may have taken its place since the page was made.
    let done = form.view.api.options.decisions.promote(&name, Some(form.needed("seen")?), PRINCIPAL).await?;
    let before = done.before.as_ref().map_or("none", |before| before.version.as_str());
    let undo = done.before.as_ref().map(|before| back(&done.plugin, before));
    let said = format!("{name} {} is in use in place of {before}.", done.plugin.version);
    form.done_but(&address::below(BASE, &name), said, undo)
}

async fn end_shadow(At(name): At<String>, form: Form) -> Result<Response, Problem> {
    let decisions = &form.view.api.options.decisions;
    let now = decisions.shadows().into_iter().find(|shadow| shadow.plugin == name);
    let now = now.ok_or_else(|| Problem::no_document("shadows", &name))?;
    // One that comes in its place from here on has been compared with nothing yet.
    form.must_have_seen(&now.candidate.digest.0)?;
    let ended = decisions.end_shadow(&name).await?;
    let said = format!("The candidate {} of {name} is not asked any more.", ended.candidate.version);
    form.done(&address::below(BASE, &name), said)
}

/// A way back to each version that is kept and not in use.
fn back_to(view: &View, name: &str, active: Option<&PluginRef>, version: &PluginRef) -> Markup {
    let to = format!("{}/roll-back", address::below(BASE, name));
    let (in_use, seen) =
        active.map_or(("none", form::NOTHING), |active| (active.version.as_str(), active.digest.0.as_str()));
    let effect = format!(
        "{name} goes back from {in_use} to {} ({}): its instances run on that from their next call on.",
        version.version,
        short(&version.digest.0)
    );
    let action = Action {
        to: &to,
        label: "Roll back",
        effect: Some(&effect),
        dangerous: true,
        fields: &[("to", version.digest.0.as_str()), ("seen", seen)],
        ..Action::default()
    };
    action.show(view)
}

fn short(digest: &str) -> String {
    digest.chars().take(19).collect()
}

/// What stands where a page has nothing but what needs the session.
fn needs_session(view: &View) -> Markup {
    if view.session.is_none() {
        form::notice()
    } else {
        html! {}
    }
}
