//! Scans and findings.

use super::{Session, exit_code, text, watch};
use crate::arguments::{Findings, Limit, Scan};
use crate::client::{Listed, escape};
use crate::output::Column;
use anyhow::{Context, Result};
use quarterdeck_model::Severity;
use serde_json::{Value, json};
use std::process::ExitCode;

const FINDINGS: [Column; 7] = [
    ("SEVERITY", "/severity"),
    ("STATE", "/state"),
    ("SCAN", "/scan_name"),
    ("RULE", "/rule"),
    ("SUBJECT", "/subject"),
    ("LINE", "/line"),
    ("MESSAGE", "/message"),
];

fn severity(text: Option<&str>, flag: &str) -> Result<Option<Severity>> {
    let read = |text: &str| {
        let severity = serde_json::from_value(Value::String(text.to_owned())).ok();
        severity.with_context(|| format!("{flag} takes critical, high, medium, low or info, and not `{text}`"))
    };
    text.map(read).transpose()
}

fn severity_of(finding: &Value) -> Option<Severity> {
    finding.get("severity").and_then(|severity| serde_json::from_value(severity.clone()).ok())
}

/// The worst first, then by subject and line.
fn sort(findings: &mut [Value]) {
    findings.sort_by_cached_key(|finding| {
        let line = finding.get("line").and_then(Value::as_u64).unwrap_or(0);
        let severity = severity_of(finding);
        (severity.is_none(), severity, text(finding, "/subject").to_owned(), line)
    });
}

/// Why something was not looked at, in sentences.
fn left_out(scan: &Value, findings: &[Value]) -> Vec<String> {
    let skipped = scan.get("skipped_because").and_then(Value::as_object).into_iter().flatten();
    let files =
        |count: u64| if count == 1 { "1 file was skipped".to_owned() } else { format!("{count} files were skipped") };
    let mut sentences: Vec<String> =
        skipped.map(|(why, count)| format!("{}: {why}", files(count.as_u64().unwrap_or(0)))).collect();
    let mut reasons: Vec<(&str, &str)> = findings
        .iter()
        .map(|finding| (text(finding, "/subject"), text(finding, "/not_looked_at")))
        .filter(|(_, reason)| !reason.is_empty())
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    let stays = |(subject, reason): &(&str, &str)| {
        format!("{subject} could not be looked at, and what was found there stays open: {reason}")
    };
    sentences.extend(reasons.iter().map(stays));
    sentences
}

pub(super) async fn scan(session: &Session, name: &str, fail_on: Option<&str>) -> Result<ExitCode> {
    let fail_on = severity(fail_on, "--fail-on")?;
    let started = session.client.post("/api/v1/scans", &json!({"name": name})).await?;
    let path = format!("/api/v1/scans/{}", text(&started, "/id"));
    session.output.progress(&format!("scanning {name} ..."));
    let scan = watch(session, &path, |scan| text(scan, "/state") != "running", |_| {}).await?;
    let mut findings = open_findings(session, name).await?;
    sort(&mut findings);
    if session.output.json {
        session.output.one(&json!({"scan": scan, "findings": findings}));
    } else {
        let number = |pointer| scan.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        session.output.list(&FINDINGS, &findings, "no open findings");
        let (files, urls, new) = (number("/files"), number("/urls"), number("/new_findings"));
        let (state, fixed) = (text(&scan, "/state"), number("/fixed_findings"));
        session.output.say(
            &format!(
                "{state}: {} and {}, {}, {fixed} fixed",
                counted(files, "file"),
                counted(urls, "page"),
                counted(new, "new finding")
            ),
            &scan,
        );
        for page in scan.pointer("/pages").and_then(Value::as_array).into_iter().flatten() {
            let score = page.pointer("/score").and_then(Value::as_u64).unwrap_or(0);
            let sentence = format!("{}: {} ({score} of 100)", text(page, "/url"), text(page, "/grade"));
            session.output.say(&sentence, &Value::Null);
        }
        for sentence in left_out(&scan, &findings) {
            session.output.say(&sentence, &Value::Null);
        }
        for error in scan.pointer("/errors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            session.output.say(&format!("error: {error}"), &Value::Null);
        }
    }
    let too_bad =
        |finding: &Value| matches!((severity_of(finding), fail_on), (Some(found), Some(limit)) if found <= limit);
    Ok(exit_code(text(&scan, "/state") == "succeeded" && !findings.iter().any(too_bad)))
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// By severity where there are some, and `0` where there are none.
fn count_findings(scan: &mut Value) {
    let findings = scan.get("findings").cloned().unwrap_or_default();
    let is_none = findings.as_object().is_none_or(|found| found.values().all(|count| count.as_u64() == Some(0)));
    let found = if is_none && !findings.is_number() { Value::from(0) } else { findings };
    if let Some(scan) = scan.as_object_mut() {
        scan.insert("found".to_owned(), found);
    }
}

/// Scans that were made.
pub(super) async fn past(session: &Session, command: &Scan) -> Result<ExitCode> {
    match command {
        Scan::List(Limit { limit }) => {
            let columns = [
                ("SCAN", "/id"),
                ("NAME", "/name"),
                ("STATE", "/state"),
                ("STARTED", "/started_at"),
                ("FILES", "/files"),
                ("PAGES", "/urls"),
                ("FINDINGS", "/found"),
                ("NEW", "/new_findings"),
                ("FIXED", "/fixed_findings"),
            ];
            let mut listed = session.client.first("/api/v1/scans", &[], *limit).await?;
            if !session.output.json {
                listed.items.iter_mut().for_each(count_findings);
            }
            session.output.listed(&columns, &listed, "no scans");
        }
        Scan::Show { id } => {
            session.output.one(&session.client.get(&format!("/api/v1/scans/{}", escape(id)), &[]).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All of them are fetched, since the worst may be the last of the list.
pub(super) async fn findings(session: &Session, wanted: &Findings) -> Result<ExitCode> {
    let least = severity(wanted.severity.as_deref(), "--severity")?;
    let states = if wanted.all { [].as_slice() } else { &["open"] };
    let mut query = super::states(states);
    query.extend(wanted.scan.clone().map(|scan| ("scan", scan)));
    let mut items = session.client.list("/api/v1/findings", &query, usize::MAX).await?;
    items.retain(|finding| least.is_none_or(|least| severity_of(finding).is_some_and(|found| found <= least)));
    sort(&mut items);
    let left = items.len().saturating_sub(wanted.limit.limit);
    items.truncate(wanted.limit.limit);
    session.output.listed(&FINDINGS, &Listed { items, left }, "no open findings");
    Ok(ExitCode::SUCCESS)
}

async fn open_findings(session: &Session, scan: &str) -> Result<Vec<Value>> {
    let query = [("state", "open".to_owned()), ("scan", scan.to_owned())];
    session.client.list("/api/v1/findings", &query, usize::MAX).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_severity_that_is_none_is_told_once_and_a_scan_without_findings_has_none() {
        let error = format!("{:#}", severity(Some("bogus"), "--severity").unwrap_err());
        assert_eq!(error, "--severity takes critical, high, medium, low or info, and not `bogus`");
        for (findings, expected) in [
            (json!({}), json!(0)),
            (json!({"high": 0}), json!(0)),
            (json!({"high": 2}), json!({"high": 2})),
            (json!(3), json!(3)),
        ] {
            let mut scan = json!({"findings": findings});
            count_findings(&mut scan);
            assert_eq!(scan["found"], expected);
        }
        assert_eq!((counted(1, "file"), counted(0, "file")), ("1 file".to_owned(), "0 files".to_owned()));
    }

    #[test]
    fn the_worst_finding_comes_first_then_the_order_is_by_subject_and_line() {
        let finding =
            |severity: &str, subject: &str, line: u32| json!({"severity": severity, "subject": subject, "line": line});
        let mut findings = vec![
            finding("low", "a", 1),
            finding("critical", "b", 20),
            finding("critical", "b", 3),
            finding("critical", "a", 9),
            finding("high", "a", 1),
        ];
        sort(&mut findings);
        let order: Vec<_> = findings.iter().map(|f| (text(f, "/severity"), text(f, "/subject"), &f["line"])).collect();
        let line = [json!(9), json!(3), json!(20), json!(1), json!(1)];
        let expected = [("critical", "a"), ("critical", "b"), ("critical", "b"), ("high", "a"), ("low", "a")];
        let expected: Vec<_> = expected.iter().zip(&line).map(|((s, f), line)| (*s, *f, line)).collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn what_was_not_looked_at_is_said_with_the_reason() {
        let stale = json!({"subject": "big.bin", "not_looked_at": "too large"});
        let scan = json!({"skipped_because": {"it is not a text": 2, "it is too large": 1}});
        let said = left_out(&scan, &[stale.clone(), stale, json!({"subject": "a"})]);
        let kept = "big.bin could not be looked at, and what was found there stays open: too large";
        assert_eq!(said, ["2 files were skipped: it is not a text", "1 file was skipped: it is too large", kept]);
        assert!(left_out(&json!({"skipped_because": {}}), &[]).is_empty());
    }
}
