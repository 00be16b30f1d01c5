//! The frame around every page: head, navigation, what was said, and the palette.

use super::pages::{Group, PAGES};
use super::session::Said;
use super::view::View;
use super::{assets, form, sign_in, widgets};
use maud::{DOCTYPE, Markup, html};

pub(super) fn page(view: &View, title: &str, said: Option<&Said>, content: Markup) -> Markup {
    let csrf = view.session.as_ref().map(|session| session.csrf.as_str());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (short(title)) " · Quarterdeck" }
                link rel="icon" href=(assets::address("icon.svg")) type="image/svg+xml";
                // Before anything is painted: the theme that was chosen.
                script src=(assets::address("theme.js")) {}
                link rel="stylesheet" href=(assets::address("console.css"));
                script src=(assets::address("stream.js")) data-stream defer {}
                script src=(assets::address("console.js")) data-charts=(assets::address("charts.js")) defer {}
            }
            body data-seen=(view.seen) data-csrf=[csrf] {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    a.brand href="/console" { span.mark aria-hidden="true" {} "Quarterdeck" }
                    details.menu {
                        summary.button.quiet { "Menu" }
                        (navigation(view))
                    }
                    form.find method="get" action="/console/search" role="search" {
                        input type="search" name="q" placeholder="Search" aria-label="Search pages and objects" autocomplete="off";
                        kbd aria-hidden="true" { "Ctrl K" }
                    }
                    div.tools {
                        button.button.quiet type="button" data-zone hidden { "UTC" }
                        button.button.quiet type="button" data-times hidden { "Times" }
                        button.button.quiet type="button" data-theme-switch hidden { "Theme" }
                        (account(view))
                    }
                }
                div.frame {
                    div.side { (navigation(view)) }
                    main id="content" tabindex="-1" {
                        p.banner.away role="status" data-away hidden {}
                        @if let Some(said) = said {
                            div.banner.said {
                                p role="status" { bdi { (widgets::plain(&said.text)) } }
                                @if let Some(undo) = &said.undo { (form::undo(view, undo)) }
                            }
                        }
                        button.button.quiet.pause type="button" data-pause aria-describedby="still" hidden {}
                        span.still.muted id="still" data-still hidden {}
                        (content)
                    }
                }
                dialog.palette data-palette aria-label="Search pages and objects" {
                    input type="search" aria-label="Search pages and objects" placeholder="Where to?" autocomplete="off";
                    div data-results {}
                    p.visually-hidden role="status" data-told {}
                    label.check.muted { input type="checkbox" checked data-slash; span { kbd { "/" } " opens this, as " kbd { "Ctrl K" } " does" } }
                    p.muted { kbd { "↑" } " " kbd { "↓" } " choose, " kbd { "Enter" } " opens, " kbd { "Esc" } " closes" }
                }
            }
        }
    }
}

/// A tab shows no more of it.
fn short(title: &str) -> String {
    widgets::plain(title).chars().take(80).collect()
}

fn navigation(view: &View) -> Markup {
    html! {
        nav aria-label="Pages" {
            @for group in Group::ALL {
                @let pages = PAGES.iter().filter(|page| page.group == group).collect::<Vec<_>>();
                @if !pages.is_empty() {
                    h2 { (group.title()) }
                    ul {
                        @for page in pages {
                            @let here = page.is_at(view.path()).then_some("page");
                            li { a href=(page.at()) aria-current=[here] { (page.title) } }
                        }
                    }
                }
            }
        }
    }
}

fn account(view: &View) -> Markup {
    if view.session.is_some() {
        form::Action { to: "/console/sign-out", label: "Sign out", ..form::Action::default() }.show(view)
    } else {
        html! { a.button href=(sign_in::from(view)) { "Sign in" } }
    }
}
