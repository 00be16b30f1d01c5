//! Scans: those that the configuration names, to be started; those that were made; and one with what it looked at and what failed.

use super::{Group, Page, findings, instance, plugin};
use crate::Api;
use crate::console::form::{self, Action, Form};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{PRINCIPAL, address, live, time};
use crate::extract::At;
use crate::paging::List;
use crate::problem::Problem;
use crate::resources::scans;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_model::domain::scan::{Scan, ScanSpec, ScanState};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Scans",
    path: "/scans",
    group: Group::Acting,
    one: "Scan",
    words: "scanner rules files pages score failed",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/scans";
/// Files and mistakes of one scan that are shown.
const SHOWN: usize = 200;

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/scans", get(list).post(start)).route("/scans/{id}", get(show))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for name in api.options.engines.catalog().scans.keys() {
        finds.offer(name, &[], || address::with(BASE, [("name", Some(name.as_str()))]));
    }
    api.glances.scans.read(&*api.options.store, |all| {
        for (id, scan) in all.iter().rev() {
            finds.offer_known(&scan.words, || (scan.title.clone(), address::below(BASE, id)));
        }
    })?;
    Ok(())
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let List { items, next_cursor, unreadable } = scans::read(&view.api, &params).await?;
    let catalog = view.api.options.engines.catalog();
    let (state, name) = (params.text("state")?, params.text("name")?);
    let mut names: Vec<(&str, &str)> =
        std::iter::once(("", "any")).chain(catalog.scans.keys().map(|name| (name.as_str(), name.as_str()))).collect();
    names.extend(name.filter(|chosen| !catalog.scans.contains_key(*chosen)).map(|chosen| (chosen, chosen)));
    let states =
        [("", "any"), ("running", "running"), ("succeeded", "succeeded"), ("partial", "partial"), ("failed", "failed")];
    let content = html! {
        h1 { "Scans" }
        (widgets::section("To be started", configured(&view, &catalog.scans)))
        h2 { "Made" }
        (form::filters(&view, html! {
            (form::select("state", "State", &states, state))
            (form::select("name", "Scan", &names, name))
        }))
        (live::part("scans", &["scan."], html! {
            @if items.is_empty() {
                (widgets::empty("No scans here.", "With fewer filters there may be more. A scan is started above, or from a shell:", Some("quarterdeck scan <name>")))
            } @else { (table(&items)) }
            (widgets::unreadable(&unreadable))
            (widgets::pager(&view, next_cursor.as_deref()))
        }))
        p { a href=(findings::BASE) { "All findings" } }
    };
    Ok(view.page("Scans", content))
}

fn configured(view: &View, specs: &BTreeMap<String, ScanSpec>) -> Markup {
    if specs.is_empty() {
        return widgets::empty(
            "The configuration names no scan.",
            "A scan says which rules look at which files and pages:",
            Some("quarterdeck config set scans default --file scan.toml"),
        );
    }
    let rows = specs.iter().map(|(name, spec)| {
        let fields = [("name", name.as_str())];
        let action = Action { to: BASE, label: "Scan now", fields: &fields, ..Action::default() };
        vec![
            html! { a href=(address::with(BASE, [("name", Some(name.as_str()))])) { (clip(name)) } },
            html! { @for rule in &spec.rules { (instance(view, rule)) " " } },
            html! { @for target in spec.paths.iter().chain(&spec.urls) { code { (clip(target)) } " " } },
            match (spec.enabled, spec.every) {
                (false, _) => widgets::toned("switched off", Tone::Quiet),
                (true, Some(every)) => html! { "every " (time::span(every)) },
                (true, None) => html! { span.muted { "when asked for" } },
            },
            if spec.enabled {
                action.show(view)
            } else {
                html! {}
            },
        ]
    });
    html! {
        (widgets::table("Scans of the configuration", &["Scan", "Rules", "Looks at", "When", "Start"], rows))
        @if view.session.is_none() { (form::notice()) }
    }
}

fn table(scans: &[Scan]) -> Markup {
    let rows = scans.iter().map(|scan| {
        vec![
            widgets::link(&address::below(BASE, scan.id.as_str()), &scan.name),
            widgets::state(scan.state),
            severities(scan),
            html! { (scan.new_findings) " new, " (scan.fixed_findings) " fixed" },
            html! { (scan.failed_rules.len()) },
            html! { (clip(&scan.principal)) },
            time::ago(scan.started_at),
            took(scan),
        ]
    });
    widgets::table(
        "Scans",
        &["Scan", "State", "Findings", "Since the one before", "Failed rules", "Started by", "Started", "Took"],
        rows,
    )
}

fn severities(scan: &Scan) -> Markup {
    if scan.findings.values().all(|count| *count == 0) {
        return html! { span.muted { "none" } };
    }
    html! {
        span.badges {
            @for (severity, count) in scan.findings.iter().filter(|(_, count)| **count > 0) {
                span { (widgets::severity(*severity)) " " (count) }
            }
        }
    }
}

fn took(scan: &Scan) -> Markup {
    match scan.finished_at {
        Some(end) => html! { (time::span(end.since(scan.started_at))) },
        None => html! { span.muted { "under way, " (time::going_on(scan.started_at)) } },
    }
}

async fn show(view: View, At(id): At<String>) -> Result<Response, Problem> {
    let scan: Scan = crate::precondition::find(&view.api, Scan::COLLECTION, &id)?.decode()?;
    let found = address::with(findings::BASE, [("scan", Some(scan.id.as_str())), ("state", Some("any"))]);
    let content = html! {
        p.crumbs { a href=(BASE) { "Scans" } " / " a href=(address::with(BASE, [("name", Some(scan.name.as_str()))])) { (clip(&scan.name)) } }
        h1 { "Scan " (text(&scan.name)) }
        (live::going_on("scan", &["scan.", "finding."], scan.state == ScanState::Running, html! {
            p.badges {
                (widgets::state(scan.state))
                @match scan.state {
                    ScanState::Partial => " What could be judged was; below stands what could not.",
                    ScanState::Running => " Findings come in as it goes on.",
                    _ => "",
                }
            }
            @if scan.state != ScanState::Running && view.api.options.engines.catalog().scans.get(&scan.name).is_some_and(|spec| spec.enabled) {
                (form::actions(&view, &[Action { to: BASE, label: "Scan again", fields: &[("name", scan.name.as_str())], ..Action::default() }]))
            }
            (widgets::section("What is known", facts(&scan, &found)))
            @if !scan.failed_rules.is_empty() { (widgets::section("Rules that failed", failed(&view, &scan))) }
            @if !scan.errors.is_empty() {
                (widgets::section("What could not be done", html! {
                    ul { @for error in scan.errors.iter().take(SHOWN) { li { (text(error)) } } }
                    @if scan.errors.len() > SHOWN { p.muted { "And " (scan.errors.len() - SHOWN) " more." } }
                }))
            }
            @if !scan.pages.is_empty() { (widgets::section("Pages", pages(&scan))) }
        }))
    };
    Ok(view.page(&format!("Scan {}", scan.name), content))
}

fn facts(scan: &Scan, found: &str) -> Markup {
    widgets::definitions(&[
        ("Id", html! { code { (text(scan.id.as_str())) } }),
        ("Started", html! { (time::ago(scan.started_at)) " by " (clip(&scan.principal)) }),
        ("Ended", time::maybe(scan.finished_at)),
        ("Took", took(scan)),
        ("Looked at", html! { (scan.files) " files, " (scan.urls) " pages" }),
        (
            "Left out",
            html! {
                (scan.skipped)
                @for (index, (reason, count)) in scan.skipped_because.iter().enumerate() {
                    @if index == 0 { ": " } @else { ", " } (count) " " (clip(reason))
                }
            },
        ),
        ("Findings", html! { (severities(scan)) " " a href=(found) { "Those that it saw last" } }),
        (
            "Since the one before",
            html! { (scan.new_findings) " new, " (scan.fixed_findings) " fixed, " (scan.not_looked_at) " open ones in files that could not be looked at" },
        ),
        (
            "Rules",
            html! { @for (index, rule) in scan.rules.iter().enumerate() { @if index > 0 { ", " } (plugin(Some(rule))) } },
        ),
    ])
}

fn failed(view: &View, scan: &Scan) -> Markup {
    let rows = scan
        .failed_rules
        .iter()
        .map(|rule| vec![instance(view, &rule.instance), plugin(rule.plugin.as_ref()), text(&rule.error)]);
    widgets::table("Rules that failed", &["Rule", "Version", "What it said first"], rows)
}

fn pages(scan: &Scan) -> Markup {
    let rows = scan.pages.iter().take(SHOWN).map(|page| {
        let part = f64::from(page.score) / 100.0;
        vec![
            html! { code { (clip(&page.url)) } },
            html! { strong { (clip(&page.grade)) } },
            html! { (widgets::meter("score", part)) " " (page.score) " of 100" },
        ]
    });
    widgets::table("Pages, the worst first", &["Page", "Grade", "Score"], rows)
}

async fn start(form: Form) -> Result<Response, Problem> {
    let scan = form.view.api.options.engines.scans.start(form.needed("name")?, PRINCIPAL).await?;
    form.done(&address::below(BASE, scan.id.as_str()), "The scan is under way.")
}
