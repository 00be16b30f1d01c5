//! The search over pages and objects: the first of each kind and how many there are, or all of one kind. The palette shows the same; programs
//! get it as JSON.

use super::pages::{PAGES, Page};
use super::view::View;
use super::{PREFIX, address, widgets};
use crate::Api;
use crate::extract::{Params, bad};
use crate::paging::blocking;
use crate::problem::Problem;
use crate::unreadable::Unreadable;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, HeaderValue, VARY};
use maud::{Markup, html};
use serde::Serialize;
use std::sync::Arc;

const PATH: &str = "/console/search";
/// Objects of one kind that are shown among those of all kinds.
const OF_EACH: usize = 8;
/// Objects of the one kind that is asked for that are shown at once.
const OF_ONE: usize = 100;
/// Characters of what is looked for.
const LONGEST: usize = 200;

/// What a page finds of its objects.
pub(crate) struct Finds {
    words: Vec<String>,
    /// Objects that are passed over, and how many are taken then.
    skip: usize,
    most: usize,
    found: Vec<Found>,
    total: usize,
    is_partial: bool,
}

#[derive(Serialize)]
struct Found {
    title: String,
    href: String,
}

impl Finds {
    fn new(words: &[String], skip: usize, most: usize) -> Self {
        Finds { words: words.to_vec(), skip, most, found: Vec::new(), total: 0, is_partial: false }
    }

    /// Takes the object if what it is known by (`texts`) has all words that are looked for. `to`: where it is shown.
    pub(crate) fn offer(&mut self, title: &str, texts: &[&str], to: impl FnOnce() -> String) {
        let all = std::iter::once(title).chain(texts.iter().copied()).map(str::to_lowercase).collect::<Vec<_>>();
        if self.words.iter().all(|word| all.iter().any(|text| text.contains(word))) {
            self.take(|| (title.to_owned(), to()));
        }
    }

    /// The same of what is known by these words, which are in small letters already. `found`: what it is called, and where it is shown.
    pub(crate) fn offer_known(&mut self, known_by: &str, found: impl FnOnce() -> (String, String)) {
        if self.words.iter().all(|word| known_by.contains(word)) {
            self.take(found);
        }
    }

    /// Says that there are more objects than were offered.
    pub(crate) fn more_than_offered(&mut self) {
        self.is_partial = true;
    }

    fn take(&mut self, found: impl FnOnce() -> (String, String)) {
        if self.total >= self.skip && self.found.len() < self.most {
            let (title, href) = found();
            self.found.push(Found { title, href });
        }
        self.total += 1;
    }
}

/// What was found of one kind.
#[derive(Serialize)]
struct Group {
    kind: &'static str,
    /// What all objects of the kind are called.
    title: &'static str,
    /// How many there are, of which `items` are a part.
    total: usize,
    /// There may be more than `total`: only the newest objects were looked at.
    partial: bool,
    /// Where all of them are.
    href: String,
    items: Vec<Found>,
}

impl Group {
    fn new(kind: &'static str, title: &'static str, href: String, finds: Finds) -> Self {
        Group { kind, title, total: finds.total, partial: finds.is_partial, href, items: finds.found }
    }

    /// `8 of 23`.
    fn shown(&self) -> String {
        format!("{} of {}{}", self.items.len(), if self.partial { "at least " } else { "" }, self.total)
    }
}

#[derive(Serialize)]
struct Answer {
    groups: Vec<Group>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
}

/// What is asked for.
struct Asked {
    query: String,
    words: Vec<String>,
    /// Only objects of this page.
    only: Option<&'static Page>,
    begin: usize,
}

impl Asked {
    fn read(params: &Params) -> Result<Self, Problem> {
        let query: String = params.text("q")?.unwrap_or_default().trim().chars().take(LONGEST).collect();
        let only = params.text("in")?.map(within).transpose()?;
        let words = query.split_whitespace().map(str::to_lowercase).collect();
        Ok(Asked { query, words, only, begin: params.number("cursor")?.unwrap_or(0) })
    }

    fn find(&self, api: &Api) -> Result<Answer, Problem> {
        let mut groups = Vec::new();
        if self.only.is_none() {
            let mut finds = Finds::new(&self.words, 0, PAGES.len());
            for page in PAGES {
                finds.offer(page.title, &[page.words], || page.at());
            }
            groups.push(Group::new("Page", "Pages", address::with(PATH, [("q", Some(self.query.as_str()))]), finds));
        }
        let wanted = PAGES.into_iter().filter(|page| self.only.is_none_or(|only| only.path == page.path));
        for page in wanted.filter(|_| !self.words.is_empty()) {
            let most = if self.only.is_some() { OF_ONE } else { OF_EACH };
            let mut finds = Finds::new(&self.words, self.begin, most);
            (page.find)(api, &mut finds)?;
            groups.push(Group::new(page.one, page.title, all_in(page, &self.query), finds));
        }
        groups.retain(|group| group.total > 0);
        Ok(Answer { groups, unreadable: api.glances.unreadable() })
    }
}

/// The page that `in` names.
fn within(name: &str) -> Result<&'static Page, Problem> {
    let named = |page: &&'static Page| !page.path.is_empty() && page.path.trim_start_matches('/') == name;
    PAGES.into_iter().find(named).ok_or_else(|| {
        let names = PAGES.iter().map(|page| page.path.trim_start_matches('/')).filter(|name| !name.is_empty());
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        bad("in", &format!("there is no page `{name}`; hint: choose one of {}", names.join(", ")))
    })
}

/// Where all objects of the page that have these words are.
fn all_in(page: &Page, query: &str) -> String {
    address::with(PATH, [("q", Some(query)), ("in", Some(page.path.trim_start_matches('/')))])
}

pub(super) async fn search(view: View, headers: HeaderMap) -> Result<Response, Problem> {
    let asked = Arc::new(Asked::read(&view.params()?)?);
    let (api, shared) = (Arc::clone(&view.api), Arc::clone(&asked));
    let answer = blocking(move || shared.find(&api)).await?;
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut response = if accepted.any(|value| value.contains("application/json")) {
        Json(&answer).into_response()
    } else {
        page(&view, &asked, &answer)
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn page(view: &View, asked: &Asked, answer: &Answer) -> Response {
    let last = asked.begin.saturating_add(OF_ONE);
    let more = asked.only.is_some() && answer.groups.iter().any(|group| group.total > last);
    let next = more.then(|| last.to_string());
    let content = html! {
        h1 { "Search" }
        form.filters method="get" action=(PATH) role="search" {
            label.field { span { "Words" } input type="search" name="q" value=(asked.query) autocomplete="off"; }
            @if let Some(only) = asked.only { input type="hidden" name="in" value=(only.path.trim_start_matches('/')); }
            button.button type="submit" { "Search" }
        }
        @if let Some(only) = asked.only {
            p.muted {
                "Only " a href=(format!("{PREFIX}{}", only.path)) { (only.title.to_lowercase()) } ". "
                a href=(address::with(PATH, [("q", Some(asked.query.as_str()))])) { "All kinds" }
            }
        }
        (results(asked, &answer.groups))
        (widgets::unreadable(&answer.unreadable))
        (widgets::pager(view, next.as_deref()))
    };
    view.page("Search", content)
}

fn results(asked: &Asked, groups: &[Group]) -> Markup {
    html! {
        @if groups.is_empty() {
            div id="results" { p.muted { "Nothing has all of " bdi.text { "“" (asked.query) "”" } " in its name. Fewer or shorter words find more." } }
        } @else {
            ul.results id="results" aria-label="Results" {
                @for group in groups {
                    @for found in &group.items {
                        li { a href=(found.href) { (widgets::clip(&found.title)) " " span.kind { (group.kind) } } }
                    }
                    @if group.items.len() < group.total {
                        li.more {
                            @if asked.only.is_some() { span.muted { (group.shown()) " " (group.title.to_lowercase()) } }
                            @else { a href=(group.href) { (group.shown()) ": all " (group.title.to_lowercase()) " " span.kind { (group.kind) } } }
                        }
                    }
                }
            }
        }
    }
}
