//! Findings: what scans found, the worst first, and what to do about one.

use super::{Group, Page, instance, plugin, scans};
use crate::Api;
use crate::console::form;
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, clip, text};
use crate::console::{address, live, time};
use crate::extract::{At, Params};
use crate::glances::AtFinding;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::resources::status::word;
use crate::unreadable::Unreadable;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_model::Severity;
use quarterdeck_model::domain::scan::{Finding, FindingState, Scan};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Findings",
    path: "/findings",
    group: Group::Watching,
    one: "Finding",
    words: "scan security secrets vulnerabilities rules open fixed",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/findings";
const SHOWN: usize = 100;

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/findings", get(list)).route("/findings/{id}", get(show))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    api.glances.findings.read(&*api.options.store, |all| {
        for (id, finding) in all {
            let found = || (format!("{} in {}", finding.title, finding.subject), address::below(BASE, id));
            finds.offer_known(&finding.words, found);
        }
    })?;
    Ok(())
}

/// Which findings are wanted.
struct Wanted {
    /// Or fixed. `None`: whatever their state.
    is_open: Option<bool>,
    severity: Option<Severity>,
    scan: Option<String>,
    rule: Option<String>,
    /// A part of the path or the address.
    target: Option<String>,
    page: usize,
}

impl Wanted {
    fn of(params: &Params) -> Result<Self, Problem> {
        let is_open = match params.text("state")? {
            None => Some(true),
            Some("any") => None,
            Some(_) => Some(params.word::<FindingState>("state")? != Some(FindingState::Fixed)),
        };
        let given = |name: &str| params.text(name).map(|text| text.map(str::to_owned));
        Ok(Wanted {
            is_open,
            severity: params.word("severity")?,
            scan: given("scan")?,
            rule: given("rule")?,
            target: given("target")?.map(|target| target.to_lowercase()),
            page: params.number("cursor")?.unwrap_or(0),
        })
    }

    fn takes(&self, finding: &AtFinding) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        self.is_open.is_none_or(|is_open| finding.is_open == is_open)
            && self.severity.is_none_or(|severity| finding.severity == severity)
            && (is(&self.scan, &finding.scan_name) || is(&self.scan, &finding.scan))
            && is(&self.rule, &finding.rule)
            && self.target.as_ref().is_none_or(|target| finding.subject.to_lowercase().contains(target))
    }
}

/// A part of those that are wanted, and what there is to choose from.
#[derive(Default)]
struct Found {
    items: Vec<Finding>,
    total: usize,
    /// Of those that are wanted.
    severities: BTreeMap<Severity, usize>,
    rules: BTreeSet<String>,
    scans: BTreeSet<String>,
    unreadable: Vec<Unreadable>,
}

/// Looks at all of them, and reads what is shown only.
fn read(api: &Api, wanted: &Wanted) -> Result<Found, Problem> {
    let store = &*api.options.store;
    let (mut found, ids) = api.glances.findings.read(store, |all| {
        let mut found = Found::default();
        for finding in all.values() {
            for (value, names) in [(&finding.rule, &mut found.rules), (&finding.scan_name, &mut found.scans)] {
                if !names.contains(value) {
                    names.insert(value.clone());
                }
            }
        }
        let mut taken: Vec<_> = all.iter().filter(|(_, finding)| wanted.takes(finding)).collect();
        // The worst first, and of those the newest.
        taken.sort_by_key(|(_, finding)| (finding.severity, Reverse(finding.first_seen)));
        found.total = taken.len();
        for (_, finding) in &taken {
            *found.severities.entry(finding.severity).or_default() += 1;
        }
        let part = taken.iter().skip(wanted.page.saturating_mul(SHOWN)).take(SHOWN);
        let ids: Vec<String> = part.map(|(id, _)| (*id).clone()).collect();
        (found, ids)
    })?;
    for id in ids {
        if let Some(document) = store.get(Finding::COLLECTION, &id)? {
            found.items.extend(document.decode::<Finding>());
        }
    }
    found.unreadable = api.glances.findings.unreadable();
    Ok(found)
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let wanted = Arc::new(Wanted::of(&params)?);
    let (api, asked) = (Arc::clone(&view.api), Arc::clone(&wanted));
    let found = blocking(move || read(&api, &asked)).await?;
    let more = found.total > wanted.page.saturating_add(1).saturating_mul(SHOWN);
    let next = more.then(|| (wanted.page + 1).to_string());
    let chosen = |names: &BTreeSet<String>, chosen: &Option<String>| -> Vec<String> {
        names.iter().cloned().chain(chosen.iter().filter(|chosen| !names.contains(*chosen)).cloned()).collect()
    };
    let state = match wanted.is_open {
        None => "any",
        Some(true) => "open",
        Some(false) => "fixed",
    };
    let (rules, scans) = (chosen(&found.rules, &wanted.rule), chosen(&found.scans, &wanted.scan));
    let content = html! {
        h1 { "Findings" }
        (form::filters(&view, html! {
            (form::select("state", "State", &[("open", "open"), ("fixed", "fixed"), ("any", "any")], Some(state)))
            (form::severity(wanted.severity.map(Severity::as_str)))
            (form::select("rule", "Rule", &options(&rules), wanted.rule.as_deref()))
            (form::select("scan", "Scan", &options(&scans), wanted.scan.as_deref()))
            (form::input("target", "In (part of a path or an address)", params.text("target")?.unwrap_or_default()))
        }))
        (live::part("findings", &["finding.", "scan.finished"], html! {
            @if found.items.is_empty() {
                (widgets::empty("Nothing was found.", "Either all is well, or nothing was scanned yet, or the filters leave it out. A scan begins by:",
                    Some("quarterdeck scan")))
            } @else {
                p.badges {
                    (found.total) @if found.total == 1 { " finding: " } @else { " findings: " }
                    @for severity in Severity::ALL {
                        @if let Some(count) = found.severities.get(&severity) {
                            a href=(view.with_all(&[("severity", Some(severity.as_str())), ("cursor", None)])) { (widgets::severity(severity)) " " (count) }
                        }
                    }
                }
                (table(&found.items))
            }
            (widgets::unreadable(&found.unreadable))
            (widgets::pager(&view, next.as_deref()))
        }))
        p { a href=(scans::BASE) { "All scans" } }
    };
    Ok(view.page("Findings", content))
}

fn options(names: &[String]) -> Vec<(&str, &str)> {
    std::iter::once(("", "any")).chain(names.iter().map(|name| (name.as_str(), name.as_str()))).collect()
}

fn table(findings: &[Finding]) -> Markup {
    let rows = findings.iter().map(|finding| {
        vec![
            widgets::severity(finding.severity),
            html! { (widgets::link(&address::below(BASE, &finding.id), &finding.title)) br; span.muted { (clip(&finding.message)) } },
            place(finding),
            html! { code { (clip(&finding.rule)) } },
            html! { (state(finding)) },
            time::ago(finding.first_seen),
        ]
    });
    widgets::table("Findings", &["Severity", "Finding", "In", "Rule", "State", "First seen"], rows)
}

fn place(finding: &Finding) -> Markup {
    html! { code { (clip(&finding.subject)) @if finding.line > 0 { ":" (finding.line) } } }
}

/// Open is as bad as its severity; the word alone says no more.
fn state(finding: &Finding) -> Markup {
    match finding.state {
        FindingState::Open => widgets::toned("open", widgets::Tone::Warning),
        state => widgets::state(state),
    }
}

async fn show(view: View, At(id): At<String>) -> Result<Response, Problem> {
    let found = crate::precondition::find(&view.api, Finding::COLLECTION, &id)?;
    let finding: Finding = found.decode()?;
    // Scans are forgotten sooner than what they found.
    let scan = match view.api.options.store.get(Scan::COLLECTION, finding.scan.as_str())? {
        Some(_) => widgets::link(&address::below(scans::BASE, finding.scan.as_str()), finding.scan.as_str()),
        None => clip(finding.scan.as_str()),
    };
    let same = address::with(BASE, [("rule", Some(finding.rule.as_str()))]);
    let content = html! {
        p.crumbs { a href=(BASE) { "Findings" } }
        h1 { (text(&finding.title)) }
        (live::part("finding", &["finding.", "scan.finished"], html! {
            p.badges { (widgets::severity(finding.severity)) " " (state(&finding)) }
            (widgets::section("What was found", html! {
                p { (text(&finding.message)) }
                (widgets::definitions(&[
                    ("In", html! { code { (text(&finding.subject)) } }),
                    ("At", match (finding.line, finding.column) {
                        (0, _) => html! { span.none { "–" } },
                        (line, 0) => html! { "line " (line) },
                        (line, column) => html! { "line " (line) ", column " (column) },
                    }),
                    ("Weakness", finding.cwe.map_or_else(|| html! { span.none { "–" } }, |cwe| html! { "CWE-" (cwe) })),
                ]))
            }))
            (widgets::section("What to do", html! {
                @if finding.remediation.is_empty() { p.muted { "The rule does not say." } } @else { p { (text(&finding.remediation)) } }
                @if finding.state == FindingState::Open {
                    p.muted { "It counts as fixed as soon as the next scan looks there and does not find it:" }
                    (widgets::command(&format!("quarterdeck scan {}", finding.scan_name)))
                }
            }))
            (widgets::section("What is known", widgets::definitions(&[
                ("Rule", html! { a href=(same) { code { (clip(&finding.rule)) } } " by " (instance(&view, &finding.instance)) ", " (plugin(Some(&finding.plugin))) }),
                ("Scan", html! { (clip(&finding.scan_name)) ", last by " (scan) }),
                ("First seen", time::ago(finding.first_seen)),
                ("Last seen", time::ago(finding.last_seen)),
                ("Fixed", time::maybe(finding.resolved_at)),
                ("Fixed because", finding.resolution.as_deref().map_or_else(|| html! { span.none { "–" } }, text)),
                ("Not looked at by the last scan", finding.not_looked_at.as_deref().map_or_else(|| html! { span.none { "–" } }, text)),
                ("Fingerprint", html! { code { (clip(&finding.fingerprint)) } }),
                ("Id", html! { code { (text(&finding.id)) } }),
            ])))
        }))
    };
    Ok(view.page(&format!("{} ({})", finding.title, word(finding.severity)), content))
}
