//! The search over pages and objects; the palette shows its answers as well.

use super::pages::PAGES;
use super::view::View;
use super::widgets;
use crate::extract::Params;
use crate::paging::blocking;
use crate::problem::Problem;
use axum::response::Response;
use maud::{Markup, html};
use std::sync::Arc;

/// Objects of one page that are shown.
const OF_A_PAGE: usize = 8;
const LONGEST: usize = 200;

/// What a page finds of its objects.
pub(crate) struct Finds {
    words: Vec<String>,
    kind: &'static str,
    found: Vec<Found>,
    of_page: usize,
}

struct Found {
    kind: &'static str,
    title: String,
    to: String,
}

impl Finds {
    fn of(query: &str) -> Self {
        let words = query.split_whitespace().map(str::to_lowercase).collect();
        Finds { words, kind: "", found: Vec::new(), of_page: 0 }
    }

    /// Whether as many were found as are shown: the page may stop looking.
    pub(crate) fn is_full(&self) -> bool {
        self.of_page >= OF_A_PAGE
    }

    /// Takes the object if what it is known by (`texts`) has all words that are looked for.
    pub(crate) fn offer(&mut self, title: &str, texts: &[&str], to: impl FnOnce() -> String) {
        if self.is_full() {
            return;
        }
        let all = std::iter::once(title).chain(texts.iter().copied()).map(str::to_lowercase).collect::<Vec<_>>();
        if self.words.iter().all(|word| all.iter().any(|text| text.contains(word))) {
            self.take(title.to_owned(), to());
        }
    }

    /// The same of what is known by these words, which are in small letters already. `found`: what it is called, and where it is shown.
    pub(crate) fn offer_known(&mut self, known_by: &str, found: impl FnOnce() -> (String, String)) {
        if !self.is_full() && self.words.iter().all(|word| known_by.contains(word)) {
            let (title, to) = found();
            self.take(title, to);
        }
    }

    fn take(&mut self, title: String, to: String) {
        self.of_page += 1;
        self.found.push(Found { kind: self.kind, title, to });
    }
}

pub(super) async fn search(view: View, params: Params) -> Result<Response, Problem> {
    let query = params.text("q")?.unwrap_or_default().trim().chars().take(LONGEST).collect::<String>();
    let (api, asked) = (Arc::clone(&view.api), query.clone());
    let found = blocking(move || {
        let mut finds = Finds::of(&asked);
        finds.kind = "Page";
        for page in PAGES {
            finds.of_page = 0;
            finds.offer(page.title, &[page.words], || page.at());
        }
        if !finds.words.is_empty() {
            for page in PAGES {
                (finds.kind, finds.of_page) = (page.one, 0);
                (page.find)(&api, &mut finds)?;
            }
        }
        Ok(finds.found)
    })
    .await?;
    let content = html! {
        h1 { "Search" }
        form.filters method="get" action="/console/search" role="search" {
            label.field { span { "Words" } input type="search" name="q" value=(query) autocomplete="off"; }
            button.button type="submit" { "Search" }
        }
        (results(&query, &found))
    };
    Ok(view.page("Search", content))
}

fn results(query: &str, found: &[Found]) -> Markup {
    html! {
        @if found.is_empty() {
            div id="results" { p.muted { "Nothing has all of " bdi.text { "“" (query) "”" } " in its name. Fewer or shorter words find more." } }
        } @else {
            ul.results id="results" aria-label="Results" {
                @for found in found { li { a href=(found.to) { (widgets::clip(&found.title)) " " span.kind { (found.kind) } } } }
            }
        }
    }
}
