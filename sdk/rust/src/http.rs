//! A small synchronous HTTP client over `wasi:http`. Redirects are not followed; origins have to be granted (`http`).

#[cfg(target_family = "wasm")]
mod wasm;

use crate::Failure;

/// A request.
///
/// ```
/// use quarterdeck_sdk::http::Request;
///
/// let request = Request::post("https://example.com/hook").header("content-type", "application/json").body("{}");
/// assert_eq!(request.method, "POST");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// `http://` or `https://`.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Vec<u8>,
    /// For the whole exchange. Unless set: 10 seconds.
    pub timeout_ms: u64,
    /// How much of the response's body is kept. Unless set: 1 MiB.
    pub max_body_bytes: usize,
}

/// A response, whatever its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// `200`.
    pub status: u16,
    /// In the order of the response.
    pub headers: Vec<(String, String)>,
    /// At most `max_body_bytes` of it.
    pub body: Vec<u8>,
    /// There was more of it.
    pub truncated: bool,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The URL, method or a header can't be sent.
    Invalid(String),
    /// The origin is not granted.
    Denied(String),
    /// No connection: name not found, refused, unreachable.
    Connect(String),
    /// The certificate or the handshake.
    Tls(String),
    /// Not done in time.
    Timeout(String),
    /// Anything else, as a connection that was lost or a response that is not HTTP.
    Failed(String),
}

impl Request {
    /// Any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Request {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 10_000,
            max_body_bytes: 1 << 20,
        }
    }

    /// `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Request::new("GET", url)
    }

    /// `POST`.
    pub fn post(url: impl Into<String>) -> Self {
        Request::new("POST", url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// What is sent.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// For the whole exchange.
    #[must_use]
    pub const fn timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = timeout_ms;
        self
    }

    /// How much of the response's body is kept.
    #[must_use]
    pub const fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sends it and reads the response.
    pub fn send(&self) -> Result<Response, Error> {
        #[cfg(target_family = "wasm")]
        return wasm::send(self);
        #[cfg(not(target_family = "wasm"))]
        {
            let mut answer = Err(Error::Failed("not running in a host".to_owned()));
            let _ = crate::testing::with(|host| {
                if let Some(fetch) = &mut host.http {
                    answer = fetch(self);
                }
                Ok(())
            });
            answer
        }
    }
}

impl Response {
    /// The first value of a header, whose name is compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// True for 200 to 299.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }
}

impl Error {
    /// What went wrong, whichever it is.
    pub fn message(&self) -> &str {
        match self {
            Error::Invalid(message)
            | Error::Denied(message)
            | Error::Connect(message)
            | Error::Tls(message)
            | Error::Timeout(message)
            | Error::Failed(message) => message,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Error {}

/// What is invalid or denied stays so; anything else may work later.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(message) | Error::Denied(message) => Failure::Rejected(message),
            Error::Connect(message) | Error::Tls(message) | Error::Timeout(message) | Error::Failed(message) => {
                Failure::retry(message)
            }
        }
    }
}

/// Scheme, authority and the rest of a URL.
///
/// ```
/// # use quarterdeck_sdk::http::split_url;
/// assert_eq!(split_url("https://example.com:8443?a=b#top"), Some(("https", "example.com:8443", "/?a=b".to_owned())));
/// assert_eq!(split_url("ftp://example.com"), None);
/// ```
pub fn split_url(url: &str) -> Option<(&str, &str, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let rest = rest.split('#').next().unwrap_or(rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let path = if path.starts_with('/') { path.to_owned() } else { ["/", path].concat() };
    (matches!(scheme, "http" | "https") && !authority.is_empty()).then_some((scheme, authority, path))
}

/// Host and port of a URL, without user information; the port is the scheme's unless given.
///
/// ```
/// # use quarterdeck_sdk::http::host_and_port;
/// assert_eq!(host_and_port("https://[::1]/x"), Some(("::1", 443)));
/// ```
pub fn host_and_port(url: &str) -> Option<(&str, u16)> {
    let (scheme, authority, _) = split_url(url)?;
    let default = if scheme == "https" { 443 } else { 80 };
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let port = port.strip_prefix(':').map_or(Some(default), |port| port.parse().ok())?;
        return Some((host, port));
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((authority, default)),
    }
}
