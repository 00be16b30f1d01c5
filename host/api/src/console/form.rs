//! What a form sends, and how a page offers a change.

use super::session::{Said, Undo};
use super::view::View;
use super::{PRINCIPAL, address, session, sign_in, widgets};
use crate::problem::Problem;
use crate::{Api, security};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use http::{HeaderMap, Uri};
use maud::{Markup, html};
use quarterdeck_engines::Asked;
use quarterdeck_model::plugin::files::Seen;
use std::sync::Arc;

/// The name of the field with the session's secret.
const CSRF: &str = "csrf";
/// The same in a header, for what is no form.
const CSRF_HEADER: &str = "x-csrf";
/// Bytes of a form.
const LIMIT: usize = 1 << 20;
/// Bytes of the one that anybody may send.
const LIMIT_FOR_ANYBODY: usize = 1 << 12;

/// Bytes of a form that goes to this address.
pub(crate) fn largest(uri: &Uri) -> usize {
    if uri.path() == sign_in::PATH { LIMIT_FOR_ANYBODY } else { LIMIT }
}

/// Refuses whoever is not signed in. Whether what is sent is of their session is seen by who takes it.
pub(crate) async fn admit(api: &Api, headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let host = security::check_host(headers, uri, &api.options.allowed_hosts)?;
    session::find(api, headers, &host).await?.map(|_| ()).ok_or_else(nobody)
}

fn nobody() -> Problem {
    Problem::unauthorized(
        "who changes anything must be signed in; hint: run `quarterdeck console` at the host, and open the link that it prints",
    )
}

/// What somebody who is signed in sends, with the secret that only our pages know.
pub(crate) struct Form {
    pub(crate) view: View,
    fields: Vec<(String, String)>,
}

impl FromRequest<Arc<Api>> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let view = View::from_request_parts(&mut parts, api).await?;
        let body = axum::body::to_bytes(body, LIMIT)
            .await
            .map_err(|error| Problem::malformed(format!("the form can't be read: {error}")))?;
        let fields: Vec<_> = form_urlencoded::parse(&body).into_owned().collect();
        let given = fields.iter().find(|(name, _)| name == CSRF).map(|(_, value)| value.as_str());
        check(&view, given)?;
        Ok(Form { view, fields })
    }
}

/// Of what is sent by script, and is no form: its body is the handler's to take.
pub(crate) struct Sent(pub(crate) View);

impl FromRequestParts<Arc<Api>> for Sent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let view = View::from_request_parts(parts, api).await?;
        check(&view, parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()))?;
        Ok(Sent(view))
    }
}

fn check(view: &View, given: Option<&str>) -> Result<(), Problem> {
    let Some(session) = &view.session else { return Err(nobody()) };
    if given.is_some_and(|given| security::same(given, &session.csrf)) {
        return Ok(());
    }
    Err(Problem::forbidden("the form is not one of this session; hint: load the page anew, and send it again"))
}

impl Form {
    /// The value of a field; `None` if it is empty or absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let value = self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.trim());
        value.filter(|value| !value.is_empty())
    }

    pub(crate) fn needed(&self, name: &str) -> Result<&str, Problem> {
        self.text(name).ok_or_else(|| Problem::invalid(format!("`{name}` is needed; hint: go back and fill it in")))
    }

    /// All fields but the secret, in their order.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().filter(|(name, _)| name != CSRF).map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Who asks, for the engines.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { principal: PRINCIPAL, seen: None }
    }

    /// The same about a document as it was looked at, and no other.
    pub(crate) fn asked_of<'a>(&self, revisions: &'a [u64]) -> Asked<'a> {
        Asked { principal: PRINCIPAL, seen: Some(revisions) }
    }

    /// On to the page that shows what has become, and says it. The form's own `back` goes before `to`.
    pub(crate) fn done(&self, to: &str, said: impl Into<String>) -> Result<Response, Problem> {
        self.done_but(to, said, None)
    }

    /// The same of what can be taken back.
    pub(crate) fn done_but(&self, to: &str, said: impl Into<String>, undo: Option<Undo>) -> Result<Response, Problem> {
        if let Some(session) = &self.view.session {
            session::say(&self.view.api, session, Said { text: said.into(), undo });
        }
        sign_in::go(self.text("back").and_then(address::own).unwrap_or(to), None)
    }

    /// Refuses the order if what the page showed (`seen`) is not what there is `now`: somebody else was there before. Only for what can't
    /// change between this and the order, or does no harm then; otherwise what was seen goes with the order.
    pub(crate) fn must_have_seen(&self, now: &str) -> Result<(), Problem> {
        if self.needed("seen")? == now {
            return Ok(());
        }
        Err(Problem::precondition_failed(
            "it was changed meanwhile; hint: go back, load the page anew, look at what there is now, and decide again",
        ))
    }

    /// What the page showed, for an order that is carried out over that content and no other. [`NOTHING`]: there was none.
    pub(crate) fn seen(&self) -> Result<Seen, Problem> {
        self.needed("seen").map(seen)
    }
}

/// What a form has seen where there was nothing.
pub(crate) const NOTHING: &str = "none";

/// What somebody has seen, as they say it.
pub(crate) fn seen(word: &str) -> Seen {
    if word == NOTHING { Seen::Nothing } else { Seen::Tags(vec![word.to_owned()]) }
}

/// A change that a page offers: a button, or a small form behind one.
pub(crate) struct Action<'a> {
    /// Where the form goes.
    pub(crate) to: &'a str,
    /// What the button says: a verb.
    pub(crate) label: &'a str,
    /// What it does, where that must be confirmed or something is to be filled in. It opens in place, without script too.
    pub(crate) effect: Option<&'a str>,
    /// It ends or removes something.
    pub(crate) dangerous: bool,
    /// Hidden fields.
    pub(crate) fields: &'a [(&'a str, &'a str)],
    /// Further fields, to be filled in.
    pub(crate) inputs: Markup,
}

impl Default for Action<'_> {
    fn default() -> Self {
        Action { to: "", label: "", effect: None, dangerous: false, fields: &[], inputs: html! {} }
    }
}

impl Action<'_> {
    /// Nothing for somebody who is not signed in. See [`notice`].
    pub(crate) fn show(&self, view: &View) -> Markup {
        let Some(session) = &view.session else { return html! {} };
        let form = |class: &str, label: &str, effect: Option<&str>| {
            html! {
                form method="post" action=(self.to) {
                    input type="hidden" name=(CSRF) value=(session.csrf);
                    @for (name, value) in self.fields { input type="hidden" name=(name) value=(value); }
                    @if let Some(effect) = effect { p { (widgets::plain(effect)) } }
                    (self.inputs)
                    button.button.(class) type="submit" { (label) }
                }
            }
        };
        let class = if self.dangerous { "danger" } else { "plain" };
        match self.effect {
            None => form(class, self.label, None),
            Some(effect) => html! {
                details.action {
                    summary.button.(class) { (self.label) "…" }
                    div.panel { (form(if self.dangerous { "danger" } else { "primary" }, self.label, Some(effect))) }
                }
            },
        }
    }
}

/// The button behind what was said that takes the change back.
pub(super) fn undo(view: &View, undo: &Undo) -> Markup {
    let fields: Vec<(&str, &str)> = undo.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Action { to: &undo.to, label: "Undo", fields: &fields, ..Action::default() }.show(view)
}

/// The actions of a page in a row, or what to do to be offered them.
pub(crate) fn actions(view: &View, actions: &[Action<'_>]) -> Markup {
    if view.session.is_none() {
        return notice();
    }
    html! { div.actions { @for action in actions { (action.show(view)) } } }
}

/// What stands where the buttons would.
pub(crate) fn notice() -> Markup {
    html! { p.notice { "Sign in to change anything: run " code { "quarterdeck console" } " at the host." } }
}

/// A form that is a part of the page, to be filled in.
pub(crate) fn sheet(view: &View, to: &str, label: &str, content: Markup) -> Markup {
    let Some(session) = &view.session else { return html! { (notice()) } };
    html! {
        form.sheet method="post" action=(to) {
            input type="hidden" name=(CSRF) value=(session.csrf);
            (content)
            button.button.primary type="submit" { (label) }
        }
    }
}

/// A field with its label.
pub(crate) fn input(name: &str, label: &str, value: &str) -> Markup {
    html! { label.field { span { (label) } input type="text" name=(name) value=(value) autocomplete="off"; } }
}

/// The same of what must be given.
pub(crate) fn needed(name: &str, label: &str, value: &str) -> Markup {
    html! { label.field { span { (label) } input type="text" name=(name) value=(value) required autocomplete="off"; } }
}

/// A moment in UTC, as [`super::chart::moment`] reads it.
pub(crate) fn moment(name: &str, label: &str, value: &str) -> Markup {
    const PATTERN: &str = r"\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+\-]\d{2}:\d{2})?)?\s*";
    html! {
        label.field {
            span { (label) }
            input type="text" name=(name) value=(value) pattern=(PATTERN) title="A day or a time, like 2026-09-21 or 2026-09-21 14:00"
                placeholder="2026-09-21 14:00" autocomplete="off";
        }
    }
}

pub(crate) fn area(name: &str, label: &str, value: &str) -> Markup {
    html! { label.field { span { (label) } textarea name=(name) rows="3" { (value) } } }
}

/// A choice; each option is its value and what it says.
pub(crate) fn select(name: &str, label: &str, options: &[(&str, &str)], chosen: Option<&str>) -> Markup {
    html! {
        label.field {
            span { (label) }
            select name=(name) {
                @for (value, said) in options { option value=(value) selected[Some(*value) == chosen] { (said) } }
            }
        }
    }
}

/// A choice of one severity, or of any.
pub(crate) fn severity(chosen: Option<&str>) -> Markup {
    let options = [
        ("", "any"),
        ("critical", "critical"),
        ("high", "high"),
        ("medium", "medium"),
        ("low", "low"),
        ("info", "info"),
    ];
    select("severity", "Severity", &options, chosen)
}

/// A form that only asks: filters of a list.
pub(crate) fn filters(view: &View, inputs: Markup) -> Markup {
    filters_of(view, "Filters", inputs)
}

/// The same on a page that has several of them.
pub(crate) fn filters_of(view: &View, what: &str, inputs: Markup) -> Markup {
    html! {
        form.filters method="get" action=(view.path()) role="search" aria-label=(what) data-filters {
            (inputs)
            button.button type="submit" { "Show" }
        }
    }
}
