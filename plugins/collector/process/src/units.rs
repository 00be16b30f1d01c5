//! Units of systemd, by `systemctl show`.

use crate::Config;
use quarterdeck_sdk::collector::Family;
use quarterdeck_sdk::host::Error;
use quarterdeck_sdk::host::exec::{self, Command};
use quarterdeck_sdk::{Failure, Labels};
use std::collections::BTreeMap;

const PROPERTIES: &str = "--property=Id,Names,LoadState,ActiveState,SubState,NRestarts,MemoryCurrent,Result";
const TIMEOUT_MS: u64 = 5000;
/// As `ActiveState` names them.
const STATES: [&str; 7] = ["active", "reloading", "inactive", "failed", "activating", "deactivating", "maintenance"];

/// What a unit may be called, and a flag may not.
pub(crate) fn is_name(unit: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ":-_.\\@".contains(letter);
    !unit.starts_with('-') && unit.contains('.') && unit.len() <= 255 && unit.chars().all(plain)
}

pub(crate) fn report(config: &Config, families: &mut Vec<Family>, bad: &mut Vec<String>) -> Result<(), Failure> {
    let shown = match show(config)? {
        Ok(text) => units(&text),
        Err(reason) => {
            bad.push(format!("units can't be asked for: {reason}"));
            return Ok(());
        }
    };
    let mut up = Family::gauge("unit_up", "1 if the unit is active");
    let mut states = Family::gauge("unit_state", "1 for the state that the unit is in");
    let mut restarts = Family::counter("unit_restarts_total", "By systemd, since the unit was started");
    let mut memory = Family::gauge("unit_memory_bytes", "Of all of its processes");
    for unit in &config.units {
        let about = shown.iter().find(|shown| shown.is_of(unit));
        let labels = Labels::new().with("unit", unit);
        let state = about.map_or("", |about| about.get("ActiveState"));
        let is_up = matches!(state, "active" | "reloading");
        up.push(labels.clone(), if is_up { 1.0 } else { 0.0 });
        let Some(about) = about else {
            bad.push(format!("`{unit}` is not known"));
            continue;
        };
        for known in STATES {
            states.push(labels.clone().with("state", known), if known == state { 1.0 } else { 0.0 });
        }
        // `[not set]`, and the largest number of all, stand for nothing.
        let number = |name: &str| about.get(name).parse::<u64>().ok().filter(|number| *number < u64::MAX);
        if let Some(count) = number("NRestarts") {
            restarts.push(labels.clone(), count as f64);
        }
        if let Some(bytes) = number("MemoryCurrent") {
            memory.push(labels, bytes as f64);
        }
        if is_up {
            continue;
        }
        bad.push(match about.get("LoadState") {
            "not-found" => format!("`{unit}` is not known"),
            _ => format!("`{unit}` is {state} ({}, {})", about.get("SubState"), about.get("Result")),
        });
    }
    families.extend([up, states, restarts, memory]);
    Ok(())
}

/// What `systemctl` says; or why it says nothing, which is that there is no systemd, as a rule.
fn show(config: &Config) -> Result<Result<String, String>, Failure> {
    let arguments = ["show", PROPERTIES, "--"].map(str::to_owned).into_iter().chain(config.units.iter().cloned());
    let command = Command {
        program: config.systemctl.clone(),
        arguments: arguments.collect(),
        environment: Vec::new(),
        stdin: None,
        timeout_ms: TIMEOUT_MS,
    };
    Ok(match exec::run(&command) {
        Ok(finished) if finished.exit_code == Some(0) => Ok(finished.stdout),
        Ok(finished) => {
            let said = finished.stderr.lines().map(str::trim).find(|line| !line.is_empty());
            Err(said.unwrap_or("systemctl did not say why").to_owned())
        }
        Err(Error::Failed(message)) => Err(message),
        Err(other) => return Err(other.into()),
    })
}

struct Unit(BTreeMap<String, String>);

impl Unit {
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// By any of its names: whoever asks for one that stands for another is told about the other.
    fn is_of(&self, unit: &str) -> bool {
        self.get("Id") == unit || self.get("Names").split_whitespace().any(|name| name == unit)
    }
}

/// Units are apart by an empty line.
fn units(text: &str) -> Vec<Unit> {
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    let pairs = |block: &str| {
        block
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    blocks.map(|block| Unit(pairs(block))).collect()
}
