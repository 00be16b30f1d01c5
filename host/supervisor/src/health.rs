//! Is it ready? A GET of the health URL every 500 ms; any 2xx is a yes.

use quarterdeck_model::process::ProcessPhase;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

const EVERY: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(2);
/// Failures in a row that make a healthy process unhealthy.
const FAILURES: u32 = 3;
/// A process that was never healthy is "starting" for this long before it is "unhealthy".
const START_PERIOD: Duration = Duration::from_secs(30);

/// A health URL, taken apart. Only plain HTTP to a loopback address, whatever a name is looked up to: the process runs on this
/// machine, and asking elsewhere would be a way around the grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `host:port`, as a socket takes it and as the `Host` header shows it.
    authority: String,
    path: String,
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Target, String> {
        let wrong = || {
            format!("`{}` is not a health URL; hint: write it like `http://127.0.0.1:8080/healthz`", url.escape_debug())
        };
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let safe = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if authority.is_empty() || authority.contains('@') || !safe(authority) || !safe(path) {
            return Err(wrong());
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && (!host.contains(':') || host.ends_with(']')) && port.parse::<u16>().is_ok()
        });
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        if authority.parse::<SocketAddr>().is_ok_and(|address| !is_loopback(address.ip())) {
            return Err(format!(
                "`{authority}` is not on this machine; hint: health URLs are asked of loopback addresses only"
            ));
        }
        let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        Ok(Target { authority, path })
    }

    /// Whether the answer is a 2xx.
    async fn is_healthy(&self) -> bool {
        matches!(tokio::time::timeout(TIMEOUT, self.status()).await, Ok(Ok(status)) if (200..300).contains(&status))
    }

    async fn status(&self) -> std::io::Result<u16> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host(&self.authority).await?.collect();
        let own: Vec<SocketAddr> = found.into_iter().filter(|address| is_loopback(address.ip())).collect();
        if own.is_empty() {
            return Err(std::io::Error::new(std::io::ErrorKind::AddrNotAvailable, "no loopback address"));
        }
        let mut stream = TcpStream::connect(own.as_slice()).await?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: quarterdeck-supervisor\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            self.path, self.authority
        );
        stream.write_all(request.as_bytes()).await?;
        // `HTTP/1.1 200`: the status line's first twelve bytes are all that is asked for.
        let mut start = [0u8; 12];
        stream.read_exact(&mut start).await?;
        std::str::from_utf8(&start)
            .ok()
            .filter(|text| text.starts_with("HTTP/1."))
            .and_then(|text| text.get(9..12))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "not an HTTP response"))
    }
}

/// Also where an IPv4 address is written as one of IPv6.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Keeps `phase` up to date, until it is dropped. Without a URL, running is all there is to know.
pub(crate) async fn watch(url: Option<String>, phase: watch::Sender<ProcessPhase>) {
    let target = match url.map(|url| Target::parse(&url)) {
        Some(Ok(target)) => target,
        // A URL that can't be read was refused before the start.
        Some(Err(_)) | None => {
            phase.send_replace(ProcessPhase::Healthy);
            return std::future::pending().await;
        }
    };
    let began = Instant::now();
    let mut failures = 0u32;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        failures = if target.is_healthy().await { 0 } else { failures.saturating_add(1) };
        let now = *phase.borrow();
        let next = match now {
            _ if failures == 0 => ProcessPhase::Healthy,
            ProcessPhase::Starting if began.elapsed() < START_PERIOD => ProcessPhase::Starting,
            _ if failures >= FAILURES => ProcessPhase::Unhealthy,
            now => now,
        };
        if next != now {
            phase.send_replace(next);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::allow_attributes, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn health_urls_are_taken_apart() {
        let check = |url: &str, authority: &str, path: &str| {
            let expected = Target { authority: authority.to_owned(), path: path.to_owned() };
            assert_eq!(Target::parse(url), Ok(expected), "{url}");
        };
        check("http://127.0.0.1:8080/healthz?deep=1", "127.0.0.1:8080", "/healthz?deep=1");
        check("http://localhost", "localhost:80", "/");
        check("http://[::1]:81?x", "[::1]:81", "/?x");
        check("http://[::1]/", "[::1]:80", "/");
        for url in ["https://a/", "a:80", "http://", "http:///x", "http://u@h/", "http://h/\r\nX: y", "http://h/a b"] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        for url in ["http://192.0.2.1:80/", "http://169.254.169.254/latest", "http://[2001:db8::1]:80/"] {
            assert!(Target::parse(url).unwrap_err().contains("loopback"), "{url}");
        }
        assert!(Target::parse("http://[::ffff:127.0.0.1]:80/").is_ok());
    }

    /// What a name means is known only when it is looked up: `0.0.0.0` stands for one that leads elsewhere, and a listener that
    /// would answer is there.
    #[tokio::test]
    async fn a_name_that_leads_elsewhere_is_not_asked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = format!("0.0.0.0:{}", listener.local_addr().unwrap().port());
        let target = Target { authority, path: "/".to_owned() };
        assert_eq!(target.status().await.unwrap_err().kind(), std::io::ErrorKind::AddrNotAvailable);
    }
}
