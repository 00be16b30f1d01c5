//! The log of everything that happened.

use super::{Session, text};
use crate::arguments::Events;
use crate::output::print_line;
use anyhow::{Context, Result};
use futures::StreamExt;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

pub(super) async fn events(session: &Session, command: &Events) -> Result<ExitCode> {
    match command {
        Events::List { types, subject, limit } => {
            let mut query = filter(types);
            query.extend(subject.clone().map(|subject| ("subject", subject)));
            query.push(("newest", "true".to_owned()));
            let items = session.client.list("/api/v1/events", &query, *limit).await?;
            let columns = [
                ("OFFSET", "/offset"),
                ("TIME", "/time"),
                ("TYPE", "/type"),
                ("SUBJECT", "/subject"),
                ("BY", "/principal"),
            ];
            session.output.list(&columns, &items, "no events");
        }
        Events::Tail { types, after } => return tail(session, types, *after).await,
        Events::Publish { event_type, subject, data } => {
            let data: Value =
                serde_json::from_str(data).context("the data is not JSON; hint: write it like '{\"a\": 1}'")?;
            let body = json!({"type": event_type, "subject": subject, "data": data});
            let answer = session.client.post("/api/v1/events", &body).await?;
            session.output.say("published", &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn filter(types: &[String]) -> Vec<(&'static str, String)> {
    types.iter().map(|event_type| ("type", event_type.clone())).collect()
}

/// Follows the stream, and takes it up again behind the last event when it breaks.
async fn tail(session: &Session, types: &[String], after: Option<u64>) -> Result<ExitCode> {
    let mut last: Option<String> = after.map(|offset| offset.to_string());
    loop {
        let mut query = filter(types);
        query.extend(last.clone().map(|offset| ("after", offset)));
        let mut stream = session.client.stream("/api/v1/events/stream", &query).await?.bytes_stream();
        let mut buffer: Vec<u8> = Vec::new();
        while let Some(Ok(bytes)) = stream.next().await {
            buffer.extend_from_slice(&bytes);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(id) = line.strip_prefix("id:") {
                    last = Some(id.trim().to_owned());
                } else if let Some(data) = line.strip_prefix("data:") {
                    show(session, data.trim());
                }
            }
        }
        session.output.progress("the stream ended; reconnecting");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn show(session: &Session, data: &str) {
    if session.output.json {
        print_line(data);
        return;
    }
    let event: Value = serde_json::from_str(data).unwrap_or_default();
    let (time, event_type, subject) = (text(&event, "/time"), text(&event, "/type"), text(&event, "/subject"));
    print_line(&format!("{time}  {event_type:<26} {subject}"));
}
