//! Runs the replicas of a service as processes on this machine, and has HAProxy share the traffic among them. HAProxy's
//! configuration names empty server slots; a replica takes one, and everything else goes over HAProxy's runtime API, without
//! a reload.
//!
//! Steps for several replicas are carried out side by side, and nothing that one call writes is seen by the other before
//! both have ended. So no two calls write the same key, and who gets a slot is decided by the one thing that decides at
//! once: a process bears its slot's name, and the host runs one process of a name. Its specification holds the replica's
//! name, so that starting it again after a crash finds the replica's own process, and nobody else's.
//!
//! Layout: `admin` (HAProxy's runtime API) · `stat` (its statistics) · `record` (what is remembered) · `slot` (who gets which,
//! and what runs there) · `steps` · `see` (what is observed)

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

mod admin;
mod record;
mod see;
mod slot;
mod stat;
mod steps;

use quarterdeck_sdk::deployment_target::{DeploymentTarget, Replica, Step};
use quarterdeck_sdk::host::tcp::Address;
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem};
use std::collections::{BTreeMap, BTreeSet};

quarterdeck_sdk::config! {
    /// Configuration of `haproxy`.
    pub struct Config {
        /// HAProxy's runtime API, with `level admin`: the path of a Unix socket, or `host:port`.
        #[serde(default = "default_socket")]
        pub socket: String,
        /// The backend whose servers are the slots.
        pub backend: String,
        /// Names of that backend's servers that are for replicas. A deployment needs slots for both revisions.
        pub slots: Vec<String>,
        /// Absolute path of what a replica runs.
        pub program: String,
        /// One by one. `{revision}`, `{port}` and `{replica}` are filled in.
        #[serde(default)]
        pub arguments: Vec<String>,
        /// Variables for the program; filled in like the arguments. Each has to be named in `environment` of the grant `process`.
        /// `REPLICA` is always set, to the replica's name, and needs no grant.
        #[serde(default)]
        pub environment: BTreeMap<String, String>,
        /// The first slot's replica listens on 127.0.0.1 at `from`, the second one's at the next port, and so on.
        pub ports: Ports,
        /// A GET of it is answered with 2xx when a replica is ready.
        #[serde(default = "default_health_path")]
        pub health_path: String,
        /// How long a drained replica may take to finish what is in flight.
        #[serde(default = "thirty")]
        pub drain_seconds: u64,
        /// How long after SIGTERM a replica is killed.
        #[serde(default = "ten")]
        pub stop_grace_seconds: u64,
    }

    /// Ports, both ends included.
    pub struct Ports {
        /// The first one.
        pub from: u16,
        /// The last one.
        pub to: u16,
    }
}

fn default_socket() -> String {
    "/run/haproxy/admin.sock".to_owned()
}

fn default_health_path() -> String {
    "/healthz".to_owned()
}

fn thirty() -> u64 {
    30
}

fn ten() -> u64 {
    10
}

/// The plugin.
pub struct Haproxy;

impl Plugin for Haproxy {
    type Config = Config;
    const NAME: &'static str = "haproxy";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Runs replicas as processes behind HAProxy, and shifts traffic between them";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("kv", "remembers which replica has which slot"),
            Capability::required("tcp", "talks to HAProxy's runtime API"),
            Capability::required("process", "runs the replicas"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if Address::parse(&config.socket).is_none() {
            let message = format!("`{}` is neither the path of a socket nor `host:port`", config.socket);
            problems.push(Problem::at("/socket", message));
        }
        if !is_name(&config.backend, b":_.-") {
            problems.push(Problem::at("/backend", "expected letters, digits, `_`, `-`, `.` and `:`"));
        }
        if config.slots.is_empty() {
            problems.push(Problem::at("/slots", "there are none, so there is no room for a replica"));
        }
        let mut seen = BTreeSet::new();
        for (index, slot) in config.slots.iter().enumerate() {
            // They are names of processes, too.
            if !is_name(slot, b"_.-") || slot.len() > 100 || !slot.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                let message = "expected up to 100 letters, digits, `_`, `-` and `.`, the first a letter or digit";
                problems.push(Problem::at(format!("/slots/{index}"), message));
            }
            if !seen.insert(slot) {
                problems.push(Problem::at(format!("/slots/{index}"), format!("`{slot}` stands there twice")));
            }
        }
        if !config.program.starts_with('/') {
            problems.push(Problem::at("/program", "expected an absolute path"));
        }
        if config.environment.contains_key("REPLICA") {
            problems.push(Problem::at("/environment/REPLICA", "is set by the plugin"));
        }
        let ports = usize::from(config.ports.to).saturating_sub(usize::from(config.ports.from)) + 1;
        if config.ports.from == 0 || config.ports.to < config.ports.from {
            problems.push(Problem::at("/ports", "expected `from` to be at least 1, and `to` no less than `from`"));
        } else if ports < config.slots.len() {
            let message = format!("{ports} ports for {} slots: each slot has its own", config.slots.len());
            problems.push(Problem::at("/ports", message));
        }
        if !config.health_path.starts_with('/') || !config.health_path.bytes().all(|byte| byte.is_ascii_graphic()) {
            problems.push(Problem::at("/health-path", "expected a path such as `/healthz`"));
        }
        problems
    }
}

fn is_name(text: &str, marks: &[u8]) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
}

impl DeploymentTarget for Haproxy {
    fn observe(config: &Config, service: &str) -> Result<Vec<Replica>, Failure> {
        see::observe(config, service)
    }

    fn apply(config: &Config, service: &str, step: &Step, _key: &str) -> Result<Outcome, Failure> {
        match step {
            Step::Start { replica, revision } => steps::start(config, service, replica, revision),
            Step::Weight { replica, weight } => steps::weight(config, service, replica, *weight),
            Step::Drain { replica } => steps::drain(config, service, replica),
            Step::Stop { replica } => steps::stop(config, service, replica),
        }
    }
}

quarterdeck_sdk::export!(Haproxy: deployment_target);

#[cfg(test)]
mod tests;
