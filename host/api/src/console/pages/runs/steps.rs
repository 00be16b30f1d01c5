//! The steps of a run, with what each was given, what it gave, and, while it goes on, how far it is.

use super::super::{instance, plugin};
use crate::console::time;
use crate::console::view::View;
use crate::console::widgets::{self, clip, text};
use maud::{Markup, html};
use quarterdeck_model::domain::runbook::{Run, StepRecord, StepState};
use quarterdeck_model::effect::Pending;
use quarterdeck_model::plugin::log::LogLine;
use serde_json::Value;

/// Lines of a log that are shown of a step under way, the newest ones.
const LINES: usize = 100;
/// Characters of one output that are shown.
const LONGEST: usize = 64 << 10;

pub(super) fn list(view: &View, run: &Run, pending: Option<&Pending>) -> Markup {
    html! {
        ol.steps {
            @for step in &run.steps {
                li {
                    p.badges { strong { (clip(&step.name)) } (widgets::state(step.state)) span.muted { "by " (instance(view, &step.action)) } }
                    @if step.started_at.is_some() { p.muted { (times(step)) } }
                    @if let Some(error) = &step.error { p.mistake { (text(error)) } }
                    @if step.state == StepState::Running { (under_way(view, step, pending)) }
                    (outputs(&step.outputs))
                    @if !empty(&step.inputs) {
                        details.plain-details { summary { "What it was given" } (widgets::json(&step.inputs)) }
                    }
                }
            }
        }
    }
}

fn times(step: &StepRecord) -> Markup {
    html! {
        @if let Some(start) = step.started_at {
            "Begun " (time::ago(start))
            @if let Some(end) = step.finished_at { ", took " (time::span(end.since(start))) }
            @else if step.state == StepState::Running { ", under way for " (time::going_on(start)) }
        }
        @if step.attempts > 1 { ", attempt " (step.attempts) }
        @if step.returns > 0 { ", come back to " (step.returns) " times" }
        @if step.plugin.is_some() { ", " (plugin(step.plugin.as_ref())) }
    }
}

/// How far the outbox is with it, and what its instance has logged since it began.
fn under_way(view: &View, step: &StepRecord, pending: Option<&Pending>) -> Markup {
    let wait = pending.filter(|pending| pending.due > view.api.now());
    html! {
        @if let Some(pending) = pending {
            p.muted {
                "Attempt " (pending.attempts.max(1)) ". "
                @if pending.token.is_some() { "It goes on elsewhere, and is asked after. " }
                @if let Some(wait) = wait { "Next " (time::ago(wait.due)) ". " }
                @if let Some(error) = &pending.last_error { "The one before: " (text(error)) }
            }
        }
        @if view.session.is_some() { (log(&lines(view, step))) }
        @else { p.muted { "What it prints is shown to those who are signed in." } }
    }
}

fn lines(view: &View, step: &StepRecord) -> Vec<LogLine> {
    let mut lines = view.api.options.registry.log(&step.action);
    lines.retain(|line| step.started_at.is_some_and(|start| line.at >= start));
    lines.split_off(lines.len().saturating_sub(LINES))
}

fn log(lines: &[LogLine]) -> Markup {
    html! {
        @if lines.is_empty() {
            p.muted { "Its instance has logged nothing since it began." }
        } @else {
            pre.json tabindex="0" { code { @for line in lines { (time::utc(line.at)) " " (crate::resources::status::word(line.level)) " " bdi { (line.message) } "\n" } } }
        }
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Short values in a row; what has lines, such as the output of a program, as it was written.
fn outputs(outputs: &Value) -> Markup {
    if empty(outputs) {
        return html! {};
    }
    let Value::Object(fields) = outputs else { return widgets::json(outputs) };
    let is_long = |value: &Value| match value {
        Value::String(text) => text.contains('\n') || text.len() > 80,
        Value::Array(_) | Value::Object(_) => true,
        _ => false,
    };
    let short = fields.iter().filter(|(_, value)| !is_long(value)).map(|(name, value)| (name.as_str(), value));
    html! {
        (super::super::runbooks::values(short))
        @for (name, value) in fields.iter().filter(|(_, value)| is_long(value)) {
            p.label { (clip(name)) }
            @match value {
                Value::String(text) => pre.json tabindex="0" { code { bdi { (beginning(text)) } } },
                value => (widgets::json(value)),
            }
        }
    }
}

fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()
}
