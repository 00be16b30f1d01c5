//! Expressions of PromQL for pages: evaluated over a time, in their turn and within the host's bounds like every other query, as lines of
//! a chart and as values at its end.

use super::chart::{Line, Note, NoteKind, Window};
use crate::problem::Problem;
use crate::{Api, prometheus};
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::query::{Budget, NAME, Querier};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_promql::{Answer, Error, Expression, Options, Series, Times, Value, evaluate};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Points of a line, about, unless somebody chooses the step.
const POINTS: u64 = 240;
/// Points of a line, at most: a chart has fewer pixels.
pub(crate) const MOST_POINTS: u64 = 2_000;
/// Lines of one expression that are drawn.
pub(crate) const LINES: usize = 20;
/// Values of one expression that are shown in a table.
pub(crate) const ROWS: usize = 100;
/// A page that waits for longer is not read any more.
const PATIENCE: Duration = Duration::from_secs(20);
/// Deployments and incidents that a chart is told of, the newest ones of its time. It shows fewer, and counts the others.
const NOTES: usize = 1_000;

/// What is asked of one expression.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) text: String,
    /// How it goes over the time.
    pub(crate) over_time: bool,
    /// What it is at the end of the time.
    pub(crate) at_end: bool,
}

/// What an expression evaluates to.
#[derive(Default)]
pub(crate) struct Evaluated {
    pub(crate) lines: Vec<Line>,
    /// Series that there are; `lines` are the first of them.
    pub(crate) series: usize,
    pub(crate) values: Vec<(Arc<Labels>, f64)>,
    /// Values that there are.
    pub(crate) count: usize,
    /// What is to be said about it: warnings of the evaluation.
    pub(crate) remarks: Vec<String>,
}

/// The step at which a line of that time has about as many points as a chart shows.
pub(crate) fn step(window: &Window) -> Span {
    const STEPS: [u64; 17] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400];
    let wanted = window.to.since(window.from).as_millis() / POINTS;
    let step = STEPS.into_iter().map(|seconds| seconds * 1000).find(|step| *step >= wanted);
    Span::from_millis(step.unwrap_or(wanted))
}

/// Evaluates all of them, one after the other: for each what came out, or why nothing did.
pub(crate) async fn ask(
    api: &Api,
    questions: Vec<Question>,
    window: &Window,
    step: Span,
) -> Vec<Result<Evaluated, String>> {
    if questions.is_empty() {
        return Vec::new();
    }
    let (count, from, to) = (questions.len(), window.from, window.to);
    let work = move |querier: &dyn Querier, budget: &Budget| {
        let one = |question: &Question| evaluated(question, from, to, step, querier, budget);
        Ok(questions.iter().map(|question| one(question).map_err(|error| in_words(&error))).collect::<Vec<_>>())
    };
    match prometheus::within(api, Some(PATIENCE), work).await {
        Ok(answers) => answers,
        Err(failure) => (0..count).map(|_| Err(failure.said().to_owned())).collect(),
    }
}

fn in_words(error: &Error) -> String {
    let text = match error {
        Error::Parse(why) | Error::Evaluation(why) => why.clone(),
        Error::Store(error) => format!("{error}; hint: ask for a shorter time, a longer step or fewer series"),
    };
    text.trim().to_owned()
}

fn evaluated(
    question: &Question,
    from: Timestamp,
    to: Timestamp,
    step: Span,
    querier: &dyn Querier,
    budget: &Budget,
) -> Result<Evaluated, Error> {
    let expression = Expression::parse(&question.text)?;
    let options = Options::default();
    let mut found = Evaluated::default();
    if question.over_time {
        // Counted back from the end: what is newest is what people look for, however long the step is.
        let size = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
        let length = to.as_millis().saturating_sub(from.as_millis());
        let start = Timestamp::from_millis(to.as_millis() - length.div_euclid(size).saturating_mul(size));
        let Answer { value, warnings, infos } =
            evaluate(&expression, Times::Range { start, end: to, step }, querier, budget, &options)?;
        if let Value::Matrix(series) = value {
            found.series = series.len();
            found.lines = lines(&series, size);
        }
        found.remarks = warnings.into_iter().chain(infos).collect();
    }
    if question.at_end {
        let Answer { value, warnings, infos } = evaluate(&expression, Times::at(to), querier, budget, &options)?;
        found.values = match value {
            Value::Scalar { value, .. } => vec![(Arc::default(), value)],
            Value::Vector(samples) => samples.into_iter().map(|one| (one.labels, one.point.value)).collect(),
            Value::Text { .. } | Value::Matrix(_) => Vec::new(),
        };
        found.count = found.values.len();
        found.values.truncate(ROWS);
        if found.remarks.is_empty() {
            found.remarks = warnings.into_iter().chain(infos).collect();
        }
    }
    Ok(found)
}

/// The first of them; where points are missing, there is a gap.
fn lines(series: &[Series], step: i64) -> Vec<Line> {
    let told_apart = differing(series);
    let line = |series: &Series| {
        let mut points: Vec<(Timestamp, f64)> = Vec::with_capacity(series.points.len());
        for point in &series.points {
            if let Some((before, _)) = points.last()
                && point.at.as_millis() - before.as_millis() > step
            {
                points.push((Timestamp::from_millis(before.as_millis() + step), f64::NAN));
            }
            points.push((point.at, point.value));
        }
        Line { name: name(&series.labels, told_apart.as_ref()), points }
    };
    series.iter().take(LINES).map(line).collect()
}

/// Labels by which the series are told apart; none where there is one series, which shows all of them.
fn differing(series: &[Series]) -> Option<BTreeSet<&str>> {
    let (first, others) = series.split_first().filter(|(_, others)| !others.is_empty())?;
    let names = series.iter().flat_map(|one| one.labels.iter().map(|(name, _)| name)).collect::<BTreeSet<_>>();
    let differs = |name: &&str| others.iter().any(|other| other.labels.get(name) != first.labels.get(name));
    Some(names.into_iter().filter(differs).collect())
}

fn name(labels: &Labels, wanted: Option<&BTreeSet<&str>>) -> String {
    let shown = labels.iter().filter(|(name, _)| *name != NAME && wanted.is_none_or(|wanted| wanted.contains(name)));
    let shown: Vec<String> = shown.map(|(name, value)| format!("{name}={value}")).collect();
    let metric = labels.get(NAME).filter(|_| wanted.is_none_or(|wanted| wanted.contains(NAME)));
    match (metric, shown.is_empty()) {
        (Some(metric), true) => metric.to_owned(),
        (Some(metric), false) => format!("{metric} {}", shown.join(" ")),
        (None, true) => "value".to_owned(),
        (None, false) => shown.join(" "),
    }
}

/// What happened in that time, newest first: deployments and incidents.
pub(crate) fn notes(api: &Api, window: &Window) -> Result<Vec<Note>, Problem> {
    notes_about(api, window, None)
}

/// The same, of deployments only those of the service, where one is named.
pub(crate) fn notes_about(api: &Api, window: &Window, service: Option<&str>) -> Result<Vec<Note>, Problem> {
    let store = &*api.options.store;
    let note = |id: &String, at: Timestamp, text: &str, kind: NoteKind| {
        let is_within = (window.from..=window.to).contains(&at);
        is_within.then(|| Note { at, text: text.to_owned(), kind, id: id.clone() })
    };
    let mut notes: Vec<Note> = api.glances.deployments.read(store, |all| {
        let wanted = all.iter().filter(|(_, one)| service.is_none_or(|service| one.service == service));
        wanted.filter_map(|(id, one)| note(id, one.started_at, &one.title, NoteKind::Deployment)).collect()
    })?;
    notes.extend(api.glances.incidents.read(store, |all| {
        let opened = all.iter().filter_map(|(id, one)| note(id, one.opened_at, &one.title, NoteKind::Incident));
        opened.collect::<Vec<_>>()
    })?);
    notes.sort_by_key(|note| std::cmp::Reverse(note.at));
    notes.truncate(NOTES);
    Ok(notes)
}

/// As a matcher or a selector of PromQL writes a text.
pub(crate) fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// The selector of one series.
pub(crate) fn selector(metric: &str, labels: &Labels) -> String {
    let is_plain = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let named = |name: &str| if is_plain(name) { name.to_owned() } else { quoted(name) };
    let pairs = labels
        .iter()
        .filter(|(name, _)| *name != NAME)
        .map(|(name, value)| format!("{}={}", named(name), quoted(value)));
    let plain_metric = is_plain(&metric.replace(':', "_"));
    let all: Vec<String> = (!plain_metric).then(|| quoted(metric)).into_iter().chain(pairs).collect();
    let metric = if plain_metric { metric } else { "" };
    if all.is_empty() { metric.to_owned() } else { format!("{metric}{{{}}}", all.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(seconds: u64) -> Window {
        let from = Timestamp::from_millis(1_790_000_000_000);
        Window { from, to: from.plus(Span::from_secs(seconds)) }
    }

    #[test]
    fn a_step_is_round_and_gives_as_many_points_as_a_chart_shows() {
        for (seconds, expected) in
            [(60, 1), (3600, 15), (21_600, 120), (86_400, 600), (604_800, 3600), (90 * 86_400, 43_200)]
        {
            assert_eq!(step(&window(seconds)), Span::from_secs(expected), "{seconds}");
        }
    }

    #[test]
    fn lines_are_named_by_what_tells_them_apart() {
        let series =
            |labels: &[(&str, &str)]| Series { labels: Arc::new(labels.iter().copied().collect()), points: Vec::new() };
        let named = |all: &[Series]| lines(all, 1000).into_iter().map(|line| line.name).collect::<Vec<_>>();
        let disk = |device| series(&[(NAME, "disk"), ("device", device), ("host", "a")]);
        assert_eq!(named(&[disk("sda"), disk("sdb")]), ["device=sda", "device=sdb"]);
        assert_eq!(named(&[disk("sda")]), ["disk device=sda host=a"]);
        assert_eq!(named(&[series(&[])]), ["value"]);
        assert_eq!(named(&[series(&[(NAME, "a")]), series(&[(NAME, "b")])]), ["a", "b"]);
    }

    #[test]
    fn a_selector_reads_back_whatever_is_in_it() {
        let labels: Labels = [("a", "x\"\\\n"), ("b.c", "é")].into_iter().collect();
        for metric in ["up", "node:cpu", "http.requests"] {
            let text = selector(metric, &labels);
            let matchers = quarterdeck_promql::parse_selector(&text).unwrap();
            assert!(matchers.iter().any(|m| m.label == NAME && m.value == metric), "{text}");
            assert!(matchers.iter().any(|m| m.label == "b.c" && m.value == "é"), "{text}");
            assert!(matchers.iter().any(|m| m.label == "a" && m.value == "x\"\\\n"), "{text}");
        }
    }
}
