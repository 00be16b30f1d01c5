//! Rules: those of files in Prometheus's format, in their groups, and those that detectors judge; how their last evaluation went, and
//! which alerts they have.

use super::alerts::tabs;
use super::{Group, Page, metrics};
use crate::Api;
use crate::console::query::selector;
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip, text};
use crate::console::{address, form, live, time};
use crate::paging::blocking;
use crate::problem::Problem;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_engines::monitoring::rule_files::group::Kind;
use quarterdeck_engines::monitoring::rule_files::{GroupStatus, Health, RuleStatus};
use quarterdeck_model::domain::alert::{Alert, AlertState, RuleSpec};
use quarterdeck_model::domain::job::JobStatus;
use quarterdeck_model::label::Labels;
use quarterdeck_model::{Span, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Rules",
    path: "/rules",
    group: Group::Watching,
    one: "Rule",
    words: "alerting recording groups evaluation detector threshold",
    routes,
    find,
};

const BASE: &str = "/console/rules";
const SHOWN: usize = 100;

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/rules", get(list))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for row in rows(api) {
        finds.offer(&row.name, &[&row.group], || address::with(BASE, [("name", Some(row.name.as_str()))]));
    }
    Ok(())
}

/// How the last evaluation of a rule went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    NotYet,
    Well,
    Wrong,
}

struct Row {
    name: String,
    /// File and group, or the detector.
    group: String,
    kind: &'static str,
    expression: String,
    labels: Labels,
    hold: Span,
    every: Span,
    firing: usize,
    pending: usize,
    went: Went,
    error: Option<String>,
    evaluated_at: Option<Timestamp>,
    took: Option<Span>,
}

fn count<'a>(alerts: impl Iterator<Item = &'a Alert>) -> (usize, usize) {
    alerts.fold((0, 0), |(firing, pending), alert| match alert.state {
        AlertState::Firing => (firing + 1, pending),
        AlertState::Pending => (firing, pending + 1),
        AlertState::Resolved => (firing, pending),
    })
}

fn rows(api: &Api) -> Vec<Row> {
    let engines = &api.options.engines;
    let mut found: Vec<Row> = engines.monitoring.rule_groups().iter().flat_map(of_group).collect();
    let mut alerts: HashMap<String, Vec<Alert>> = HashMap::new();
    for alert in engines.monitoring.alerts().into_iter().filter(|alert| alert.group.is_none()) {
        alerts.entry(alert.rule.clone()).or_default().push(alert);
    }
    let jobs: HashMap<String, JobStatus> =
        api.options.scheduler.list().into_iter().map(|job| (job.spec.name.clone(), job)).collect();
    for (name, spec) in &engines.catalog().rules {
        let own = alerts.get(name).map(Vec::as_slice).unwrap_or_default();
        found.push(of_detector(name, spec, own, jobs.get(&format!("rule/{name}"))));
    }
    found
}

fn of_group(status: &GroupStatus) -> Vec<Row> {
    let row = |rule: &RuleStatus| {
        let (went, error) = match &rule.health {
            Health::Unknown => (Went::NotYet, None),
            Health::Good => (Went::Well, None),
            Health::Bad(why) => (Went::Wrong, Some(why.clone())),
        };
        let (kind, hold) = match &rule.rule.kind {
            Kind::Recording => ("records", Span::ZERO),
            Kind::Alerting(alerting) => ("alerts", alerting.hold),
        };
        let (firing, pending) = count(rule.alerts.iter());
        Row {
            name: rule.rule.name.clone(),
            group: status.group.key.clone(),
            kind,
            expression: rule.rule.expression.text().to_owned(),
            labels: rule.rule.labels.clone(),
            hold,
            every: status.group.interval,
            firing,
            pending,
            went,
            error,
            evaluated_at: rule.evaluated_at,
            took: rule.evaluated_at.map(|_| rule.took),
        }
    };
    status.rules.iter().map(row).collect()
}

fn of_detector(name: &str, spec: &RuleSpec, alerts: &[Alert], job: Option<&JobStatus>) -> Row {
    let (firing, pending) = count(alerts.iter());
    let error = job.and_then(|job| job.last_error.clone());
    let evaluated_at = job.and_then(|job| job.last_run);
    Row {
        name: name.to_owned(),
        group: spec.detector.to_string(),
        kind: "alerts",
        expression: selector(&spec.select.metric, &spec.select.labels),
        labels: spec.labels.clone(),
        hold: spec.hold,
        every: spec.every,
        firing,
        pending,
        went: match (&error, evaluated_at) {
            (Some(_), _) => Went::Wrong,
            (None, Some(_)) => Went::Well,
            (None, None) => Went::NotYet,
        },
        error,
        evaluated_at,
        took: job.and_then(|job| job.last_duration),
    }
}

/// Whether a rule is one of the chosen state.
fn is_in(row: &Row, state: &str) -> bool {
    match state {
        "firing" => row.firing > 0,
        "pending" => row.pending > 0,
        "wrong" => row.went == Went::Wrong,
        _ => true,
    }
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let wanted = params.text("name")?.unwrap_or_default().to_owned();
    let state = params.text("state")?.unwrap_or_default().to_owned();
    let begin: usize = params.number("cursor")?.unwrap_or(0);
    let (api, asked, chosen) = (Arc::clone(&view.api), wanted.to_lowercase(), state.clone());
    let (rows, all) = blocking(move || {
        let mut rows = rows(&api);
        let all = rows.len();
        let fits = |text: &str| text.to_lowercase().contains(&asked);
        rows.retain(|row| is_in(row, &chosen) && (fits(&row.name) || fits(&row.group)));
        // Groups stay as they are; what is wrong comes first.
        rows.sort_by_key(|row| (row.went != Went::Wrong, row.firing == 0, row.pending == 0));
        Ok((rows, all))
    })
    .await?;
    let next = (rows.len() > begin.saturating_add(SHOWN)).then(|| (begin + SHOWN).to_string());
    let part = rows.iter().skip(begin).take(SHOWN);
    let states = [
        ("", "any"),
        ("firing", "with alerts that fire"),
        ("pending", "with pending alerts"),
        ("wrong", "evaluated with an error"),
    ];
    let content = html! {
        h1 { "Rules" }
        (tabs(BASE))
        (form::filters(&view, html! {
            (form::input("name", "Name or group has", &wanted))
            (form::select("state", "State", &states, Some(&state)))
        }))
        (live::part("rules", &["alert.", "configuration."], html! {
            @if rows.is_empty() && all == 0 {
                (widgets::empty("There are no rules.",
                    "Files in Prometheus's format lie in rules/ of the configuration folder; the built-in rules are there unless they are switched off.",
                    Some("quarterdeck rules check config/rules/*.yml")))
            } @else if rows.is_empty() {
                (widgets::empty("No rule is like that.", "With fewer filters there are more.", None))
            } @else { (table(part)) }
            (widgets::pager(&view, next.as_deref()))
            p.muted { (rows.len()) " of " (all) " rules." }
        }))
    };
    Ok(view.page("Rules", content))
}

fn table<'a>(rows: impl Iterator<Item = &'a Row>) -> Markup {
    let shown = rows.map(|row| {
        vec![
            rule(row),
            html! { (row.kind) },
            alerts(row),
            went(row),
            html! { (time::maybe(row.evaluated_at)) @if let Some(took) = row.took { " in " (time::span(took)) } br; span.muted { "every " (time::span(row.every)) } },
        ]
    });
    widgets::table("Rules", &["Rule", "It", "Alerts", "Last evaluation", "When"], shown)
}

fn rule(row: &Row) -> Markup {
    html! {
        strong { (clip(&row.name)) } " " span.muted { (clip(&row.group)) }
        details.plain-details {
            summary { code { (clip(&row.expression)) } }
            pre.command tabindex="0" { code { (row.expression) } }
            @if row.hold > Span::ZERO { p.muted { "It has to hold for " (time::span(row.hold)) " before an alert fires." } }
            @if !row.labels.is_empty() { (widgets::labels(&row.labels)) }
            p { a href=(metrics::explore(&[&row.expression])) { "Open in the explorer" } }
        }
    }
}

fn alerts(row: &Row) -> Markup {
    if row.firing + row.pending == 0 {
        return html! { span.none { "none" } };
    }
    let filter = format!("alertname={}", crate::console::query::quoted(&row.name));
    html! {
        a href=(address::with("/console/alerts", [("filter", Some(filter.as_str()))])) {
            @if row.firing > 0 { (widgets::toned(&format!("{} firing", row.firing), Tone::Bad)) " " }
            @if row.pending > 0 { (widgets::toned(&format!("{} pending", row.pending), Tone::Warning)) }
        }
    }
}

fn went(row: &Row) -> Markup {
    match row.went {
        Went::NotYet => widgets::toned("not yet", Tone::Quiet),
        Went::Well => widgets::toned("ok", Tone::Good),
        Went::Wrong => {
            html! { (widgets::toned("failed", Tone::Bad)) br; (text(row.error.as_deref().unwrap_or_default())) }
        }
    }
}
