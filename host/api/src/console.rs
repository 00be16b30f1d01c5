//! The console: pages for people, under `/console`. Made on the server, readable without script, and with one small script that
//! keeps them live.
//!
//! Not here: logic, and questions over HTTP to ourselves. A page asks the same ports and engines that the handlers of `resources`
//! ask, and a form gives the same orders.
//!
//! Layout
//! - `pages::*`: a file per noun, and the list of all of them
//! - `view`: who asks for which page, and what an answer needs from that; `layout`: the frame around every page
//! - `session`: links that sign in once, sessions, and the secret against forged forms; `sign_in`: the pages for them; `back`: where they lead
//! - `form`: what a form sends, and how a page offers a change, with what it does to be confirmed
//! - `widgets`, `time`, `address`, `chart`: the parts that pages are made of; `live`: the parts that renew themselves
//! - `query`: expressions of PromQL as lines and values; `frame`: the time that a page of charts looks at
//! - `search`: over all pages and what they find; `assets`: style and scripts: `console.js` on every page, `stream.js` for all windows
//!   of a browser together, `charts.js` where there is a chart
//! - `failure`: errors as pages
//!
//! # Add a page
//! 1. Write `pages/<noun>.rs` with a `pub(super) const PAGE: Page`: title, path, place in the navigation, `routes` (every path in full, as
//!    `/incidents/{id}`; it is mounted under `/console`) and `find`, which offers the page's objects to the search.
//! 2. Add the module and one entry to `PAGES` in `pages.rs`. The entry in the navigation, in the palette and in the tests comes with it.
//! 3. A handler takes a [`view::View`] and answers `Result<Response, Problem>`: `?` on whatever fails, which becomes a page that says so.
//!    It reads the query with [`view::View::params`], and the rest from [`view::View::api`], in `paging::blocking` where it reads much, and ends in [`view::View::page`].
//! 4. What renews itself stands in [`live::part`], with the types of events on which it does. Ids are unique within a page.
//! 5. A change is a route for POST that takes a [`form::Form`], which has checked session and secret, gives its order with
//!    `form.asked()`, and ends in [`form::Form::done`]. The page offers it by [`form::Action`].
//! 6. Text that came from elsewhere is shown by [`widgets::clip`] or [`widgets::text`]. Nothing is `PreEscaped`.
//! 7. `tests/api/console` asks every page of the list, follows its links, and looks for what must not be in one. A page with an id in its
//!    path is reached by a link.

pub(crate) mod address;
mod assets;
mod back;
pub(crate) mod chart;
pub(crate) mod failure;
pub(crate) mod form;
pub(crate) mod frame;
mod layout;
pub(crate) mod live;
mod pages;
pub(crate) mod query;
mod search;
pub(crate) mod session;
mod sign_in;
pub(crate) mod time;
pub(crate) mod view;
pub(crate) mod widgets;

pub(crate) use session::State;

use crate::problem::Problem;
use crate::{Api, resources};
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use http::Uri;
use std::sync::Arc;

pub(crate) const PREFIX: &str = "/console";

/// Who changes something by the console.
pub(crate) const PRINCIPAL: &str = "console";

/// Whether the path is one of the console's.
pub(crate) fn has(uri: &Uri) -> bool {
    uri.path().strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where the address with a slash too many, `/console/`, leads.
pub(crate) fn without_slash(uri: &Uri) -> Option<String> {
    let path = uri.path().strip_suffix('/').filter(|path| *path == PREFIX)?;
    Some(uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
}

/// On to another page.
pub(crate) fn go(to: &str) -> Result<Response, Problem> {
    sign_in::go(to, None)
}

/// Whether what is sent there is a component, not a form.
pub(crate) fn takes_bytes(uri: &Uri) -> bool {
    uri.path().starts_with("/console/upload/")
}

pub(crate) fn routes(api: &Arc<Api>) -> Router<Arc<Api>> {
    let fixed = Router::new()
        .route("/assets/{name}", get(assets::get_asset))
        .route("/sign-in", get(sign_in::ask).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/search", get(search::search))
        .route("/stream", get(live::stream));
    let all = pages::PAGES.iter().fold(fixed, |all, page| all.merge((page.routes)()));
    let entered = all
        .fallback(failure::no_page)
        .method_not_allowed_fallback(resources::no_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(api), view::enter));
    Router::new().nest(PREFIX, entered)
}
