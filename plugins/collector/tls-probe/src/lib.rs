//! Looks at the certificate that a server presents: when it ends, for which names it is good, and whether the host trusts its chain.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

mod names;

use quarterdeck_sdk::collector::{Collection, Collector, Family, Health};
use quarterdeck_sdk::host::Error;
use quarterdeck_sdk::host::tcp::{self, Address, Certificate, Connection};
use quarterdeck_sdk::{Capability, Failure, Labels, Plugin, Problem};
use std::time::Instant;

quarterdeck_sdk::config! {
    /// Configuration of `tls-probe`.
    pub struct Config {
        /// Whom to ask: a name, or an address.
        pub host: String,
        /// Where it speaks TLS.
        #[serde(default = "https")]
        pub port: u16,
        /// Names that the certificate has to be good for. Unless given, `host`.
        #[serde(default)]
        pub names: Vec<String>,
        /// A text that the issuer has to hold.
        #[serde(default)]
        pub issuer_contains: Option<String>,
        /// Whether the chain has to lead to a certificate that the host trusts.
        #[serde(default = "yes")]
        pub trusted: bool,
        /// With so many days left, or fewer, the target counts as degraded.
        #[serde(default = "fourteen")]
        pub warn_days: f64,
        /// With so many days left, or fewer, it counts as failed.
        #[serde(default)]
        pub fail_days: f64,
    }
}

fn https() -> u16 {
    443
}

fn yes() -> bool {
    true
}

fn fourteen() -> f64 {
    14.0
}

/// The plugin.
pub struct TlsProbe;

impl Plugin for TlsProbe {
    type Config = Config;
    const NAME: &'static str = "tls-probe";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Days left, names and chain of a server's certificate";

    fn capabilities() -> Vec<Capability> {
        vec![Capability::required("tcp", "does a handshake with the configured server")]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        if config.host.is_empty() || config.host.contains('/') {
            problems.push(Problem::at("/host", format!("`{}` is no name of a host", config.host)));
        }
        if config.port == 0 {
            problems.push(Problem::at("/port", "is 0, expected 1 to 65535"));
        }
        if config.fail_days > config.warn_days {
            problems.push(Problem::at("/fail-days", "is above `warn-days`"));
        }
        problems
    }
}

impl Collector for TlsProbe {
    fn collect(config: &Config, now_ms: i64) -> Result<Collection, Failure> {
        let start = Instant::now();
        let presented = match tcp::peer_certificate(&config.host, config.port) {
            Ok(presented) => Ok(presented),
            Err(Error::Failed(message)) => Err(message),
            Err(other) => return Err(other.into()),
        };
        let seconds = start.elapsed().as_secs_f64();
        let untrusted = match &presented {
            Ok(_) => match Connection::connect(&Address::Tls(config.host.clone(), config.port)) {
                Ok(_) => None,
                Err(Error::Failed(message)) => Some(message),
                // Who may look at certificates only (by a grant for https) learns nothing of the chain.
                Err(other) if config.trusted => return Err(other.into()),
                Err(other) => Some(other.message().to_owned()),
            },
            Err(_) => None,
        };
        Ok(judge(config, presented, untrusted, seconds, now_ms))
    }
}

/// `untrusted`: why the chain does not lead to one that is trusted.
fn judge(
    config: &Config,
    presented: Result<Certificate, String>,
    untrusted: Option<String>,
    seconds: f64,
    now_ms: i64,
) -> Collection {
    let duration = Family::gauge("probe_duration_seconds", "Of the handshake").value(seconds);
    let success = |value| Family::gauge("probe_success", "1 if the certificate is as it should be").value(value);
    let presented = match presented {
        Ok(presented) => presented,
        Err(message) => return Collection { families: vec![success(0.0), duration], health: Health::failed(message) },
    };
    let days = |at_s: i64| (at_s.saturating_sub(now_ms / 1000)) as f64 / 86_400.0;
    let days_left = days(presented.not_after_s);
    let wanted = match config.names.as_slice() {
        [] => std::slice::from_ref(&config.host),
        names => names,
    };
    let mut matches = Family::gauge("tls_certificate_name_matches", "1 if it is good for the name");
    let mut missing = Vec::new();
    for name in wanted {
        let fits = presented.names.iter().any(|own| names::fits(own, name));
        matches.push(Labels::new().with("name", name), flag(fits));
        if !fits {
            missing.push(format!("`{name}`"));
        }
    }
    let issuer = config.issuer_contains.as_ref().filter(|part| !presented.issuer.contains(part.as_str()));

    let mut failures = Vec::new();
    if days(presented.not_before_s) > 0.0 {
        failures.push(format!("is good only in {:.1} days", days(presented.not_before_s)));
    }
    if days_left <= config.fail_days {
        failures.push(if days_left <= 0.0 {
            format!("has ended {:.1} days ago", -days_left)
        } else {
            format!("ends in {days_left:.1} days")
        });
    }
    if !missing.is_empty() {
        failures.push(format!("is not good for {}, but for {}", missing.join(", "), shown(&presented.names)));
    }
    if let Some(part) = issuer {
        failures.push(format!("was issued by `{}`, expected `{part}` in it", presented.issuer));
    }
    if let Some(reason) = untrusted.as_ref().filter(|_| config.trusted) {
        failures.push(format!("is not trusted: {reason}"));
    }
    let mut families = vec![
        success(flag(failures.is_empty())),
        duration,
        Family::gauge("tls_certificate_days_left", "Until the certificate ends").value(days_left),
        Family::gauge("tls_certificate_not_before_timestamp_seconds", "When it began")
            .value(presented.not_before_s as f64),
        Family::gauge("tls_certificate_not_after_timestamp_seconds", "When it ends")
            .value(presented.not_after_s as f64),
        matches,
        Family::gauge("tls_chain_trusted", "1 if the host trusts the chain").value(flag(untrusted.is_none())),
    ];
    if failures.is_empty() {
        // An objective about latency is about these: a refusal is quick.
        let of_success = Family::gauge("probe_success_duration_seconds", "Of the handshake, where it succeeded");
        families.push(of_success.value(seconds));
    }
    let health = if !failures.is_empty() {
        Health::failed(format!("the certificate {}", failures.join("; ")))
    } else if days_left <= config.warn_days {
        Health::degraded(format!("the certificate ends in {days_left:.1} days"))
    } else {
        Health::ok(format!("{days_left:.0} days left, issued by {}", presented.issuer))
    };
    Collection { families, health }
}

fn shown(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    if text.is_empty() { "no name".to_owned() } else { text }
}

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

quarterdeck_sdk::export!(TlsProbe: collector);

#[cfg(test)]
mod tests;
