//! The small parts that pages are made of.

use super::view::View;
use crate::unreadable::Unreadable;
use maud::{Markup, html};
use quarterdeck_model::Severity;
use quarterdeck_model::label::Labels;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;

/// Characters of a name that are shown in a list. Its object's page shows all of them.
const CLIP: usize = 160;
/// Documents that can't be read that a page names.
const NAMED: usize = 10;

/// Text of other origin, in full. It can't turn the direction of what is around it.
pub(crate) fn text(text: &str) -> Markup {
    html! { bdi.text { (text) } }
}

/// Text of other origin within a sentence of ours, where markup can't keep it apart: without the marks that turn the direction of what
/// is around them.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    const TURNS: [char; 9] =
        ['\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}'];
    if text.contains(TURNS) { Cow::Owned(text.replace(TURNS, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Text of other origin in a list or a table: as much of it as there is room for.
pub(crate) fn clip(text: &str) -> Markup {
    match text.char_indices().nth(CLIP).and_then(|(end, _)| text.get(..end)) {
        None => html! { bdi.clip { (text) } },
        Some(beginning) => html! { bdi.clip { (beginning) "…" } },
    }
}

/// A link to an object by its name.
pub(crate) fn link(to: &str, name: &str) -> Markup {
    html! { a href=(to) { (clip(if name.trim().is_empty() { "(no name)" } else { name })) } }
}

/// By colour, by shape and in words.
pub(crate) fn severity(severity: Severity) -> Markup {
    let shape = match severity {
        Severity::Critical => "◆",
        Severity::High => "▲",
        Severity::Medium => "■",
        Severity::Low => "●",
        Severity::Info => "○",
    };
    html! { span class={ "badge severity-" (severity) } { span.shape aria-hidden="true" { (shape) } " " (severity) } }
}

/// How good a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Busy,
    Warning,
    Bad,
    Quiet,
}

impl Tone {
    /// Of the words by which states are known anywhere in the API.
    pub(crate) fn of(word: &str) -> Self {
        match word {
            "active" | "ok" | "met" | "succeeded" | "delivered" | "healthy" | "ready" | "loaded" | "running" | "up"
            | "fixed" | "complete" | "finished" => Tone::Good,
            "progressing" | "probation" | "draining" | "stopping" | "starting" | "waiting" | "retrying"
            | "rolling-back" | "loading" | "queued" | "planned" => Tone::Busy,
            "acknowledged" | "pending" | "paused" | "awaiting" | "degraded" | "partial" | "timed-out" | "unknown"
            | "at-risk" | "held" | "quarantined" | "awaiting-grant" => Tone::Warning,
            "open" | "firing" | "failed" | "breached" | "refused" | "unhealthy" | "missing-plugin"
            | "misconfigured" | "exited" | "down" | "given-up" => Tone::Bad,
            _ => Tone::Quiet,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Busy => "busy",
            Tone::Warning => "warning",
            Tone::Bad => "bad",
            Tone::Quiet => "quiet",
        }
    }

    const fn shape(self) -> &'static str {
        match self {
            Tone::Good => "✓",
            Tone::Busy => "↻",
            Tone::Warning => "!",
            Tone::Bad => "✕",
            Tone::Quiet => "–",
        }
    }
}

/// A state by its word, with the tone that the word has.
pub(crate) fn state(state: impl Serialize) -> Markup {
    let word = crate::resources::status::word(state);
    toned(&word, Tone::of(&word))
}

/// Any word with a tone.
pub(crate) fn toned(word: &str, tone: Tone) -> Markup {
    html! { span class={ "badge tone-" (tone.name()) } { span.shape aria-hidden="true" { (tone.shape()) } " " bdi { (word.replace('-', " ")) } } }
}

/// Rows of cells under headings. On a phone each row is a card, in which the cells say their heading.
pub(crate) fn table(caption: &str, columns: &[&str], rows: impl IntoIterator<Item = Vec<Markup>>) -> Markup {
    html! {
        div.scroll {
            table {
                caption.hidden { (caption) }
                thead { tr { @for column in columns { th scope="col" { (column) } } } }
                tbody {
                    @for row in rows {
                        tr { @for (cell, column) in row.into_iter().zip(columns) { td data-label=(column) { (cell) } } }
                    }
                }
            }
        }
    }
}

/// Where a list would be, what to do so that there is one.
pub(crate) fn empty(title: &str, next: &str, command_line: Option<&str>) -> Markup {
    html! {
        div.empty {
            p { strong { (title) } }
            p.muted { (next) }
            @if let Some(line) = command_line { (command(line)) }
        }
    }
}

pub(crate) fn command(line: &str) -> Markup {
    html! { pre.command { code { (line) } } }
}

/// What is known of an object, name by name.
pub(crate) fn definitions(pairs: &[(&str, Markup)]) -> Markup {
    html! { dl.definitions { @for (name, value) in pairs { div { dt { (name) } dd { (value) } } } } }
}

pub(crate) fn labels(labels: &Labels) -> Markup {
    key_values(labels.iter())
}

/// Names with values, in a row.
pub(crate) fn key_values<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Markup {
    html! { ul.labels { @for (name, value) in pairs { li { bdi.name { (name) } "=" (clip(value)) } } } }
}

/// `100kB`, as charts have it.
pub(crate) fn bytes(count: u64) -> String {
    let (divided, unit) = match count {
        0..1_000 => return format!("{count} B"),
        1_000..1_000_000 => (count as f64 / 1e3, "kB"),
        1_000_000..1_000_000_000 => (count as f64 / 1e6, "MB"),
        _ => (count as f64 / 1e9, "GB"),
    };
    let digits = usize::from(divided < 100.0);
    format!("{divided:.digits$} {unit}")
}

/// The beginning of a digest. The whole of it stands where the pointer rests.
pub(crate) fn digest(digest: &str) -> Markup {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    html! { code title=(digest) { (hex.chars().take(12).collect::<String>()) } }
}

/// Lines of text of other origin.
pub(crate) fn lines<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> Markup {
    html! { ul.lines { @for line in lines { li { (text(line.as_ref())) } } } }
}

/// A value as JSON.
pub(crate) fn json(value: &Value) -> Markup {
    html! { pre.json tabindex="0" { code { (serde_json::to_string_pretty(value).unwrap_or_default()) } } }
}

/// A part of a page with its heading.
pub(crate) fn section(title: &str, content: Markup) -> Markup {
    html! { section.card { h2 { (title) } (content) } }
}

/// A figure at a glance, and the page that says more.
pub(crate) fn figure(label: &str, value: &str, to: &str, tone: Tone) -> Markup {
    html! {
        a class={ "figure tone-" (tone.name()) } href=(to) {
            span.value { (value) }
            span.label { (label) }
        }
    }
}

/// Ways to see the same list.
pub(crate) fn tabs(label: &str, here: &str, tabs: &[(&str, &str)]) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for (title, to) in tabs { a href=(to) aria-current=[(*to == here).then_some("page")] { (title) } }
        }
    }
}

/// On to the next part of a list, and back to its beginning.
pub(crate) fn pager(view: &View, next_cursor: Option<&str>) -> Markup {
    let is_later = view
        .uri
        .query()
        .is_some_and(|query| form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "cursor"));
    html! {
        @if is_later || next_cursor.is_some() {
            nav.pager aria-label="Parts of the list" {
                @if is_later { a.button href=(view.with("cursor", None)) { "First" } }
                @if let Some(next) = next_cursor { a.button rel="next" href=(view.with("cursor", Some(next))) { "Next" } }
            }
        }
    }
}

/// What would stand in the list and can't be read: how many, which, and what to do.
pub(crate) fn unreadable(all: &[Unreadable]) -> Markup {
    let Some(first) = all.first() else { return html! {} };
    let parts = |one: &Unreadable| {
        let (what, hint) = one.detail.split_once("; hint: ").unwrap_or((&one.detail, ""));
        (what.to_owned(), hint.to_owned())
    };
    html! {
        div.banner.away role="status" {
            p { strong { (all.len()) " could not be read" } @if all.len() == 1 { " and is left out:" } @else { " and are left out:" } }
            ul.lines {
                @for one in all.iter().take(NAMED) { li { code { (clip(&one.key)) } " – " (clip(&parts(one).0)) } }
                @if all.len() > NAMED { li { "and " (all.len() - NAMED) " more, which the log names" } }
            }
            p { strong { "What to do: " } (parts(first).1) "." }
        }
    }
}

/// How much of something there is, 0 to 1, in words and as a bar.
pub(crate) fn meter(label: &str, part: f64) -> Markup {
    let part = part.clamp(0.0, 1.0);
    html! { meter min="0" max="1" low="0.25" high="0.5" optimum="1" value=(format!("{part:.3}")) aria-label=(label) {} }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_text() {
        let shown = text("<script>alert(1)</script>\u{202e}").into_string();
        assert_eq!(shown, "<bdi class=\"text\">&lt;script&gt;alert(1)&lt;/script&gt;\u{202e}</bdi>");
    }

    #[test]
    fn within_a_sentence_text_of_others_turns_nothing() {
        assert_eq!(plain("gone\u{202e}gnp.exe"), "gone\u{fffd}gnp.exe");
        assert!(matches!(plain("שלום <b>"), Cow::Borrowed("שלום <b>")));
    }

    #[test]
    fn a_list_shows_the_beginning_of_a_long_name() {
        let shown = clip(&"é".repeat(10_000)).into_string();
        assert!(shown.contains('…') && shown.chars().count() < 200);
        assert!(!clip("short").into_string().contains('…'));
    }
}
