//! Deployments.

use super::{Session, exit_code, text, watch};
use crate::arguments::Deployment;
use anyhow::Result;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) async fn deploy(session: &Session, service: &str, revision: &str, detach: bool) -> Result<ExitCode> {
    let started =
        session.client.post("/api/v1/deployments", &json!({"service": service, "revision": revision})).await?;
    if detach {
        session.output.say(text(&started, "/id"), &started);
        return Ok(ExitCode::SUCCESS);
    }
    let path = format!("/api/v1/deployments/{}", text(&started, "/id"));
    let mut shown = 0;
    let finished = |deployment: &Value| matches!(text(deployment, "/state"), "succeeded" | "rolled-back" | "failed");
    let deployment = watch(session, &path, finished, |deployment| {
        let moves = deployment.pointer("/moves").and_then(Value::as_array).cloned().unwrap_or_default();
        for record in moves.iter().skip(shown) {
            session.output.progress(&format!("{}  {}", text(record, "/at"), text(record, "/reason")));
        }
        shown = moves.len();
    })
    .await?;
    let sentence = format!("{} {}: {}", service, revision, text(&deployment, "/state"));
    session.output.say(&sentence, &deployment);
    Ok(exit_code(text(&deployment, "/state") == "succeeded"))
}

pub(super) async fn deployment(session: &Session, command: &Deployment) -> Result<ExitCode> {
    match command {
        Deployment::List => {
            let items = session.client.list("/api/v1/deployments", &[], 200).await?;
            let columns = [
                ("DEPLOYMENT", "/id"),
                ("SERVICE", "/service"),
                ("FROM", "/stable"),
                ("TO", "/candidate"),
                ("STATE", "/state"),
                ("WEIGHT", "/weight"),
                ("STARTED", "/started_at"),
            ];
            session.output.list(&columns, &items, "no deployments");
        }
        Deployment::Show { id } => {
            session.output.one(&session.client.get(&format!("/api/v1/deployments/{id}"), &[]).await?)
        }
        Deployment::Promote { id, full } => {
            let path = format!("/api/v1/deployments/{id}/promote");
            let answer = session.client.post(&path, &json!({"full": full})).await?;
            session.output.say(&format!("{id} goes on"), &answer);
        }
        Deployment::Abort { id, reason } => {
            let answer =
                session.client.post(&format!("/api/v1/deployments/{id}/abort"), &json!({"reason": reason})).await?;
            session.output.say(&format!("{id} rolls back"), &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}
