//! What plugins log, looked at and followed.

use super::super::{Session, text};
use super::instances::check_name;
use super::segments;
use crate::arguments::Logs;
use crate::output::{printable, remark, try_print_line};
use anyhow::Result;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

/// How often whoever follows asks again.
const AGAIN: Duration = Duration::from_millis(500);

pub(super) async fn logs(session: &Session, logs: &Logs) -> Result<ExitCode> {
    let instances = match &logs.instance {
        Some(name) => {
            check_name(session, name).await?;
            vec![name.clone()]
        }
        None => {
            let all = session.client.list("/api/v1/instances", &[], usize::MAX).await?;
            all.iter().map(|instance| text(instance, "/name").to_owned()).collect()
        }
    };
    let mut seen = BTreeMap::new();
    let mut lines = Vec::new();
    for instance in instances {
        let (newest, next) = newest(session, logs, &instance).await?;
        lines.extend(newest.into_iter().map(|line| (instance.clone(), line)));
        seen.insert(instance, next);
    }
    lines.sort_by(|(_, a), (_, b)| text(a, "/at").cmp(text(b, "/at")));
    if lines.is_empty() && !logs.follow && !session.output.json {
        remark("nothing was logged since the daemon's start");
    }
    if session.output.json && !logs.follow {
        let lines: Vec<Value> = lines.into_iter().map(|(instance, line)| named(instance, line)).collect();
        session.output.one(&Value::Array(lines));
        return Ok(ExitCode::SUCCESS);
    }
    let mut open = print(session, lines);
    while logs.follow && open {
        tokio::time::sleep(AGAIN).await;
        for (instance, next) in &mut seen {
            let more = behind(session, logs, instance, next).await?;
            open &= print(session, more.into_iter().map(|line| (instance.clone(), line)).collect());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The newest lines of an instance, the oldest of them first, and where to go on.
async fn newest(session: &Session, logs: &Logs, instance: &str) -> Result<(Vec<Value>, u64)> {
    let path = format!("/api/v1/instances/{}/logs", segments(instance));
    let mut query = level(logs);
    query.push(("newest", "true".to_owned()));
    let mut lines = session.client.list(&path, &query, logs.limit).await?;
    lines.reverse();
    let next = match lines.last().and_then(number) {
        Some(next) => next,
        // Others may have been left out by their level.
        None => {
            let page = session.client.get(&path, &[("limit", "1".to_owned()), ("newest", "true".to_owned())]).await?;
            page.get("next").and_then(Value::as_u64).unwrap_or(0)
        }
    };
    Ok((lines, next))
}

async fn behind(session: &Session, logs: &Logs, instance: &str, next: &mut u64) -> Result<Vec<Value>> {
    let path = format!("/api/v1/instances/{}/logs", segments(instance));
    let mut query = level(logs);
    query.push(("limit", "1000".to_owned()));
    query.push(("after", next.to_string()));
    let page = session.client.get(&path, &query).await?;
    *next = page.get("next").and_then(Value::as_u64).unwrap_or(*next);
    Ok(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn level(logs: &Logs) -> Vec<(&'static str, String)> {
    logs.level.clone().map(|level| ("level", level)).into_iter().collect()
}

fn number(line: &Value) -> Option<u64> {
    line.get("number").and_then(Value::as_u64)
}

fn named(instance: String, mut line: Value) -> Value {
    if let Value::Object(line) = &mut line {
        line.insert("instance".to_owned(), Value::String(instance));
    }
    line
}

/// False: nobody reads any more.
fn print(session: &Session, lines: Vec<(String, Value)>) -> bool {
    lines.into_iter().all(|(instance, line)| {
        let shown = if session.output.json {
            named(instance, line).to_string()
        } else {
            let (at, level) = (text(&line, "/at"), text(&line, "/level"));
            printable(&format!("{at} {level:<5} {instance}: {}", text(&line, "/message")))
        };
        !matches!(try_print_line(&shown), Err(error) if error.kind() == ErrorKind::BrokenPipe)
    })
}
