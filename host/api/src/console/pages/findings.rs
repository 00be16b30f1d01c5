//! Findings: what scans found, the worst first, and what to do about one.

use super::{Group, Page, instance, plugin, scans};
use crate::Api;
use crate::console::form;
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, clip, text};
use crate::console::{address, live, time};
use crate::extract::{At, Params};
use crate::paging::blocking;
use crate::problem::Problem;
use crate::resources::status::word;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_model::Severity;
use quarterdeck_model::domain::scan::{Finding, FindingState, Scan};
use quarterdeck_model::store::{Document, Page as Part, Store};
use serde_json::Value;
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
/// Findings that are put in order; those beyond are told of by the filters only.
const LOOK_AT: usize = 10_000;
const SHOWN: usize = 100;

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/findings", get(list)).route("/findings/{id}", get(show))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for document in api.options.store.list(Finding::COLLECTION, &Part { limit: LOOK_AT, ..Part::all() })? {
        if finds.is_full() {
            break;
        }
        let field = |name| field(&document, name);
        let title = format!("{} in {}", field("title"), field("subject"));
        finds.offer(&title, &[field("rule"), field("message")], || address::below(BASE, &document.id));
    }
    Ok(())
}

fn field<'a>(document: &'a Document, name: &str) -> &'a str {
    document.value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Which findings are wanted.
struct Wanted {
    /// `None`: whatever their state.
    state: Option<&'static str>,
    severity: Option<String>,
    scan: Option<String>,
    rule: Option<String>,
    /// A part of the path or the address.
    target: Option<String>,
    page: usize,
}

impl Wanted {
    fn of(params: &Params) -> Result<Self, Problem> {
        let state = match params.text("state")? {
            None => Some("open"),
            Some("any") => None,
            Some(_) => match params.word::<FindingState>("state")? {
                Some(FindingState::Fixed) => Some("fixed"),
                _ => Some("open"),
            },
        };
        let given = |name: &str| params.text(name).map(|text| text.map(str::to_owned));
        Ok(Wanted {
            state,
            severity: params.word::<Severity>("severity")?.map(|severity| severity.to_string()),
            scan: given("scan")?,
            rule: given("rule")?,
            target: given("target")?.map(|target| target.to_lowercase()),
            page: params.number("cursor")?.unwrap_or(0),
        })
    }

    fn takes(&self, document: &Document) -> bool {
        let is = |wanted: Option<&str>, name: &str| wanted.is_none_or(|wanted| field(document, name) == wanted);
        is(self.state, "state")
            && is(self.severity.as_deref(), "severity")
            && (is(self.scan.as_deref(), "scan_name") || is(self.scan.as_deref(), "scan"))
            && is(self.rule.as_deref(), "rule")
            && self.target.as_ref().is_none_or(|target| field(document, "subject").to_lowercase().contains(target))
    }
}

/// A part of those that are wanted, and what there is to choose from.
#[derive(Default)]
struct Found {
    items: Vec<Finding>,
    total: usize,
    /// Of those that are wanted.
    severities: BTreeMap<String, usize>,
    rules: BTreeSet<String>,
    scans: BTreeSet<String>,
}

/// Looks at the documents as they are, and decodes what is shown only.
fn read(store: &dyn Store, wanted: &Wanted) -> Result<Found, Problem> {
    let documents = store.list(Finding::COLLECTION, &Part { limit: LOOK_AT, ..Part::all() })?;
    let mut found = Found::default();
    for document in &documents {
        for (name, names) in [("rule", &mut found.rules), ("scan_name", &mut found.scans)] {
            let value = field(document, name);
            if !names.contains(value) {
                names.insert(value.to_owned());
            }
        }
    }
    let mut taken: Vec<&Document> = documents.iter().filter(|document| wanted.takes(document)).collect();
    let rank = |document: &Document| {
        let severity = field(document, "severity");
        Severity::ALL.iter().position(|known| known.as_str() == severity)
    };
    taken.sort_by_cached_key(|document| (rank(document), Reverse(field(document, "first_seen").to_owned())));
    found.total = taken.len();
    for document in &taken {
        *found.severities.entry(field(document, "severity").to_owned()).or_default() += 1;
    }
    for document in taken.iter().skip(wanted.page.saturating_mul(SHOWN)).take(SHOWN) {
        found.items.push(document.decode()?);
    }
    Ok(found)
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let wanted = Arc::new(Wanted::of(&params)?);
    let (store, asked) = (Arc::clone(&view.api.options.store), Arc::clone(&wanted));
    let found = blocking(move || read(&*store, &asked)).await?;
    let more = found.total > wanted.page.saturating_add(1).saturating_mul(SHOWN);
    let next = more.then(|| (wanted.page + 1).to_string());
    let chosen = |names: &BTreeSet<String>, chosen: &Option<String>| -> Vec<String> {
        names.iter().cloned().chain(chosen.iter().filter(|chosen| !names.contains(*chosen)).cloned()).collect()
    };
    let (rules, scans) = (chosen(&found.rules, &wanted.rule), chosen(&found.scans, &wanted.scan));
    let content = html! {
        h1 { "Findings" }
        (form::filters(&view, html! {
            (form::select("state", "State", &[("open", "open"), ("fixed", "fixed"), ("any", "any")], Some(wanted.state.unwrap_or("any"))))
            (form::severity(wanted.severity.as_deref()))
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
                        @if let Some(count) = found.severities.get(severity.as_str()) {
                            a href=(view.with("severity", Some(severity.as_str()))) { (widgets::severity(severity)) " " (count) }
                        }
                    }
                }
                (table(&found.items))
            }
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
