//! Plugins, instances, and the processes that are run for them.

use super::Session;
use crate::arguments::{Instance, Plugin, Process};
use crate::output::Column;
use anyhow::Result;
use serde_json::json;
use std::process::ExitCode;

const PLUGINS: [Column; 6] = [
    ("PLUGIN", "/name"),
    ("VERSION", "/version"),
    ("STATE", "/state"),
    ("KINDS", "/kinds"),
    ("SOURCE", "/source"),
    ("REASON", "/reason"),
];

pub(super) async fn plugin(session: &Session, command: &Plugin) -> Result<ExitCode> {
    match command {
        Plugin::List => {
            let plugins = session.client.list("/api/v1/plugins", &[], usize::MAX).await?;
            session.output.list(&PLUGINS, &plugins, "no plugins");
        }
        Plugin::Show { name } => {
            let plugin = session.client.get(&format!("/api/v1/plugins/{}", crate::client::escape(name)), &[]).await?;
            session.output.one(&plugin);
        }
        Plugin::Reload => {
            let answer = session.client.post("/api/v1/plugins/reload", &json!({})).await?;
            let plugins = answer.get("items").and_then(|items| items.as_array()).cloned().unwrap_or_default();
            session.output.list(&PLUGINS, &plugins, "no plugins");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `plugin/name`: two segments of the path.
fn segments(name: &str) -> String {
    name.splitn(2, '/').map(crate::client::escape).collect::<Vec<_>>().join("/")
}

pub(super) async fn instance(session: &Session, command: &Instance) -> Result<ExitCode> {
    match command {
        Instance::List => {
            let columns = [
                ("INSTANCE", "/name"),
                ("STATE", "/state"),
                ("VERSION", "/plugin/version"),
                ("CALLS", "/usage/calls"),
                ("FAILURES", "/usage/failures"),
                ("REASON", "/reason"),
            ];
            let instances = session.client.list("/api/v1/instances", &[], usize::MAX).await?;
            session.output.list(&columns, &instances, "no instances");
        }
        Instance::Show { name } => {
            session.output.one(&session.client.get(&format!("/api/v1/instances/{}", segments(name)), &[]).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn process(session: &Session, command: &Process) -> Result<ExitCode> {
    match command {
        Process::List => {
            let columns = [
                ("INSTANCE", "/instance"),
                ("NAME", "/name"),
                ("PID", "/pid"),
                ("STATE", "/state"),
                ("HEALTH", "/health"),
                ("RESTARTS", "/restarts"),
                ("SINCE", "/since"),
            ];
            let processes = session.client.list("/api/v1/processes", &[], usize::MAX).await?;
            session.output.list(&columns, &processes, "no processes");
        }
    }
    Ok(ExitCode::SUCCESS)
}
