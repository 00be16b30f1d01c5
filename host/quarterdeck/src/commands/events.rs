//! The log of everything that happened.

use super::{Session, text};
use crate::arguments::Events;
use crate::client::Client;
use crate::output::{printable, remark, try_print_line};
use anyhow::{Context, Result};
use futures::StreamExt;
use quarterdeck_model::event::{EventFilter, TYPES};
use quarterdeck_model::nearest;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

pub(super) async fn events(session: &Session, command: &Events) -> Result<ExitCode> {
    match command {
        Events::List { types, subject, all, limit } => {
            let mut query = filter(types, *all);
            query.extend(subject.clone().map(|subject| ("subject", subject)));
            query.push(("newest", "true".to_owned()));
            let mut items = session.client.list("/api/v1/events", &query, *limit).await?;
            if !session.output.json {
                for event in items.iter_mut().filter_map(Value::as_object_mut) {
                    let detail = event.get("data").map(detail).unwrap_or_default();
                    event.insert("detail".to_owned(), Value::String(detail));
                }
            }
            let columns = [
                ("OFFSET", "/offset"),
                ("TIME", "/time"),
                ("TYPE", "/type"),
                ("SUBJECT", "/subject"),
                ("BY", "/principal"),
                ("DETAIL", "/detail"),
            ];
            session.output.list(&columns, &items, &none(types));
        }
        Events::Tail { types, all, after } => return tail(session, &filter(types, *all), *after).await,
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

/// Why a list is empty. A type that nothing has is mostly a slip.
fn none(types: &[String]) -> String {
    let known = |wanted: &String| {
        let filter = EventFilter::types([wanted.as_str()]);
        TYPES.into_iter().any(|event_type| filter.lets_through(event_type, ""))
    };
    let named = types.iter().map(|wanted| format!("`{wanted}`")).collect::<Vec<_>>().join(" or ");
    let strange = types.iter().find(|wanted| !known(wanted));
    let hint = strange.and_then(|wanted| nearest(wanted, TYPES.into_iter().chain(TYPES.into_iter().map(topic))));
    match (types.is_empty(), hint) {
        (true, _) => "no events".to_owned(),
        (false, Some(meant)) => format!("no events of the type {named}; hint: did you mean `{meant}`?"),
        (false, None) => format!("no events of the type {named}"),
    }
}

fn topic(event_type: &str) -> &str {
    event_type.split('.').next().unwrap_or_default()
}

/// Every request that a plugin makes leaves an audit record: those who did not ask for them would see nothing else.
fn filter(types: &[String], all: bool) -> Vec<(&'static str, String)> {
    if types.is_empty() && !all {
        return vec![("without", "audit".to_owned())];
    }
    types.iter().map(|event_type| ("type", event_type.clone())).collect()
}

/// Where an event's data say in words what it is about, the most telling first.
const TELLING: [&str; 10] =
    ["reason", "error", "message", "title", "summary", "detail", "why", "description", "state", "outcome"];
const DETAIL_CHARS: usize = 80;

/// The first words of an event's data that tell something.
fn detail(data: &Value) -> String {
    let said = TELLING.iter().filter_map(|name| match data.get(name)? {
        // As a collector's health has it.
        Value::Object(inner) => inner.get("message").and_then(Value::as_str),
        value => value.as_str(),
    });
    let words = said.map(str::trim).find(|words| !words.is_empty()).unwrap_or_default();
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(DETAIL_CHARS) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

const STREAM: &str = "/api/v1/events/stream";
/// The daemon says something at least every 15 seconds.
const SILENT: Duration = Duration::from_secs(45);
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_AT_MOST: Duration = Duration::from_secs(10);

/// Follows the stream, and takes it up again behind the last event when it breaks, as often as that happens. Ends when nobody reads.
async fn tail(session: &Session, filter: &[(&str, String)], after: Option<u64>) -> Result<ExitCode> {
    let mut last = match after {
        Some(offset) => offset.to_string(),
        None => end(&session.client).await?,
    };
    let mut found = None;
    let mut stream = Some(session.client.stream(STREAM, filter, &last).await?);
    let mut wait = AGAIN;
    loop {
        if let Some(stream) = stream.take() {
            let before = last.clone();
            match follow(session, stream, &mut last).await {
                Ok(()) => remark("the stream ended; connecting again"),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                Err(error) => return Err(error).context("failed to print an event"),
            }
            if before != last {
                wait = AGAIN;
            }
        }
        tokio::time::sleep(wait).await;
        wait = wait.saturating_mul(2).min(AGAIN_AT_MOST);
        // One that was started again may be at another address. As long as it has told none, it is looked for where it was.
        found = Client::new(&session.global).ok().filter(Client::is_announced).or(found);
        match found.as_ref().unwrap_or(&session.client).stream(STREAM, filter, &last).await {
            Ok(connected) => {
                remark(&format!("connected again, behind event {last}"));
                stream = Some(connected);
            }
            Err(error) if wait == AGAIN_AT_MOST => remark(&format!("still not there: {error:#}")),
            Err(_) => {}
        }
    }
}

/// Offset of the newest event.
async fn end(client: &Client) -> Result<String> {
    let page = client.get("/api/v1/events", &[("newest", "true".to_owned()), ("limit", "1".to_owned())]).await?;
    let offset = page.get("next").and_then(Value::as_u64).context("the daemon does not say where its log ends")?;
    Ok(offset.to_string())
}

/// Prints events until the stream breaks. An error is that of printing.
async fn follow(session: &Session, stream: reqwest::Response, last: &mut String) -> std::io::Result<()> {
    let mut stream = stream.bytes_stream();
    let mut buffer: Vec<u8> = Vec::new();
    let mut event = String::new();
    while let Ok(Some(Ok(bytes))) = tokio::time::timeout(SILENT, stream.next()).await {
        buffer.extend_from_slice(&bytes);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(id) = line.strip_prefix("id:") {
                *last = id.trim().to_owned();
            } else if let Some(name) = line.strip_prefix("event:") {
                name.trim().clone_into(&mut event);
            } else if let Some(data) = line.strip_prefix("data:") {
                if event == "gap" {
                    remark(&format!("events were removed before they could be shown: {}", data.trim()));
                } else {
                    show(session, data.trim())?;
                }
            }
        }
    }
    Ok(())
}

fn show(session: &Session, data: &str) -> std::io::Result<()> {
    if session.output.json {
        return try_print_line(data);
    }
    let event: Value = serde_json::from_str(data).unwrap_or_default();
    let field = |pointer| printable(text(&event, pointer));
    let detail = event.get("data").map(detail).unwrap_or_default();
    let line = format!("{}  {:<26} {:<30} {}", field("/time"), field("/type"), field("/subject"), printable(&detail));
    try_print_line(line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_in_the_first_words_that_tell_something() {
        let long = format!("{}...", "ü".repeat(80));
        for (data, expected) in [
            (json!({"state": "failed", "message": "connection\n refused"}), "connection refused"),
            (json!({"reason": "", "title": "shop is down"}), "shop is down"),
            (json!({"error": null, "state": "open"}), "open"),
            (json!({"title": {"message": "deep"}}), "deep"),
            (json!({"count": 1}), ""),
            (json!({"message": "ü".repeat(81)}), long.as_str()),
        ] {
            assert_eq!(detail(&data), expected);
        }
    }

    #[test]
    fn audit_records_are_shown_to_those_who_ask_for_them() {
        assert_eq!(filter(&[], false), [("without", "audit".to_owned())]);
        assert_eq!(filter(&[], true), []);
        assert_eq!(filter(&["audit.".to_owned()], false), [("type", "audit.".to_owned())]);
    }

    #[test]
    fn an_empty_list_names_the_type_that_there_is_nothing_of() {
        let said = |types: &[&str]| none(&types.iter().map(|wanted| (*wanted).to_owned()).collect::<Vec<_>>());
        assert_eq!(said(&[]), "no events");
        assert_eq!(said(&["nonsense"]), "no events of the type `nonsense`");
        assert_eq!(said(&["alert", "custom."]), "no events of the type `alert` or `custom.`");
        assert_eq!(
            said(&["incident.open"]),
            "no events of the type `incident.open`; hint: did you mean `incident.opened`?"
        );
    }
}
