//! What is wrong with the configuration: files that are refused, what had to be lived with, and what can't work as things stand.

use super::{CONCERNS, objects, tabs};
use crate::console::live;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::paging::blocking;
use crate::problem::{Mistake, Problem};
use axum::response::Response;
use maud::{Markup, html};
use quarterdeck_config::key_path;
use serde_json::Value;
use std::sync::Arc;

pub(super) async fn show(view: View) -> Result<Response, Problem> {
    let configuration = Arc::clone(&view.api.options.configuration);
    let (standing, in_force) = blocking(move || Ok((configuration.standing(), configuration.effective()))).await?;
    let nothing = standing.refused.is_empty() && standing.problems.is_empty() && standing.warnings.is_empty();
    let content = html! {
        h1 { "Problems of the configuration" }
        (tabs(&view))
        (live::part("problems", &CONCERNS, html! {
            @if nothing {
                (widgets::empty("Nothing is wrong.", "Files are checked before they are put in force; without a daemon, by:", Some("quarterdeck config check")))
            }
            @if !standing.refused.is_empty() {
                (widgets::section("Refused", html! {
                    p { (widgets::toned("refused", Tone::Bad)) " The files as they stand are not in force: what they said before goes on to hold. They are read again as soon as they change." }
                    (table("Refused", &standing.refused, &in_force))
                }))
            }
            @if !standing.problems.is_empty() {
                (widgets::section("Left out", html! {
                    p { (widgets::toned("left out", Tone::Bad)) " What had to be lived with at the start." }
                    (table("Left out", &standing.problems, &in_force))
                }))
            }
            @if !standing.warnings.is_empty() {
                (widgets::section("Warnings", html! {
                    p { (widgets::toned("in force", Tone::Warning)) " What is in force, and can't work as things stand." }
                    (table("Warnings", &standing.warnings, &in_force))
                }))
            }
        }))
    };
    Ok(view.page("Problems of the configuration", content))
}

/// Also for an object.
pub(super) fn table(caption: &str, mistakes: &[Mistake], in_force: &Value) -> Markup {
    let rows = mistakes.iter().map(|mistake| vec![place(&mistake.path, in_force), text(&mistake.detail)]);
    widgets::table(caption, &["Where", "What"], rows)
}

/// The place, with a link to its object, where that is in force.
pub(super) fn place(pointer: &str, in_force: &Value) -> Markup {
    if pointer.is_empty() {
        return html! { span.none { "as a whole" } };
    }
    let path = key_path(pointer);
    html! {
        @match objects::of(pointer, in_force) {
            Some(to) => a href=(to) { code { (clip(&path)) } },
            None => code { (clip(&path)) },
        }
    }
}
