//! Parts of a page that renew themselves, and the stream that tells them to.

use super::session;
use super::view::View;
use crate::Api;
use crate::extract::Params;
use crate::problem::Problem;
use crate::resources::stream;
use crate::server::Peer;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures::StreamExt;
use http::HeaderMap;
use maud::{Markup, html};
use quarterdeck_model::Span;
use std::sync::Arc;

/// A part that is made anew when an event of these types happens: `incident.` is all of them, `incident.opened` one, as the API has it;
/// nothing is every event. The id is unique within the page.
pub(crate) fn part(id: &str, types: &[&str], content: Markup) -> Markup {
    html! { div id=(id) data-live=(types.join(" ")) { (content) } }
}

/// The same, and also after so long, as long as somebody looks.
pub(crate) fn part_every(id: &str, types: &[&str], every: Option<Span>, content: Markup) -> Markup {
    let seconds = every.map(|every| every.as_millis() / 1000);
    html! { div id=(id) data-live=(types.join(" ")) data-every=[seconds] { (content) } }
}

/// Of what goes on: seconds from one look to the next, beside the events.
const GOING_ON: u32 = 15;

/// A part about something that, while it goes on, changes without events as well.
pub(crate) fn going_on(id: &str, types: &[&str], goes_on: bool, content: Markup) -> Markup {
    if goes_on { ticking(id, types, GOING_ON, content) } else { part(id, types, content) }
}

/// A part that also changes without an event: it is made anew every few seconds while somebody looks.
pub(crate) fn ticking(id: &str, types: &[&str], seconds: u32, content: Markup) -> Markup {
    part_every(id, types, Some(Span::from_secs(u64::from(seconds))), content)
}

/// That events happened, for the script: their offsets, types and subjects. Goes on as the API's stream does, and says that it is there
/// where nothing else is to be said: a server that hangs keeps its connections. It ends with the session that asked for it.
pub(super) async fn stream(
    State(api): State<Arc<Api>>,
    view: View,
    params: Params,
    headers: HeaderMap,
    peer: Peer,
) -> Result<Response, Problem> {
    let Some(session) = &view.session else { return stream::open(&api, &params, &headers, peer, &stream::FOR_PAGES) };
    let over = session::lasting(&api, session)?
        .ok_or_else(|| Problem::unauthorized("this session is over; hint: open the page again"))?;
    let response = stream::open(&api, &params, &headers, peer, &stream::FOR_PAGES)?;
    Ok(response.map(|body| Body::from_stream(body.into_data_stream().take_until(over.cancelled_owned()))))
}
