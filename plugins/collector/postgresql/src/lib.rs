//! Collects how a PostgreSQL server is, over its own protocol: connections, databases, transactions, replication, latency. A server that
//! does not take the plugin in is a measurement (`postgresql_up` 0), not a failure of it.
//!
//! - `wire`: messages, the start of a session, simple queries
//! - `authenticate`: what a server may ask of who comes; `scram`: SCRAM-SHA-256, pure
//! - `figures`: the queries, and what becomes of their rows

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod authenticate;
mod figures;
mod scram;
mod wire;

use figures::Figures;
use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::tcp::Address;
use quarterdeck_sdk::{Capability, Failure, Plugin, Problem};
use std::time::Instant;
use wire::{Error, Session};

quarterdeck_sdk::config! {
    /// Configuration of `postgresql`.
    pub struct Config {
        /// `host:port`, or the path of a Unix socket: `/var/run/postgresql/.s.PGSQL.5432`.
        pub address: String,
        /// Who comes. Membership in `pg_monitor` is enough to see everything.
        pub user: String,
        /// The database that the session is of.
        #[serde(default = "postgres")]
        pub database: String,
        /// Name of the secret that holds the password; has to be granted (`grants.reveal`). Unless given, the server must not ask for one.
        #[serde(default)]
        pub password_secret: Option<String>,
        /// Whether the session is encrypted.
        #[serde(default)]
        pub tls: Tls,
        /// With so many per cent of its connections taken, or more, the server counts as degraded.
        #[serde(default = "ninety")]
        pub connections_percent: f64,
        /// With a replica that lags so far behind, or more, the server counts as degraded.
        #[serde(default = "sixty")]
        pub lag_seconds: f64,
        /// Whether sizes of databases are asked for, which makes the server look at all of their files.
        #[serde(default = "yes")]
        pub sizes: bool,
    }

    /// Whether a session is encrypted.
    #[derive(Copy, Default)]
    pub enum Tls {
        /// In the clear.
        #[default]
        Off,
        /// By a certificate for the host's name that the host trusts, or not at all.
        Verify,
    }
}

fn postgres() -> String {
    "postgres".to_owned()
}

fn ninety() -> f64 {
    90.0
}

fn sixty() -> f64 {
    60.0
}

fn yes() -> bool {
    true
}

/// The plugin.
pub struct Postgresql;

impl Plugin for Postgresql {
    type Config = Config;
    const NAME: &'static str = "postgresql";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Connections, databases, replication and latency of a PostgreSQL server";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("tcp", "asks the configured server"),
            Capability::optional("reveal", "proves to the server that it knows the password"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        match Address::parse(&config.address) {
            None => {
                let message = format!("`{}` is neither `host:port` nor the path of a socket", config.address);
                problems.push(Problem::at("/address", message));
            }
            Some(Address::Unix(_)) if config.tls == Tls::Verify => {
                problems.push(Problem::at("/tls", "PostgreSQL has no TLS over a Unix socket"));
            }
            Some(_) => {}
        }
        for (pointer, text) in [("/user", &config.user), ("/database", &config.database)] {
            if text.is_empty() || text.contains('\0') {
                problems.push(Problem::at(pointer, "is no name"));
            }
        }
        problems
    }
}

impl Collector for Postgresql {
    fn collect(config: &Config, _: i64) -> Result<Collection, Failure> {
        let start = Instant::now();
        let mut session = match Session::open(config) {
            Ok(session) => session,
            Err(Error::Denied(message)) => return Err(Failure::rejected(message)),
            Err(Error::Failed(message)) => return Ok(down(message)),
        };
        let connected = start.elapsed().as_secs_f64();
        let mut figures = Figures::new(session.version());
        figures.families.push(
            Family::gauge("postgresql_connect_duration_seconds", "Until the server was ready for the first query")
                .value(connected),
        );
        match figures.take(config, &mut session) {
            Ok(()) => {}
            Err(Error::Denied(message)) => return Err(Failure::rejected(message)),
            Err(Error::Failed(message)) => return Ok(down(message)),
        }
        session.close();
        Ok(figures.collection(config))
    }
}

fn down(message: String) -> Collection {
    Collection { families: vec![up(0.0)], health: Health::failed(message) }
}

fn up(value: f64) -> Family {
    Family::gauge("postgresql_up", "1 if the server takes sessions and answers").value(value)
}

quarterdeck_sdk::export!(Postgresql: collector);

#[cfg(test)]
mod tests;
