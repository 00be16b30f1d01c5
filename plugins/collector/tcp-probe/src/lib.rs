//! Asks whether a port takes connections, how long that takes, and whether it says what it should. A target that does not answer
//! is a measurement (`probe_success` 0), not a failure of the probe.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::Error;
use quarterdeck_sdk::host::tcp::{self, Address, Certificate, Connection};
use quarterdeck_sdk::{Capability, Failure, Plugin, Problem};
use std::io::{Read, Write};
use std::time::Instant;

/// Of what a peer says, so much is looked through.
const MOST_BYTES: usize = 64 << 10;

quarterdeck_sdk::config! {
    /// Configuration of `tcp-probe`.
    pub struct Config {
        /// `host:port`, or the path of a Unix socket.
        pub address: String,
        /// Speaks TLS, by a certificate that the host trusts.
        #[serde(default)]
        pub tls: bool,
        /// Said when the connection is there. `\r\n` is to be written out.
        #[serde(default)]
        pub send: Option<String>,
        /// A text that the peer has to say, in its first 64 KiB.
        #[serde(default)]
        pub expect: Option<String>,
        /// With so many days of the certificate left, or fewer, the target counts as degraded.
        #[serde(default = "fourteen")]
        pub tls_warn_days: f64,
        /// Slower than so, connection and answer together, it counts as degraded. Unless given, it may take its time.
        #[serde(default)]
        pub slow_ms: Option<u64>,
    }
}

fn fourteen() -> f64 {
    14.0
}

/// The plugin.
pub struct TcpProbe;

impl Plugin for TcpProbe {
    type Config = Config;
    const NAME: &'static str = "tcp-probe";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Whether a port takes connections, and says what it should";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("tcp", "connects to the configured address")]
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
        if config.expect.as_ref().is_some_and(|text| text.is_empty() || text.len() > MOST_BYTES) {
            problems.push(Problem::at("/expect", format!("has 1 to {MOST_BYTES} bytes")));
        }
        problems
    }
}

/// What one connection gave.
#[derive(Default)]
struct Measurement {
    /// Why nothing came of it.
    error: Option<String>,
    connect_seconds: Option<f64>,
    seconds: f64,
    matches: Option<bool>,
    days_left: Option<f64>,
}

impl Collector for TcpProbe {
    fn collect(config: &Config, now_ms: i64) -> Result<Collection, Failure> {
        let address = Address::parse(&config.address)
            .ok_or_else(|| Failure::rejected(format!("`{}` is no address", config.address)))?;
        let address = match address {
            Address::Tcp(host, port) if config.tls => Address::Tls(host, port),
            other => other,
        };
        let start = Instant::now();
        let mut found = Measurement::default();
        match Connection::connect(&address) {
            Ok(connection) => {
                found.connect_seconds = Some(start.elapsed().as_secs_f64());
                talk(config, connection, &mut found);
            }
            Err(Error::Failed(message)) => found.error = Some(message),
            Err(other) => return Err(other.into()),
        }
        found.seconds = start.elapsed().as_secs_f64();
        // Also of one that is not trusted: its end is what one most wants to know then.
        if let Address::Tls(host, port) = &address {
            found.days_left = tcp::peer_certificate(host, *port).ok().map(|presented| days_left(&presented, now_ms));
        }
        Ok(judge(config, &found))
    }
}

/// Says what is to be said, and listens until what is expected was said.
fn talk(config: &Config, mut connection: Connection, found: &mut Measurement) {
    if let Some(text) = &config.send
        && let Err(error) = connection.write_all(text.as_bytes())
    {
        found.error = Some(format!("it can't be written to: {error}"));
        return;
    }
    let Some(expected) = &config.expect else { return };
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    let mut matches = false;
    while !matches && heard.len() < MOST_BYTES {
        match connection.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => heard.extend(buffer.iter().take(read)),
            Err(error) => {
                found.error = Some(format!("it can't be read from: {error}"));
                break;
            }
        }
        matches = contains(&heard, expected.as_bytes());
    }
    found.matches = Some(matches);
    if !matches && found.error.is_none() {
        let said = String::from_utf8_lossy(&heard);
        let said: String = said.chars().take(80).collect();
        found.error = Some(format!("said `{}`, expected `{expected}` in it", said.escape_debug()));
    }
}

fn judge(config: &Config, found: &Measurement) -> Collection {
    let mut families = vec![
        Family::gauge("probe_success", "1 if the target answered as it should").value(flag(found.error.is_none())),
        Family::gauge("probe_duration_seconds", "Of connection and answer").value(found.seconds),
    ];
    let mut optional = |name: &str, help: &str, value: Option<f64>| {
        families.extend(value.map(|value| Family::gauge(name, help).value(value)));
    };
    let of_success = found.error.is_none().then_some(found.seconds);
    optional("probe_success_duration_seconds", "Of connection and answer, where it succeeded", of_success);
    optional("probe_connect_seconds", "Until the connection was there", found.connect_seconds);
    optional("probe_expect_matches", "1 if the peer said what it should", found.matches.map(flag));
    optional("probe_tls_days_left", "Until the certificate ends", found.days_left);
    let millis = found.seconds * 1000.0;
    let health = match (&found.error, found.days_left) {
        (Some(error), _) => Health::failed(error),
        (None, Some(days)) if days <= config.tls_warn_days => {
            Health::degraded(format!("the certificate ends in {days:.1} days"))
        }
        _ if config.slow_ms.is_some_and(|slow| millis > slow as f64) => {
            Health::degraded(format!("answered in {millis:.0} ms"))
        }
        _ => Health::ok(format!("answered in {millis:.0} ms")),
    };
    Collection { families, health }
}

fn days_left(certificate: &Certificate, now_ms: i64) -> f64 {
    (certificate.not_after_s.saturating_sub(now_ms / 1000)) as f64 / 86_400.0
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

quarterdeck_sdk::export!(TcpProbe: collector);

#[cfg(test)]
mod tests;
