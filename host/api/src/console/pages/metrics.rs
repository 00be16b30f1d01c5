//! The explorer of metrics: expressions of PromQL over a time, as charts and as values. The address holds all of it.

mod known;
mod mistake;
mod words;

use super::{Group, Page};
use crate::Api;
use crate::console::chart::{Chart, Line, Note};
use crate::console::frame::Frame;
use crate::console::query::{self, Evaluated, Question};
use crate::console::search::Finds;
use crate::console::view::View;
use crate::console::widgets::{self, clip};
use crate::console::{address, assets, form, live};
use crate::extract::{Params, bad};
use crate::paging::blocking;
use crate::problem::Problem;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use quarterdeck_model::Span;
use quarterdeck_promql::Number;
use std::sync::Arc;

pub(super) const PAGE: Page = Page {
    title: "Metrics",
    path: "/metrics",
    group: Group::Watching,
    one: "Metric",
    words: "explore explorer promql query chart graph series",
    routes,
    find,
};

const BASE: &str = "/console/metrics";
/// Expressions at once.
const EXPRESSIONS: usize = 10;
/// Characters of an expression.
const LONGEST: usize = 8_000;
const STEPS: [(&str, &str); 8] = [
    ("", "as the chart needs"),
    ("1s", "1 s"),
    ("15s", "15 s"),
    ("1m", "1 min"),
    ("5m", "5 min"),
    ("30m", "30 min"),
    ("1h", "1 h"),
    ("1d", "1 d"),
];

fn routes() -> Router<Arc<Api>> {
    Router::new().route("/metrics", get(show)).route("/metrics/words", get(words::words))
}

fn find(api: &Api, finds: &mut Finds) -> Result<(), Problem> {
    for name in api.options.series.names() {
        finds.offer(&name, &[], || explore(&[&query::selector(&name, &Default::default())]));
    }
    Ok(())
}

/// The explorer with these expressions.
pub(super) fn explore(expressions: &[&str]) -> String {
    address::with(BASE, expressions.iter().map(|text| ("q", Some(*text))))
}

/// What is asked for.
struct Asked {
    expressions: Vec<String>,
    frame: Frame,
    step: Option<Span>,
    /// A chart for each expression.
    apart: bool,
}

impl Asked {
    fn read(view: &View, params: &Params) -> Result<Self, Problem> {
        let expressions: Vec<String> =
            params.many("q").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect();
        if expressions.len() > EXPRESSIONS {
            return Err(bad(
                "q",
                &format!(
                    "there are too many of it; hint: ask for {EXPRESSIONS} expressions at most, and for the others on a second page"
                ),
            ));
        }
        if expressions.iter().any(|text| text.chars().count() > LONGEST) {
            return Err(bad(
                "q",
                &format!(
                    "an expression is too long; hint: write it in {LONGEST} characters at most, or make a rule of a part of it"
                ),
            ));
        }
        let frame = Frame::of(params, view.api.options.clock.now(), Span::from_secs(3600))?;
        let step = params.parsed("step", "a span like `30s`", Span::parse)?;
        if let Some(step) = step {
            let length = frame.window.to.since(frame.window.from).as_millis();
            if step == Span::ZERO || length / step.as_millis().max(1) > query::MOST_POINTS {
                let why = format!(
                    "a chart has {} points of a line at most; hint: choose a longer step or a shorter time",
                    query::MOST_POINTS
                );
                return Err(bad("step", &why));
            }
        }
        Ok(Asked { expressions, frame, step, apart: params.text("charts")? == Some("apart") })
    }
}

async fn show(view: View) -> Result<Response, Problem> {
    let params = view.params()?;
    let asked = Asked::read(&view, &params)?;
    let offered = known::offered(&view).await?;
    let results = if asked.expressions.is_empty() {
        known::list(&view, &params, &offered.examples).await?
    } else {
        results(&view, &asked).await?
    };
    let content = html! {
        h1 { "Metrics" }
        (ask(&view, &asked, offered.examples.first()))
        (asked.frame.moments(&view))
        datalist id="metric-names" { @for name in &offered.names { option value=(name) {} } }
        (results)
        script src=(assets::address("promql.js")) defer {}
    };
    Ok(view.page("Metrics", content))
}

fn ask(view: &View, asked: &Asked, example: Option<&String>) -> Markup {
    let example = example.map_or("PromQL".to_owned(), |example| format!("PromQL: {example}"));
    let more = asked.expressions.len() < EXPRESSIONS;
    let shown = asked.expressions.iter().map(String::as_str).chain(more.then_some(""));
    let step = asked.step.map(|step| step.to_string());
    let known = STEPS.iter().find(|(value, _)| asked.step.is_some() && Span::parse(value) == asked.step);
    let mut steps: Vec<(&str, &str)> = STEPS.to_vec();
    if let (Some(step), None) = (&step, known) {
        steps.push((step, step));
    }
    let chosen = known.map_or(step.as_deref().unwrap_or_default(), |(value, _)| value);
    form::filters(
        view,
        html! {
            div.expressions {
                @for (index, text) in shown.enumerate() {
                    @let label = if text.is_empty() && index > 0 { "Another expression".to_owned() } else { format!("Expression {}", letter(index)) };
                    label.field {
                        span { (label) }
                        input type="text" name="q" value=(text) list="metric-names" data-promql autocomplete="off" autocapitalize="off"
                            spellcheck="false" placeholder=(example);
                    }
                }
            }
            (asked.frame.inputs())
            (form::select("step", "Step", &steps, Some(chosen)))
            (form::select("charts", "Charts", &[("", "one for all"), ("apart", "one for each")], Some(if asked.apart { "apart" } else { "" })))
        },
    )
}

/// `A`, `B` ...
fn letter(index: usize) -> char {
    u8::try_from(index).ok().and_then(|index| b'A'.checked_add(index)).map_or('?', char::from)
}

async fn results(view: &View, asked: &Asked) -> Result<Markup, Problem> {
    let window = &asked.frame.window;
    let step = asked.step.unwrap_or_else(|| query::step(window));
    let questions = asked.expressions.iter().map(|text| Question { text: text.clone(), over_time: true, at_end: true });
    let answers = query::ask(&view.api, questions.collect(), window, step).await;
    let (api, frame) = (Arc::clone(&view.api), (window.from, window.to));
    let notes = blocking(move || {
        let (from, to) = frame;
        query::notes(&api, &crate::console::chart::Window { from, to })
    })
    .await?;
    let types = ["deployment.started", "incident.opened"];
    let shown = html! {
        @for (index, answer) in answers.iter().enumerate() {
            @if let Err(why) = answer {
                (mistake::show(letter(index), asked.expressions.get(index).map_or("", String::as_str), why))
            }
        }
        (charts(asked, &answers, notes))
        (values(asked, &answers))
        p.muted { "One point every " (step) ". The address of this page shows the same again." }
    };
    Ok(live::part_every("results", &types, asked.frame.renewal(), shown))
}

fn charts(asked: &Asked, answers: &[Result<Evaluated, String>], notes: Vec<Note>) -> Markup {
    let window = &asked.frame.window;
    let many = asked.expressions.len() > 1;
    let good = || answers.iter().enumerate().filter_map(|(index, answer)| Some((index, answer.as_ref().ok()?)));
    let lines = |index: usize, answer: &Evaluated| {
        let prefix = if many && !asked.apart { format!("{} ", letter(index)) } else { String::new() };
        let lines = answer.lines.iter();
        lines
            .map(|line| Line { name: format!("{prefix}{}", line.name), points: line.points.clone() })
            .collect::<Vec<_>>()
    };
    let text = |index: usize| asked.expressions.get(index).map_or("", String::as_str);
    let chart = |title: &str, lines: Vec<Line>, notes: Vec<Note>| {
        Chart { title, unit: "", from: window.from, to: window.to, lines, notes }.show()
    };
    html! {
        @if asked.apart || !many {
            @for (index, answer) in good() {
                div.card {
                    (chart(text(index), lines(index, answer), notes.clone()))
                    (left_out(answer))
                }
            }
        } @else if good().next().is_some() {
            div.card {
                (chart("All expressions", good().flat_map(|(index, answer)| lines(index, answer)).collect(), notes))
                @for (_, answer) in good() { (left_out(answer)) }
            }
        }
        @for (index, answer) in good() {
            @for remark in &answer.remarks { p.notice { (letter(index)) ": " (widgets::text(remark)) } }
        }
    }
}

fn left_out(answer: &Evaluated) -> Markup {
    html! {
        @if answer.series > answer.lines.len() {
            p.muted {
                (answer.series) " series, of which the first " (answer.lines.len()) " are drawn. "
                code { "topk(10, ...)" } ", or labels in braces, choose those that matter."
            }
        }
    }
}

fn values(asked: &Asked, answers: &[Result<Evaluated, String>]) -> Markup {
    let good = || answers.iter().enumerate().filter_map(|(index, answer)| Some((index, answer.as_ref().ok()?)));
    if good().next().is_none() {
        return html! {};
    }
    let rows = good().flat_map(|(index, answer)| {
        answer.values.iter().map(move |(labels, value)| {
            vec![
                html! { (letter(index)) },
                if labels.is_empty() {
                    html! { span.none { "no labels" } }
                } else {
                    widgets::labels(labels)
                },
                html! { (Number(*value)) },
            ]
        })
    });
    let count = good().map(|(_, answer)| answer.count).sum::<usize>();
    let shown = good().map(|(_, answer)| answer.values.len()).sum::<usize>();
    widgets::section(
        "Values at the end of the time",
        html! {
            dl.key-of-letters {
                @for (index, text) in asked.expressions.iter().enumerate() { div { dt { (letter(index)) } dd { code { (clip(text)) } } } }
            }
            @if shown == 0 {
                (widgets::empty("No series has a value then.",
                    "A sample counts for five minutes. Is the name right? The list of metrics shows what there is.", None))
                p { a href=(BASE) { "All metrics" } }
            } @else {
                (widgets::table("Values at the end of the time", &["Expression", "Series", "Value"], rows))
                @if count > shown { p.muted { (count) " values, of which " (shown) " are shown." } }
            }
        },
    )
}
