//! Asks a DNS server whether it answers a question as it should, and how long it takes. Over TCP, or over TLS: the host has no UDP for
//! plugins, and every server has to answer over TCP as well (RFC 7766).

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod message;

use message::{Answer, Record};
use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::Error;
use quarterdeck_sdk::host::tcp::{Address, Connection};
use quarterdeck_sdk::{Capability, Failure, Labels, Plugin, Problem};
use std::io::{Read, Write};
use std::time::Instant;

quarterdeck_sdk::config! {
    /// Configuration of `dns-probe`.
    pub struct Config {
        /// `host:port` of the server; port 53, or 853 with `tls`, unless given.
        pub server: String,
        /// The name that is asked for.
        pub name: String,
        /// What is asked for.
        #[serde(default)]
        pub r#type: Type,
        /// Answers that have to be there, as they are shown: addresses, texts, names without a dot at their end, `10 5 443 a.example.com`
        /// for SRV (priority, weight, port, target), `10 mx.example.com` for MX. Unless given, any will do.
        #[serde(default)]
        pub expect: Vec<String>,
        /// No other answers may be there than those.
        #[serde(default)]
        pub expect_exactly: bool,
        /// The name must not exist: success is that it does not.
        #[serde(default)]
        pub expect_no_such_name: bool,
        /// Asks over TLS, by a certificate that the host trusts.
        #[serde(default)]
        pub tls: bool,
        /// Slower than so, the server counts as degraded.
        #[serde(default = "one_second")]
        pub slow_ms: u64,
    }

    /// What is asked for.
    #[derive(Copy, Default)]
    pub enum Type {
        /// Addresses of IPv4.
        #[default]
        A,
        /// Addresses of IPv6.
        Aaaa,
        /// Texts.
        Txt,
        /// Where a service is.
        Srv,
        /// Another name.
        Cname,
        /// Who takes mail.
        Mx,
        /// Servers of a zone.
        Ns,
    }
}

fn one_second() -> u64 {
    1000
}

/// The plugin.
pub struct DnsProbe;

impl Plugin for DnsProbe {
    type Config = Config;
    const NAME: &'static str = "dns-probe";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Answers and latency of a DNS server";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("tcp", "asks the configured server")]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if address(config).is_none() {
            problems.push(Problem::at("/server", format!("`{}` is not `host` or `host:port`", config.server)));
        }
        if let Err(reason) = message::query(0, &config.name, config.r#type) {
            problems.push(Problem::at("/name", format!("`{}` can't be asked for: {reason}", config.name)));
        }
        if config.expect_no_such_name && !config.expect.is_empty() {
            problems.push(Problem::at("/expect", "a name that must not exist has no answers"));
        }
        if config.expect_exactly && config.expect.is_empty() {
            problems.push(Problem::at("/expect-exactly", "says nothing without `expect`"));
        }
        problems
    }
}

fn address(config: &Config) -> Option<Address> {
    let port = if config.tls { 853 } else { 53 };
    let text = config.server.as_str();
    let whole = match text.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(_)) => format!("[{text}]:{port}"),
        Ok(std::net::IpAddr::V4(_)) => format!("{text}:{port}"),
        Err(_) if text.contains(':') => text.to_owned(),
        Err(_) => format!("{text}:{port}"),
    };
    match Address::parse(&whole)? {
        Address::Tcp(host, port) if config.tls => Some(Address::Tls(host, port)),
        Address::Tcp(host, port) => Some(Address::Tcp(host, port)),
        Address::Tls(..) | Address::Unix(_) => None,
    }
}

impl Collector for DnsProbe {
    fn collect(config: &Config, now_ms: i64) -> Result<Collection, Failure> {
        let server = address(config).ok_or_else(|| Failure::rejected(format!("`{}` is no address", config.server)))?;
        let id = u16::try_from(now_ms.rem_euclid(1 << 16)).unwrap_or_default();
        let query = message::query(id, &config.name, config.r#type).map_err(Failure::rejected)?;
        let start = Instant::now();
        let answer = match exchange(&server, &query) {
            Ok(bytes) => message::answer(&bytes, id, config.r#type),
            Err(Error::Failed(message)) => Err(message),
            Err(other) => return Err(other.into()),
        };
        Ok(judge(config, &answer, start.elapsed().as_secs_f64()))
    }
}

/// Over a stream, the length goes in front of each message.
fn exchange(server: &Address, query: &[u8]) -> Result<Vec<u8>, Error> {
    let mut connection = Connection::connect(server)?;
    let length = u16::try_from(query.len()).map_err(|error| Error::Failed(error.to_string()))?;
    let failed = |error: std::io::Error| Error::Failed(format!("no answer: {error}"));
    connection.write_all(&[&length.to_be_bytes(), query].concat()).map_err(failed)?;
    let mut length = [0; 2];
    connection.read_exact(&mut length).map_err(failed)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    connection.read_exact(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn judge(config: &Config, answer: &Result<Answer, String>, seconds: f64) -> Collection {
    let records = answer.as_ref().map_or(&[][..], |answer| answer.records.as_slice());
    let wrong = match answer {
        Err(message) => Some(message.clone()),
        Ok(answer) => unexpected(config, answer),
    };
    let mut families = vec![
        Family::gauge("probe_success", "1 if the server answered as it should").value(flag(wrong.is_none())),
        Family::gauge("probe_duration_seconds", "Of connection and answer").value(seconds),
        Family::gauge("dns_answers", "Records of the type that was asked for").value(records.len() as f64),
    ];
    if wrong.is_none() {
        let of_success =
            Family::gauge("probe_success_duration_seconds", "Of connection and answer, where it succeeded");
        families.push(of_success.value(seconds));
    }
    if let Ok(answer) = answer {
        families.push(
            Family::gauge("dns_response_code", "0: no error, 2: server failure, 3: no such name, 5: refused")
                .value(f64::from(answer.code)),
        );
    }
    if let Some(ttl) = records.iter().map(|record| record.ttl).min() {
        families.push(Family::gauge("dns_ttl_seconds", "The shortest of the answers").value(f64::from(ttl)));
    }
    if !config.expect.is_empty() {
        let mut found = Family::gauge("dns_expected_found", "1 if the answer is there");
        for expected in &config.expect {
            found.push(Labels::new().with("answer", expected), flag(holds(records, expected)));
        }
        families.push(found);
    }
    let millis = seconds * 1000.0;
    let health = match wrong {
        Some(message) => Health::failed(message),
        None if millis > config.slow_ms as f64 => Health::degraded(format!("answered in {millis:.0} ms")),
        None => Health::ok(format!("{} answers in {millis:.0} ms", records.len())),
    };
    Collection { families, health }
}

/// What of the answer is not as it should be.
fn unexpected(config: &Config, answer: &Answer) -> Option<String> {
    const NO_SUCH_NAME: u16 = 3;
    let name = &config.name;
    if config.expect_no_such_name {
        return (answer.code != NO_SUCH_NAME).then(|| format!("`{name}` exists, and should not: {}", answer.words()));
    }
    if answer.code != 0 {
        return Some(format!("the server says about `{name}`: {}", answer.words()));
    }
    if answer.records.is_empty() {
        let of_type = format!("{:?}", config.r#type).to_uppercase();
        return Some(format!("`{name}` has no answer of type {of_type}"));
    }
    let shown = || answer.records.iter().map(|record| format!("`{}`", record.text)).collect::<Vec<_>>().join(", ");
    let missing = config.expect.iter().find(|expected| !holds(&answer.records, expected));
    if let Some(expected) = missing {
        return Some(format!("answered {}, expected `{expected}`", shown()));
    }
    let more = |record: &&Record| !config.expect.iter().any(|expected| same(&record.text, expected));
    let unwanted = answer.records.iter().find(more).filter(|_| config.expect_exactly);
    unwanted.map(|record| format!("answered {}, did not expect `{}`", shown(), record.text))
}

fn holds(records: &[Record], expected: &str) -> bool {
    records.iter().any(|record| same(&record.text, expected))
}

/// Addresses may be written in several ways, and names in any case.
fn same(text: &str, expected: &str) -> bool {
    match (text.parse::<std::net::IpAddr>(), expected.parse::<std::net::IpAddr>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => text.eq_ignore_ascii_case(expected.trim_end_matches('.')) || text == expected,
    }
}

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

quarterdeck_sdk::export!(DnsProbe: collector);

#[cfg(test)]
mod tests;
