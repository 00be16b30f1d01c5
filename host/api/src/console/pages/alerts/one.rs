//! One alert: what is known of it, how its value went, what can be done, and why somebody was told of it, or was not.

use super::{BASE, CONCERNS, name, states, to};
use crate::console::chart::{Chart, Window};
use crate::console::form::{self, Action, Form};
use crate::console::query::{self, Question};
use crate::console::view::View;
use crate::console::widgets::{self, clip, text};
use crate::console::{address, live, time};
use crate::extract::At;
use crate::paging::blocking;
use crate::problem::Problem;
use crate::resources::{alerts, events as log};
use crate::{Api, console::pages, console::pages::over};
use axum::response::Response;
use maud::{Markup, html};
use quarterdeck_engines::alerting::Shown;
use quarterdeck_engines::alerting::explain::{Explanation, GroupStep};
use quarterdeck_engines::alerting::message::annotations;
use quarterdeck_engines::monitoring::rule_files::group::Kind;
use quarterdeck_model::Span;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::alerting::{Comparison, Matcher};
use quarterdeck_model::domain::notification::Notification;
use quarterdeck_model::event::{EventFilter, StoredEvent};
use std::sync::Arc;

/// The newest events among which those of the alert are looked for.
const LOOK_BACK: u64 = 3_000;
const EVENTS: usize = 20;
/// How far back its value is shown.
const HISTORY: Span = Span::from_secs(6 * 3600);

/// All that is read for the page.
struct Known {
    /// Gone, where retention has taken it; why it was told is known for longer.
    alert: Option<Alert>,
    shown: Option<Shown>,
    explanation: Option<Explanation>,
    events: Vec<StoredEvent>,
}

fn read(api: &Api, id: &str) -> Result<Known, Problem> {
    let store = &*api.options.store;
    let alert = store.get(Alert::COLLECTION, id)?.map(|document| document.decode::<Alert>()).transpose()?;
    let alerting = &api.options.engines.alerting;
    let explanation = alerting.explain(id)?;
    if alert.is_none() && explanation.is_none() {
        return Err(Problem::no_document(Alert::COLLECTION, id));
    }
    let filter = EventFilter { subject: Some(id.to_owned()), ..EventFilter::types(["alert."]) };
    let after = store.head().0.saturating_sub(LOOK_BACK).max(1);
    let events = log::backwards(store, &filter, EVENTS, None, Some(after))?.items;
    let fires = alert.as_ref().is_some_and(|alert| alert.state == AlertState::Firing);
    let shown = if fires { alerting.alerts().into_iter().find(|shown| shown.alert.fingerprint == id) } else { None };
    Ok(Known { alert, shown, explanation, events })
}

pub(super) async fn show(view: View, At(id): At<String>) -> Result<Response, Problem> {
    let (api, wanted) = (Arc::clone(&view.api), id.clone());
    let known = blocking(move || read(&api, &wanted)).await?;
    let title = match (&known.alert, &known.explanation) {
        (Some(alert), _) => name(alert).to_owned(),
        (None, Some(explanation)) => explanation.labels.get("alertname").unwrap_or(&id).to_owned(),
        (None, None) => id.clone(),
    };
    let expression = known.alert.as_ref().and_then(|alert| expression(&view.api, alert));
    let chart = match &expression {
        Some(expression) => history(&view, expression).await?,
        None => html! {},
    };
    let content = html! {
        p.crumbs { a href=(BASE) { "Alerts" } }
        h1 { (text(&title)) }
        (live::part("alert", &CONCERNS, html! {
            @match &known.alert {
                Some(alert) => (about(&view, alert, &known, expression.as_deref())),
                None => p.notice { "The alert is over, and no longer kept. What became of it is." },
            }
            @if let Some(explanation) = &known.explanation { (why(explanation)) }
        }))
        (chart)
        (live::part("alert-events", &["alert."], widgets::section("What happened", happened(&known.events, &id))))
    };
    Ok(view.page(&title, content))
}

fn about(view: &View, alert: &Alert, known: &Known, expression: Option<&str>) -> Markup {
    let annotations = annotations(alert);
    html! {
        p.badges { (widgets::severity(alert.severity)) " " (states(alert, known.shown.as_ref())) }
        @if !alert.summary.is_empty() { p { (text(&alert.summary)) } }
        (offers(view, alert))
        div.columns {
            (widgets::section("What is known", facts(alert, known.shown.as_ref(), expression)))
            (widgets::section("Labels", html! {
                (widgets::labels(&alert.labels))
                @if !annotations.is_empty() {
                    h3 { "Annotations" }
                    dl.definitions { @for (name, value) in annotations.iter() { div { dt { bdi { (name) } } dd { (text(value)) } } } }
                }
                @if !alert.source.is_empty() { h3 { "Labels of what the query found" } (widgets::labels(&alert.source)) }
            }))
        }
    }
}

/// Conditions that take this alert, and others like it as little as can be said.
fn own_matchers(alert: &Alert) -> String {
    let each = alert.labels.iter().filter_map(|(name, value)| Matcher::new(name, Comparison::Equal, value).ok());
    each.map(|matcher| matcher.to_string()).collect::<Vec<_>>().join(", ")
}

fn offers(view: &View, alert: &Alert) -> Markup {
    if alert.state == AlertState::Resolved {
        return html! {};
    }
    let base = to(&alert.fingerprint);
    let (acknowledge, resolve) = (format!("{base}/acknowledge"), format!("{base}/resolve"));
    let silence = address::with("/console/silences/new", [("matchers", Some(own_matchers(alert).as_str()))]);
    let spans = [("", "until it ends"), ("1h", "for an hour"), ("4h", "for 4 hours"), ("1d", "for a day")];
    let mut actions = Vec::new();
    if alert.state == AlertState::Firing {
        if alert.acknowledged_by.is_none() {
            actions.push(Action {
                to: &acknowledge,
                label: "Acknowledge",
                effect: Some("Says that a person sees to it: receivers are not told of it again, until it ends or the time is over."),
                inputs: form::select("for", "How long", &spans, None),
                ..Action::default()
            });
        }
        actions.push(Action {
            to: &resolve,
            label: "Resolve",
            effect: Some("Ends the alert now, and tells so whoever was told of it. What is abnormal at the next evaluation, or is sent again, fires anew."),
            dangerous: true,
            ..Action::default()
        });
    }
    html! {
        (form::actions(view, &actions))
        p { a.button href=(silence) { "Silence it" } }
    }
}

fn facts(alert: &Alert, shown: Option<&Shown>, expression: Option<&str>) -> Markup {
    let mut facts = vec![(
        "Rule",
        match alert.posted {
            None => widgets::link(&address::with("/console/rules", [("name", Some(alert.rule.as_str()))]), &alert.rule),
            Some(_) => text(&alert.rule),
        },
    )];
    if let Some(group) = &alert.group {
        facts.push(("Group", text(group)));
    }
    if alert.posted.is_none() {
        let value = if alert.value.is_nan() { "–".to_owned() } else { alert.value.to_string() };
        facts.push(("Value", html! { (value) @if alert.no_data { " (the last one; there is none now)" } }));
    }
    if !alert.reason.is_empty() {
        facts.push(("Why", text(&alert.reason)));
    }
    if let Some(expression) = expression {
        let to = pages::metrics::explore(&[expression]);
        facts.push(("Expression", html! { code { (text(expression)) } br; a href=(to) { "Open in the explorer" } }));
    }
    facts.push(("Abnormal since", time::ago(alert.active_at)));
    facts.push(("Fired", time::maybe(alert.fired_at)));
    facts.push(("Resolved", time::maybe(alert.resolved_at)));
    if let Some(by) = &alert.acknowledged_by {
        facts.push(("Acknowledged by", text(by)));
    }
    if let Some(shown) = shown {
        facts.push((
            "Receivers",
            html! {
                @if shown.receivers.is_empty() { "none of [alerting]" }
                @for receiver in &shown.receivers { (clip(receiver)) " " }
            },
        ));
        if !shown.silenced_by.is_empty() || !shown.inhibited_by.is_empty() {
            facts.push(("Kept back by", kept_back(shown)));
        }
    }
    if let Some(target) = &alert.target {
        facts.push(("About", text(&target.to_string())));
    }
    if let Some(slug) = &alert.runbook {
        facts.push((
            "Runbook",
            match pages::at("/runbooks") {
                Some(base) => widgets::link(&address::below(&base, slug), slug),
                None => html! { code { "quarterdeck runbook run " (text(slug)) } },
            },
        ));
    }
    match &alert.posted {
        Some(posted) => {
            facts.push(("Sent last", time::ago(posted.updated_at)));
            facts.push(("Ends, unless sent again", time::ago(posted.ends_at)));
            if !posted.generator_url.is_empty() {
                facts.push(("Made at", text(&posted.generator_url)));
            }
        }
        None => facts.push(("Evaluated last", time::ago(alert.last_evaluated))),
    }
    if let Some(plugin) = &alert.plugin {
        facts.push(("Judged by", html! { (clip(&plugin.name.to_string())) " " (clip(&plugin.version.to_string())) }));
    }
    if let Some(blind) = &alert.blind {
        facts.push((
            "Nothing to judge since",
            html! { (time::ago(blind.since)) ": " (crate::resources::status::word(blind.why)) },
        ));
    }
    facts.push(("Fingerprint", html! { code { (text(&alert.fingerprint)) } }));
    widgets::definitions(&facts)
}

fn kept_back(shown: &Shown) -> Markup {
    html! {
        @for by in &shown.silenced_by {
            @match by.strip_prefix("maintenance/") {
                Some(window) => { "planned work " (clip(window)) " " },
                None => { (widgets::link(&address::below("/console/silences", by), &format!("silence {by}"))) " " },
            }
        }
        @for by in &shown.inhibited_by { "an alert that inhibits it (" code { (text(by)) } ") " }
    }
}

/// The expression whose value the alert is about.
fn expression(api: &Api, alert: &Alert) -> Option<String> {
    if alert.posted.is_some() {
        return None;
    }
    let engines = &api.options.engines;
    if let Some(key) = &alert.group {
        let groups = engines.monitoring.rule_groups();
        let status = groups.iter().find(|status| status.group.key == *key)?;
        let is_it = |rule: &&quarterdeck_engines::monitoring::rule_files::RuleStatus| {
            matches!(rule.rule.kind, Kind::Alerting(_))
                && rule.alerts.iter().any(|one| one.fingerprint == alert.fingerprint)
        };
        return Some(status.rules.iter().find(is_it)?.rule.expression.text().to_owned());
    }
    let catalog = engines.catalog();
    let rule = catalog.rules.get(&alert.rule)?;
    let mut labels = rule.select.labels.clone();
    for (name, value) in alert.labels.iter().filter(|(name, _)| *name != "alertname" && rule.labels.get(name).is_none())
    {
        labels.insert(name, value);
    }
    Some(query::selector(&rule.select.metric, &labels))
}

async fn history(view: &View, expression: &str) -> Result<Markup, Problem> {
    let window = Window::of(&view.params()?, view.api.options.clock.now(), HISTORY)?;
    let question = Question { text: expression.to_owned(), over_time: true, at_end: false };
    let answer = query::ask(&view.api, vec![question], &window, query::step(&window)).await.into_iter().next();
    let api = Arc::clone(&view.api);
    let (from, to, length) = (window.from, window.to, window.to.since(window.from));
    let notes = blocking(move || query::notes(&api, &Window { from, to })).await.unwrap_or_default();
    let shown = match answer {
        Some(Ok(answer)) => Chart { title: expression, unit: "", from, to, lines: answer.lines, notes }.show(),
        Some(Err(why)) => html! { p.notice { "Its value can't be shown: " (text(&why)) } },
        None => html! {},
    };
    let content = html! { (over::whole(view)) (shown) };
    Ok(live::part(
        "alert-value",
        &["alert."],
        widgets::section(&format!("Its value over {}", time::span(length)), content),
    ))
}

fn why(explanation: &Explanation) -> Markup {
    html! {
        section.card id="why" {
            h2 { "Why was somebody told, or was not?" }
            p { strong { (text(&explanation.summary)) } }
            ol.steps { @for step in &explanation.steps { li { (text(step)) } } }
            @if !explanation.groups.is_empty() {
                h3 { "What comes next" }
                (widgets::table("Groups of the alert", &["Receiver", "Group", "Next look", "What is done then"],
                    explanation.groups.iter().map(next)))
            }
            @let told = told(explanation);
            @if !told.is_empty() {
                h3 { "Messages" }
                (widgets::table("Messages about the alert", &["To", "What", "State", "Made", "Attempts", "Error"], told.iter().map(|told| message(told))))
            }
            @if !explanation.routes.is_empty() {
                details.plain-details {
                    summary { "The routes, one by one" }
                    (widgets::table("Routes", &["Route", "Receiver", "Taken", "Why"], explanation.routes.iter().map(|route| vec![
                        html! { code { (clip(&route.route)) } },
                        clip(&route.receiver),
                        if route.taken { widgets::toned("taken", widgets::Tone::Good) } else { html! { span.none { "no" } } },
                        text(&route.why),
                    ])))
                }
            }
        }
    }
}

fn next(group: &GroupStep) -> Vec<Markup> {
    vec![clip(&group.receiver), html! { code { (clip(&group.group)) } }, time::ago(group.next), text(&group.then)]
}

fn told(explanation: &Explanation) -> Vec<&Notification> {
    let groups = explanation.groups.iter().flat_map(|group| &group.notifications);
    let past = explanation.past.iter().flat_map(|end| &end.notifications);
    let mut all: Vec<&Notification> = groups.chain(past).chain(&explanation.by_routes).collect();
    all.sort_by_key(|told| std::cmp::Reverse(told.created_at));
    all
}

fn message(told: &Notification) -> Vec<Markup> {
    vec![
        clip(&told.instance.to_string()),
        html! { code { (clip(&told.event_type)) } },
        widgets::state(told.state),
        time::ago(told.created_at),
        html! { (told.attempts) },
        clip(told.error.as_deref().unwrap_or_default()),
    ]
}

fn happened(events: &[StoredEvent], id: &str) -> Markup {
    let all = address::with("/console/events", [("subject", Some(id))]);
    html! {
        @if events.is_empty() { p.muted { "Nothing of late." } } @else {
            ol.timeline {
                @for stored in events {
                    li {
                        (time::ago(stored.event.time)) " " span.who { (clip(&stored.event.principal)) } " "
                        code { (clip(&stored.event.event_type)) }
                        @if let Some(value) = stored.event.data.get("value").and_then(serde_json::Value::as_f64) { " at " (value) }
                    }
                }
            }
        }
        p { a href=(all) { "All events about it" } }
    }
}

pub(super) async fn acknowledge(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    let span = match form.text("for") {
        None => None,
        Some(text) => Some(
            Span::parse(text)
                .ok_or_else(|| Problem::invalid(format!("`{text}` is no time; hint: write it as `4h`")))?,
        ),
    };
    alerts::acknowledge_for(&form.view.api, &id, span, form.asked()).await?;
    form.done(&to(&id), "The alert is acknowledged: it is not told again meanwhile.")
}

pub(super) async fn resolve(At(id): At<String>, form: Form) -> Result<Response, Problem> {
    alerts::resolve(&form.view.api, &id, form.asked()).await?;
    form.done(&to(&id), "The alert is resolved.")
}
