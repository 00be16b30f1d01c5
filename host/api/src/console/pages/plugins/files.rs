//! The plugins folder: each file, what it holds, and why it can't be used.

use super::{CONCERNS, signed_by, tabs, version};
use crate::console::form::{self, Action, Form};
use crate::console::session::Undo;
use crate::console::view::View;
use crate::console::widgets::{self, clip};
use crate::console::{PRINCIPAL, address, live};
use crate::extract::At;
use crate::paging::{List, Slice, part};
use crate::problem::Problem;
use crate::resources::plugin_files;
use axum::Json;
use axum::response::Response;
use maud::{Markup, html};
use quarterdeck_model::plugin::files::{PluginFile, Seen};

pub(super) const BASE: &str = "/console/plugin-files";
/// Instances that are named where something happens to them.
const NAMED: usize = 10;

pub(super) async fn list(view: View) -> Result<Response, Problem> {
    let files = plugin_files::all(&view.api).await?;
    let Json(List { items, next_cursor, .. }) = part(files, &Slice::of(&view.params()?)?, |file| &file.file);
    let reload = Action { to: "/console/plugin-files/reload", label: "Look at the folder again", ..Action::default() };
    let shown = html! {
        @if items.is_empty() {
            (widgets::empty("No file is in the plugins folder.", "What is in use came with the host. A component is put into the folder on the page of all plugins, or by:",
                Some("quarterdeck plugin install my-plugin.wasm")))
        } @else { (table(&view, &items)) }
        (widgets::pager(&view, next_cursor.as_deref()))
    };
    let content = html! {
        h1 { "Files of the plugins folder" }
        (tabs(&view))
        (form::actions(&view, &[reload]))
        (live::part("files", &CONCERNS, shown))
    };
    Ok(view.page("Plugin files", content))
}

fn table(view: &View, files: &[PluginFile]) -> Markup {
    let columns = ["File", "Holds", "State", "Installed from", "Signed by", "Size", "Action"];
    widgets::table(
        "Files",
        &columns,
        files.iter().map(|file| {
            let holds = match &file.plugin {
                Some(plugin) => html! { (widgets::link(&address::below(super::BASE, &plugin.name), &plugin.name)) " " (version(plugin)) },
                None => html! { span.none { "nothing that can be used" } },
            };
            let state = html! {
                @if file.serves { (widgets::state("active")) } @else { (widgets::toned("not in use", widgets::Tone::Quiet)) }
                @if let Some(reason) = &file.reason { " " (widgets::text(reason)) }
            };
            vec![
                html! { code { (clip(&file.file)) } },
                holds,
                state,
                file.origin.as_deref().map_or_else(|| html! { span.none { "dropped in" } }, clip),
                signed_by(file.publisher.as_ref()),
                html! { (widgets::bytes(file.bytes)) },
                removal(view, file),
            ]
        }),
    )
}

/// Takes the file away, if it still has the content that was looked at.
pub(super) fn removal(view: &View, file: &PluginFile) -> Markup {
    let to = format!("{}/remove", address::below(BASE, &file.file));
    let named: Vec<&str> = file.instances.iter().take(NAMED).map(|name| name.as_str()).collect();
    let others = file.instances.len().saturating_sub(named.len());
    let named = if others > 0 { format!("{} and {others} more", named.join(", ")) } else { named.join(", ") };
    let follows = match &file.without {
        _ if !file.serves || file.instances.is_empty() => "No instance runs on it.".to_owned(),
        Some(without) => format!("{named} then run on version {}.", without.version),
        None => format!("{named} lose their plugin, and stand still."),
    };
    let effect =
        format!("Takes {} out of the plugins folder. {follows} Its content is kept, to be gone back to.", file.file);
    let tag = file.digest.tag();
    let action = Action {
        to: &to,
        label: "Remove",
        effect: Some(&effect),
        dangerous: true,
        fields: &[("seen", tag.as_str())],
        ..Action::default()
    };
    action.show(view)
}

pub(super) async fn reload(form: Form) -> Result<Response, Problem> {
    let plugins = form.view.api.options.registry.reload().await;
    form.done(BASE, format!("The folder was looked at. There are {} plugins.", plugins.len()))
}

pub(super) async fn remove(At(file): At<String>, form: Form) -> Result<Response, Problem> {
    let seen = Seen::Tags(vec![form.needed("seen")?.to_owned()]);
    let removed = form.view.api.options.files.remove(&file, &seen, PRINCIPAL).await?;
    let serving = match (&removed.serving, removed.bereft.len()) {
        (Some(serving), _) => format!(" {} {} serves now.", serving.name, serving.version),
        (None, 0) => String::new(),
        (None, bereft) => format!(" {bereft} instances have no plugin now."),
    };
    // What serves now, a bundled version or another file, is gone back from.
    let undo = removed.plugin.as_ref().map(|plugin| Undo {
        to: format!("{}/roll-back", address::below(super::BASE, &plugin.name)),
        fields: vec![
            ("to", removed.digest.0.clone()),
            ("seen", removed.serving.as_ref().map_or(form::NOTHING.to_owned(), |serving| serving.digest.0.clone())),
        ],
    });
    form.done_but(BASE, format!("{} is removed.{serving}", removed.file), undo)
}
