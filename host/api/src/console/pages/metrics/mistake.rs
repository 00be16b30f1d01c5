//! An expression that can't be evaluated: where, why, and what to do.

use crate::console::widgets;
use maud::{Markup, html};

pub(super) fn show(letter: char, expression: &str, why: &str) -> Markup {
    let (what, hint) = match why.split_once("hint: ") {
        Some((what, hint)) => (what.trim_end_matches([';', ' ']), hint.to_owned()),
        None => (why, hint(why).to_owned()),
    };
    html! {
        section.failure.expression-failure role="status" {
            h2 { "Expression " (letter) " can't be evaluated" }
            @match place(why).and_then(|place| marked(expression, place)) {
                Some((line, marker)) => pre.command tabindex="0" { code { (line) "\n" (marker) } },
                None => pre.command tabindex="0" { code { (expression) } },
            }
            p { (widgets::text(what)) }
            p.hint { strong { "What to do: " } (widgets::text(&hint)) }
        }
    }
}

/// Line and column, from 1, as messages have them: `(2:7)`.
fn place(why: &str) -> Option<(usize, usize)> {
    why.match_indices('(').rev().find_map(|(at, _)| {
        let inner = why.get(at + 1..)?.split(')').next()?;
        let (line, column) = inner.split_once(':')?;
        Some((line.parse().ok()?, column.parse().ok()?))
    })
}

/// The line, and what points at the column.
fn marked(expression: &str, (line, column): (usize, usize)) -> Option<(String, String)> {
    let text = expression.lines().nth(line.checked_sub(1)?)?;
    let before = column.checked_sub(1)?;
    (before <= text.chars().count()).then(|| (text.to_owned(), format!("{}^", " ".repeat(before))))
}

fn hint(why: &str) -> &'static str {
    let why = why.to_lowercase();
    let says = |word: &str| why.contains(word);
    if says("unknown function") {
        "functions are offered while their name is typed; PromQL has no others."
    } else if says("range vector") || says("type matrix") || says("expected type range") {
        "a function over time takes a time in brackets behind the metric, as in rate(requests_total[5m]); anything else takes none."
    } else if says("timed out") {
        "ask for a shorter time, a longer step or fewer series."
    } else if says("many-to-many") || says("many-to-one") || says("same labelset") || says("found duplicate series") {
        "say by which labels series belong together: on (...), ignoring (...), or sum by (...) around one side."
    } else {
        "correct the expression above, and show it again."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_pointed_at() {
        let shown = show('A', "sum(\n  a<b)", "unexpected `)` at (2:6)").into_string();
        assert!(shown.contains("  a&lt;b)\n     ^"), "{shown}");
        for (why, found) in [("x at (1:7)", Some((1, 7))), ("f(x) is (a:b)", None), ("nothing", None), ("(", None)] {
            assert_eq!(place(why), found, "{why}");
        }
        assert_eq!(marked("up", (1, 9)), None);
        assert_eq!(marked("up", (0, 1)), None);
    }

    #[test]
    fn what_to_do_is_said_of_every_mistake() {
        for expression in ["sum(a))", "rate(a)", "nofunction(a)", "a[5m", "", "a + on(", "a{b=~\"(\"}", "abs(a[5m])"] {
            let why = quarterdeck_promql::Expression::parse(expression).unwrap_err().to_string();
            let shown = show('A', expression, &why).into_string();
            assert!(shown.contains("What to do"), "{why}");
        }
        let missing = quarterdeck_promql::Expression::parse("rate(a)").unwrap_err().to_string();
        assert!(show('A', "rate(a)", &missing).into_string().contains("[5m]"), "{missing}");
    }
}
