//! What a runbook says, in words.

use super::super::instance;
use crate::console::time;
use crate::console::view::View;
use crate::console::widgets::{self, clip, text};
use maud::{Markup, html};
use quarterdeck_model::domain::runbook::{OnFailure, RunbookSpec, StepSpec, Trigger};
use serde_json::Value;

pub(super) fn steps(view: &View, spec: &RunbookSpec) -> Markup {
    html! {
        ol.steps {
            @for step in &spec.steps {
                li {
                    p { strong { (clip(&step.name)) } " is done by " (instance(view, &step.action)) "." }
                    @if !step.with.is_empty() { (values(step.with.iter().map(|(name, value)| (name.as_str(), value)))) }
                    p.muted { (attempts(step)) " " (on_failure(step)) }
                }
            }
        }
    }
}

fn attempts(step: &StepSpec) -> String {
    let within = time::span(step.timeout);
    let tries = match step.attempts {
        0 | 1 => format!("Tried once, for at most {within}."),
        attempts => format!("Tried up to {attempts} times, for at most {within} each."),
    };
    match (step.idempotent, step.attempts) {
        (true, _) => format!(
            "{tries} Doing it twice does no harm: it is tried again also where nobody knows whether it was done."
        ),
        (false, 0 | 1) => tries,
        (false, _) => format!("{tries} Not again where nobody knows whether it was done."),
    }
}

fn on_failure(step: &StepSpec) -> Markup {
    match &step.on_failure {
        OnFailure::Abort => html! { "If it fails, the run ends." },
        OnFailure::Continue => html! { "If it fails, the run goes on with the next step, and counts as failed." },
        OnFailure::Goto(target) => html! { "If it fails, the run goes on at " strong { (clip(target)) } "." },
    }
}

/// Names with values, as text where they are.
pub(in crate::console::pages) fn values<'a>(values: impl Iterator<Item = (&'a str, &'a Value)>) -> Markup {
    let texts: Vec<_> =
        values.map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned))).collect();
    widgets::key_values(texts.iter().map(|(name, value)| (*name, value.as_str())))
}

pub(super) fn triggers_short(spec: &RunbookSpec) -> Markup {
    if spec.on.is_empty() {
        return html! { span.none { "–" } };
    }
    html! { @for (index, trigger) in spec.on.iter().enumerate() { @if index > 0 { ", " } code { (clip(trigger.event())) } } }
}

pub(super) fn triggers(spec: &RunbookSpec) -> Markup {
    if spec.on.is_empty() {
        return html! { p.muted { "It does not: a person starts it, or what an alert rule or a check names." } };
    }
    html! {
        ul {
            @for trigger in &spec.on {
                li {
                    "When " code { (clip(trigger.event())) } " happens"
                    @if let Trigger::Chosen(chosen) = trigger {
                        @for (index, (path, wanted)) in chosen.conditions.iter().enumerate() {
                            @if index == 0 { ", and " } @else { " and " }
                            code { (clip(path)) } " is " (condition(wanted))
                        }
                        @if !chosen.inputs.is_empty() {
                            ", with "
                            (values(chosen.inputs.iter().map(|(name, value)| (name.as_str(), value))))
                        }
                    }
                }
            }
        }
        p.muted { "Once for each such event, however many of these it fits." }
    }
}

fn condition(wanted: &Value) -> Markup {
    let one = |value: &Value| match value {
        Value::String(text) if text.is_empty() => html! { "empty" },
        Value::String(said) => html! { "“" (text(said)) "”" },
        other => html! { (text(&other.to_string())) },
    };
    match wanted {
        Value::Array(all) => {
            html! { @for (index, value) in all.iter().enumerate() { @if index > 0 { " or " } (one(value)) } }
        }
        value => one(value),
    }
}
