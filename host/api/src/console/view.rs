//! Who asks for which page, and what its answer needs from that.

use super::session::{self, Session};
use super::{PREFIX, back, failure, layout, sign_in};
use crate::extract::Params;
use crate::problem::Problem;
use crate::{Api, security};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, REFERRER_POLICY, SET_COOKIE};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, StatusCode, Uri};
use maud::Markup;
use std::sync::Arc;

/// Everything comes from here, and nothing stands within the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      worker-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The address as it was asked for. Within a nested router it has lost its beginning.
#[derive(Clone)]
pub(crate) struct Asked(pub(crate) Uri);

#[derive(Clone)]
pub(crate) struct View {
    pub(crate) api: Arc<Api>,
    /// Nobody's, if absent: then the page offers no changes.
    pub(crate) session: Option<Session>,
    pub(crate) uri: Uri,
    pub(crate) host: Option<Authority>,
    /// A page is asked for, and nothing is changed.
    pub(crate) reads: bool,
    /// The script asks for the parts that renew themselves.
    pub(crate) renewed: bool,
    /// The newest event when the page began to be made: what comes behind it may not be in it.
    pub(crate) seen: u64,
}

impl View {
    /// Of a request that did not get as far as a page.
    pub(crate) fn of_nobody(api: &Arc<Api>, uri: &Uri) -> Self {
        let seen = api.options.store.head().0;
        View { api: Arc::clone(api), session: None, uri: uri.clone(), host: None, reads: false, renewed: false, seen }
    }

    /// The whole page.
    pub(crate) fn page(&self, title: &str, content: Markup) -> Response {
        self.page_with(StatusCode::OK, title, content)
    }

    pub(crate) fn page_with(&self, status: StatusCode, title: &str, content: Markup) -> Response {
        let said =
            self.session.as_ref().filter(|_| !self.renewed).and_then(|session| session::said(&self.api, session));
        let page = layout::page(self, title, said.as_ref(), content).into_string();
        (status, axum::response::Html(page)).into_response()
    }

    /// The query; what is empty counts as not given.
    pub(crate) fn params(&self) -> Result<Params, Problem> {
        Params::read(self.uri.query().unwrap_or_default()).map(Params::without_empty)
    }

    /// The path as a browser asks for it, `/console/...`.
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Path and query.
    pub(crate) fn address(&self) -> &str {
        self.uri.path_and_query().map_or(PREFIX, |address| address.as_str())
    }

    /// The same page with one parameter set otherwise, or left out.
    pub(crate) fn with(&self, name: &str, value: Option<&str>) -> String {
        self.with_all(&[(name, value)])
    }

    /// The same page with these parameters set otherwise, or left out.
    pub(crate) fn with_all(&self, parameters: &[(&str, Option<&str>)]) -> String {
        let query = self.uri.query().unwrap_or_default();
        let is_other = |found: &str| parameters.iter().all(|(name, _)| *name != found);
        let others = form_urlencoded::parse(query.as_bytes()).filter(|(found, _)| is_other(found));
        let mut new = form_urlencoded::Serializer::new(String::new());
        new.extend_pairs(others);
        for (name, value) in parameters {
            if let Some(value) = value {
                new.append_pair(name, value);
            }
        }
        let query = new.finish();
        if query.is_empty() { self.path().to_owned() } else { format!("{}?{query}", self.path()) }
    }
}

impl FromRequestParts<Arc<Api>> for View {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<View>()
            .cloned()
            .ok_or_else(|| Problem::internal("a page was asked for beside the console"))
    }
}

/// What every request of the console passes: the session, and the form in which problems are told.
pub(super) async fn enter(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let asked = request.extensions().get::<Asked>().map(|asked| asked.0.clone());
    let uri = asked.unwrap_or_else(|| request.uri().clone());
    let mut view = View::of_nobody(&api, &uri);
    view.renewed = request.headers().contains_key("x-renewed");
    view.reads = request.method().is_safe();
    let admitted = admit(&mut view, request.method(), request.headers()).await;
    let back = back::keep(&view, request.method(), request.headers());
    let response = match admitted {
        Ok(()) => {
            request.extensions_mut().insert(view.clone());
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let mut response = failure::as_page(&view, response);
    if let Some(back) = back.filter(|_| response.status() == StatusCode::UNAUTHORIZED) {
        response.headers_mut().append(SET_COOKIE, back);
    }
    harden(response.headers_mut());
    response
}

/// Finds the session, and refuses what needs one and has none. The sign-in page and what pages are dressed with are for everybody.
async fn admit(view: &mut View, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let api = Arc::clone(&view.api);
    let host = security::check_host(headers, &view.uri, &api.options.allowed_hosts)?;
    let dress = view.path().starts_with("/console/assets/");
    if !dress {
        view.session = session::find(&api, headers, &host).await?;
    }
    let free = dress || view.path() == sign_in::PATH;
    let reads = Method::GET;
    let must =
        method.is_safe() && security::needs_token(&reads, &view.uri, headers, &host, api.options.reads_need_token);
    view.host = Some(host);
    if must && !free && view.session.is_none() {
        return Err(Problem::unauthorized(
            "this page is for those who are signed in; hint: run `quarterdeck console` at the host, and open the link that it prints",
        ));
    }
    Ok(())
}

pub(crate) fn harden(headers: &mut HeaderMap) {
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Without a referrer a browser would say of its forms that they come from nowhere.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}
