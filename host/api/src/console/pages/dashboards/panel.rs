//! One panel: as a chart, as large figures, or as a table.

use super::super::metrics;
use crate::console::chart::{self, Chart, Line, Note, Window};
use crate::console::query::Evaluated;
use crate::console::widgets::{self, clip, text};
use maud::{Markup, html};
use quarterdeck_model::domain::dashboard::{Panel, PanelKind};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::NAME;
use std::collections::BTreeSet;

/// Figures of a panel that are shown.
const FIGURES: usize = 12;

pub(super) fn show(panel: &Panel, answers: Vec<Result<Evaluated, String>>, window: &Window, notes: &[Note]) -> Markup {
    let queries: Vec<&str> = panel.queries.iter().map(String::as_str).collect();
    let wrong: Vec<(usize, &String)> =
        answers.iter().enumerate().filter_map(|(index, answer)| Some((index, answer.as_ref().err()?))).collect();
    html! {
        section.card.panel-card.wide[panel.wide] {
            @for (index, why) in &wrong {
                p.banner.away role="status" {
                    code { (clip(queries.get(*index).copied().unwrap_or_default())) } " can't be evaluated: " (text(why)) "."
                }
            }
            @match panel.kind {
                PanelKind::Chart => (chart(panel, &answers, window, notes)),
                PanelKind::Value => { h2 { (clip(&panel.title)) } (figures(panel, &answers)) },
                PanelKind::Table => { h2 { (clip(&panel.title)) } (table(panel, &answers)) },
            }
            p.explore { a href=(metrics::explore(&queries)) { "Explore" span.visually-hidden { " " (panel.title) } } }
        }
    }
}

fn good(answers: &[Result<Evaluated, String>]) -> impl Iterator<Item = (usize, &Evaluated)> {
    answers.iter().enumerate().filter_map(|(index, answer)| Some((index, answer.as_ref().ok()?)))
}

fn chart(panel: &Panel, answers: &[Result<Evaluated, String>], window: &Window, notes: &[Note]) -> Markup {
    let many = answers.len() > 1;
    let lines = good(answers).flat_map(|(index, answer)| {
        let query = panel.queries.get(index).map_or("", String::as_str);
        let alone = answer.lines.len() == 1;
        // One line of an expression among others is that expression.
        let name = move |line: &Line| match (many, alone) {
            (true, true) => query.to_owned(),
            (true, false) => format!("{query} {}", line.name),
            (false, _) => line.name.clone(),
        };
        answer.lines.iter().map(move |line| Line { name: name(line), points: line.points.clone() })
    });
    let left_out = good(answers).map(|(_, answer)| answer.series - answer.lines.len()).sum::<usize>();
    let shown = Chart {
        title: &panel.title,
        unit: &panel.unit,
        from: window.from,
        to: window.to,
        lines: lines.collect(),
        notes: notes.to_vec(),
    };
    html! {
        (shown.show())
        @if left_out > 0 { p.muted { (left_out) " more series are not drawn." } }
    }
}

/// With its unit, as short as is read at a glance.
fn told(value: f64, unit: &str) -> Markup {
    let number = if value.is_nan() { "–".to_owned() } else { chart::number(value) };
    // "12k" and "B" are one word: 12 kB.
    let (digits, thousands) = match number.char_indices().next_back() {
        Some((at, letter)) if letter.is_ascii_alphabetic() && unit.starts_with('B') => number.split_at(at),
        _ => (number.as_str(), ""),
    };
    html! { (digits) @if !unit.is_empty() { " " bdi { (thousands) (unit) } } }
}

fn figures(panel: &Panel, answers: &[Result<Evaluated, String>]) -> Markup {
    let values: Vec<_> =
        good(answers).flat_map(|(index, answer)| answer.values.iter().map(move |value| (index, value))).collect();
    if values.is_empty() {
        return html! { p.muted { "No value now." } };
    }
    let names = differing(values.iter().map(|(_, (labels, _))| &**labels));
    html! {
        @for (index, (labels, value)) in values.iter().take(FIGURES) {
            @let name = name(panel, *index, labels, &names, values.len());
            div.reading { span { (clip(&name)) } span.number { (told(*value, &panel.unit)) } }
        }
        @if values.len() > FIGURES { p.muted { "and " (values.len() - FIGURES) " more" } }
    }
}

/// What tells a figure apart from the others of the panel; nothing for one that is alone.
fn name(panel: &Panel, index: usize, labels: &Labels, names: &BTreeSet<String>, count: usize) -> String {
    if count == 1 {
        return String::new();
    }
    let own: Vec<String> =
        labels.iter().filter(|(name, _)| names.contains(*name)).map(|(_, value)| value.to_owned()).collect();
    match own.is_empty() {
        true => panel.queries.get(index).cloned().unwrap_or_default(),
        false => own.join(" "),
    }
}

/// Names of labels that are not the same everywhere.
fn differing<'a>(all: impl Iterator<Item = &'a Labels> + Clone) -> BTreeSet<String> {
    let Some(first) = all.clone().next() else { return BTreeSet::new() };
    let names: BTreeSet<&str> = all.clone().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
    let differs = |name: &&str| all.clone().any(|labels| labels.get(name) != first.get(name));
    names.into_iter().filter(differs).map(str::to_owned).collect()
}

fn table(panel: &Panel, answers: &[Result<Evaluated, String>]) -> Markup {
    let rows: Vec<Vec<Markup>> = good(answers)
        .flat_map(|(index, answer)| {
            let query = panel.queries.get(index).map_or("", String::as_str);
            answer.values.iter().map(move |(labels, value)| {
                let own = labels.iter().filter(|(name, _)| *name != NAME);
                let metric = labels.get(NAME).unwrap_or(query);
                vec![clip(metric), widgets::key_values(own), told(*value, &panel.unit)]
            })
        })
        .collect();
    if rows.is_empty() {
        return html! { p.muted { "No value now." } };
    }
    let left_out = good(answers).map(|(_, answer)| answer.count - answer.values.len()).sum::<usize>();
    html! {
        (widgets::table(&panel.title, &["What", "Labels", "Value"], rows))
        @if left_out > 0 { p.muted { "and " (left_out) " more" } }
    }
}
