//! One request over reqwest: the name is looked up once, every address is asked about, and the connection goes to an address
//! that was allowed. Redirects are answers like others, proxies of the environment are not used.

use crate::imports::policy;
use crate::imports::tls::Tls;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Response, Url};
use std::collections::HashMap;
use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Sets of grants whose connections are kept apart. More than this many, and all of them begin anew.
const POOLS: usize = 256;
const USER_AGENT: &str = concat!("quarterdeck/", env!("CARGO_PKG_VERSION"));

pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Timeouts {
    pub(crate) connect: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
}

/// Why there is no response.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Denied(String),
    /// The name was granted, none of its addresses is.
    #[error("{0}")]
    AddressDenied(String),
    #[error("the name can't be looked up: {0}")]
    NoSuchName(String),
    #[error("no connection in time")]
    ConnectTimeout,
    #[error("no response in time")]
    ResponseTimeout,
    #[error("no connection: {0}")]
    Refused(String),
    #[error("the certificate is not trusted: {0}")]
    Certificate(String),
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("the connection ended: {0}")]
    Terminated(String),
    #[error("{0}")]
    Other(String),
}

tokio::task_local! {
    /// Of the request that this task carries out: the name, and the addresses that it may connect to.
    static ALLOWED: (String, Vec<SocketAddr>);
}

/// Answers with what was allowed, and knows nothing else.
struct Allowed;

impl Resolve for Allowed {
    fn resolve(&self, name: Name) -> Resolving {
        let found = ALLOWED.try_with(|(host, addresses)| (host == name.as_str()).then(|| addresses.clone()));
        Box::pin(async move {
            match found {
                Ok(Some(addresses)) => Ok(Box::new(addresses.into_iter()) as Addrs),
                _ => Err("the name was not asked about".into()),
            }
        })
    }
}

pub(crate) struct Client {
    tls: Arc<Tls>,
    /// By grants: a connection that one set of grants allowed is never reused under another.
    pools: Mutex<HashMap<Vec<String>, reqwest::Client>>,
}

impl Client {
    pub(crate) fn new(tls: Arc<Tls>) -> Self {
        Client { tls, pools: Mutex::new(HashMap::new()) }
    }

    /// Carries the request out on `runtime`; dropping the future ends it.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn send(
        &self,
        runtime: &Handle,
        request: Request,
        grants: Vec<String>,
        timeouts: Timeouts,
        is_own: impl Fn(IpAddr, u16) -> bool + Send + 'static,
    ) -> Result<Response, Failure> {
        policy::origin_allowed(&grants, &request.url).map_err(Failure::Denied)?;
        let client = self.pool(runtime, &grants).await?;
        let task = runtime.spawn(send(client, request, grants, timeouts, is_own));
        AbortOnDropHandle::new(task).await.unwrap_or_else(|error| Err(Failure::Other(error.to_string())))
    }

    async fn pool(&self, runtime: &Handle, grants: &[String]) -> Result<reqwest::Client, Failure> {
        let known = |pools: &HashMap<Vec<String>, reqwest::Client>| pools.get(grants).cloned();
        if let Some(client) = known(&self.pools.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(client);
        }
        let tls = self.tls.clone();
        let config = AbortOnDropHandle::new(runtime.spawn(async move { tls.trusting().await })).await;
        let config = config.unwrap_or_else(|error| Err(error.to_string())).map_err(Failure::Tls)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .dns_resolver(Arc::new(Allowed))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(8)
            .http1_only()
            .user_agent(USER_AGENT)
            .build()
            .map_err(|error| Failure::Other(describe(&error)))?;
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known(&pools) {
            return Ok(client);
        }
        if pools.len() >= POOLS {
            pools.clear();
        }
        pools.insert(grants.to_vec(), client.clone());
        Ok(client)
    }
}

async fn send(
    client: reqwest::Client,
    request: Request,
    grants: Vec<String>,
    timeouts: Timeouts,
    is_own: impl Fn(IpAddr, u16) -> bool,
) -> Result<Response, Failure> {
    let Request { method, url, headers, body } = request;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::Other("a URL with a password in it; hint: use an `Authorization` header".to_owned()));
    }
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or_default();
    let connect = timeouts.connect.unwrap_or(CONNECT_TIMEOUT).min(CONNECT_TIMEOUT);
    let found = tokio::time::timeout(connect, look_up(&host, port)).await.map_err(|_| Failure::ConnectTimeout)??;
    let mut refused = None;
    let mut own = false;
    let mut addresses = Vec::new();
    for address in found {
        let is_own = is_own(address.ip(), port);
        match policy::http_allowed(&grants, &url, &method, address.ip(), is_own) {
            Ok(()) => {
                own |= is_own;
                addresses.push(address);
            }
            Err(reason) => refused = Some(reason),
        }
    }
    match refused {
        Some(reason) if addresses.is_empty() => return Err(Failure::AddressDenied(reason)),
        _ if addresses.is_empty() => return Err(Failure::NoSuchName(host)),
        _ => {}
    }
    let mut builder = client.request(method, url).headers(headers);
    if own {
        // Not kept: the next request to this name may be for another address, and for another path.
        builder = builder.header(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if !body.is_empty() {
        builder = builder.body(body);
    }
    let request = builder.build().map_err(|error| Failure::Other(describe(&error)))?;
    let executed = ALLOWED.scope((host, addresses), client.execute(request));
    let executed = match timeouts.first_byte {
        Some(limit) => {
            tokio::time::timeout(connect.saturating_add(limit), executed).await.map_err(|_| Failure::ResponseTimeout)?
        }
        None => executed.await,
    };
    executed.map_err(|error| classify(&error))
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = tokio::net::lookup_host((bare, port)).await;
    found.map(Iterator::collect).map_err(|error| Failure::NoSuchName(error.to_string()))
}

fn classify(error: &reqwest::Error) -> Failure {
    let text = describe(error);
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            if let Some(tls) = tls_inside(io) {
                return of_tls(tls, text);
            }
            match io.kind() {
                std::io::ErrorKind::TimedOut if error.is_connect() => return Failure::ConnectTimeout,
                _ if error.is_connect() => return Failure::Refused(text),
                _ => return Failure::Terminated(text),
            }
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return of_tls(tls, text);
        }
        source = cause.source();
    }
    match (error.is_timeout(), error.is_connect(), error.is_request()) {
        (true, true, _) => Failure::ConnectTimeout,
        (true, false, _) => Failure::ResponseTimeout,
        (false, true, _) => Failure::Refused(text),
        (false, false, true) => Failure::Terminated(text),
        _ => Failure::Other(text),
    }
}

/// A TLS error travels inside of one of I/O, which may stand inside of another.
fn tls_inside(error: &std::io::Error) -> Option<&rustls::Error> {
    let mut inner = error.get_ref()?;
    loop {
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        inner = inner.downcast_ref::<std::io::Error>()?.get_ref()?;
    }
}

fn of_tls(error: &rustls::Error, text: String) -> Failure {
    if matches!(error, rustls::Error::InvalidCertificate(_)) { Failure::Certificate(text) } else { Failure::Tls(text) }
}

/// The whole chain, without the URL: queries hold secrets.
fn describe(error: &reqwest::Error) -> String {
    let mut text = String::from("the request failed");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
