//! Scans and findings.

use super::{Session, exit_code, text, watch};
use anyhow::{Context, Result};
use quarterdeck_model::Severity;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) async fn scan(session: &Session, name: &str, fail_on: Option<&str>) -> Result<ExitCode> {
    let fail_on: Option<Severity> = fail_on
        .map(|text| serde_json::from_value(Value::String(text.to_owned())))
        .transpose()
        .context("--fail-on takes critical, high, medium, low or info")?;
    let started = session.client.post("/api/v1/scans", &json!({"name": name})).await?;
    let path = format!("/api/v1/scans/{}", text(&started, "/id"));
    session.output.progress(&format!("scanning {name} ..."));
    let scan = watch(session, &path, |scan| text(scan, "/state") != "running", |_| {}).await?;
    let findings = open_findings(session, Some(name)).await?;
    if session.output.json {
        session.output.one(&json!({"scan": scan, "findings": findings}));
    } else {
        let number = |pointer| scan.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        print_findings(session, &findings);
        let (files, urls, new) = (number("/files"), number("/urls"), number("/new_findings"));
        let (state, fixed) = (text(&scan, "/state"), number("/fixed_findings"));
        session
            .output
            .say(&format!("{state}: {files} files and {urls} pages, {new} new findings, {fixed} fixed"), &scan);
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

pub(super) async fn findings(session: &Session, all: bool) -> Result<ExitCode> {
    let items = if all {
        session.client.list("/api/v1/findings", &[], usize::MAX).await?
    } else {
        open_findings(session, None).await?
    };
    print_findings(session, &items);
    Ok(ExitCode::SUCCESS)
}

async fn open_findings(session: &Session, scan: Option<&str>) -> Result<Vec<Value>> {
    let mut query = vec![("state", "open".to_owned())];
    query.extend(scan.map(|name| ("scan", name.to_owned())));
    session.client.list("/api/v1/findings", &query, usize::MAX).await
}

fn print_findings(session: &Session, items: &[Value]) {
    let columns = [
        ("SEVERITY", "/severity"),
        ("RULE", "/rule"),
        ("SUBJECT", "/subject"),
        ("LINE", "/line"),
        ("MESSAGE", "/message"),
    ];
    session.output.list(&columns, items, "no open findings");
}
