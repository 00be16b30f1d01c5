//! Collects how a Redis (or Valkey) server is, over its own protocol: `PING` for the latency, `INFO` for the rest. A server that does not
//! answer, or does not let us in, is a measurement (`redis_up` 0), not a failure of the plugin.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod figures;
mod wire;

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::reveal;
use quarterdeck_sdk::host::tcp::Address;
use quarterdeck_sdk::{Capability, Failure, Plugin, Problem};
use std::time::Instant;
use wire::{Error, Session};

quarterdeck_sdk::config! {
    /// Configuration of `redis`.
    pub struct Config {
        /// `host:port`, or the path of a Unix socket.
        pub address: String,
        /// Speaks TLS, by a certificate that the host trusts.
        #[serde(default)]
        pub tls: bool,
        /// Who comes, on a server with an access list. Unless given, the default user.
        #[serde(default)]
        pub user: Option<String>,
        /// Name of the secret that holds the password; has to be granted (`grants.reveal`). Unless given, none is told.
        #[serde(default)]
        pub password_secret: Option<String>,
        /// With so many per cent of `maxmemory` taken, or more, the server counts as degraded.
        #[serde(default = "ninety")]
        pub memory_percent: f64,
        /// With so many per cent of `maxclients` connected, or more, the server counts as degraded.
        #[serde(default = "ninety")]
        pub clients_percent: f64,
    }
}

fn ninety() -> f64 {
    90.0
}

/// The plugin.
pub struct Redis;

impl Plugin for Redis {
    type Config = Config;
    const NAME: &'static str = "redis";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Memory, clients, replication, keys and latency of a Redis server";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("tcp", "asks the configured server"),
            Capability::optional("reveal", "tells the server the password"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        match Address::parse(&config.address) {
            None => {
                let message = format!("`{}` is neither `host:port` nor the path of a socket", config.address);
                problems.push(Problem::at("/address", message));
            }
            Some(Address::Unix(_)) if config.tls => {
                problems.push(Problem::at("/tls", "a Unix socket speaks no TLS here"));
            }
            Some(_) => {}
        }
        if config.user.is_some() && config.password_secret.is_none() {
            problems.push(Problem::at("/user", "says nothing without `password-secret`"));
        }
        problems
    }
}

impl Collector for Redis {
    fn collect(config: &Config, _: i64) -> Result<Collection, Failure> {
        match ask(config) {
            Ok((info, seconds)) => Ok(figures::collection(config, &info, seconds)),
            Err(Error::Denied(message)) => Err(Failure::rejected(message)),
            Err(Error::Failed(message)) => Ok(Collection {
                families: vec![Family::gauge("redis_up", "1 if the server answers").value(0.0)],
                health: Health::failed(message),
            }),
        }
    }
}

/// What the server says of itself, and how long a `PING` took.
fn ask(config: &Config) -> Result<(String, f64), Error> {
    let address = match Address::parse(&config.address) {
        Some(Address::Tcp(host, port)) if config.tls => Address::Tls(host, port),
        Some(address) => address,
        None => return Err(Error::Denied(format!("`{}` is no address", config.address))),
    };
    let password = config.password_secret.as_ref().map(|name| reveal::secret(name)).transpose()?;
    let mut session = Session::open(&address)?;
    if let Some(password) = password {
        let user = config.user.as_ref().map(String::as_bytes);
        let words: Vec<&[u8]> = [b"AUTH".as_slice()].into_iter().chain(user).chain([password.as_slice()]).collect();
        session.ask(&words)?;
    }
    let start = Instant::now();
    let answer = session.ask(&[b"PING"])?;
    let seconds = start.elapsed().as_secs_f64();
    if answer != "PONG" {
        return Err(Error::Failed(format!("answered `{}` to PING", answer.escape_debug())));
    }
    let info = session.ask(&[b"INFO"])?;
    Ok((info, seconds))
}

quarterdeck_sdk::export!(Redis: collector);

#[cfg(test)]
mod tests;
