//! Events: what happened, newest first, and what happens now on top of it.

use super::{Group, Page, finds_nothing};
use crate::Api;
use crate::console::form;
use crate::console::view::View;
use crate::console::widgets::{self, clip, text};
use crate::console::{address, live, time};
use crate::extract::At;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::resources::events as log;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_model::event::{EventFilter, Offset, StoredEvent, TYPES};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Events",
    path: "/events",
    group: Group::Host,
    one: "Event",
    words: "log tail audit history happened",
    routes,
    find: finds_nothing,
};

const BASE: &str = "/console/events";
const SHOWN: usize = 100;
/// JSON of an event that is shown in the list.
const PEEK: usize = 200;
/// JSON of an event that is shown on its own page.
const LONGEST: usize = 100_000;

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/events", get(list)).route("/events/{offset}", get(show))
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let filter = log::filter(&params)?;
    let (cursor, types) = (params.number("cursor")?, filter.types.clone());
    let (store, asked) = (Arc::clone(&view.api.options.store), filter.clone());
    let page = blocking(move || log::backwards(&*store, &asked, SHOWN, cursor, None)).await?;
    let topics: BTreeSet<&str> = TYPES.iter().filter_map(|name| name.split('.').next()).chain(["custom"]).collect();
    let options: Vec<(&str, &str)> =
        std::iter::once(("", "all")).chain(topics.iter().map(|topic| (*topic, *topic))).collect();
    let one = types.first().map(String::as_str);
    let others = one.filter(|chosen| !options.iter().any(|(value, _)| value == chosen));
    let options: Vec<_> = options.iter().copied().chain(others.map(|other| (other, other))).collect();
    let content = html! {
        h1 { "Events" }
        (form::filters(&view, html! {
            (form::select("type", "Type", &options, one))
            (form::input("subject", "About (an id or a name)", filter.subject.as_deref().unwrap_or_default()))
            (form::select("without", "Leave out", &[("", "nothing"), ("audit", "what plugins did (audit)")],
                filter.without.first().map(String::as_str)))
        }))
        @let shown = html! {
            @if page.items.is_empty() {
                (widgets::empty("Nothing of that has happened.", "With fewer filters there is more. An event of one's own is published over the API.",
                    Some("quarterdeck events tail")))
            } @else { (table(&page.items)) }
            (widgets::pager(&view, page.next_cursor.as_deref()))
        };
        // Later parts of the list are about what is over.
        @if cursor.is_none() {
            p.muted { "New events come in on top." }
            (live::part("events", &types.iter().map(String::as_str).collect::<Vec<_>>(), shown))
        } @else { (shown) }
    };
    Ok(view.page("Events", content))
}

/// Also for the overview.
pub(super) fn table(events: &[StoredEvent]) -> Markup {
    widgets::table(
        "Events",
        &["When", "Type", "About", "By", "What it says"],
        events.iter().map(|stored| {
            let event = &stored.event;
            let about = match address::of_id(&event.subject) {
                Some(to) => widgets::link(&to, &event.subject),
                None => clip(&event.subject),
            };
            vec![
                time::ago(event.time),
                html! { code { (clip(&event.event_type)) } },
                about,
                clip(&event.principal),
                data(stored),
            ]
        }),
    )
}

/// What it says. Of much of it the beginning, and the way to the rest: a list of whole events would be a book.
fn data(stored: &StoredEvent) -> Markup {
    let to = address::below(BASE, &stored.offset.0.to_string());
    let said = stored.event.data.to_string();
    if said == "{}" {
        return html! { a href=(to) { "no more than that" } };
    }
    let whole = serde_json::to_string_pretty(&stored.event.data).unwrap_or_default();
    html! {
        details.plain-details {
            summary { (clip(&said)) }
            pre.json tabindex="0" { code { (beginning(&whole, PEEK).unwrap_or(&whole)) } }
            a href=(to) { "The whole event" }
        }
    }
}

/// So many characters of it, if there are more.
fn beginning(text: &str, characters: usize) -> Option<&str> {
    text.char_indices().nth(characters).and_then(|(end, _)| text.get(..end))
}

async fn show(view: View, At(offset): At<u64>) -> Result<Response, Problem> {
    let store = Arc::clone(&view.api.options.store);
    let before = Offset(offset.saturating_sub(1));
    let found = blocking(move || Ok(store.events(before, &EventFilter::default(), 1)?.events.pop())).await?;
    let Some(StoredEvent { event, .. }) = found.filter(|stored| stored.offset.0 == offset) else {
        return Err(Problem::not_found(format!(
            "there is no event {offset} in the log; hint: it may be older than what retention keeps, look at the list"
        )));
    };
    let about = match address::of_id(&event.subject) {
        Some(to) => widgets::link(&to, &event.subject),
        None => text(&event.subject),
    };
    let whole = serde_json::to_string_pretty(&event.data).unwrap_or_default();
    let shown = beginning(&whole, LONGEST);
    let same = address::with(BASE, [("subject", Some(event.subject.as_str()))]);
    let mut facts = vec![
        ("When", time::ago(event.time)),
        ("About", html! { (about) " – " a href=(same) { "all events about it" } }),
        ("By", text(&event.principal)),
        ("Id", html! { code { (text(&event.id.0)) } }),
        ("Place in the log", html! { (offset) }),
    ];
    if let Some(plugin) = &event.plugin {
        let version = format!("{} {} ", plugin.name, plugin.version);
        facts.push(("Plugin", html! { (text(&version)) (widgets::digest(&plugin.digest.to_string())) }));
    }
    for (name, id) in [("Follows from", &event.causation), ("Began with", &event.correlation)] {
        if let Some(id) = id {
            facts.push((name, html! { code { (text(&id.0)) } }));
        }
    }
    if let Some(run) = &event.run {
        let to = address::of_id(&run.0);
        facts.push(("Run", to.map_or_else(|| text(&run.0), |to| widgets::link(&to, &run.0))));
    }
    let content = html! {
        p.crumbs { a href=(BASE) { "Events" } }
        h1 { (text(&event.event_type)) }
        (widgets::section("What is known", widgets::definitions(&facts)))
        (widgets::section("What it says", html! {
            pre.json tabindex="0" { code { (text(shown.unwrap_or(&whole))) } }
            @if shown.is_some() {
                p.muted { "The rest is told by the command line, which begins with this event:" }
                (widgets::command(&format!("quarterdeck events tail --all --after {} --json", before.0)))
            }
        }))
    };
    Ok(view.page(&event.event_type, content))
}
