//! Sessions: which browsers are signed in, and how to sign them out.

use super::{Group, Page, finds_nothing};
use crate::Api;
use crate::console::form::{self, Action, Form};
use crate::console::session::all::{self, Shown};
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip};
use crate::console::{address, time};
use crate::extract::At;
use crate::paging::{List, Slice};
use crate::problem::Problem;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Sessions",
    path: "/sessions",
    group: Group::Host,
    one: "Session",
    words: "signed in browsers sign out users devices security",
    routes,
    find: finds_nothing,
};

const BASE: &str = "/console/sessions";
const END_OTHERS: &str = "/console/sessions/end-others";

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/sessions", get(list))
        .route("/sessions/end-others", post(end_others))
        .route("/sessions/{id}/end", post(end))
}

async fn list(view: View) -> Result<Response, Problem> {
    let List { mut items, next_cursor, unreadable } = all::list(&view.api, Slice::of(&view.params()?)?).await?;
    items.sort_by_key(|session| std::cmp::Reverse(session.used_at));
    let own = view.session.as_ref().map(all::id);
    let others = own.is_some() && (items.len() > 1 || next_cursor.is_some());
    let content = html! {
        h1 { "Sessions" }
        p.muted { "Browsers that are signed in here, each for 30 days after its last use. What they say of themselves may be anything." }
        @if items.is_empty() {
            (widgets::empty("Nobody is signed in.", "A link that signs a browser in, once and within ten minutes, is printed by:", Some("quarterdeck console")))
        } @else {
            @if own.is_none() { (form::notice()) }
            @if others {
                (form::actions(&view, &[Action {
                    to: END_OTHERS,
                    label: "End all others",
                    effect: Some("Signs out every browser but this one. Each needs a new link to sign in again."),
                    dangerous: true,
                    ..Action::default()
                }]))
            }
            (table(&view, &items, own))
        }
        (widgets::unreadable(&unreadable))
        (widgets::pager(&view, next_cursor.as_deref()))
    };
    Ok(view.page("Sessions", content))
}

fn table(view: &View, sessions: &[Shown], own: Option<&str>) -> Markup {
    let rows = sessions.iter().map(|session| {
        let to = format!("{}/end", address::below(BASE, &session.id));
        let said = |text: &Option<String>| text.as_deref().map_or_else(|| html! { span.none { "–" } }, clip);
        vec![
            html! { code { (session.id) } },
            time::ago(session.created_at),
            time::ago(session.used_at),
            said(&session.from),
            said(&session.agent),
            if own == Some(session.id.as_str()) {
                widgets::toned("this one", Tone::Good)
            } else {
                Action {
                    to: &to,
                    label: "End",
                    effect: Some("Signs that browser out. It needs a new link to sign in again."),
                    dangerous: true,
                    ..Action::default()
                }
                .show(view)
            },
        ]
    });
    widgets::table("Sessions", &["Session", "Signed in", "Last used, to the hour", "From", "Browser", "Action"], rows)
}

async fn end(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    all::end(&form.view.api, &id).await?;
    form.done(BASE, format!("The session {id} is over."))
}

async fn end_others(form: Form) -> Result<Response, Problem> {
    let ended = all::end_all(&form.view.api, form.view.session.as_ref().map(all::id)).await?;
    let said = if ended == 1 { "1 session is over.".to_owned() } else { format!("{ended} sessions are over.") };
    form.done(BASE, said)
}
