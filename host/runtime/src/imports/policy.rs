//! What is allowed: pure functions over grants, the one place where a "yes" is made. Every door asks here before it acts.
//!
//! Addresses. A name that is granted literally (`http://db.internal:8080`) may stand for a private address; it may stand for
//! loopback only if it is `localhost` or the address itself, and for link-local or other special addresses only if it is the
//! address itself. So whoever answers for a granted name in DNS can't turn the host against itself or its cloud's metadata.
//! Wildcards reach public addresses only.

mod address;
mod origin;
mod program;
#[cfg(test)]
mod tests;

pub(crate) use address::is_own;
use address::{Reach, reach};
pub use program::process_allowed;
pub(crate) use program::program_allowed;

use crate::sandbox::Capability;
use http::Method;
use origin::Pattern;
use reqwest::Url;
use std::net::IpAddr;

/// `Err` says what is not granted, and which grant would allow it.
pub(crate) type Verdict = Result<(), String>;

/// Paths of the host's own listener that a plugin may be granted: what a probe needs, nothing that acts.
const OWN_PATHS: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/"];

/// Topics that only the host writes: a plugin that could would forge the record of what plugins did.
const RESERVED_TOPICS: [&str; 3] = ["audit", "effect", "plugin"];

/// Kinds that decide get what they decide on as input, and nothing else.
pub(crate) fn capability_allowed(capability: Capability, pure: bool) -> Verdict {
    if pure && capability != Capability::Log {
        return Err(format!(
            "a kind that decides has no `{}`; hint: what it needs is in its input",
            capability.as_str()
        ));
    }
    Ok(())
}

/// Whether some grant names the origin of `url`. Asked before the name is looked up: a look-up is a message, too.
pub(crate) fn origin_allowed(grants: &[String], url: &Url) -> Verdict {
    if origins(grants, url).next().is_some() { Ok(()) } else { Err(origin_hint(url)) }
}

/// Whether a request may go to `url` at `ip`. `own`: that is the host's own listener.
pub(crate) fn http_allowed(grants: &[String], url: &Url, method: &Method, ip: IpAddr, own: bool) -> Verdict {
    origin_allowed(grants, url)?;
    let literal = origins(grants, url).any(|pattern| pattern.is_literal());
    if own {
        if !literal {
            return Err(origin_hint(url));
        }
        if !(*method == Method::GET || *method == Method::HEAD) || !OWN_PATHS.contains(&url.path()) {
            return Err(format!("of the host itself, plugins may only GET {}", OWN_PATHS.join(", ")));
        }
    }
    address_allowed(url.host_str().unwrap_or_default(), literal, ip)
}

/// Whether a secret may go into the headers of a request to `url`: not under a grant that stands for everybody.
pub(crate) fn secret_may_go_to(grants: &[String], url: &Url) -> bool {
    origins(grants, url).any(|pattern| !pattern.is_everybody())
}

fn origins<'a>(grants: &'a [String], url: &'a Url) -> impl Iterator<Item = Pattern> + 'a {
    grants.iter().filter_map(|grant| Pattern::of_origin(grant)).filter(|pattern| pattern.matches_url(url))
}

fn origin_hint(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    format!("`{origin}` is not granted; hint: grants.http = [\"{origin}\"]")
}

fn address_allowed(host: &str, literal: bool, ip: IpAddr) -> Verdict {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let is_address = host.parse::<IpAddr>().is_ok();
    let is_localhost = host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost");
    let allowed = match reach(ip) {
        Reach::Public => true,
        Reach::Private => literal,
        Reach::Loopback => literal && (is_address || is_localhost),
        Reach::Special => literal && is_address,
    };
    if allowed {
        return Ok(());
    }
    let what = reach(ip).as_str();
    Err(format!("`{host}` stands for the {what} address {ip}; hint: grant the address itself, `{ip}`"))
}

/// Whether some grant names `host:port`. Asked before the name is looked up.
pub(crate) fn endpoint_allowed(grants: &[String], host: &str, port: u16) -> Verdict {
    if endpoints(grants, host, port).next().is_some() { Ok(()) } else { Err(endpoint_hint(host, port)) }
}

/// Whether a secret may be written to `host:port`: not under a grant that stands for everybody.
pub(crate) fn secret_may_be_written_to(grants: &[String], host: &str, port: u16) -> bool {
    endpoints(grants, host, port).any(|pattern| !pattern.is_everybody())
}

/// Whether a connection may go to `host:port` at `ip`. The host's own listener is out of bounds: its door is HTTP.
pub(crate) fn tcp_allowed(grants: &[String], host: &str, port: u16, ip: IpAddr, own: bool) -> Verdict {
    endpoint_allowed(grants, host, port)?;
    if own {
        return Err("plugins reach the host itself by `http` only".to_owned());
    }
    let literal = endpoints(grants, host, port).any(|pattern| pattern.is_literal());
    address_allowed(host, literal, ip)
}

/// Whether the certificate of `host:port` may be read: where a connection is granted, and where an `https` origin is. It is
/// but a handshake, so the host's own listener is no exception.
pub(crate) fn certificate_allowed(
    tcp: &[String],
    http: &[String],
    host: &str,
    port: u16,
    ip: Option<IpAddr>,
) -> Verdict {
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let url = Url::parse(&format!("https://{bracketed}:{port}/")).map_err(|_| format!("`{host}` is not a host"))?;
    let mut patterns = endpoints(tcp, host, port).chain(origins(http, &url)).peekable();
    if patterns.peek().is_none() {
        return Err(endpoint_hint(host, port));
    }
    let literal = patterns.any(|pattern| pattern.is_literal());
    ip.map_or(Ok(()), |ip| address_allowed(host, literal, ip))
}

fn endpoints<'a>(grants: &'a [String], host: &'a str, port: u16) -> impl Iterator<Item = Pattern> + 'a {
    grants.iter().filter_map(|grant| Pattern::of_endpoint(grant)).filter(move |pattern| pattern.matches(host, port))
}

fn endpoint_hint(host: &str, port: u16) -> String {
    format!("`{host}:{port}` is not granted; hint: grants.tcp = [\"{host}:{port}\"]")
}

pub(crate) fn unix_allowed(grants: &[String], path: &str) -> Verdict {
    let is_plain = path.starts_with('/') && !path.split('/').any(|part| part == "..");
    if is_plain && grants.iter().any(|grant| grant.strip_prefix("unix:") == Some(path)) {
        return Ok(());
    }
    Err(format!("the socket `{path}` is not granted; hint: grants.tcp = [\"unix:{path}\"]"))
}

/// `prefix` is `custom.`, a topic (`custom`), or a whole type (`custom.happened`).
pub(crate) fn event_allowed(prefixes: &[String], event_type: &str) -> Verdict {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    if event_type.len() > 128 || !event_type.contains('.') || !event_type.split('.').all(is_word) {
        return Err(format!("`{}` is not a type of an event; hint: `topic.what-happened`", event_type.escape_debug()));
    }
    let topic = event_type.split('.').next().unwrap_or_default();
    if RESERVED_TOPICS.contains(&topic) {
        return Err(format!("events of `{topic}` are the host's own"));
    }
    let granted = prefixes.iter().any(|prefix| {
        prefix == event_type
            || prefix == topic
            || (prefix.len() > 1 && prefix.ends_with('.') && event_type.starts_with(prefix.as_str()))
    });
    if granted {
        return Ok(());
    }
    Err(format!("events of type `{event_type}` are not granted; hint: grants.events = [\"{topic}.\"]"))
}

pub(crate) fn secret_allowed(names: &[String], name: &str) -> Verdict {
    if names.iter().any(|granted| granted == name) {
        return Ok(());
    }
    Err(format!("the secret `{}` is not granted; hint: grants.secret = [\"...\"]", name.escape_debug()))
}

pub(crate) fn reveal_allowed(names: &[String], name: &str) -> Verdict {
    if names.iter().any(|granted| granted == name) {
        return Ok(());
    }
    Err(format!("the secret `{}` is not to be revealed; hint: grants.reveal = [\"...\"]", name.escape_debug()))
}

/// The grant that allows to read `path`, or with `append` to add lines to it: its own, or one of a folder that it lies in, which ends
/// with `/`.
pub(crate) fn file_grant<'a>(grants: &'a [String], path: &str, capability: Capability) -> Result<&'a str, String> {
    let is_plain = path.starts_with('/') && !path.contains('\0') && !path.split('/').any(|part| part == "..");
    let allows = |grant: &&String| grant.as_str() == path || (grant.ends_with('/') && path.starts_with(grant.as_str()));
    match grants.iter().find(allows) {
        Some(grant) if is_plain => Ok(grant),
        _ => {
            let (path, name) = (path.escape_debug(), capability.as_str());
            Err(format!("the file `{path}` is not granted; hint: grants.{name} = [\"{path}\"]"))
        }
    }
}

/// A flag of the grants.
pub(crate) fn flag(granted: bool, capability: Capability) -> Verdict {
    if granted {
        return Ok(());
    }
    let name = capability.as_str();
    Err(format!("`{name}` is not granted; hint: grants.{name} = true"))
}

/// The health URL of a process: on the machine itself, or granted for HTTP.
pub(crate) fn health_url_allowed(http: &[String], url: &str) -> Verdict {
    let parsed = Url::parse(url).map_err(|e| format!("`{}` is not a URL: {e}", url.escape_debug()))?;
    let host = parsed.host_str().and_then(origin::normal).unwrap_or_default();
    let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| reach(ip) == Reach::Loopback);
    if local { Ok(()) } else { origin_allowed(http, &parsed) }
}
