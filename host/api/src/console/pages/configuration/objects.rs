//! Named objects of the configuration, with where they come from.

use super::{CONCERNS, edit, problems, setting_table, settings, tabs};
use crate::configuration::{Object, Said};
use crate::console::form::{self, Action};
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{address, live};
use crate::extract::At;
use crate::paging::{List, blocking};
use crate::problem::Problem;
use crate::resources::configuration::objects;
use axum::response::Response;
use maud::{Markup, html};
use quarterdeck_config::{push, sections};
use serde_json::Value;
use std::sync::Arc;

pub(super) const BASE: &str = "/console/configuration/objects";

pub(super) fn at(section: &str, name: &str) -> String {
    address::below(&address::below(BASE, section), name)
}

/// The page of the object that a JSON pointer leads into, if it is in force.
pub(super) fn of(pointer: &str, in_force: &Value) -> Option<String> {
    let (section, name) = named(pointer)?;
    in_force.get(section)?.get(&name)?;
    Some(at(section, &name))
}

/// Section and name of the object that a JSON pointer leads into.
pub(super) fn named(pointer: &str) -> Option<(&str, String)> {
    let mut steps = pointer.split('/').skip(1);
    let section = steps.next().filter(|section| sections().any(|known| known == *section))?;
    let name = steps.next()?.replace("~1", "/").replace("~0", "~");
    Some((section, name))
}

pub(super) async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let (section, api) = (params.text("section")?.map(str::to_owned), params.text("api")?.map(str::to_owned));
    let shared = Arc::clone(&view.api);
    let List { items, next_cursor, .. } = blocking(move || objects::read(&shared, &params)).await?;
    let names: Vec<(&str, &str)> =
        std::iter::once(("", "all")).chain(sections().map(|section| (section, section))).collect();
    let new = address::with("/console/configuration/new", [("section", section.as_deref())]);
    let shown = html! {
        @if items.is_empty() {
            (widgets::empty("No objects here.", "One is made here, in a file, or by the command line:",
                Some("quarterdeck config set instances log/second 'plugin = \"log\"'")))
        } @else { (table(&items)) }
        (widgets::pager(&view, next_cursor.as_deref()))
    };
    let content = html! {
        h1 { "Objects of the configuration" }
        (tabs(&view))
        (form::filters(&view, html! {
            (form::select("section", "Section", &names, section.as_deref()))
            (form::select("api", "Said here or over the API", &[("", "all"), ("true", "only those")], api.as_deref()))
        }))
        @if view.session.is_some() { p { a.button href=(new) { "Make a new one" } } } @else { (form::notice()) }
        (live::part("objects", &CONCERNS, shown))
    };
    Ok(view.page("Objects of the configuration", content))
}

fn table(items: &[Object]) -> Markup {
    widgets::table(
        "Objects",
        &["Section", "Object", "State", "From"],
        items.iter().map(|object| {
            vec![
                clip(&object.section),
                widgets::link(&at(&object.section, &object.name), &object.name),
                state(object),
                object.origin.as_deref().map_or_else(|| html! { span.none { "–" } }, clip),
            ]
        }),
    )
}

fn state(object: &Object) -> Markup {
    html! {
        @match (&object.value, object.api) {
            (Some(_), Some(Said::Set)) => (widgets::toned("set over the files", Tone::Good)),
            (Some(_), _) => (widgets::toned("in force", Tone::Good)),
            (None, Some(Said::Deleted)) => (widgets::toned("deleted", Tone::Quiet)),
            (None, _) => (widgets::toned("not in force", Tone::Bad)),
        }
        @if let Some(problem) = &object.problem { " " (text(problem)) }
    }
}

pub(super) async fn show(view: View, At((section, name)): At<(String, String)>) -> Result<Response, Problem> {
    let object = view.api.options.configuration.object(&section, &name);
    let object = object.ok_or_else(|| objects::unknown(&section, &name))?;
    let api = Arc::clone(&view.api);
    let (pointer, section_of, name_of) = (push(&push("", &section), &name), section.clone(), name.clone());
    let value = object.value.clone().unwrap_or_default();
    let (found, warnings) = blocking(move || {
        let mut found = Vec::new();
        settings(&api, &pointer, &value, &mut found);
        // Below the object all begin alike.
        for setting in &mut found {
            setting.pointer = setting.pointer.strip_prefix(&pointer).map(str::to_owned).unwrap_or_default();
        }
        let standing = api.options.configuration.standing();
        let mut wrong = standing.problems;
        wrong.extend(standing.warnings);
        Ok((found, objects::about(&section_of, &name_of, wrong)))
    })
    .await?;
    let content = html! {
        p.crumbs { a href=(BASE) { "Objects" } " / "
            @if sections().any(|known| known == section) { a href=(address::with(BASE, [("section", Some(section.as_str()))])) { (clip(&section)) } }
            @else { (clip(&section)) }
        }
        h1 { (text(&name)) }
        (live::part("object", &CONCERNS, html! {
            p.badges { (state(&object)) }
            (offers(&view, &object))
            @if !warnings.is_empty() { (widgets::section("What is wrong with it", problems::table("What is wrong with it", &warnings, &Value::Null))) }
            (widgets::section("Where it comes from", html! {
                p { "As a whole: " (clip(object.origin.as_deref().unwrap_or("nothing is in force"))) "." }
                @if !found.is_empty() {
                    details.plain-details { summary { (found.len()) " values, each with where it comes from" } (setting_table("Values", &found)) }
                }
            }))
        }))
        (widgets::section(if view.session.is_some() { "Change it" } else { "As it is in force" }, edit::of(&view, &object)))
    };
    Ok(view.page(&name, content))
}

fn offers(view: &View, object: &Object) -> Markup {
    let base = at(&object.section, &object.name);
    let (delete, reset, tag) = (format!("{base}/delete"), format!("{base}/reset"), object.tag());
    let fields = [("seen", tag.as_str())];
    let mut actions = Vec::new();
    let (what, name) = (&object.section, &object.name);
    let deleting = format!(
        "Takes {name} out of {what}, whatever the files say. What needs it is refused or stands still. Resetting it brings back what the files say."
    );
    let resetting = format!(
        "Forgets what was said here or over the API about {name}: what the files say of it holds again; if they say nothing, it is gone."
    );
    if object.value.is_some() {
        actions.push(Action {
            to: &delete,
            label: "Delete",
            effect: Some(&deleting),
            dangerous: true,
            fields: &fields,
            ..Action::default()
        });
    }
    if object.api.is_some() {
        actions.push(Action {
            to: &reset,
            label: "Reset to the files",
            effect: Some(&resetting),
            dangerous: true,
            fields: &fields,
            ..Action::default()
        });
    }
    form::actions(view, &actions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_the_page_of_its_object() {
        let expected = "/console/configuration/objects/instances/http-probe%2Fshop";
        let in_force = serde_json::json!({"instances": {"http-probe/shop": {}}, "api": {"listen": ""}});
        assert_eq!(of("/instances/http-probe~1shop/config/url", &in_force).as_deref(), Some(expected));
        for pointer in ["/instances", "/instances/log~1gone", "/api/listen"] {
            assert_eq!(of(pointer, &in_force), None);
        }
    }
}
