//! What a strategy decided, in words, and what the figures were.

use super::super::overview::percent;
use super::super::plugin;
use crate::console::chart::{Chart, Line, Window};
use crate::console::time;
use crate::console::widgets::{self, Tone, clip, text};
use maud::{Markup, html};
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::deployment::Deployment;
use quarterdeck_model::kind::deployment_strategy::Move;
use quarterdeck_model::kind::deployment_target::Step;

/// Newest first.
pub(super) fn table(deployment: &Deployment) -> Markup {
    if deployment.moves.is_empty() {
        return html! { p.muted { "Nothing yet: its strategy is asked as soon as the target has been looked at." } };
    }
    let rows = deployment.moves.iter().rev().map(|record| {
        let figures = &record.analysis;
        vec![
            time::ago(record.at),
            decided(&record.decided),
            text(&record.reason),
            failures(figures.failures, figures.responses),
            failures(figures.stable_failures, figures.stable_responses),
            plugin(record.plugin.as_ref()),
        ]
    });
    widgets::table(
        "Decisions",
        &["When", "Decided", "Why", "New revision: failures", "The one before: failures", "By"],
        rows,
    )
}

pub(super) fn failures(failures: u64, responses: u64) -> Markup {
    html! {
        (failures) " of " (responses)
        @if responses > 0 { " (" (percent(failures as f64 / responses as f64)) ")" }
    }
}

fn decided(decided: &Move) -> Markup {
    match decided {
        Move::Start { count: 1 } => html! { "start a replica" },
        Move::Start { count } => html! { "start " (count) " replicas" },
        Move::Weight { percent } => html! { "give it " (percent) " % of the traffic" },
        Move::Retire { replicas } => html! {
            "take away " @for (index, name) in replicas.iter().enumerate() { @if index > 0 { ", " } (clip(name)) }
        },
        Move::Hold { span } => html! { "hold for " (time::span(*span)) },
        Move::Pause { reason } => html! { (widgets::toned("waits for a person", Tone::Warning)) " " (text(reason)) },
        Move::Complete => html! { (widgets::toned("complete", Tone::Good)) },
        Move::RollBack { reason } => html! { (widgets::toned("roll back", Tone::Bad)) " " (text(reason)) },
    }
}

pub(super) fn in_flight(deployment: &Deployment) -> Markup {
    html! {
        ul.plain-list {
            @for under_way in &deployment.in_flight {
                li {
                    @if under_way.done { (widgets::toned("done", Tone::Good)) } @else { (widgets::toned("under way", Tone::Busy)) }
                    " " (step(&under_way.step))
                }
            }
        }
        @if deployment.in_flight.iter().all(|under_way| under_way.done) {
            p.muted { "Replicas that were started are being waited for until they are healthy." }
        }
    }
}

fn step(step: &Step) -> Markup {
    match step {
        Step::Start { replica, revision } => html! { "start " (clip(replica)) " with " (clip(revision)) },
        Step::Weight { replica, weight } => {
            html! { "give " (clip(replica)) " a weight of " (weight) " of " (super::FULL_WEIGHT) }
        }
        Step::Drain { replica } => html! { "drain " (clip(replica)) },
        Step::Stop { replica } => html! { "stop " (clip(replica)) },
    }
}

/// All of the time that the deployment has taken so far.
pub(super) fn whole(deployment: &Deployment, now: Timestamp) -> Window {
    let from = deployment.started_at;
    let to = deployment.finished_at.unwrap_or(now).max(from.plus(quarterdeck_model::Span::from_secs(1)));
    Window { from, to }
}

/// The share of the traffic over time, as it was decided, and how much of it failed.
pub(super) fn chart(deployment: &Deployment, shown: &Window, now: Timestamp) -> Chart<'static> {
    let Window { from, to } = whole(deployment, now);
    let mut weights = vec![(from, 0.0)];
    let mut failing = Vec::new();
    for record in &deployment.moves {
        let before = weights.last().map_or(0.0, |(_, weight)| *weight);
        let after = match &record.decided {
            Move::Weight { percent } => Some(f64::from(*percent)),
            Move::RollBack { .. } => Some(0.0),
            Move::Complete => Some(100.0),
            _ => None,
        };
        if let Some(after) = after {
            // It changes at once, not little by little.
            weights.extend([(record.at, before), (record.at, after)]);
        }
        let figures = &record.analysis;
        if figures.responses > 0 {
            failing.push((record.at, 100.0 * figures.failures as f64 / figures.responses as f64));
        }
    }
    weights.push((to, f64::from(deployment.weight)));
    let line = |name: &str, points| Line { name: name.to_owned(), points };
    failing.retain(|(at, _)| (shown.from..=shown.to).contains(at));
    let mut lines = vec![line("weight of the new revision", held(&weights, shown))];
    if !failing.is_empty() {
        lines.push(line("its responses that failed", failing));
    }
    Chart { title: "Traffic", unit: "%", from: shown.from, to: shown.to, lines, notes: Vec::new() }
}

/// A part of what holds from each point to the next one.
fn held(points: &[(Timestamp, f64)], shown: &Window) -> Vec<(Timestamp, f64)> {
    let value_at =
        |moment: Timestamp| points.iter().rev().find(|(at, _)| *at <= moment).map(|(_, value)| (moment, *value));
    let between = points.iter().filter(|(at, _)| (shown.from..=shown.to).contains(at)).copied();
    let ends_before = points.last().is_none_or(|(at, _)| *at < shown.from);
    // At its own first moment the line has its first value, which others may follow.
    let first = value_at(shown.from).filter(|_| points.first().is_some_and(|(at, _)| *at < shown.from));
    let last = value_at(shown.to).filter(|_| points.last().is_some_and(|(at, _)| *at > shown.to));
    if ends_before { Vec::new() } else { first.into_iter().chain(between).chain(last).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_time_begins_and_ends_with_what_holds_then() {
        let at = Timestamp::from_millis;
        let points = [(at(10), 0.0), (at(20), 0.0), (at(20), 50.0), (at(40), 50.0)];
        let part = |from, to| held(&points, &Window { from: at(from), to: at(to) });
        assert_eq!(part(10, 40), points);
        assert_eq!(part(15, 30), [(at(15), 0.0), (at(20), 0.0), (at(20), 50.0), (at(30), 50.0)]);
        assert_eq!(part(25, 30), [(at(25), 50.0), (at(30), 50.0)]);
        assert_eq!((part(0, 5), part(50, 60)), (Vec::new(), Vec::new()));
    }
}
