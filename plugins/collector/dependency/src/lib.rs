//! Asks a list of external dependencies whether they are there: a handful of things that a service can't do without, in one instance with
//! one health.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod ask;

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::tcp::Address;
use quarterdeck_sdk::{Capability, Failure, Labels, Plugin, Problem, http};
use std::time::Instant;

const MOST: usize = 64;
const LONGEST_MS: u64 = 600_000;

quarterdeck_sdk::config! {
    /// Configuration of `dependency`.
    pub struct Config {
        /// What has to be there.
        pub dependencies: Vec<Dependency>,
        /// Of one answer over HTTP.
        #[serde(default = "two_seconds")]
        pub timeout_ms: u64,
        /// All of them together: what has not been asked then counts as down. A little less than the instance's `limits.deadline`.
        #[serde(default = "eight_seconds")]
        pub total_ms: u64,
    }

    /// Something that has to be there.
    pub struct Dependency {
        /// In the label `dependency`.
        pub name: String,
        /// How it is asked.
        pub kind: Kind,
        /// A URL for `http`, `host:port` or the path of a socket for `tcp`, a name for `dns`.
        pub target: String,
        /// With `http`: the statuses that are right. Unless given, 200 to 299.
        #[serde(default)]
        pub expect_status: Vec<u16>,
        /// With `dns`: whom to ask, `host:port`; port 53 unless given.
        #[serde(default)]
        pub server: Option<String>,
        /// Without it, the whole has failed; else it is degraded.
        #[serde(default = "yes")]
        pub critical: bool,
    }

    /// How a dependency is asked.
    #[derive(Copy)]
    pub enum Kind {
        /// Whether a URL answers.
        Http,
        /// Whether a port takes connections.
        Tcp,
        /// Whether a name has an address.
        Dns,
    }
}

fn two_seconds() -> u64 {
    2000
}

fn eight_seconds() -> u64 {
    8000
}

fn yes() -> bool {
    true
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::Tcp => "tcp",
            Kind::Dns => "dns",
        }
    }
}

/// The plugin.
pub struct DependencyCheck;

impl Plugin for DependencyCheck {
    type Config = Config;
    const NAME: &'static str = "dependency";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Whether a list of external dependencies is there";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::optional("http", "asks dependencies over HTTP"),
            Capability::optional("tcp", "connects to dependencies, and asks servers for names"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if config.dependencies.is_empty() || config.dependencies.len() > MOST {
            let message = format!("names {} dependencies, expected 1 to {MOST}", config.dependencies.len());
            problems.push(Problem::at("/dependencies", message));
        }
        for (key, value) in [("/timeout-ms", config.timeout_ms), ("/total-ms", config.total_ms)] {
            if !(1..=LONGEST_MS).contains(&value) {
                problems.push(Problem::at(key, format!("is {value}, expected 1 to {LONGEST_MS}")));
            }
        }
        for (index, dependency) in config.dependencies.iter().enumerate() {
            let at = |key: &str| format!("/dependencies/{index}/{key}");
            let (name, target) = (&dependency.name, &dependency.target);
            if name.is_empty() || config.dependencies.iter().take(index).any(|other| other.name == *name) {
                problems.push(Problem::at(at("name"), format!("`{name}` is empty, or named twice")));
            }
            let wrong = match dependency.kind {
                Kind::Http => http::host_and_port(target).is_none().then(|| "an http or https URL".to_owned()),
                Kind::Tcp => {
                    Address::parse(target).is_none().then(|| "`host:port`, or the path of a socket".to_owned())
                }
                Kind::Dns => ask::query(target).is_err().then(|| "a name".to_owned()),
            };
            if let Some(expected) = wrong {
                problems.push(Problem::at(at("target"), format!("`{target}` is not {expected}")));
            }
            if (dependency.kind == Kind::Dns) != dependency.server.is_some() {
                problems.push(Problem::at(at("server"), "goes with `kind = \"dns\"`, and with nothing else"));
            }
            if dependency.kind != Kind::Http && !dependency.expect_status.is_empty() {
                problems.push(Problem::at(at("expect-status"), "goes with `kind = \"http\"`"));
            }
        }
        problems
    }
}

impl Collector for DependencyCheck {
    fn collect(config: &Config, now_ms: i64) -> Result<Collection, Failure> {
        let began = Instant::now();
        let mut up = Family::gauge("dependency_up", "1 if it answers as it should");
        let mut took = Family::gauge("dependency_duration_seconds", "Of its answer");
        let (mut critical, mut others) = (Vec::new(), Vec::new());
        for dependency in &config.dependencies {
            let left = u128::from(config.total_ms).saturating_sub(began.elapsed().as_millis());
            let start = Instant::now();
            let answer = match left {
                0 => Err("not asked, the time was over".to_owned()),
                _ => ask::ask(dependency, config.timeout_ms.min(u64::try_from(left).unwrap_or(u64::MAX)), now_ms)?,
            };
            let labels = Labels::new().with("dependency", &dependency.name).with("kind", dependency.kind.as_str());
            up.push(labels.clone(), if answer.is_ok() { 1.0 } else { 0.0 });
            if left > 0 {
                took.push(labels, start.elapsed().as_secs_f64());
            }
            if let Err(reason) = answer {
                let down = if dependency.critical { &mut critical } else { &mut others };
                down.push(format!("`{}`: {reason}", dependency.name));
            }
        }
        let down = critical.len() + others.len();
        let families = vec![up, took, Family::gauge("dependencies_down", "Of all").value(down as f64)];
        let words = || critical.iter().chain(&others).cloned().collect::<Vec<_>>().join("; ");
        let health = match (critical.is_empty(), others.is_empty()) {
            (true, true) => Health::ok(format!("{} dependencies are there", config.dependencies.len())),
            (true, false) => Health::degraded(words()),
            (false, _) => Health::failed(words()),
        };
        Ok(Collection { families: families.into_iter().filter(|family| !family.values.is_empty()).collect(), health })
    }
}

quarterdeck_sdk::export!(DependencyCheck: collector);

#[cfg(test)]
mod tests;
