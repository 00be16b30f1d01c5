//! Planned work, as the configuration has it.

use super::matchers;
use crate::console::time;
use crate::console::view::View;
use crate::console::widgets::{self, Tone, clip};
use maud::{Markup, html};
use quarterdeck_model::domain::alerting::{MaintenanceMode, MaintenanceSpec};

pub(super) fn windows(view: &View) -> Markup {
    let windows = view.api.options.engines.alerting.maintenance();
    if windows.is_empty() {
        return widgets::empty(
            "No work is planned.",
            "Work that comes again, a backup every night say, is a window of [alerting.maintenance] in the configuration: nobody is told of the alerts that it makes.",
            Some("quarterdeck config show alerting"),
        );
    }
    let rows = windows.iter().map(|window| {
        vec![
            html! { (clip(&window.name)) br; span.muted { (clip(&window.spec.comment)) } },
            if window.active { widgets::toned("goes on", Tone::Busy) } else { widgets::toned("not now", Tone::Quiet) },
            when(&window.spec),
            if window.spec.matchers.is_empty() {
                html! { "all alerts" }
            } else {
                matchers(&window.spec.matchers)
            },
            html! { (match window.spec.mode {
                MaintenanceMode::Suppress => "not told",
                MaintenanceMode::Consolidate => "told at the end, in one message",
            }) },
            html! { @if window.active { (window.matched) } @else { span.none { "–" } } },
            html! { (time::maybe(window.since)) " – " (time::maybe(window.until)) },
        ]
    });
    widgets::table("Planned work", &["Work", "State", "When", "About", "Alerts are", "Takes now", "From, until"], rows)
}

fn when(spec: &MaintenanceSpec) -> Markup {
    html! {
        @if let Some(cron) = &spec.cron {
            code { (clip(cron)) } " " (spec.zone.as_deref().unwrap_or("UTC"))
            @if let Some(duration) = spec.duration { ", for " (time::span(duration)) }
        }
        @for interval in &spec.time_intervals { (clip(interval)) " " }
    }
}
