//! Alerts: those of this host's rules and those that others sent here; one of them with why somebody was told of it, or was not; and the
//! groups in which they are told.

mod groups;
mod one;

use super::{Group, Page};
use crate::Api;
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip};
use crate::console::{address, form, live, time};
use crate::extract::Params;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::unreadable::Unreadable;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use quarterdeck_engines::alerting::Shown;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::alerting::{Matcher, all_match};
use quarterdeck_model::{Severity, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Alerts",
    path: "/alerts",
    group: Group::Watching,
    one: "Alert",
    words: "firing pending resolved notified why groups routes",
    routes,
    find,
};

pub(super) const BASE: &str = "/console/alerts";
/// Events on which what is shown of alerts changes.
pub(super) const CONCERNS: [&str; 4] = ["alert.", "silence.", "notification.", "configuration."];
const SHOWN: usize = 100;

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/alerts", get(list))
        .route("/alerts/groups", get(groups::list))
        .route("/alerts/{fingerprint}", get(one::show))
        .route("/alerts/{fingerprint}/acknowledge", post(one::acknowledge))
        .route("/alerts/{fingerprint}/resolve", post(one::resolve))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    api.glances.alerts.read(&*api.options.store, |all| {
        for at in all.values() {
            finds.offer_known(&at.words, || (name(&at.alert).to_owned(), to(&at.alert.fingerprint)));
        }
    })?;
    Ok(())
}

pub(super) fn to(fingerprint: &str) -> String {
    address::below(BASE, fingerprint)
}

pub(super) fn name(alert: &Alert) -> &str {
    alert.labels.get("alertname").unwrap_or(&alert.rule)
}

/// The tabs of all pages of alerts.
pub(super) fn tabs(here: &str) -> Markup {
    let all = [
        ("Alerts", BASE),
        ("Groups as told", "/console/alerts/groups"),
        ("Silences", "/console/silences"),
        ("Rules", "/console/rules"),
    ];
    widgets::tabs("Pages about alerts", here, &all)
}

/// Conditions as somebody has written them, or what is wrong with them.
pub(super) fn matchers(text: &str) -> Result<Vec<Matcher>, String> {
    // One a line is as good as commas between them.
    Matcher::list(&text.trim().replace(['\r', '\n'], ",")).map_err(|error| error.to_string())
}

/// Where conditions can't be read: what is wrong, and how they are written.
pub(super) fn no_matchers(why: &str) -> Markup {
    html! {
        p.banner.away role="status" {
            "The conditions on labels can't be read: " (widgets::text(why)) ". "
            "They are written as " code { "team=\"db\", severity=~\"critical|high\"" } "; " code { "!=" } " and " code { "!~" } " say the opposite."
        }
    }
}

/// What is asked for.
struct Wanted {
    states: Vec<AlertState>,
    severity: Option<Severity>,
    /// What keeps them from being told.
    muted: Option<bool>,
    filter: Result<Vec<Matcher>, String>,
    begin: usize,
}

impl Wanted {
    fn read(params: &Params) -> Result<Self, Problem> {
        let states = match params.text("state")? {
            None => vec![AlertState::Firing, AlertState::Pending],
            Some("all") => vec![AlertState::Firing, AlertState::Pending, AlertState::Resolved],
            Some(_) => params.words::<AlertState>("state")?,
        };
        let muted = params.parsed("muted", "`yes` or `no`", |text| match text {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        })?;
        let filter = matchers(params.text("filter")?.unwrap_or_default());
        Ok(Wanted {
            states,
            severity: params.word("severity")?,
            muted,
            filter,
            begin: params.number("cursor")?.unwrap_or(0),
        })
    }
}

/// A part of the alerts that are wanted, with what keeps them back, and how many there are of each state.
struct Found {
    alerts: Vec<(Arc<Alert>, Option<Shown>)>,
    counts: [usize; 3],
    more: bool,
    unreadable: Vec<Unreadable>,
}

fn read(api: &Api, wanted: &Wanted, filter: &[Matcher]) -> Result<Found, Problem> {
    let alerting = &api.options.engines.alerting;
    let muted: Option<HashSet<String>> = wanted.muted.map(|_| {
        let muted = alerting.alerts().into_iter().filter(is_muted);
        muted.map(|shown| shown.alert.fingerprint.clone()).collect()
    });
    let is_wanted = |alert: &Alert| {
        wanted.states.contains(&alert.state)
            && wanted.severity.is_none_or(|severity| alert.severity == severity)
            && muted.as_ref().is_none_or(|muted| Some(muted.contains(&alert.fingerprint)) == wanted.muted)
    };
    let (mut counts, mut alerts) = ([0; 3], Vec::new());
    api.glances.alerts.read(&*api.options.store, |all| {
        for at in all.values().filter(|at| all_match(filter, &at.alert.labels)) {
            let [firing, pending, resolved] = &mut counts;
            *match at.alert.state {
                AlertState::Firing => firing,
                AlertState::Pending => pending,
                AlertState::Resolved => resolved,
            } += 1;
            if is_wanted(&at.alert) {
                alerts.push(Arc::clone(&at.alert));
            }
        }
    })?;
    alerts.sort_by_cached_key(|alert| order(alert));
    let more = alerts.len() > wanted.begin.saturating_add(SHOWN);
    let part: Vec<Arc<Alert>> = alerts.into_iter().skip(wanted.begin).take(SHOWN).collect();
    let mut shown: HashMap<String, Shown> = HashMap::new();
    for one in alerting.alerts_of(part.iter().map(|alert| alert.fingerprint.as_str())) {
        shown.insert(one.alert.fingerprint.clone(), one);
    }
    let alerts = part.into_iter().map(|alert| {
        let kept_back = shown.remove(&alert.fingerprint);
        (alert, kept_back)
    });
    Ok(Found { alerts: alerts.collect(), counts, more, unreadable: api.glances.alerts.unreadable() })
}

/// What fires comes first, and of that the worst.
fn order(alert: &Alert) -> (u8, Severity, std::cmp::Reverse<Timestamp>) {
    let (state, at) = match alert.state {
        AlertState::Firing => (0, alert.fired_at.unwrap_or(alert.active_at)),
        AlertState::Pending => (1, alert.active_at),
        AlertState::Resolved => (2, alert.resolved_at.unwrap_or(alert.last_evaluated)),
    };
    let severity = if alert.state == AlertState::Resolved { Severity::Info } else { alert.severity };
    (state, severity, std::cmp::Reverse(at))
}

fn is_muted(shown: &Shown) -> bool {
    !shown.silenced_by.is_empty() || !shown.inhibited_by.is_empty()
}

async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let wanted = Arc::new(Wanted::read(&params)?);
    let chosen = |name: &str| params.text(name).ok().flatten();
    let content = match &wanted.filter {
        Err(why) => no_matchers(why),
        Ok(filter) => {
            let (api, asked, filter) = (Arc::clone(&view.api), Arc::clone(&wanted), filter.clone());
            let found = blocking(move || read(&api, &asked, &filter)).await?;
            live::part("alerts", &CONCERNS, shown(&view, &wanted, found))
        }
    };
    let states = [
        ("", "firing and pending"),
        ("firing", "firing"),
        ("pending", "pending"),
        ("resolved", "resolved lately"),
        ("all", "all"),
    ];
    let content = html! {
        h1 { "Alerts" }
        (tabs(BASE))
        (form::filters(&view, html! {
            (form::select("state", "State", &states, chosen("state")))
            (form::severity(chosen("severity")))
            (form::select("muted", "Kept back", &[("", "or not"), ("no", "no"), ("yes", "silenced, inhibited or planned work")], chosen("muted")))
            label.field.wide {
                span { "Labels" }
                input type="text" name="filter" value=(chosen("filter").unwrap_or_default()) autocomplete="off" spellcheck="false"
                    placeholder="team=\"db\", severity=~\"critical|high\"";
            }
        }))
        (content)
    };
    Ok(view.page("Alerts", content))
}

fn shown(view: &View, wanted: &Wanted, found: Found) -> Markup {
    let [firing, pending, resolved] = found.counts;
    let next = found.more.then(|| wanted.begin.saturating_add(SHOWN).to_string());
    let of_state = |state: &str| view.with_all(&[("state", Some(state)), ("cursor", None)]);
    let tone = |count: usize, tone: Tone| if count == 0 { Tone::Good } else { tone };
    html! {
        div.figures {
            (widgets::figure("firing", &firing.to_string(), &of_state("firing"), tone(firing, Tone::Bad)))
            (widgets::figure("pending", &pending.to_string(), &of_state("pending"), tone(pending, Tone::Warning)))
            (widgets::figure("resolved lately", &resolved.to_string(), &of_state("resolved"), Tone::Quiet))
        }
        @if found.alerts.is_empty() {
            (widgets::empty("No alert is like that.",
                "With fewer filters there may be more. Rules make alerts; a rule of a file is tried on the past before it is put to use:",
                Some("quarterdeck alert list")))
        } @else {
            (table(&found.alerts))
        }
        (widgets::unreadable(&found.unreadable))
        (widgets::pager(view, next.as_deref()))
    }
}

fn table(alerts: &[(Arc<Alert>, Option<Shown>)]) -> Markup {
    let rows = alerts.iter().map(|(alert, shown)| {
        vec![
            widgets::severity(alert.severity),
            html! { (widgets::link(&to(&alert.fingerprint), name(alert))) br; span.muted { (clip(&alert.summary)) } },
            states(alert, shown.as_ref()),
            some_labels(alert),
            since(alert),
        ]
    });
    widgets::table("Alerts", &["Severity", "Alert", "State", "Labels", "Since"], rows)
}

fn since(alert: &Alert) -> Markup {
    match alert.state {
        AlertState::Firing => time::ago(alert.fired_at.unwrap_or(alert.active_at)),
        AlertState::Pending => time::ago(alert.active_at),
        AlertState::Resolved => html! { "over " (time::maybe(alert.resolved_at)) },
    }
}

/// As many labels as a row has room for. The page of the alert has all of them.
pub(super) fn some_labels(alert: &Alert) -> Markup {
    let others = || alert.labels.iter().filter(|(name, _)| !matches!(*name, "alertname" | "severity"));
    let count = others().count();
    html! {
        (widgets::key_values(others().take(6)))
        @if count > 6 { span.muted { "and " (count - 6) " more" } }
    }
}

/// The state, and whatever is to be known beside it.
pub(super) fn states(alert: &Alert, shown: Option<&Shown>) -> Markup {
    let silenced = shown.is_some_and(|shown| shown.silenced_by.iter().any(|by| !by.starts_with("maintenance/")));
    let planned = shown.is_some_and(|shown| shown.silenced_by.iter().any(|by| by.starts_with("maintenance/")));
    html! {
        span.badges {
            (widgets::state(alert.state))
            @if alert.acknowledged_by.is_some() { (widgets::toned("acknowledged", Tone::Warning)) }
            @if silenced { (widgets::toned("silenced", Tone::Quiet)) }
            @if planned { (widgets::toned("planned work", Tone::Quiet)) }
            @if shown.is_some_and(|shown| !shown.inhibited_by.is_empty()) { (widgets::toned("inhibited", Tone::Quiet)) }
            @if alert.no_data || alert.blind.is_some() { (widgets::toned("no data", Tone::Warning)) }
            @if alert.posted.is_some() { (widgets::toned("sent here", Tone::Quiet)) }
        }
    }
}
