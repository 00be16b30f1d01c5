//! Plugins, instances, and the processes that are run for them.

mod files;
mod instances;
mod locked;
mod logs;

use super::{Session, authoring, decisions, text, views};
use crate::arguments::{Instance, Plugin, Process};
use crate::client::escape;
use crate::output::{Column, print_line, printable, remark};
use crate::workbench::check;
use anyhow::{Result, bail};
use instances::{change, check_name};
use quarterdeck_model::plugin::{Capability, Grants};
use serde_json::{Map, Value, json};
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
            show(session, name).await?;
        }
        Plugin::Reload => {
            let answer = session.client.post("/api/v1/plugins/reload", &json!({})).await?;
            let plugins = answer.get("items").and_then(|items| items.as_array()).cloned().unwrap_or_default();
            session.output.list(&PLUGINS, &plugins, "no plugins");
        }
        Plugin::Install(install) => return files::install(session, install).await,
        Plugin::Remove(remove) => return files::remove(session, remove).await,
        Plugin::Rollback(rollback) => return files::rollback(session, rollback).await,
        Plugin::Enable { instance } => return instances::enable(session, instance, true).await,
        Plugin::Disable { instance } => return instances::enable(session, instance, false).await,
        Plugin::Config(configure) => return instances::configure(session, configure).await,
        Plugin::Logs(logs) => return logs::logs(session, logs).await,
        Plugin::Grant { instance, digest, grants } => {
            return grant(session, instance, digest.as_deref(), grants.as_deref()).await;
        }
        Plugin::Revoke { instance, digest } => revoke(session, instance, digest.as_deref()).await?,
        Plugin::Replay(replay) => return decisions::replay(session, replay).await,
        Plugin::Shadow(shadow) => return decisions::shadow(session, shadow).await,
        Plugin::Promote { plugin } => decisions::promote(session, plugin).await?,
        Plugin::Journal { plugin } => decisions::journals(session, plugin.as_deref()).await?,
        // Done without a daemon.
        Plugin::Key(_)
        | Plugin::Sign(_)
        | Plugin::New { .. }
        | Plugin::Build { .. }
        | Plugin::Test { .. }
        | Plugin::Check { .. }
        | Plugin::Run { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

const VERSIONS: [Column; 6] = [
    ("VERSION", "/version"),
    ("IN USE", "/serves"),
    ("SINCE", "/used_at"),
    ("KEPT", "/kept"),
    ("FROM", "/origin"),
    ("DIGEST", "/digest"),
];

/// A plugin, and the versions of it that were in use.
async fn show(session: &Session, name: &str) -> Result<()> {
    let path = format!("/api/v1/plugins/{}", escape(name));
    let mut plugin = session.client.get(&path, &[]).await?;
    // One that was never usable has none.
    let versions = session.client.list(&format!("{path}/versions"), &[], usize::MAX).await.unwrap_or_default();
    if session.output.json {
        if let Value::Object(plugin) = &mut plugin {
            plugin.insert("versions".to_owned(), Value::Array(versions));
        }
        session.output.one(&plugin);
        return Ok(());
    }
    super::show(session, &plugin, views::plugin);
    if !versions.is_empty() {
        print_line("");
        session.output.list(&VERSIONS, &versions, "no versions");
    }
    Ok(())
}

/// Gives what waits the instance's grants: its digest goes into the instance's `granted-to`, as the API's word about it. Where those are not
/// all that it can't do without, it waits on, which is said, and is no success.
async fn grant(session: &Session, instance: &str, digest: Option<&str>, grants: Option<&str>) -> Result<ExitCode> {
    check_name(session, instance).await?;
    let status = session.client.get(&format!("/api/v1/instances/{}", segments(instance)), &[]).await?;
    let awaiting = status.get("awaiting").filter(|awaiting| awaiting.is_object());
    let Some(awaiting) = awaiting else { bail!("nothing waits for the grants of {instance}") };
    let waits = text(awaiting, "/plugin/digest");
    if let Some(wanted) = digest.filter(|wanted| *wanted != waits) {
        bail!("what waits is {waits}, not {wanted}; hint: look at it with `quarterdeck instance show {instance}`");
    }
    // What a trusted publisher signs later has the grants, too. Whoever names a content means that one.
    let named = text(awaiting, "/grant_to");
    let given_to = if digest.is_some() || named.is_empty() { waits } else { named };
    let path = format!("/api/v1/plugins/{}", crate::client::escape(text(&status, "/spec/plugin")));
    let plugin = session.client.get(&path, &[]).await.ok();
    let capabilities = plugin.and_then(|plugin| plugin.get("capabilities").cloned()).unwrap_or_default();
    let capabilities: Vec<Capability> = serde_json::from_value(capabilities).unwrap_or_default();
    if !session.output.json {
        print_line(&format!(
            "{} {} of `{}`",
            text(awaiting, "/plugin/name"),
            text(awaiting, "/plugin/version"),
            text(awaiting, "/source")
        ));
        check::asked(&capabilities).iter().for_each(|asked| print_line(&format!("  asks for {asked}")));
    }
    let more: Map<String, Value> = grants.map_or(Ok(Map::new()), |text| authoring::parsed("--grants", text))?;
    let answer = change(session, instance, |spec| {
        let given = spec.entry("grants").or_insert_with(|| json!({}));
        if let Value::Object(given) = given {
            given.extend(more);
        }
        let to = spec.entry("granted-to").or_insert_with(|| json!([]));
        if let Value::Array(to) = to
            && !to.iter().any(|to| *to == given_to)
        {
            to.push(json!(given_to));
        }
        Ok(spec.get("grants").cloned().unwrap_or_default())
    });
    let (grants, mut answer) = answer.await?;
    let gives = serde_json::from_value(grants).map(|grants: Grants| grants.words()).unwrap_or_default();
    if let Value::Object(answer) = &mut answer {
        answer.insert("given_to".to_owned(), json!(given_to));
        answer.insert("gives".to_owned(), json!(gives));
    }
    let status = session.client.get(&format!("/api/v1/instances/{}", segments(instance)), &[]).await?;
    let still = status.get("awaiting").filter(|awaiting| text(awaiting, "/plugin/digest") == waits);
    if let (Some(still), Value::Object(answer)) = (still, &mut answer) {
        answer.insert("awaiting".to_owned(), still.clone());
    }
    let given = if still.is_none() { "has" } else { "is given" };
    session.output.say(&format!("{given_to} {given} the grants of {instance}"), &answer);
    if session.output.json {
        return Ok(super::exit_code(still.is_none()));
    }
    gives.iter().for_each(|given| print_line(&printable(&format!("  gives {given}"))));
    let Some(still) = still else {
        if gives.is_empty() {
            remark(&format!("warning: they are none{}", to_give(instance, &capabilities)));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let missing = missing(still);
    check::asked(&missing).iter().for_each(|asked| print_line(&printable(&format!("  lacks {asked}"))));
    let names: Vec<&str> = missing.iter().map(|missing| missing.name.as_str()).collect();
    let what = if names.is_empty() { text(&status, "/reason").to_owned() } else { format!("for {}", names.join(", ")) };
    remark(&format!("error: {instance} still waits: {what}\nhint: {}", grant_command(instance, &missing)));
    Ok(super::exit_code(false))
}

/// What something that waits can't do without and was not given.
pub(super) fn missing(awaiting: &Value) -> Vec<Capability> {
    serde_json::from_value(awaiting.get("capabilities").cloned().unwrap_or_default()).unwrap_or_default()
}

/// The command that gives what waits these capabilities, with what only the operator can know left to fill in.
pub(super) fn grant_command(instance: &str, missing: &[Capability]) -> String {
    let given = missing.iter().map(|capability| {
        let given = match capability.name.as_str() {
            "kv" | "metrics" | "system" => json!(true),
            "http" => json!(["https://..."]),
            "tcp" => json!(["host:port"]),
            "exec" | "process" => json!([{"program": "/...", "arguments": ["..."]}]),
            "events" => json!(["custom."]),
            "files" => json!(["/..."]),
            _ => json!(["..."]),
        };
        (capability.name.clone(), given)
    });
    let grants: Map<String, Value> = given.collect();
    let command = format!("quarterdeck plugin grant {instance}");
    if grants.is_empty() { command } else { format!("{command} --grants '{}'", Value::Object(grants)) }
}

/// Behind what says that nothing was given.
fn to_give(instance: &str, capabilities: &[Capability]) -> String {
    match capabilities {
        [] => ", and it asks for nothing".to_owned(),
        asked => format!("; hint: {}", grant_command(instance, asked)),
    }
}

async fn revoke(session: &Session, instance: &str, digest: Option<&str>) -> Result<()> {
    let answer = change(session, instance, |spec| {
        let to = spec.get_mut("granted-to").and_then(Value::as_array_mut);
        let taken = to.map_or(0, |to| {
            let before = to.len();
            to.retain(|to| digest.is_some_and(|digest| *to != digest));
            before - to.len()
        });
        if taken == 0 {
            bail!("{instance} has given its grants to no such content; a bundled plugin has them by itself");
        }
        Ok(taken)
    });
    let (taken, answer) = answer.await?;
    session.output.say(&format!("taken from {taken}"), &answer);
    Ok(())
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
                ("HEALTH", "/health/state"),
                ("CALLS", "/usage/calls"),
                ("FAILURES", "/usage/failures"),
                ("REASON", "/reason"),
                ("ITS TARGET", "/health/message"),
            ];
            let instances = session.client.list("/api/v1/instances", &[], usize::MAX).await?;
            session.output.list(&columns, &instances, "no instances");
        }
        Instance::Top { by } => {
            let mut instances = session.client.list("/api/v1/instances", &[], usize::MAX).await?;
            let used = |instance: &Value| {
                let pointer = match by.as_str() {
                    "calls" => "/usage/window/calls",
                    "bytes-out" => "/usage/window/bytes_out",
                    "host-calls" => "/usage/window/host_calls",
                    _ => "/usage/window/guest_micros",
                };
                instance.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
            };
            instances.sort_by_key(|instance| std::cmp::Reverse(used(instance)));
            let columns = [
                ("INSTANCE", "/name"),
                ("CALLS", "/usage/window/calls"),
                ("RAN us", "/usage/window/guest_micros"),
                ("BYTES OUT", "/usage/window/bytes_out"),
                ("HOST CALLS", "/usage/window/host_calls"),
                ("MOST MEMORY", "/usage/memory_high_water_bytes"),
                ("SINCE", "/usage/window/since"),
                ("REASON", "/reason"),
            ];
            session.output.list(&columns, &instances, "no instances");
        }
        Instance::Show { name } => {
            check_name(session, name).await?;
            let instance = session.client.get(&format!("/api/v1/instances/{}", segments(name)), &[]).await?;
            super::show(session, &instance, views::instance);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Of its last words, the last ones: `process logs` has the others.
fn last_line(process: &mut Value) {
    if let Some(words) = process.get_mut("last_words") {
        let last = words.as_str().and_then(|words| words.trim_end().lines().last()).unwrap_or_default();
        *words = Value::from(last);
    }
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
                ("LAST WORDS", "/last_words"),
            ];
            let mut processes = session.client.list("/api/v1/processes", &[], usize::MAX).await?;
            if !session.output.json {
                processes.iter_mut().for_each(last_line);
            }
            session.output.list(&columns, &processes, "no processes");
        }
        Process::Logs { instance, name, lines } => {
            check_name(session, instance).await?;
            let path = format!("/api/v1/processes/{}/{}/log", segments(instance), escape(name));
            let log = session.client.get(&path, &[("lines", lines.to_string())]).await?;
            if session.output.json {
                session.output.one(&log);
                return Ok(ExitCode::SUCCESS);
            }
            if log.get("cut").and_then(Value::as_bool) == Some(true) {
                remark("... there is more in front of it; hint: --lines");
            }
            text(&log, "/text").lines().for_each(|line| print_line(&printable(line)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_listed_with_the_last_line_that_it_printed() {
        let mut process = json!({"name": "s1", "last_words": "one\ntwo\n"});
        last_line(&mut process);
        assert_eq!(process["last_words"], "two");
    }

    #[test]
    fn what_is_to_be_given_is_what_the_plugin_asks_for() {
        let asks = |name: &str| Capability { name: name.to_owned(), reason: String::new(), optional: false };
        assert_eq!(
            to_give("webhook/team", &[asks("http"), asks("kv")]),
            "; hint: quarterdeck plugin grant webhook/team --grants '{\"http\":[\"https://...\"],\"kv\":true}'"
        );
        assert_eq!(to_give("log/a", &[]), ", and it asks for nothing");
        assert_eq!(grant_command("log/a", &[]), "quarterdeck plugin grant log/a");
    }
}
