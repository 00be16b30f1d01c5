//! What was in force before: the newest versions, what is different, and the way back.

use super::{CONCERNS, problems, tabs};
use crate::configuration::IfMatch;
use crate::console::form::{self, Action, Form, NOTHING};
use crate::console::session::Undo;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip};
use crate::console::{address, live, time};
use crate::extract::At;
use crate::paging::{List, blocking};
use crate::problem::Problem;
use crate::resources::configuration::versions::{self, VersionSummary};
use axum::response::Response;
use maud::{Markup, html};
use quarterdeck_config::{Change, Difference, compare};
use serde_json::Value;
use std::sync::Arc;

const BASE: &str = "/console/configuration/versions";
/// Differences that are shown.
const SHOWN: usize = 300;

pub(super) async fn list(view: View) -> Result<Response, Problem> {
    let List { items, next_cursor, unreadable } = versions::list(&view.api, &view.params()?).await?;
    let in_force = view.api.options.configuration.standing().version;
    let shown = html! {
        @if items.is_empty() {
            (widgets::empty("No version is kept.", "Each configuration that comes into force is kept as a version. Why there is none, the daemon's log says.",
                Some("quarterdeck config versions")))
        } @else { (table(&items, &in_force)) }
        (widgets::unreadable(&unreadable))
        (widgets::pager(&view, next_cursor.as_deref()))
    };
    let content = html! {
        h1 { "Versions of the configuration" }
        (tabs(&view))
        (live::part("versions", &CONCERNS, shown))
    };
    Ok(view.page("Versions of the configuration", content))
}

fn table(items: &[VersionSummary], in_force: &str) -> Markup {
    // Each stands in front of the one before it.
    let before = items.iter().skip(1).map(Some).chain([None]);
    widgets::table(
        "Versions",
        &["Version", "In force since", "By", "Values", "Differences"],
        items.iter().zip(before).map(|(version, before)| {
            vec![
                html! {
                    (widgets::link(&address::below(BASE, &version.id), &version.id))
                    @if version.id == in_force { " " (widgets::toned("in force", Tone::Good)) }
                },
                time::ago(version.applied_at),
                clip(&version.principal),
                widgets::digest(&version.digest),
                html! {
                    @if let Some(before) = before {
                        a href=(address::with(&address::below(BASE, &before.id), [("to", Some(version.id.as_str()))])) { "to the one before" }
                    }
                },
            ]
        }),
    )
}

pub(super) async fn show(view: View, At(id): At<String>) -> Result<Response, Problem> {
    let to = view.params()?.text("to")?.map(str::to_owned);
    let version = versions::find(&view.api, id.clone()).await?;
    let standing = view.api.options.configuration.standing();
    let other = match &to {
        Some(to) => Some(versions::find(&view.api, to.clone()).await?.value),
        None => None,
    };
    let configuration = Arc::clone(&view.api.options.configuration);
    let before = version.value;
    let (differences, in_force) = blocking(move || {
        let in_force = configuration.effective();
        Ok((compare(&before, other.as_ref().unwrap_or(&in_force)), in_force))
    })
    .await?;
    let content = html! {
        p.crumbs { a href=(BASE) { "Versions" } }
        h1 { "Version " (widgets::text(&id)) }
        p.badges { @if id == standing.version { (widgets::toned("in force", Tone::Good)) } }
        (widgets::section("What it is", widgets::definitions(&[
            ("In force since", time::ago(version.applied_at)),
            ("By", clip(&version.principal)),
            ("Values", html! { code { (clip(&version.digest)) } }),
        ])))
        @if to.is_none() && !differences.is_empty() { (offer(&view, &id, &standing.version, &differences)) }
        (widgets::section("What is different", html! {
            p { "From this version to " @match &to {
                Some(to) => { (widgets::link(&address::below(BASE, to), to)) ". " a href=(view.with("to", None)) { "To what is in force" } },
                None => "what is in force.",
            } }
            (changes(&differences, &in_force))
        }))
    };
    Ok(view.page(&format!("Version {id}"), content))
}

fn offer(view: &View, id: &str, in_force: &str, differences: &[Difference]) -> Markup {
    let to = format!("{}/restore", address::below(BASE, id));
    let objects = differences.iter().filter(|difference| super::objects::named(&difference.pointer).is_some()).count();
    let others = differences.len().saturating_sub(objects);
    let effect = format!(
        "Makes every object what it was in {id}: {objects} differences below go, by setting and deleting objects over what the files say. \
         {others} are of settings that stand in files, variables and flags, and stay."
    );
    let action = Action {
        to: &to,
        label: "Restore",
        effect: Some(&effect),
        dangerous: true,
        fields: &[("seen", seen(in_force))],
        ..Action::default()
    };
    form::actions(view, &[action])
}

fn changes(differences: &[Difference], in_force: &Value) -> Markup {
    if differences.is_empty() {
        return html! { p.muted { "Nothing." } };
    }
    let rows = differences.iter().take(SHOWN).map(|difference| {
        let (word, tone) = match difference.change {
            Change::Added => ("added", Tone::Good),
            Change::Removed => ("removed", Tone::Bad),
            Change::Changed => ("changed", Tone::Warning),
        };
        vec![
            problems::place(&difference.pointer, in_force),
            widgets::toned(word, tone),
            value(difference.before.as_ref()),
            value(difference.after.as_ref()),
        ]
    });
    html! {
        (widgets::table("Differences", &["Where", "What", "Before", "After"], rows))
        @if differences.len() > SHOWN { p.muted { (differences.len()) " in all. The others are told by " code { "quarterdeck config diff" } "." } }
    }
}

fn value(value: Option<&Value>) -> Markup {
    let Some(value) = value else { return html! { span.none { "–" } } };
    let short = value.to_string();
    html! {
        @if value.is_object() || value.is_array() {
            details.plain-details { summary { code { (clip(&short)) } } (widgets::json(value)) }
        } @else { code { (clip(&short)) } }
    }
}

/// One that could not be kept has no id.
fn seen(version: &str) -> &str {
    if version.is_empty() { NOTHING } else { version }
}

pub(super) async fn restore(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    // What was in force is what the form has seen, or nothing is restored.
    let before = Some(form.needed("seen")?).filter(|seen| *seen != NOTHING);
    let restored = form.view.api.options.configuration.restore(&id, IfMatch(form.seen()?)).await?;
    let said = match (restored.changed, restored.not_restored.len()) {
        (false, 0) => "Everything is as it was in that version already.".to_owned(),
        (true, 0) => format!("Every object is what it was in {id}: version {} is in force.", restored.version),
        (_, others) => format!(
            "Every object is what it was in {id}. {others} settings still differ: they stand in files, variables and flags."
        ),
    };
    let undo = before.filter(|_| restored.changed).map(|before| Undo {
        to: format!("{}/restore", address::below(BASE, before)),
        fields: vec![("seen", seen(&restored.version).to_owned())],
    });
    // What still differs is shown there.
    form.done_but(&address::below(BASE, &id), said, undo)
}
