//! Groups of alerts, as receivers are told of them.

use super::{CONCERNS, matchers, name, no_matchers, states, tabs, to};
use crate::console::view::View;
use crate::console::widgets::{self, clip};
use crate::console::{form, live, time};
use crate::paging::blocking;
use crate::problem::Problem;
use axum::response::Response;
use maud::{Markup, html};
use quarterdeck_engines::alerting::ShownGroup;
use quarterdeck_model::domain::alerting::all_match;
use std::sync::Arc;

/// On a page.
const GROUPS: usize = 50;
/// Of a group that are shown.
const ALERTS: usize = 10;

pub(super) async fn list(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let (filter, receiver) = (params.text("filter")?.unwrap_or_default(), params.text("receiver")?.unwrap_or_default());
    let begin: usize = params.number("cursor")?.unwrap_or(0);
    let shown = match matchers(filter) {
        Err(why) => no_matchers(&why),
        Ok(wanted) => {
            let (api, receiver) = (Arc::clone(&view.api), receiver.to_owned());
            let (part, next) = blocking(move || {
                let mut groups = api.options.engines.alerting.groups();
                groups.retain_mut(|group| {
                    group.alerts.retain(|shown| all_match(&wanted, &shown.alert.labels));
                    !group.alerts.is_empty() && (receiver.is_empty() || group.receiver == receiver)
                });
                let next = (groups.len() > begin.saturating_add(GROUPS)).then(|| (begin + GROUPS).to_string());
                Ok((groups.into_iter().skip(begin).take(GROUPS).collect::<Vec<_>>(), next))
            })
            .await?;
            live::part(
                "groups",
                &CONCERNS,
                html! {
                    @if part.is_empty() { (nothing(&view)) }
                    @for group in &part { (one(group)) }
                    (widgets::pager(&view, next.as_deref()))
                },
            )
        }
    };
    let spec = view.api.options.engines.alerting.spec();
    let receivers: Vec<(&str, &str)> =
        std::iter::once(("", "any")).chain(spec.receivers.keys().map(|name| (name.as_str(), name.as_str()))).collect();
    let content = html! {
        h1 { "Groups of alerts" }
        (tabs("/console/alerts/groups"))
        p.muted { "Alerts of one group are told together. A group is looked at again at the time that stands with it." }
        (form::filters(&view, html! {
            (form::select("receiver", "Receiver", &receivers, Some(receiver)))
            label.field.wide {
                span { "Labels" }
                input type="text" name="filter" value=(filter) autocomplete="off" spellcheck="false" placeholder="team=\"db\"";
            }
        }))
        (shown)
    };
    Ok(view.page("Groups of alerts", content))
}

fn nothing(view: &View) -> Markup {
    if view.api.options.engines.alerting.spec().route.is_none() {
        return widgets::empty(
            "Alerts are not grouped here.",
            "There is no route in [alerting]: routes of [routes] tell of each event by itself. config/alerting/README.md shows a tree of routes.",
            Some("quarterdeck config show alerting"),
        );
    }
    widgets::empty(
        "No group has an alert that fires.",
        "As soon as one fires, its group is here, with when it is told.",
        None,
    )
}

fn one(group: &ShownGroup) -> Markup {
    let rows = group.alerts.iter().take(ALERTS).map(|shown| {
        let alert = &shown.alert;
        vec![
            widgets::severity(alert.severity),
            html! { (widgets::link(&to(&alert.fingerprint), name(alert))) br; span.muted { (clip(&alert.summary)) } },
            states(alert, Some(shown)),
            time::ago(alert.fired_at.unwrap_or(alert.active_at)),
        ]
    });
    html! {
        section.card {
            h2 { "To " (clip(&group.receiver)) }
            @if group.labels.is_empty() { p.muted { "All alerts of the route" } } @else { (widgets::labels(&group.labels)) }
            p.muted {
                "Since " (time::ago(group.since)) ", "
                @match group.told_at { Some(at) => { "last told " (time::ago(at)) }, None => "not told yet" }
                ", looked at again " (time::ago(group.next)) "."
            }
            (widgets::table("Alerts of the group", &["Severity", "Alert", "State", "Since"], rows))
            @if group.alerts.len() > ALERTS { p.muted { "and " (group.alerts.len() - ALERTS) " more" } }
        }
    }
}
