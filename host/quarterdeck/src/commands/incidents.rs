//! Incidents.

use super::{Session, text};
use crate::arguments::Incident;
use crate::output::print_line;
use anyhow::Result;
use serde_json::{Value, json};
use std::process::ExitCode;

pub(super) async fn incident(session: &Session, command: &Incident) -> Result<ExitCode> {
    match command {
        Incident::List { all } => {
            let items = session.client.list("/api/v1/incidents", &[], usize::MAX).await?;
            let items: Vec<_> = items.into_iter().filter(|item| *all || text(item, "/state") != "resolved").collect();
            let columns = [
                ("INCIDENT", "/id"),
                ("SEVERITY", "/severity"),
                ("STATE", "/state"),
                ("OPENED", "/opened_at"),
                ("TITLE", "/title"),
            ];
            session.output.list(&columns, &items, "no open incidents");
        }
        Incident::Show { id } => show(session, &session.client.get(&format!("/api/v1/incidents/{id}"), &[]).await?),
        Incident::Ack { id } => {
            let answer = session.client.post(&format!("/api/v1/incidents/{id}/acknowledge"), &json!({})).await?;
            session.output.say(&format!("{id} is acknowledged"), &answer);
        }
        Incident::Resolve { id, note } => {
            let answer =
                session.client.post(&format!("/api/v1/incidents/{id}/resolve"), &json!({"note": note})).await?;
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
    print_line(&format!("{}  {}  {}  {}", field("/id"), field("/severity"), field("/state"), field("/title")));
    for entry in incident.pointer("/timeline").and_then(Value::as_array).into_iter().flatten() {
        print_line(&format!("  {}  {:<12} {}", text(entry, "/at"), text(entry, "/principal"), text(entry, "/text")));
    }
}
