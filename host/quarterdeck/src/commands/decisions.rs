//! What plugins decided, and what another version of them would have.

use super::{Session, exit_code, metrics, text};
use crate::arguments::{Replay, Shadow};
use crate::client::escape;
use crate::output::{print_line, printable};
use anyhow::{Context, Result};
use quarterdeck_model::Span;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Of an input or an answer, so much is shown on a line.
const SHOWN: usize = 400;

fn component(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))
}

pub(super) async fn journals(session: &Session, plugin: Option<&str>) -> Result<()> {
    let columns = [
        ("INSTANCE", "/instance"),
        ("DECISIONS", "/decisions"),
        ("BYTES", "/bytes"),
        ("LEFT OUT", "/left_out"),
        ("KEEP", "/spec/keep"),
        ("MAX BYTES", "/spec/max-bytes"),
    ];
    let query: Vec<_> = plugin.iter().map(|plugin| ("plugin", (*plugin).to_owned())).collect();
    let journals = session.client.list("/api/v1/journals", &query, usize::MAX).await?;
    let empty = "nothing is kept; hint: give an instance a journal: `journal = { keep = \"7d\" }`";
    session.output.list(&columns, &journals, empty);
    Ok(())
}

pub(super) async fn replay(session: &Session, replay: &Replay) -> Result<ExitCode> {
    let mut query = vec![("samples", replay.samples.to_string())];
    query.extend(replay.limit.map(|limit| ("limit", limit.to_string())));
    if let Some(since) = replay.since {
        let span = Span::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        query.push(("since", metrics::now()?.minus(span).to_string()));
    }
    let path = format!("/api/v1/plugins/{}/replay", escape(&replay.name));
    let report = session.client.replay(&path, &query, component(&replay.with)?).await?;
    if session.output.json {
        session.output.one(&report);
    } else {
        let instances: Vec<&str> =
            report.get("instances").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let range = match report.get("from").and_then(Value::as_str) {
            Some(from) => format!(", from {from} to {}", text(&report, "/to")),
            None => String::new(),
        };
        say(&format!("{} was asked what {} was asked{range}", candidate(&report), instances.join(", ")));
        compared(&report);
        if let Some(unreadable) = report.get("unreadable").and_then(Value::as_u64).filter(|unreadable| *unreadable > 0)
        {
            say(&format!("  not asked  {unreadable}  (of another kind, or written by another version of the daemon)"));
        }
        if is_nothing(&report) {
            say("  nothing was compared, which says nothing about the candidate");
        }
        if let Some(why) = report.get("stopped").and_then(Value::as_str) {
            say(&format!("  stopped early: {why}"));
        }
        differences(&report);
    }
    Ok(exit_code(is_good(&report)))
}

fn is_nothing(report: &Value) -> bool {
    report.get("decisions").and_then(Value::as_u64).unwrap_or_default() == 0
}

/// Whether everything was asked, and answered the same way. That no question was put is no answer.
fn is_good(report: &Value) -> bool {
    let is_same = report.get("differ").and_then(Value::as_u64) == Some(0);
    is_same && !is_nothing(report) && report.get("stopped").is_none_or(Value::is_null)
}

pub(super) async fn shadow(session: &Session, shadow: &Shadow) -> Result<ExitCode> {
    let Some(plugin) = &shadow.plugin else {
        let columns = [
            ("PLUGIN", "/plugin"),
            ("CANDIDATE", "/candidate/version"),
            ("IN USE", "/active/version"),
            ("STATE", "/state"),
            ("SINCE", "/since"),
            ("DECISIONS", "/decisions"),
            ("DIFFER", "/differ"),
            ("MISBEHAVED", "/misbehaved"),
            ("SKIPPED", "/skipped"),
            ("REASON", "/reason"),
        ];
        let shadows = session.client.list("/api/v1/shadows", &[], usize::MAX).await?;
        session.output.list(&columns, &shadows, "no candidates");
        return Ok(ExitCode::SUCCESS);
    };
    let path = format!("/api/v1/shadows/{}", escape(plugin));
    let report = match &shadow.with {
        Some(file) => session.client.upload(&path, &[], component(file)?).await?,
        None if shadow.stop => session.client.delete(&path).await?,
        None => session.client.get(&path, &[]).await?,
    };
    if session.output.json {
        session.output.one(&report);
        return Ok(ExitCode::SUCCESS);
    }
    let (since, active) = (text(&report, "/since"), text(&report, "/active/version"));
    let what = match text(&report, "/state") {
        _ if shadow.stop => "was asked until now",
        "asked" => "is asked",
        _ => "is to be asked",
    };
    say(&format!("{} {what} beside version {active}, since {since}", candidate(&report)));
    if let Some(reason) = report.get("reason").and_then(Value::as_str).filter(|_| !shadow.stop) {
        say(&format!("  not asked now ({}): {reason}", text(&report, "/state")));
    }
    if shadow.with.is_some() {
        say(&format!("  how it does: quarterdeck plugin shadow {plugin}"));
        return Ok(ExitCode::SUCCESS);
    }
    compared(&report);
    if let Some(skipped) = report.get("skipped").and_then(Value::as_u64).filter(|skipped| *skipped > 0) {
        say(&format!("  skipped    {skipped}  (it was busy, or left alone because it misbehaved)"));
    }
    differences(&report);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn promote(session: &Session, plugin: &str) -> Result<()> {
    let path = format!("/api/v1/shadows/{}/promote", escape(plugin));
    let promoted = session.client.post(&path, &json!({})).await?;
    let (version, file) = (text(&promoted, "/plugin/version"), text(&promoted, "/file"));
    let before = match text(&promoted, "/before/version") {
        "" => String::new(),
        before => format!(" in place of {before}"),
    };
    session.output.say(&format!("{plugin} {version} is in use{before}, out of `{file}`"), &promoted);
    Ok(())
}

fn say(line: &str) {
    print_line(&printable(line));
}

fn candidate(report: &Value) -> String {
    format!("{} {}", text(report, "/candidate/name"), text(report, "/candidate/version"))
}

fn compared(report: &Value) {
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let besides = |pairs: &[(u64, &str)]| {
        let said: Vec<String> =
            pairs.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if said.is_empty() { String::new() } else { format!("  (of those {})", said.join(", ")) }
    };
    say(&format!("  decisions  {}", number("/decisions")));
    say(&format!("  same       {}{}", number("/same"), besides(&[(number("/other_state"), "with another state")])));
    let differ = besides(&[
        (number("/new_failures"), "without an answer where there was one"),
        (number("/answered_now"), "with an answer where there was none"),
    ]);
    say(&format!("  differ     {}{differ}", number("/differ")));
    if number("/misbehaved") > 0 {
        say(&format!("  misbehaved {}", number("/misbehaved")));
    }
    let durations = |side: &str| {
        let of = |quantile: &str| number(&format!("/{side}/{quantile}_micros"));
        format!("p50 {} us, p99 {} us", of("p50"), of("p99"))
    };
    say(&format!("  took       {}  (then {})", durations("now"), durations("then")));
}

fn differences(report: &Value) {
    for sample in report.get("samples").and_then(Value::as_array).into_iter().flatten() {
        say("");
        let (at, instance) = (text(sample, "/at"), text(sample, "/instance"));
        say(&format!("{at} {instance} {}", text(sample, "/function")));
        for (name, value) in [("input", &sample["input"]), ("then", &sample["then"]), ("now", &sample["now"])] {
            let shown: String = value.to_string().chars().take(SHOWN).collect();
            let cut = if shown.len() < value.to_string().len() { "…" } else { "" };
            say(&format!("  {name:5} {shown}{cut}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_good_if_something_was_compared_and_nothing_differs() {
        for (report, expected) in [
            (json!({"decisions": 3, "differ": 0, "stopped": null}), true),
            (json!({"decisions": 3, "differ": 1, "stopped": null}), false),
            (json!({"decisions": 3, "differ": 0, "stopped": "it took longer than 10m"}), false),
            (json!({"decisions": 0, "differ": 0, "unreadable": 13, "stopped": null}), false),
        ] {
            assert_eq!(is_good(&report), expected, "{report}");
        }
    }
}
