//! Patterns of origins and endpoints, as they stand in grants.

use reqwest::Url;
use std::net::IpAddr;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scheme {
    Any,
    Is(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    /// `.example.com`, with its dot.
    Below(String),
    Is(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Any,
    Is(u16),
}

/// A grant, read. One that can't be read allows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    scheme: Scheme,
    host: Host,
    port: Port,
}

impl Pattern {
    /// `*`, or `scheme://host`, `scheme://host:port`, `scheme://*.host`, with `*` for any port.
    pub(crate) fn of_origin(grant: &str) -> Option<Pattern> {
        if grant == "*" {
            return Some(Pattern { scheme: Scheme::Any, host: Host::Any, port: Port::Any });
        }
        let (scheme, rest) = grant.split_once("://")?;
        let (scheme, default_port) = match scheme {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return None,
        };
        let (host, port) = split(rest.strip_suffix('/').unwrap_or(rest))?;
        let port = port.map_or(Some(Port::Is(default_port)), Port::parse)?;
        Some(Pattern { scheme: Scheme::Is(scheme), host: Host::parse(host)?, port })
    }

    /// `host:port`, `host:*`, `*.host:port`, `[::1]:port`.
    pub(crate) fn of_endpoint(grant: &str) -> Option<Pattern> {
        if grant.starts_with("unix:") {
            return None;
        }
        let (host, port) = split(grant)?;
        Some(Pattern { scheme: Scheme::Any, host: Host::parse(host)?, port: Port::parse(port?)? })
    }

    pub(crate) fn matches_url(&self, url: &Url) -> bool {
        let scheme = match self.scheme {
            Scheme::Any => matches!(url.scheme(), "http" | "https"),
            Scheme::Is(scheme) => scheme == url.scheme(),
        };
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) => scheme && self.matches(host, port),
            _ => false,
        }
    }

    pub(crate) fn matches(&self, host: &str, port: u16) -> bool {
        let port_fits = match self.port {
            Port::Any => true,
            Port::Is(wanted) => wanted == port,
        };
        let Some(host) = normal(host) else { return false };
        let host_fits = match &self.host {
            Host::Any => true,
            Host::Is(wanted) => *wanted == host,
            Host::Below(suffix) => {
                host.parse::<IpAddr>().is_err() && host.len() > suffix.len() && host.ends_with(suffix)
            }
        };
        port_fits && host_fits
    }

    /// Names one host, by name or by address.
    pub(crate) fn is_literal(&self) -> bool {
        matches!(self.host, Host::Is(_))
    }

    pub(crate) fn is_everybody(&self) -> bool {
        self.host == Host::Any
    }
}

impl Host {
    fn parse(text: &str) -> Option<Host> {
        if text == "*" {
            return Some(Host::Any);
        }
        match text.strip_prefix('*') {
            Some(suffix) if suffix.starts_with('.') && !suffix.contains('*') => {
                Some(Host::Below(format!(".{}", normal(suffix.get(1..)?)?)))
            }
            Some(_) => None,
            None if text.contains('*') => None,
            None => normal(text).map(Host::Is),
        }
    }
}

impl Port {
    fn parse(text: &str) -> Option<Port> {
        if text == "*" { Some(Port::Any) } else { text.parse().ok().map(Port::Is) }
    }
}

/// Host and port; the port is absent where none is written.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if text.contains(['/', '?', '#', '@', '\\']) {
        return None;
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None if rest.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

/// One writing of each host: lower case, punycode, addresses in their canonical form, no brackets, no dot at the end.
pub(crate) fn normal(host: &str) -> Option<String> {
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return None;
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(ip.to_string());
    }
    if host.contains([':', '/', '?', '#', '@', '\\', '%', ' ', '[', ']']) {
        return None;
    }
    // The URL parser is the one that requests go through: it knows what `0x7f.1` and `EXAMPLE.com` stand for.
    let url = Url::parse(&format!("http://{host}/")).ok()?;
    url.host_str().map(|host| host.trim_end_matches('.').to_owned())
}
