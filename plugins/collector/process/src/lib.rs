//! Asks whether processes and services run: by the name of their program, by a pid file, or as units of systemd.
//!
//! - `running`: processes, as the host shows them
//! - `units`: what `systemctl` says

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod running;
mod units;

use quarterdeck_sdk::collector::{Collection, Collector, Health};
use quarterdeck_sdk::{Capability, Failure, Plugin, Problem};

quarterdeck_sdk::config! {
    /// Configuration of `process`.
    pub struct Config {
        /// Processes that have to run.
        #[serde(default)]
        pub processes: Vec<Wanted>,
        /// Units of systemd that have to be active: `nginx.service`.
        #[serde(default)]
        pub units: Vec<String>,
        /// Where `systemctl` is. Has to be granted (`grants.exec`), for `units`.
        #[serde(default = "systemctl")]
        pub systemctl: String,
    }

    /// A process that has to run.
    pub struct Wanted {
        /// In the label `process`; the program's name, too, unless `program` or `pid-file` says otherwise.
        pub name: String,
        /// Name of the program, as the kernel has it: without its folder, 15 bytes of it.
        #[serde(default)]
        pub program: Option<String>,
        /// A file that holds the process's number. Has to be granted (`grants.files`).
        #[serde(default)]
        pub pid_file: Option<String>,
        /// So many have to run.
        #[serde(default = "one")]
        pub at_least: u32,
        /// No more than so many. Unless given, any number.
        #[serde(default)]
        pub at_most: Option<u32>,
    }
}

fn systemctl() -> String {
    "/usr/bin/systemctl".to_owned()
}

fn one() -> u32 {
    1
}

/// The plugin.
pub struct Process;

impl Plugin for Process {
    type Config = Config;
    const NAME: &'static str = "process";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Whether processes and services run";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::optional("system", "sees which processes run"),
            Capability::optional("files", "reads pid files"),
            Capability::optional("exec", "asks `systemctl` about units"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if config.processes.is_empty() && config.units.is_empty() {
            problems.push(Problem::at("", "names neither `processes` nor `units`"));
        }
        for (index, wanted) in config.processes.iter().enumerate() {
            let at = |key: &str| format!("/processes/{index}/{key}");
            if wanted.name.is_empty() || config.processes.iter().take(index).any(|other| other.name == wanted.name) {
                problems.push(Problem::at(at("name"), format!("`{}` is empty, or named twice", wanted.name)));
            }
            if wanted.program.is_some() && wanted.pid_file.is_some() {
                problems.push(Problem::at(at("pid-file"), "is given, and so is `program`"));
            }
            if wanted.pid_file.as_ref().is_some_and(|path| !path.starts_with('/')) {
                problems.push(Problem::at(at("pid-file"), "is no absolute path"));
            }
            if wanted.at_most.is_some_and(|most| most < wanted.at_least) {
                problems.push(Problem::at(at("at-most"), "is below `at-least`"));
            }
        }
        for (index, unit) in config.units.iter().enumerate() {
            if !units::is_name(unit) || config.units.iter().take(index).any(|other| other == unit) {
                let message = format!("`{unit}` is no name of a unit, or named twice; hint: `nginx.service`");
                problems.push(Problem::at(format!("/units/{index}"), message));
            }
        }
        if !config.systemctl.starts_with('/') {
            problems.push(Problem::at("/systemctl", "is no absolute path"));
        }
        problems
    }
}

impl Collector for Process {
    fn collect(config: &Config, _: i64) -> Result<Collection, Failure> {
        let mut families = Vec::new();
        let mut bad = Vec::new();
        if !config.processes.is_empty() {
            running::report(config, &mut families, &mut bad)?;
        }
        if !config.units.is_empty() {
            units::report(config, &mut families, &mut bad)?;
        }
        families.retain(|family| !family.values.is_empty());
        let health = match bad.is_empty() {
            true => Health::ok(format!("{} processes and {} units run", config.processes.len(), config.units.len())),
            false => Health::failed(bad.join("; ")),
        };
        Ok(Collection { families, health })
    }
}

quarterdeck_sdk::export!(Process: collector);

#[cfg(test)]
mod tests;
