//! Errors as pages: what happened, and what to do.

use super::view::{self, View};
use super::widgets;
use crate::Api;
use crate::problem::Problem;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{StatusCode, Uri};
use maud::html;
use std::sync::Arc;

pub(super) async fn no_page(view: View) -> Problem {
    Problem::not_found(format!(
        "there is no page `{}`; hint: the navigation and the search lead to what there is",
        view.path()
    ))
}

/// A refusal that came before the console was reached.
pub(crate) fn refuse(api: &Arc<Api>, uri: &Uri, problem: Problem) -> Response {
    let mut response = as_page(&View::of_nobody(api, uri), problem.into_response());
    view::harden(response.headers_mut());
    response
}

/// The page for a problem; any other answer as it is.
pub(super) fn as_page(view: &View, mut response: Response) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (what, hint) = match problem.detail.split_once("hint: ") {
        Some((what, hint)) => (what.trim_end_matches([';', ' ']), Some(hint)),
        None => (problem.detail.as_str(), None),
    };
    let content = html! {
        section.failure {
            p.status { (problem.status) }
            h1 { (problem.title) }
            p { (widgets::text(what)) "." }
            @if let Some(hint) = hint { p.hint { strong { "What to do: " } (widgets::text(hint)) } }
            @if !problem.errors.is_empty() {
                ul { @for mistake in &problem.errors { li { code { (widgets::text(&mistake.path)) } " " (widgets::text(&mistake.detail)) } } }
            }
            p.actions {
                @if problem.status == 401 { a.button href="/console/sign-in" { "Sign in" } }
                a.button.quiet href="/console" { "Overview" }
            }
        }
    };
    let status = response.status();
    let mut page = view.page_with(status, &problem.title, content);
    // What else the refusal says, `Retry-After` for one, but for what is of its body.
    for (name, value) in
        response.headers().iter().filter(|(name, _)| **name != CONTENT_TYPE && **name != CONTENT_LENGTH)
    {
        page.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    if status == StatusCode::UNAUTHORIZED {
        // A browser would ask for a password.
        page.headers_mut().remove(http::header::WWW_AUTHENTICATE);
    }
    page
}
