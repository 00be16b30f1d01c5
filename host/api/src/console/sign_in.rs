//! Signing in by a link, and out.

use super::form::Form;
use super::session::Who;
use super::view::View;
use super::{PREFIX, address, back, session, widgets};
use crate::extract::Params;
use crate::problem::Problem;
use crate::server::Peer;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::header::{HeaderMap, LOCATION, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use maud::html;

pub(super) const PATH: &str = "/console/sign-in";

/// The way to the page that signs in, and back here.
pub(super) fn from(view: &View) -> String {
    let here = Some(view.address()).filter(|_| view.reads).and_then(back::to);
    address::with(PATH, [("back", here.filter(|here| *here != PREFIX))])
}

/// Opening the link signs nobody in: programs that show a preview of a link open it as well.
pub(super) async fn ask(view: View, headers: HeaderMap, params: Params) -> Result<Response, Problem> {
    let asked = params.text("back")?.and_then(back::to).map(str::to_owned);
    let kept = view.host.as_ref().and_then(|host| back::kept(&headers, host));
    let back = asked.clone().or(kept);
    let content = html! {
        section.sign-in {
            h1 { "Sign in" }
            @match params.text("code")? {
                Some(code) => {
                    p { "The link is good once. It signs in this browser, for 30 days after its last use." }
                    form method="post" action="/console/sign-in" {
                        input type="hidden" name="code" value=(code);
                        @if let Some(back) = &back { input type="hidden" name="back" value=(back); }
                        button.button.primary type="submit" { "Sign in" }
                    }
                }
                None => {
                    p { "Whoever may change something here has a link that signs in. Run this at the host, and open what it prints:" }
                    (widgets::command("quarterdeck console"))
                    p.muted { "The daemon prints one at its start, too. Each is good once, for ten minutes." }
                }
            }
            @if let Some(back) = &back { p.muted { "It leads to " code { (widgets::clip(back)) } "." } }
        }
    };
    let mut response = view.page("Sign in", content);
    if let (Some(asked), Some(host)) = (&asked, &view.host) {
        response.headers_mut().extend(back::set(&headers, host, asked).map(|cookie| (SET_COOKIE, cookie)));
    }
    Ok(response)
}

pub(super) async fn sign_in(view: View, headers: HeaderMap, peer: Peer, body: Bytes) -> Result<Response, Problem> {
    let given = |field: &str| {
        form_urlencoded::parse(&body).find(|(name, _)| name == field).map(|(_, value)| value.into_owned())
    };
    let secret = match &given("code") {
        Some(code) => session::begin(&view.api, code, Who::of(&headers, &peer)).await?,
        None => None,
    };
    let (Some(secret), Some(host)) = (secret, &view.host) else {
        return Err(Problem::forbidden(
            "this link is not good any more: it was used, or is older than ten minutes; hint: run `quarterdeck console` for a new one",
        ));
    };
    // Its cookie is replaced: nobody could sign out of it any more.
    if let Some(before) = &view.session {
        session::end(&view.api, before).await?;
    }
    let wanted = given("back");
    let mut response = go(
        wanted.as_deref().and_then(back::to).unwrap_or(PREFIX),
        Some(session::set_cookie(&headers, host, &secret)?),
    )?;
    if let Some(forget) = back::set(&headers, host, "") {
        response.headers_mut().append(SET_COOKIE, forget);
    }
    Ok(response)
}

pub(super) async fn sign_out(headers: HeaderMap, form: Form) -> Result<Response, Problem> {
    let view = &form.view;
    if let Some(session) = &view.session {
        session::end(&view.api, session).await?;
    }
    let cookie = view.host.as_ref().map(|host| session::set_cookie(&headers, host, "")).transpose()?;
    go("/console", cookie)
}

/// On to another page, which is asked for with GET.
pub(super) fn go(to: &str, cookie: Option<HeaderValue>) -> Result<Response, Problem> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let to = HeaderValue::from_str(to).map_err(|error| Problem::internal(error.to_string()))?;
    response.headers_mut().insert(LOCATION, to);
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}
