//! What an instance may use, and what it has used.

use crate::console::widgets::{self, Tone, bytes};
use crate::console::{chart, time};
use maud::{Markup, html};
use quarterdeck_model::Span;
use quarterdeck_model::plugin::{Bucket, Budget, InstanceStatus, Usage, Window};

pub(super) fn show(status: &InstanceStatus) -> Markup {
    let usage = &status.usage;
    html! {
        div.columns {
            (widgets::section("Calls", calls(usage)))
            (widgets::section("Budget", budget(status.spec.limits.budget.as_ref(), &usage.window)))
            (widgets::section("Limits of one call", limits(status)))
            (widgets::section("Calls of the host", host_calls(usage)))
        }
    }
}

/// `1.2 s` of microseconds.
fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", chart::number(micros as f64 / 1e3)),
        _ => format!("{} s", chart::number(micros as f64 / 1e6)),
    }
}

/// The bound under which that part of the calls stayed.
fn within(latency: &[Bucket], calls: u64, part: f64) -> String {
    if calls == 0 {
        return "–".to_owned();
    }
    let wanted = calls as f64 * part;
    match latency.iter().find(|bucket| bucket.calls as f64 >= wanted) {
        Some(bucket) => format!("{} or less", micros(bucket.up_to_micros)),
        None => latency.last().map_or("–".to_owned(), |last| format!("more than {}", micros(last.up_to_micros))),
    }
}

fn calls(usage: &Usage) -> Markup {
    let failed: u64 = usage.failures.values().sum();
    let mean =
        |sum: u64| Some(usage.calls).filter(|calls| *calls > 0).map_or("–".to_owned(), |calls| micros(sum / calls));
    html! {
        (widgets::definitions(&[
            ("Since the start", html! { (usage.calls) " calls, " (failed) " failed" }),
            ("Half took", html! { (within(&usage.latency, usage.calls, 0.5)) }),
            ("99 % took", html! { (within(&usage.latency, usage.calls, 0.99)) }),
            ("Mean", html! { (mean(usage.wall_micros)) ", of which its code ran " (mean(usage.guest_micros)) }),
            ("Its code ran", html! { (micros(usage.guest_micros)) " in all" }),
            ("Most memory", html! { (bytes(usage.memory_high_water_bytes)) }),
            ("Read, handed out", html! { (bytes(usage.bytes_in)) ", " (bytes(usage.bytes_out)) }),
            ("Lines logged", html! { (usage.log_lines) }),
        ]))
        @if !usage.failures.is_empty() {
            (widgets::table("Failures by kind", &["Failure", "Calls", "What it means"], usage.failures.iter().map(|(code, count)| {
                vec![widgets::toned(code, Tone::Bad), html! { (count) }, html! { (meaning(code)) }]
            })))
        }
        @if !usage.latency.is_empty() { (distribution(usage)) }
    }
}

fn meaning(code: &str) -> &'static str {
    match code {
        "rejected" => "the plugin says that configuration or input are wrong",
        "retry" => "the plugin says that it may work later",
        "trapped" => "its code broke down",
        "deadline" => "it took longer than a call may",
        "out-of-memory" => "it wanted more memory than a call may have",
        "limited" => "it went over a limit",
        "unavailable" => "there was nothing to call",
        "cancelled" => "the call was cancelled, or the host stopped",
        _ => "the plugin says why in its last error",
    }
}

fn distribution(usage: &Usage) -> Markup {
    let mut before = 0;
    let rows: Vec<_> = usage
        .latency
        .iter()
        .filter_map(|bucket| {
            let here = bucket.calls.saturating_sub(before);
            before = bucket.calls;
            (here > 0).then(|| row(&format!("up to {}", micros(bucket.up_to_micros)), here, usage.calls))
        })
        .collect();
    let longer = usage.calls.saturating_sub(before);
    html! {
        details.plain-details {
            summary { "How long calls took" }
            (widgets::table("How long calls took", &["From start to end", "Calls", "Part"],
                rows.into_iter().chain((longer > 0).then(|| row("longer", longer, usage.calls)))))
        }
    }
}

fn row(label: &str, count: u64, of: u64) -> Vec<Markup> {
    let part = count as f64 / of.max(1) as f64;
    vec![html! { (label) }, html! { (count) }, bar(label, part)]
}

/// How much of something is used up, as a bar and in words.
fn bar(label: &str, part: f64) -> Markup {
    html! { progress max="1" value=(format!("{:.3}", part.clamp(0.0, 1.0))) aria-label=(label) {} " " (chart::number((part * 1000.0).round() / 10.0)) " %" }
}

fn budget(budget: Option<&Budget>, window: &Window) -> Markup {
    let rows = [
        (
            "Time its code ran",
            window.guest_micros,
            budget.and_then(|budget| budget.cpu).map(|cpu| cpu.as_millis().saturating_mul(1000)),
            micros as fn(u64) -> String,
        ),
        ("Handed out", window.bytes_out, budget.and_then(|budget| budget.bytes_out), bytes),
        ("Calls of the host", window.host_calls, budget.and_then(|budget| budget.host_calls), |count| {
            count.to_string()
        }),
    ];
    let per = budget.map_or(Budget::PER, |budget| budget.per);
    html! {
        @if let Some(used_up) = budget.and_then(|budget| budget.used_up(window)) {
            p { (widgets::toned("used up", Tone::Bad)) " " (widgets::text(&used_up)) ". No call begins until the next window." }
        }
        p.muted { "In the window of " (time::span(per)) " since " (time::at(window.since)) ": " (window.calls) " calls." }
        (widgets::table("Budget", &["What", "Used", "Of", "Part"], rows.map(|(what, used, of, said)| {
            vec![
                html! { (what) },
                html! { (said(used)) },
                of.map_or_else(|| html! { span.none { "no bound" } }, |of| html! { (said(of)) }),
                of.map_or_else(|| html! {}, |of| bar(what, used as f64 / of.max(1) as f64)),
            ]
        })))
    }
}

fn limits(status: &InstanceStatus) -> Markup {
    let limits = &status.spec.limits;
    let used = status.usage.memory_high_water_bytes as f64 / limits.memory_bytes.max(1) as f64;
    let span = |span: Span| html! { (time::span(span)) };
    widgets::definitions(&[
        ("Memory", html! { (bytes(limits.memory_bytes)) ", at most used " (bar("memory used at most", used)) }),
        ("Time", span(limits.deadline)),
        ("Calls at once", html! { (limits.concurrency) }),
        ("Calls of the host", html! { (limits.host_calls) }),
        ("Lines logged", html! { (limits.log_lines) }),
        ("Handed in or out", html! { (bytes(limits.io_bytes)) }),
        ("One value", html! { (bytes(limits.result_bytes)) }),
        ("Keys and values kept", html! { (bytes(limits.kv_bytes)) }),
        ("Series", html! { (limits.series) }),
    ])
}

fn host_calls(usage: &Usage) -> Markup {
    if usage.host_calls.is_empty() {
        return html! { p.muted { "None since the start." } };
    }
    widgets::table(
        "Calls of the host",
        &["Call", "Count"],
        usage.host_calls.iter().map(|(call, count)| vec![html! { code { (widgets::clip(call)) } }, html! { (count) }]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_calls_took_is_told_by_the_bound_under_which_they_stayed() {
        let latency = [Bucket { up_to_micros: 500, calls: 50 }, Bucket { up_to_micros: 2_000_000, calls: 98 }];
        let told = [0.5, 0.9, 0.99].map(|part| within(&latency, 100, part));
        assert_eq!(told, ["500 µs or less", "2 s or less", "more than 2 s"]);
        assert_eq!(within(&[], 0, 0.5), "–");
    }
}
