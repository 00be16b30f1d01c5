//! How the daemon is, and its jobs.

mod attention;

use super::{Session, exit_code, states, text};
use crate::arguments::Job;
use crate::client::escape;
use crate::output::{cell, print_line, printable};
use anyhow::{Result, bail};
use attention::Lists;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Of each kind; who has more troubles than these looks at the lists.
const MOST: usize = 200;

pub(super) async fn show(session: &Session) -> Result<ExitCode> {
    let status = session.client.get("/api/v1/status", &[]).await?;
    let ready = status.get("ready").and_then(Value::as_bool).unwrap_or(true);
    if session.output.json {
        session.output.one(&status);
        return Ok(exit_code(ready));
    }
    if status.get("version").is_none() {
        bail!("what answers there is no quarterdeck");
    }
    let list = async |path: &str, query: &[(&str, String)], most| {
        session.client.list(&format!("/api/v1/{path}"), query, most).await
    };
    let lists = Lists {
        instances: instances(session, &status).await?,
        plugins: list("plugins", &[], usize::MAX).await?,
        jobs: list("jobs", &[], usize::MAX).await?,
        alerts: list("alerts", &states(&["firing"]), MOST).await?,
        incidents: list("incidents", &states(&["open", "acknowledged"]), MOST).await?,
        slos: list("slos", &states(&["breached"]), MOST).await?,
        notifications: list("notifications", &states(&["pending"]), MOST).await?,
    };
    let troubles = attention::needed(&status, &lists);
    print_line(&match troubles.len() {
        0 => "OK".to_owned(),
        1 => "1 thing needs attention".to_owned(),
        count => format!("{count} things need attention"),
    });
    troubles.iter().for_each(|trouble| print_line(&format!("  {}", printable(trouble))));
    print_line("");
    summary(&status).iter().for_each(|line| print_line(&printable(line)));
    Ok(exit_code(ready))
}

/// Those that may need somebody, by name: what is in a state that is no good, and collectors, since those say how their targets are. There
/// may be ten thousand others.
async fn instances(session: &Session, status: &Value) -> Result<Vec<Value>> {
    let states = status.get("instances").and_then(Value::as_object).into_iter().flatten().map(|(state, _)| state);
    let states = states.filter(|state| !attention::is_well(state)).map(|state| ("state", state.clone()));
    let mut found = BTreeMap::new();
    for query in states.chain([("kind", "collector".to_owned())]) {
        let listed = session.client.list("/api/v1/instances", &[query], usize::MAX).await?;
        found.extend(listed.into_iter().map(|instance| (text(&instance, "/name").to_owned(), instance)));
    }
    Ok(found.into_values().collect())
}

/// What runs, in a few lines.
fn summary(status: &Value) -> Vec<String> {
    let shown = |pointer: &str| status.pointer(pointer).map(cell).unwrap_or_default();
    let tally = |pointer: &str| {
        let states = status.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
        states.map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", ")
    };
    vec![
        format!("version    {}, up {}", text(status, "/version"), shown("/uptime")),
        format!("plugins    {}", tally("/plugins")),
        format!("instances  {}", tally("/instances")),
        format!(
            "jobs       {} ({} running, {} waiting)",
            shown("/jobs/jobs"),
            shown("/jobs/running"),
            shown("/jobs/queued")
        ),
        format!(
            "open       {} alerts, {} incidents, {} deployments, {} runs",
            shown("/open/alerts"),
            shown("/open/incidents"),
            shown("/open/deployments"),
            shown("/open/runs")
        ),
        format!(
            "store      {} used, {} free; events {} to {}",
            bytes(status, "/store/size_bytes"),
            bytes(status, "/store/free_bytes"),
            shown("/log/tail"),
            shown("/log/head")
        ),
    ]
}

fn bytes(status: &Value, pointer: &str) -> String {
    let bytes = status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

pub(super) async fn job(session: &Session, command: &Job) -> Result<ExitCode> {
    match command {
        Job::List => {
            let jobs = session.client.list("/api/v1/jobs", &[], usize::MAX).await?;
            let columns = [
                ("JOB", "/name"),
                ("SCHEDULE", "/schedule"),
                ("NEXT", "/next_run"),
                ("LAST", "/last_run"),
                ("TOOK", "/last_duration"),
                ("RUNS", "/runs"),
                ("FAILED", "/failures"),
                ("MISSED", "/missed"),
                ("LAST ERROR", "/last_error"),
            ];
            session.output.list(&columns, &jobs, "no jobs");
        }
        Job::Show { name } => {
            session.output.one(&session.client.get(&format!("/api/v1/jobs/{}", escape(name)), &[]).await?);
        }
        Job::Run { name } => {
            let answer = session.client.post("/api/v1/jobs/run", &json!({"name": name})).await?;
            session.output.say(&format!("{name} runs now"), &answer);
        }
    }
    Ok(ExitCode::SUCCESS)
}
