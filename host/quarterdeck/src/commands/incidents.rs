//! Incidents.

use super::{Session, text};
use crate::arguments::Incident;
use crate::client::escape;
use crate::output::{print_line, printable};
use anyhow::Result;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) async fn incident(session: &Session, command: &Incident) -> Result<ExitCode> {
    match command {
        Incident::List { all, limit } => {
            let states = if *all { [].as_slice() } else { &["open", "acknowledged"] };
            let listed = session.client.first("/api/v1/incidents", &super::states(states), limit.limit).await?;
            let columns = [
                ("INCIDENT", "/id"),
                ("SEVERITY", "/severity"),
                ("STATE", "/state"),
                ("OPENED", "/opened_at"),
                ("TITLE", "/title"),
            ];
            session.output.listed(&columns, &listed, "no open incidents");
        }
        Incident::Show { id } => {
            show(session, &session.client.get(&format!("/api/v1/incidents/{}", escape(id)), &[]).await?)
        }
        Incident::Ack { id } => {
            let answer =
                session.client.post(&format!("/api/v1/incidents/{}/acknowledge", escape(id)), &json!({})).await?;
            session.output.say(&format!("{id} is acknowledged"), &answer);
        }
        Incident::Resolve { id, note } => {
            let answer = session
                .client
                .post(&format!("/api/v1/incidents/{}/resolve", escape(id)), &json!({"note": note}))
                .await?;
            session.output.say(&format!("{id} is resolved"), &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(session: &Session, incident: &Value) {
    if session.output.json {
        session.output.one(incident);
        return;
    }
    let field = |pointer| text(incident, pointer);
    let title = printable(field("/title"));
    print_line(&format!("{}  {}  {}  {title}", field("/id"), field("/severity"), field("/state")));
    for entry in incident.pointer("/timeline").and_then(Value::as_array).into_iter().flatten() {
        print_line(&format!(
            "  {}  {:<12} {}",
            text(entry, "/at"),
            printable(text(entry, "/principal")),
            printable(text(entry, "/text"))
        ));
    }
}
