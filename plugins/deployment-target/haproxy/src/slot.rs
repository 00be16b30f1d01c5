//! Who gets which slot, and what runs there.

use crate::Config;
use crate::record::{self, Place, Record};
use quarterdeck_sdk::Failure;
use quarterdeck_sdk::host::process::{self, Phase, Spec};
use quarterdeck_sdk::host::{self, log};

/// Where replicas listen.
pub(crate) const LOOPBACK: &str = "127.0.0.1";

/// A slot has its port, so that who has the one has the other.
pub(crate) fn port(config: &Config, slot: &str) -> Option<u16> {
    let index = config.slots.iter().position(|own| own == slot)?;
    let port = config.ports.from.checked_add(u16::try_from(index).ok()?)?;
    (port <= config.ports.to).then_some(port)
}

/// What runs in a slot. Two replicas never have the same specification in the same slot.
pub(crate) fn spec(config: &Config, slot: &str, port: u16, replica: &str, revision: &str) -> Spec {
    let fill = |text: &String| fill(text, port, replica, revision);
    let mut environment: Vec<_> = config.environment.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
    environment.push(("REPLICA".to_owned(), replica.to_owned()));
    Spec {
        name: slot.to_owned(),
        program: config.program.clone(),
        arguments: config.arguments.iter().map(fill).collect(),
        environment,
        health_url: Some(health_url(config, port)),
    }
}

pub(crate) fn health_url(config: &Config, port: u16) -> String {
    format!("http://{LOOPBACK}:{port}{}", config.health_path)
}

/// In one pass, so that a revision named `{port}` stays what it is. Other braces are left alone.
fn fill(text: &str, port: u16, replica: &str, revision: &str) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        let value = match behind.split_once('}') {
            Some(("revision", after)) => Some((revision.to_owned(), after)),
            Some(("port", after)) => Some((port.to_string(), after)),
            Some(("replica", after)) => Some((replica.to_owned(), after)),
            _ => None,
        };
        rest = match value {
            Some((value, after)) => {
                filled.push_str(&value);
                after
            }
            None => {
                filled.push('{');
                behind
            }
        };
    }
    filled.push_str(rest);
    filled
}

/// Starts the replica's process in the first slot that is free, or finds it where an earlier attempt started it.
pub(crate) fn take(config: &Config, record: &Record) -> Result<Place, Failure> {
    let mut broken = None;
    let mut taken = Vec::new();
    for slot in &config.slots {
        if let Some(tenant) = record::in_slot(slot)? {
            taken.push(format!("{slot}: {}", tenant.replica));
            continue;
        }
        let Some(port) = port(config, slot) else { continue };
        match process::start(&spec(config, slot, port, &record.replica, &record.revision)) {
            Ok(_) => return Ok(Place::new(slot, port)),
            Err(denied @ host::Error::Denied(_)) => return Err(denied.into()),
            // Somebody else's process, which is just being started and not written down yet, or just ending.
            Err(_) if is_inhabited(slot)? => taken.push(format!("{slot}: another process")),
            Err(error) => broken = broken.or(Some(error)),
        }
    }
    if let Some(error) = broken {
        return Err(error.into());
    }
    Err(Failure::rejected(format!(
        "no slot is free for `{}`: {} of backend `{}` are taken ({})\nhint: a deployment needs slots for the replicas of both revisions",
        record.replica,
        taken.len(),
        config.backend,
        taken.join(", ")
    )))
}

fn is_inhabited(slot: &str) -> Result<bool, Failure> {
    Ok(!matches!(process::status(slot)?.phase, Phase::Absent | Phase::Exited))
}

/// Where a process of the replica runs although nobody wrote it down: the host died between its start and the end of the call,
/// and the start was not tried again.
pub(crate) fn lost(config: &Config, record: &Record) -> Result<Option<Place>, Failure> {
    for slot in &config.slots {
        if record::in_slot(slot)?.is_some() || !is_inhabited(slot)? {
            continue;
        }
        let Some(port) = port(config, slot) else { continue };
        // Starts nothing: something runs there, and this is only done if that is the replica's.
        if process::start(&spec(config, slot, port, &record.replica, &record.revision)).is_ok() {
            log::info!("found the process of {} in slot {slot}", record.replica);
            return Ok(Some(Place::new(slot, port)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_in_once() {
        let filled = |text: &str| fill(text, 8001, "web-{port}-1", "{port}");
        assert_eq!(filled("--at={port}/{revision}"), "--at=8001/{port}");
        assert_eq!(filled("{replica}"), "web-{port}-1");
        assert_eq!(filled(r#"{"a": {port}, "b": {x}}"#), r#"{"a": 8001, "b": {x}}"#);
        assert_eq!(filled("{{port}"), "{8001");
        assert_eq!(filled("{"), "{");
        assert_eq!(filled(""), "");
    }
}
