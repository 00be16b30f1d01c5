//! Rules in Prometheus's format: checked and tested without a daemon, and tried over what one has stored.

use crate::arguments::{Global, Rules};
use crate::commands::metrics::now;
use crate::commands::{Session, exit_code};
use crate::output::{Output, print_line, printable};
use anyhow::{Context, Result, anyhow};
use quarterdeck_engines::monitoring::rule_files::tool::{self, Report};
use quarterdeck_model::Span;
use quarterdeck_model::domain::rule_group::{RuleGroup, RulePolicies};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What needs no daemon; nothing for the rest.
pub(super) fn local(global: &Global, command: &Rules) -> Option<Result<ExitCode>> {
    let output = Output { json: global.json };
    Some(Ok(match command {
        Rules::Check { files } => {
            let found = |report: &Report| format!("SUCCESS: {} rules found", report.count);
            each(output, "Checking", files, tool::check, found)
        }
        Rules::Test { files, no_data } => {
            let policies = if no_data == "keep" { RulePolicies::default() } else { RulePolicies::prometheus() };
            each(output, "Unit Testing: ", files, |file| tool::test(file, &policies), |_| "SUCCESS".to_owned())
        }
        Rules::Backtest { .. } => return None,
    }))
}

pub(super) async fn remote(session: &Session, command: &Rules) -> Result<ExitCode> {
    let Rules::Backtest { alert, group, file, since, step } = command else { return Ok(ExitCode::SUCCESS) };
    let from = now()?.minus(span(*since));
    let mut body = serde_json::Map::new();
    body.insert("alert".to_owned(), json!(alert));
    body.insert("from".to_owned(), json!(from));
    body.insert("step".to_owned(), json!(step.map(span)));
    if let Some(group) = group {
        body.insert("group".to_owned(), json!(group));
    }
    if let Some(file) = file {
        body.insert("rules".to_owned(), serde_json::to_value(group_of(file, group.as_deref(), alert)?)?);
    }
    let answer = session.client.post("/api/v1/backtests", &body.into()).await?;
    if session.output.json {
        session.output.one(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = answer.get("firings").and_then(Value::as_array).cloned().unwrap_or_default();
    let columns = [
        ("LABELS", "/labels"),
        ("ACTIVE", "/active_at"),
        ("FIRED", "/fired_at"),
        ("RESOLVED", "/resolved_at"),
        ("LASTED", "/lasted"),
    ];
    session.output.list(&columns, &rows, &format!("`{alert}` would not have fired"));
    let count = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (fired, pending, evaluations) = (rows.len(), count("only_pending"), count("evaluations"));
    print_line(&format!("fired {fired} times, was only pending {pending} times, in {evaluations} evaluations"));
    if let Some(failure) = answer.get("failure").and_then(Value::as_str) {
        print_line(&format!("{} evaluations failed: {}", count("failed"), printable(failure)));
    }
    Ok(ExitCode::SUCCESS)
}

/// The group of a file that holds the alert.
fn group_of(file: &Path, group: Option<&str>, alert: &str) -> Result<RuleGroup> {
    let read = tool::read(file).map_err(|problems| anyhow!("{}", problems.join("\n")))?;
    let wanted = |(key, spec): &(String, RuleGroup)| {
        let named = group.is_none_or(|group| group == key || Some(group) == spec.name.as_deref());
        named && spec.rules.iter().any(|rule| rule.alert.as_deref() == Some(alert))
    };
    let found = read.groups.into_iter().find(wanted);
    found.map(|(_, spec)| spec).with_context(|| format!("there is no alert `{alert}` in {}", file.display()))
}

fn span(duration: Duration) -> Span {
    Span::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// What became of each file, laid out as promtool does it.
fn each(
    output: Output,
    doing: &str,
    files: &[PathBuf],
    act: impl Fn(&Path) -> Report,
    success: impl Fn(&Report) -> String,
) -> ExitCode {
    let mut good = true;
    let mut answers = Vec::new();
    for file in files {
        let report = act(file);
        good &= report.problems.is_empty();
        if output.json {
            answers.push(
                json!({"file": file, "count": report.count, "problems": report.problems, "warnings": report.warnings}),
            );
            continue;
        }
        print_line(&format!("{doing} {}", printable(&file.display().to_string())));
        if report.problems.is_empty() {
            print_line(&format!("  {}", success(&report)));
        } else {
            print_line("  FAILED:");
        }
        // A line of its own each: what a file holds must not move the cursor.
        report.problems.iter().flat_map(|problem| problem.lines()).for_each(|line| print_line(&printable(line)));
        report.warnings.iter().for_each(|warning| print_line(&format!("  warning: {}", printable(warning))));
        print_line("");
    }
    if output.json {
        output.list(&[], &answers, "");
    }
    exit_code(good)
}
