//! Collects what an HAProxy says about its frontends, backends and servers: `show stat` over its socket, or the same as a page.
//!
//! - `table`: the answer, by the names of its columns
//! - `figures`: families and health

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod figures;
mod table;

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::Error;
use quarterdeck_sdk::host::tcp::{Address, Connection};
use quarterdeck_sdk::http::{self, Request};
use quarterdeck_sdk::{Capability, Failure, Plugin, Problem};
use std::io::{Read, Write};

/// A longer answer is refused: some ten thousand servers fit in.
const MOST_BYTES: usize = 8 << 20;
const LONGEST_MS: u64 = 600_000;

quarterdeck_sdk::config! {
    /// Configuration of `haproxy-stats`: `socket` or `url`.
    pub struct Config {
        /// The stats socket: a path, or `host:port`.
        #[serde(default)]
        pub socket: Option<String>,
        /// The stats page as CSV: `http://127.0.0.1:8404/stats;csv`.
        #[serde(default)]
        pub url: Option<String>,
        /// For the whole exchange, with `url`.
        #[serde(default = "five_seconds")]
        pub timeout_ms: u64,
        /// Proxies that are left out.
        #[serde(default)]
        pub ignore: Vec<String>,
    }
}

fn five_seconds() -> u64 {
    5000
}

/// The plugin.
pub struct HaproxyStats;

impl Plugin for HaproxyStats {
    type Config = Config;
    const NAME: &'static str = "haproxy-stats";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Frontends, backends and servers of an HAProxy";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::optional("tcp", "asks over the stats socket"),
            Capability::optional("http", "fetches the stats page"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if config.socket.is_some() == config.url.is_some() {
            problems.push(Problem::at("", "needs one of `socket` and `url`"));
        }
        if let Some(socket) = config.socket.as_ref().filter(|socket| Address::parse(socket).is_none()) {
            problems.push(Problem::at("/socket", format!("`{socket}` is neither a path nor `host:port`")));
        }
        if let Some(url) = config.url.as_ref().filter(|url| http::host_and_port(url).is_none()) {
            problems.push(Problem::at("/url", format!("`{url}` is not an http or https URL")));
        }
        if !(1..=LONGEST_MS).contains(&config.timeout_ms) {
            let message = format!("is {}, expected 1 to {LONGEST_MS}", config.timeout_ms);
            problems.push(Problem::at("/timeout-ms", message));
        }
        problems
    }
}

impl Collector for HaproxyStats {
    fn collect(config: &Config, _: i64) -> Result<Collection, Failure> {
        let answer = match (&config.socket, &config.url) {
            (Some(socket), _) => over_socket(socket)?,
            (None, Some(url)) => over_http(config, url)?,
            (None, None) => return Err(Failure::rejected("needs one of `socket` and `url`")),
        };
        let rows = answer.and_then(|text| {
            table::parse(&text).ok_or_else(|| {
                let said: String = text.chars().take(80).collect();
                format!("answered `{}`, expected a table of statistics", said.escape_debug())
            })
        });
        Ok(match rows {
            Ok(rows) => figures::collection(config, &rows),
            Err(message) => Collection {
                families: vec![Family::gauge("haproxy_up", "1 if the statistics could be read").value(0.0)],
                health: Health::failed(message),
            },
        })
    }
}

type Answer = Result<String, String>;

fn over_socket(socket: &str) -> Result<Answer, Failure> {
    let address = Address::parse(socket).ok_or_else(|| Failure::rejected(format!("`{socket}` is no address")))?;
    let mut connection = match Connection::connect(&address) {
        Ok(connection) => connection,
        Err(Error::Failed(message)) => return Ok(Err(message)),
        Err(other) => return Err(other.into()),
    };
    let mut answer = Vec::new();
    // HAProxy closes behind its answer.
    let exchanged = connection
        .write_all(b"show stat\n")
        .and_then(|()| (&mut connection).take(MOST_BYTES as u64).read_to_end(&mut answer));
    Ok(match exchanged {
        Ok(_) if answer.len() >= MOST_BYTES => Err(format!("the answer is longer than {MOST_BYTES} bytes")),
        Ok(_) => Ok(String::from_utf8_lossy(&answer).into_owned()),
        Err(error) => Err(error.to_string()),
    })
}

fn over_http(config: &Config, url: &str) -> Result<Answer, Failure> {
    match Request::get(url).timeout_ms(config.timeout_ms).max_body_bytes(MOST_BYTES).send() {
        Err(http::Error::Denied(message) | http::Error::Invalid(message)) => Err(Failure::Rejected(message)),
        Err(error) => Ok(Err(error.to_string())),
        Ok(response) if !response.is_success() => Ok(Err(format!("answered {}, expected 200 to 299", response.status))),
        Ok(response) if response.truncated => Ok(Err(format!("the answer is longer than {MOST_BYTES} bytes"))),
        Ok(response) => Ok(Ok(String::from_utf8_lossy(&response.body).into_owned())),
    }
}

quarterdeck_sdk::export!(HaproxyStats: collector);

#[cfg(test)]
mod tests;
