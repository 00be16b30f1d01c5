//! Incidents.

use super::{Session, text};
use crate::arguments::Incident;
use crate::client::escape;
use crate::output::{print_line, printable};
use anyhow::{Result, bail};
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
        Incident::Resolve { id, note, yes } => {
            let incident = session.client.get(&format!("/api/v1/incidents/{}", escape(id)), &[]).await?;
            let firing = firing(&incident);
            if firing > 0 && !yes {
                bail!(
                    "{} of {id} still fire{}: a resolved incident does not open again for them\nhint: --yes resolves it all the same, `incident ack` says that somebody works on it",
                    if firing == 1 { "1 alert".to_owned() } else { format!("{firing} alerts") },
                    if firing == 1 { "s" } else { "" }
                );
            }
            let answer = session
                .client
                .post(&format!("/api/v1/incidents/{}/resolve", escape(id)), &json!({"note": note}))
                .await?;
            session.output.say(&format!("{id} is resolved"), &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Its alerts that have not ended.
fn firing(incident: &Value) -> usize {
    let is_open = text(incident, "/state") != "resolved";
    members(incident).filter(|member| is_open && text(member, "/resolved_at").is_empty()).count()
}

fn members(incident: &Value) -> impl Iterator<Item = &Value> {
    incident.pointer("/members").and_then(Value::as_array).into_iter().flatten()
}

/// An alert of it: which one, and whether it fires still.
fn member(member: &Value) -> String {
    let state = match text(member, "/resolved_at") {
        "" => "fires".to_owned(),
        at => format!("ended {at}"),
    };
    let field = |pointer| text(member, pointer);
    format!("{}  {}  {}  {state}  {}", field("/fingerprint"), field("/severity"), field("/name"), field("/summary"))
}

fn show(session: &Session, incident: &Value) {
    if session.output.json {
        session.output.one(incident);
        return;
    }
    let field = |pointer| text(incident, pointer);
    let title = printable(field("/title"));
    print_line(&format!("{}  {}  {}  {title}", field("/id"), field("/severity"), field("/state")));
    members(incident).for_each(|of| print_line(&format!("  {}", printable(&member(of)))));
    for entry in incident.pointer("/timeline").and_then(Value::as_array).into_iter().flatten() {
        print_line(&format!(
            "  {}  {:<12} {}",
            text(entry, "/at"),
            printable(text(entry, "/principal")),
            printable(text(entry, "/text"))
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alerts_of_an_incident_are_shown_with_what_they_are_known_by_and_those_that_fire_are_counted() {
        let of = |resolved_at: Value| json!({"fingerprint": "ab", "severity": "high", "name": "disk", "summary": "/ is full", "resolved_at": resolved_at});
        let mut incident =
            json!({"state": "open", "members": [of(Value::Null), of(json!("2026-01-01T00:00:00.000Z"))]});
        let shown: Vec<String> = members(&incident).map(member).collect();
        assert_eq!(
            shown,
            ["ab  high  disk  fires  / is full", "ab  high  disk  ended 2026-01-01T00:00:00.000Z  / is full"]
        );
        assert_eq!(firing(&incident), 1);
        incident["state"] = json!("resolved");
        assert_eq!(firing(&incident), 0);
    }
}
