//! Runbooks and their runs.

use super::{Session, exit_code, runs, text, watch};
use crate::arguments::{Limit, Runbook};
use crate::client::escape;
use crate::output::print_line;
use anyhow::{Result, anyhow};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

pub(super) async fn runbook(session: &Session, command: &Runbook) -> Result<ExitCode> {
    match command {
        Runbook::List => {
            let items = session.client.list("/api/v1/runbooks", &[], usize::MAX).await?;
            session.output.list(&[("RUNBOOK", "/slug"), ("TITLE", "/spec/title")], &items, "no runbooks");
        }
        Runbook::Show { slug } => {
            let runbook = session.client.get(&format!("/api/v1/runbooks/{}", escape(slug)), &[]).await?;
            super::show(session, &runbook, super::views::runbook);
        }
        Runbook::Run { slug, inputs, dry_run, detach } => return run(session, slug, inputs, *dry_run, *detach).await,
        Runbook::Runs(Limit { limit }) => {
            let columns = [
                ("RUN", "/id"),
                ("RUNBOOK", "/runbook"),
                ("STATE", "/state"),
                ("BY", "/principal"),
                ("STARTED", "/started_at"),
                ("ERROR", "/error"),
            ];
            session.output.listed(&columns, &session.client.first("/api/v1/runs", &[], *limit).await?, "no runs");
        }
        Runbook::ShowRun { id } => {
            print_run(session, &session.client.get(&format!("/api/v1/runs/{}", escape(id)), &[]).await?)
        }
        Runbook::Cancel { id } => {
            let answer = session.client.post(&format!("/api/v1/runs/{}/cancel", escape(id)), &json!({})).await?;
            session.output.say(&format!("{id} is cancelled"), &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(session: &Session, slug: &str, inputs: &[String], dry_run: bool, detach: bool) -> Result<ExitCode> {
    let inputs = inputs.iter().map(|input| parse_input(input)).collect::<Result<Map<String, Value>>>()?;
    let body = json!({"runbook": slug, "inputs": inputs, "dry_run": dry_run});
    let started = session.client.post("/api/v1/runs", &body).await?;
    if detach {
        session.output.say(text(&started, "/id"), &started);
        return Ok(ExitCode::SUCCESS);
    }
    let path = format!("/api/v1/runs/{}", text(&started, "/id"));
    let mut running = String::new();
    let run = watch(
        session,
        &path,
        |run| text(run, "/state") != "running",
        |run| {
            let mut steps = run.pointer("/steps").and_then(Value::as_array).into_iter().flatten();
            if let Some(step) = steps.rfind(|step| text(step, "/state") == "running")
                && text(step, "/name") != running
            {
                running = text(step, "/name").to_owned();
                session.output.progress(&format!("{running} ..."));
            }
        },
    )
    .await?;
    print_run(session, &run);
    Ok(exit_code(matches!(text(&run, "/state"), "succeeded" | "planned")))
}

fn print_run(session: &Session, run: &Value) {
    if session.output.json {
        session.output.one(run);
        return;
    }
    runs::lines(run).iter().for_each(|line| print_line(line));
    session.output.say(&format!("{}: {}", text(run, "/id"), text(run, "/state")), run);
}

/// `name=value`: the value is JSON if it reads as such, or else a text.
fn parse_input(input: &str) -> Result<(String, Value)> {
    let (name, value) = input.split_once('=').ok_or_else(|| anyhow!("`{input}` is not NAME=VALUE"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}
