//! Deployments.

use super::{Session, exit_code, text, watch};
use crate::arguments::{Deployment, Limit, Service};
use crate::client::escape;
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
        Deployment::List(Limit { limit }) => {
            let listed = session.client.first("/api/v1/deployments", &[], *limit).await?;
            let columns = [
                ("DEPLOYMENT", "/id"),
                ("SERVICE", "/service"),
                ("FROM", "/stable"),
                ("TO", "/candidate"),
                ("STATE", "/state"),
                ("WEIGHT", "/weight"),
                ("STARTED", "/started_at"),
            ];
            session.output.listed(&columns, &listed, "no deployments");
        }
        Deployment::Show { id } => {
            session.output.one(&session.client.get(&format!("/api/v1/deployments/{}", escape(id)), &[]).await?)
        }
        Deployment::Promote { id, full } => {
            let path = format!("/api/v1/deployments/{}/promote", escape(id));
            let answer = session.client.post(&path, &json!({"full": full})).await?;
            session.output.say(&format!("{id} goes on"), &answer);
        }
        Deployment::Abort { id, reason } => {
            let answer = session
                .client
                .post(&format!("/api/v1/deployments/{}/abort", escape(id)), &json!({"reason": reason}))
                .await?;
            session.output.say(&format!("{id} rolls back"), &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn service(session: &Session, command: &Service) -> Result<ExitCode> {
    match command {
        Service::List => {
            let columns = [
                ("SERVICE", "/name"),
                ("REVISION", "/current/stable"),
                ("SINCE", "/current/since"),
                ("DEPLOYMENT", "/current/deployment"),
                ("TARGET", "/spec/target"),
                ("STRATEGY", "/spec/strategy"),
            ];
            let items = session.client.list("/api/v1/services", &[], usize::MAX).await?;
            session.output.list(&columns, &items, "no services");
        }
        Service::Show { name } => {
            session.output.one(&session.client.get(&format!("/api/v1/services/{}", escape(name)), &[]).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
