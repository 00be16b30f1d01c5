//! How the daemon is, and its jobs.

use super::{Session, exit_code};
use crate::arguments::Job;
use crate::client::escape;
use anyhow::Result;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) async fn show(session: &Session) -> Result<ExitCode> {
    let status = session.client.get("/api/v1/status", &[]).await?;
    session.output.one(&status);
    Ok(exit_code(status.get("ready").and_then(Value::as_bool).unwrap_or(true)))
}

pub(super) async fn job(session: &Session, command: &Job) -> Result<ExitCode> {
    match command {
        Job::List => {
            let jobs = session.client.list("/api/v1/jobs", &[], usize::MAX).await?;
            let columns = [
                ("JOB", "/name"),
                ("SCHEDULE", "/schedule"),
                ("NEXT", "/next_run"),
                ("LAST", "/last_run"),
                ("TOOK", "/last_duration"),
                ("RUNS", "/runs"),
                ("FAILED", "/failures"),
                ("MISSED", "/missed"),
                ("LAST ERROR", "/last_error"),
            ];
            session.output.list(&columns, &jobs, "no jobs");
        }
        Job::Show { name } => {
            session.output.one(&session.client.get(&format!("/api/v1/jobs/{}", escape(name)), &[]).await?);
        }
        Job::Run { name } => {
            let answer = session.client.post("/api/v1/jobs/run", &json!({"name": name})).await?;
            session.output.say(&format!("{name} runs now"), &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}
