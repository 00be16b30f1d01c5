//! Messages to people, and what was given up on.

use super::Session;
use crate::arguments::{DeadLetter, Limit, Notification};
use crate::client::escape;
use anyhow::Result;
use serde_json::json;
use std::process::ExitCode;

pub(super) async fn notification(session: &Session, command: &Notification) -> Result<ExitCode> {
    let Notification::List { state, limit: Limit { limit } } = command;
    let query: Vec<_> = state.iter().map(|state| ("state", state.clone())).collect();
    let columns = [
        ("CREATED", "/created_at"),
        ("STATE", "/state"),
        ("BY", "/instance"),
        ("EVENT", "/event_type"),
        ("SUBJECT", "/subject"),
        ("TITLE", "/title"),
        ("ATTEMPTS", "/attempts"),
        ("ERROR", "/error"),
        ("REASON", "/reason"),
    ];
    let listed = session.client.first("/api/v1/notifications", &query, *limit).await?;
    session.output.listed(&columns, &listed, "no notifications");
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn dead_letter(session: &Session, command: &DeadLetter) -> Result<ExitCode> {
    match command {
        DeadLetter::List(Limit { limit }) => {
            let columns = [
                ("DEAD LETTER", "/id"),
                ("AT", "/letter/at"),
                ("KIND", "/letter/kind"),
                ("ATTEMPTS", "/letter/attempts"),
                ("REASON", "/letter/reason"),
            ];
            let listed = session.client.first("/api/v1/dead-letters", &[], *limit).await?;
            session.output.listed(&columns, &listed, "no dead letters");
        }
        DeadLetter::Show { id } => {
            session.output.one(&session.client.get(&format!("/api/v1/dead-letters/{}", escape(id)), &[]).await?);
        }
        DeadLetter::Retry { id, force } => {
            let path = format!("/api/v1/dead-letters/{}/retry", escape(id));
            let retried = session.client.post(&path, &json!({"force": force})).await?;
            session.output.say(&format!("{id} is carried out again"), &retried);
        }
    }
    Ok(ExitCode::SUCCESS)
}
