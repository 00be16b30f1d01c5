//! Scans and findings.

use super::{Session, exit_code, text, watch};
use crate::arguments::{Limit, Scan};
use crate::client::escape;
use crate::output::Column;
use anyhow::{Context, Result};
use quarterdeck_model::Severity;
use serde_json::{Value, json};
use std::process::ExitCode;

const FINDINGS: [Column; 5] =
    [("SEVERITY", "/severity"), ("RULE", "/rule"), ("SUBJECT", "/subject"), ("LINE", "/line"), ("MESSAGE", "/message")];

pub(super) async fn scan(session: &Session, name: &str, fail_on: Option<&str>) -> Result<ExitCode> {
    let fail_on: Option<Severity> = fail_on
        .map(|text| serde_json::from_value(Value::String(text.to_owned())))
        .transpose()
        .context("--fail-on takes critical, high, medium, low or info")?;
    let started = session.client.post("/api/v1/scans", &json!({"name": name})).await?;
    let path = format!("/api/v1/scans/{}", text(&started, "/id"));
    session.output.progress(&format!("scanning {name} ..."));
    let scan = watch(session, &path, |scan| text(scan, "/state") != "running", |_| {}).await?;
    let findings = open_findings(session, name).await?;
    if session.output.json {
        session.output.one(&json!({"scan": scan, "findings": findings}));
    } else {
        let number = |pointer| scan.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        session.output.list(&FINDINGS, &findings, "no open findings");
        let (files, urls, new) = (number("/files"), number("/urls"), number("/new_findings"));
        let (state, fixed) = (text(&scan, "/state"), number("/fixed_findings"));
        session
            .output
            .say(&format!("{state}: {files} files and {urls} pages, {new} new findings, {fixed} fixed"), &scan);
        for page in scan.pointer("/pages").and_then(Value::as_array).into_iter().flatten() {
            let score = page.pointer("/score").and_then(Value::as_u64).unwrap_or(0);
            let sentence = format!("{}: {} ({score} of 100)", text(page, "/url"), text(page, "/grade"));
            session.output.say(&sentence, &Value::Null);
        }
        for error in scan.pointer("/errors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            session.output.say(&format!("error: {error}"), &Value::Null);
        }
    }
    let too_bad = |finding: &Value| {
        let severity: Option<Severity> = finding.get("severity").and_then(|s| serde_json::from_value(s.clone()).ok());
        matches!((severity, fail_on), (Some(found), Some(limit)) if found <= limit)
    };
    Ok(exit_code(text(&scan, "/state") == "succeeded" && !findings.iter().any(too_bad)))
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
                ("FINDINGS", "/findings"),
                ("NEW", "/new_findings"),
                ("FIXED", "/fixed_findings"),
            ];
            let listed = session.client.first("/api/v1/scans", &[], *limit).await?;
            session.output.listed(&columns, &listed, "no scans");
        }
        Scan::Show { id } => {
            session.output.one(&session.client.get(&format!("/api/v1/scans/{}", escape(id)), &[]).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn findings(session: &Session, all: bool, limit: Limit) -> Result<ExitCode> {
    let states = if all { [].as_slice() } else { &["open"] };
    let listed = session.client.first("/api/v1/findings", &super::states(states), limit.limit).await?;
    session.output.listed(&FINDINGS, &listed, "no open findings");
    Ok(ExitCode::SUCCESS)
}

async fn open_findings(session: &Session, scan: &str) -> Result<Vec<Value>> {
    let query = [("state", "open".to_owned()), ("scan", scan.to_owned())];
    session.client.list("/api/v1/findings", &query, usize::MAX).await
}
