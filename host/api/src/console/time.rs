//! Moments and spans, for people. Without script a moment is shown in full, in UTC; the script tells how long ago it was, or shows it in the
//! zone that was chosen.

use maud::{Markup, html};
use quarterdeck_model::{Span, Timestamp};

/// How long ago that was.
pub(crate) fn ago(at: Timestamp) -> Markup {
    html! { time datetime=(at) data-time="relative" { (utc(at)) } }
}

/// For how long it has gone on since; the script counts on. Without script: since when.
pub(crate) fn going_on(since: Timestamp) -> Markup {
    html! { span.nowrap data-since=(since) { "since " (utc(since)) } }
}

/// When that was.
pub(crate) fn at(at: Timestamp) -> Markup {
    html! { time datetime=(at) data-time="absolute" { (utc(at)) } }
}

/// When that was, if it was.
pub(crate) fn maybe(at: Option<Timestamp>) -> Markup {
    at.map_or_else(|| html! { span.none { "–" } }, ago)
}

/// `2026-09-21 14:13:20 UTC`.
pub(crate) fn utc(at: Timestamp) -> String {
    let full = at.to_string();
    match (full.get(..10), full.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => full,
    }
}

/// The two largest units: `3 d 4 h`.
pub(crate) fn span(span: Span) -> String {
    let millis = span.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];
    let first = units.iter().position(|(_, size)| millis >= *size).unwrap_or(units.len() - 1);
    let mut left = millis;
    let mut parts = Vec::new();
    for (unit, size) in units.into_iter().skip(first).take(2) {
        let count = left / size;
        left %= size;
        if count > 0 || parts.is_empty() {
            parts.push(format!("{count} {unit}"));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units_at_most() {
        for (millis, told) in [
            (0, "0 ms"),
            (950, "950 ms"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h"),
            (90_061_000, "1 d 1 h"),
            (86_400_000 * 40, "40 d"),
        ] {
            assert_eq!(span(Span::from_millis(millis)), told);
        }
    }

    #[test]
    fn a_moment_without_script_is_told_in_utc() {
        let shown = ago(Timestamp::from_millis(1_790_000_000_000)).into_string();
        assert!(
            shown.contains(">2026-09-21 14:13:20 UTC<") && shown.contains("datetime=\"2026-09-21T14:13:20.000Z\""),
            "{shown}"
        );
    }
}
