//! Deployments.

use super::{Session, exit_code, text, watch};
use crate::arguments::{Deployment, Limit, Service};
use crate::client::escape;
use crate::output::{Output, print_line, printable};
use anyhow::Result;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// It waits, for a person or for traffic.
const WAITS: u8 = 3;

/// `patience`: how long it is watched while it only holds; without, it is not watched at all.
pub(super) async fn deploy(
    session: &Session,
    service: &str,
    revision: &str,
    patience: Option<Duration>,
) -> Result<ExitCode> {
    let output = session.output;
    let started =
        session.client.post("/api/v1/deployments", &json!({"service": service, "revision": revision})).await?;
    let id = text(&started, "/id");
    let Some(patience) = patience else {
        output.say(id, &started);
        return Ok(ExitCode::SUCCESS);
    };
    if !output.json {
        print_line(&format!("{id}  {}", title(&started)));
    }
    let path = format!("/api/v1/deployments/{id}");
    let told = RefCell::new(Seen::default());
    let deployment = watch(
        session,
        &path,
        |deployment| is_over(deployment) || is_paused(deployment) || told.borrow().waits_for(patience),
        |deployment| told.borrow_mut().tell(deployment, output),
    )
    .await?;
    let state = text(&deployment, "/state");
    let reason = reason(&deployment);
    let waits = !is_over(&deployment);
    let sentence = match (state, waits) {
        ("paused", _) => format!("paused: {reason}; {}", ways_on(id, false)),
        (_, true) => format!("waits: {reason}; {}", ways_on(id, true)),
        (_, false) if reason.is_empty() => format!("{service} {revision}: {state}"),
        (_, false) => format!("{service} {revision}: {state}: {reason}"),
    };
    output.say(&sentence, &deployment);
    Ok(if waits { ExitCode::from(WAITS) } else { exit_code(state == "succeeded") })
}

fn is_over(deployment: &Value) -> bool {
    matches!(text(deployment, "/state"), "succeeded" | "rolled-back" | "failed")
}

fn is_paused(deployment: &Value) -> bool {
    text(deployment, "/state") == "paused"
}

fn ways_on(id: &str, full: bool) -> String {
    let full = if full { "--full " } else { "" };
    format!("go on with `quarterdeck deployment promote {full}{id}`, or `quarterdeck deployment abort {id}`")
}

fn title(deployment: &Value) -> String {
    let from = match text(deployment, "/stable") {
        "" => String::new(),
        stable => format!(" instead of {stable}"),
    };
    format!("{} {}{from}", text(deployment, "/service"), text(deployment, "/candidate"))
}

fn moves(deployment: &Value) -> &[Value] {
    deployment.pointer("/moves").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Why it is where it is: why it went back, or what it waits for.
fn reason(deployment: &Value) -> &str {
    match (text(deployment, "/error"), is_over(deployment)) {
        ("", false) => moves(deployment).last().map_or("", |record| text(record, "/reason")),
        (error, _) => error,
    }
}

/// A decision in a line. Holds that say the same are one line.
fn line(record: &Value) -> String {
    format!("{}  {:<9} {}", text(record, "/at"), text(record, "/decided/move"), text(record, "/reason"))
}

/// What a watcher has seen.
#[derive(Default)]
struct Seen {
    lines: HashSet<String>,
    last_hold: String,
    /// Since when nothing but holding was decided.
    holds_since: Option<Instant>,
}

impl Seen {
    /// Prints what is new.
    fn tell(&mut self, deployment: &Value, output: Output) {
        for record in moves(deployment) {
            let (line, reason) = (line(record), text(record, "/reason"));
            if !self.lines.insert(line.clone()) {
                continue;
            }
            let holds = text(record, "/decided/move") == "hold";
            if holds && self.holds_since.is_none() {
                self.holds_since = Some(Instant::now());
            } else if !holds {
                self.holds_since = None;
            }
            if holds && self.last_hold == reason {
                continue;
            }
            self.last_hold = if holds { reason.to_owned() } else { String::new() };
            if !output.json {
                print_line(&printable(&line));
            }
        }
    }

    fn waits_for(&self, patience: Duration) -> bool {
        self.holds_since.is_some_and(|since| since.elapsed() >= patience)
    }
}

pub(super) async fn deployment(session: &Session, command: &Deployment) -> Result<ExitCode> {
    match command {
        Deployment::List(Limit { limit }) => {
            let mut listed = session.client.first("/api/v1/deployments", &[], *limit).await?;
            if !session.output.json {
                for deployment in &mut listed.items {
                    let why = reason(deployment).to_owned();
                    if let Some(fields) = deployment.as_object_mut().filter(|_| !why.is_empty()) {
                        fields.insert("reason".to_owned(), Value::String(why));
                    }
                }
            }
            let columns = [
                ("DEPLOYMENT", "/id"),
                ("SERVICE", "/service"),
                ("FROM", "/stable"),
                ("TO", "/candidate"),
                ("STATE", "/state"),
                ("WEIGHT", "/weight"),
                ("STARTED", "/started_at"),
                ("REASON", "/reason"),
            ];
            session.output.listed(&columns, &listed, "no deployments");
        }
        Deployment::Show { id } => {
            show(session.output, &session.client.get(&format!("/api/v1/deployments/{}", escape(id)), &[]).await?)
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

fn show(output: Output, deployment: &Value) {
    if output.json {
        output.one(deployment);
        return;
    }
    let field = |pointer| text(deployment, pointer);
    let weight = deployment.pointer("/weight").map(Value::to_string).unwrap_or_default();
    let say = |line: String| print_line(&printable(&line));
    say(format!(
        "{}  {}  {}  {weight} %  by {}",
        field("/id"),
        title(deployment),
        field("/state"),
        field("/principal")
    ));
    for replica in deployment.pointer("/replicas").and_then(Value::as_array).into_iter().flatten() {
        let weight = replica.pointer("/weight").map(Value::to_string).unwrap_or_default();
        let (name, phase) = (text(replica, "/name"), text(replica, "/phase"));
        say(format!("  {name}  {phase}  weight {weight}  {}", text(replica, "/message")).trim_end().to_owned());
    }
    say(format!("  {}  started", field("/started_at")));
    for record in moves(deployment) {
        say(format!("  {}", line(record)));
    }
    let why = reason(deployment);
    if is_over(deployment) {
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        say(format!("  {}  {}{why}", field("/finished_at"), field("/state")));
    } else if is_paused(deployment) {
        say(format!("paused: {why}; {}", ways_on(field("/id"), false)));
    }
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
            let service = session.client.get(&format!("/api/v1/services/{}", escape(name)), &[]).await?;
            super::show(session, &service, super::views::service);
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(state: &str, moves: Value, error: Value) -> Value {
        json!({"id": "dep_1", "state": state, "moves": moves, "error": error})
    }

    #[test]
    fn the_reason_is_what_it_waits_for_or_why_it_went_back() {
        let moves = json!([{"reason": "first"}, {"reason": "18 responses, 20 are needed to tell"}]);
        for (state, error, expected) in [
            ("paused", Value::Null, "18 responses, 20 are needed to tell"),
            ("progressing", Value::Null, "18 responses, 20 are needed to tell"),
            ("rolling-back", json!("too bad"), "too bad"),
            ("rolled-back", json!("too bad"), "too bad"),
            ("succeeded", Value::Null, ""),
        ] {
            assert_eq!(reason(&deployment(state, moves.clone(), error)), expected, "{state}");
        }
        assert_eq!(reason(&json!({"state": "progressing"})), "");
    }

    #[test]
    fn a_watcher_loses_patience_with_what_only_holds_and_with_nothing_else() {
        let output = Output { json: true };
        let record = |at: u32, kind: &str| json!({"at": at.to_string(), "decided": {"move": kind}, "reason": "r"});
        let mut seen = Seen::default();
        let mut told = |moves: Value| {
            seen.tell(&deployment("progressing", moves, Value::Null), output);
            seen.waits_for(Duration::ZERO)
        };
        assert!(!told(json!([record(1, "start")])));
        assert!(told(json!([record(1, "start"), record(2, "hold")])));
        assert!(told(json!([record(1, "start"), record(3, "hold")])), "gathered, it is the same wait");
        assert!(!told(json!([record(1, "start"), record(3, "hold"), record(4, "weight")])));
    }
}
