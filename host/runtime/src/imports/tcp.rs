//! `tcp`: streams to granted hosts, with TLS by the host, and Unix sockets.

mod certificate;
#[cfg(test)]
mod tests;

use crate::bindings::host::errors::Error;
use crate::bindings::host::tcp::{Address, Certificate, Host, HostConnection};
use crate::imports::{Caller, SOCKETS_PER_CALL, policy, secret};
use crate::sandbox::{Capability, Sandbox};
use base64::Engine as _;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Resource;

/// Name look-up, connection and handshake together; less where the call has less left.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_BYTES: u32 = 1 << 20;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What a plugin's handle stands for.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Connection {
    stream: Box<dyn Stream>,
    /// As the audit shows it.
    target: String,
    /// The grant names its host.
    takes_secrets: bool,
    /// Given back with the connection.
    _permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Host for Sandbox {
    async fn peer_certificate(&mut self, host: String, port: u16) -> wasmtime::Result<Result<Certificate, Error>> {
        Ok(peer_certificate(self, host, port).await)
    }
}

impl HostConnection for Sandbox {
    async fn connect(&mut self, address: Address) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        match connect(self, address).await {
            Ok(connection) => Ok(Ok(self.table.push(connection)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn read(&mut self, handle: Resource<Connection>, max: u32) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        if let Err(reason) = self.count(Capability::Tcp) {
            return Ok(Err(Error::Limited(reason)));
        }
        let patience = self.patience;
        let connection = self.table.get_mut(&handle)?;
        let mut bytes = vec![0; usize::try_from(max.min(READ_BYTES))?];
        let read = match tokio::time::timeout_at(patience.into(), connection.stream.read(&mut bytes)).await {
            Ok(Ok(read)) => read,
            // TLS peers that just hang up are the rule.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => 0,
            Ok(Err(error)) => return Ok(Err(failed(error))),
            Err(_) => return Ok(Err(out_of_time())),
        };
        bytes.truncate(read);
        Ok(self.count_bytes(read as u64, 0).map(|()| bytes).map_err(Error::Limited))
    }

    async fn write(&mut self, handle: Resource<Connection>, bytes: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        if let Err(reason) = self.count(Capability::Tcp).and_then(|()| self.count_bytes(0, bytes.len() as u64)) {
            return Ok(Err(Error::Limited(reason)));
        }
        let patience = self.patience;
        let connection = self.table.get_mut(&handle)?;
        let written = async {
            connection.stream.write_all(&bytes).await?;
            connection.stream.flush().await
        };
        let written = tokio::time::timeout_at(patience.into(), written).await;
        Ok(written.map_or_else(|_| Err(out_of_time()), |written| written.map_err(failed)))
    }

    async fn start_tls(&mut self, handle: Resource<Connection>, host: String) -> wasmtime::Result<Result<(), Error>> {
        if let Err(reason) = self.count(Capability::Tcp) {
            return Ok(Err(Error::Limited(reason)));
        }
        let caller = self.caller();
        let connection = self.table.get_mut(&handle)?;
        let target = format!("start-tls {host} at {}", connection.target);
        // Whatever becomes of the handshake, nothing may go on in the clear.
        let closed: Box<dyn Stream> = Box::new(tokio::io::empty());
        let plain = std::mem::replace(&mut connection.stream, closed);
        let doors = caller.doors.clone();
        let shaken = within(&caller, async move {
            let config = doors.tls.trusting().await.map_err(failed)?;
            handshake(config, &host, plain).await
        })
        .await;
        caller.audit(Capability::Tcp, target, outcome(&shaken));
        Ok(shaken.map(|stream| connection.stream = Box::new(stream)))
    }

    async fn write_secret(
        &mut self,
        handle: Resource<Connection>,
        before: Vec<u8>,
        name: String,
        base64: bool,
    ) -> wasmtime::Result<Result<(), Error>> {
        let connection = self.table.get(&handle)?;
        let (target, takes_secrets) = (connection.target.clone(), connection.takes_secrets);
        if !takes_secrets {
            let reason =
                format!("secrets go to named hosts only; hint: grants.tcp = [...] with the host of `{target}`");
            return Ok(Err(Error::Denied(reason)));
        }
        let bytes = match secret::reveal(self, &name, &target) {
            Ok(secret) => [before.as_slice(), secret.as_bytes()].concat(),
            Err(error) => return Ok(Err(error)),
        };
        let bytes = if base64 { base64::engine::general_purpose::STANDARD.encode(bytes).into_bytes() } else { bytes };
        HostConnection::write(self, handle, bytes).await
    }

    async fn drop(&mut self, handle: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

fn out_of_time() -> Error {
    Error::Failed("no answer within the time of the call".to_owned())
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(error.to_string())
}

async fn connect(sandbox: &mut Sandbox, address: Address) -> Result<Connection, Error> {
    let target = show(&address);
    sandbox.ask(
        Capability::Tcp,
        || target.clone(),
        |grants| match &address {
            Address::Tcp((host, port)) | Address::Tls((host, port)) => {
                policy::endpoint_allowed(&grants.tcp, host, *port)
            }
            Address::Unix(path) => policy::unix_allowed(&grants.tcp, path),
        },
    )?;
    let caller = sandbox.caller();
    let of_call = sandbox
        .sockets
        .clone()
        .try_acquire_owned()
        .map_err(|_| Error::Limited(format!("one call has at most {SOCKETS_PER_CALL} connections open")))?;
    let of_host = caller.doors.sockets.clone().acquire_owned().await.map_err(failed)?;
    let takes_secrets = match &address {
        Address::Tcp((host, port)) | Address::Tls((host, port)) => {
            policy::secret_may_be_written_to(&caller.grants.tcp, host, *port)
        }
        Address::Unix(_) => true,
    };
    let opened = within(&caller, open(caller.clone(), address)).await;
    caller.audit(Capability::Tcp, target.clone(), outcome(&opened));
    opened.map(|stream| Connection { stream, target, takes_secrets, _permits: (of_call, of_host) })
}

/// On the host's runtime: a connection belongs to the runtime that it was made in.
async fn within<T: Send + 'static>(
    caller: &Caller,
    future: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let time = CONNECT_TIMEOUT.min(caller.patience.saturating_duration_since(Instant::now()));
    let future = async move {
        tokio::time::timeout(time, future)
            .await
            .unwrap_or_else(|_| Err(Error::Failed(format!("no answer within {} ms", time.as_millis()))))
    };
    AbortOnDropHandle::new(caller.doors.runtime.spawn(future)).await.unwrap_or_else(|error| Err(failed(error)))
}

fn outcome<T>(result: &Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Error::Denied(_)) => "denied",
        Err(_) => "failed",
    }
}

fn show(address: &Address) -> String {
    match address {
        Address::Tcp((host, port)) => format!("tcp {host}:{port}"),
        Address::Tls((host, port)) => format!("tls {host}:{port}"),
        Address::Unix(path) => format!("unix {path}"),
    }
}

async fn open(caller: Caller, address: Address) -> Result<Box<dyn Stream>, Error> {
    match address {
        Address::Tcp((host, port)) => Ok(Box::new(dial(&caller, &host, port).await?)),
        Address::Tls((host, port)) => {
            let stream = dial(&caller, &host, port).await?;
            let config = caller.doors.tls.trusting().await.map_err(failed)?;
            Ok(Box::new(handshake(config, &host, stream).await?))
        }
        Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(failed)?)),
    }
}

async fn dial(caller: &Caller, host: &str, port: u16) -> Result<TcpStream, Error> {
    let grants = caller.grants.clone();
    let doors = caller.doors.clone();
    dial_checked(host, port, |ip| policy::tcp_allowed(&grants.tcp, host, port, ip, doors.is_own(ip, port))).await
}

/// Looks the name up, asks about every address, and connects to one that was allowed, and to no other.
async fn dial_checked(host: &str, port: u16, allowed: impl Fn(IpAddr) -> policy::Verdict) -> Result<TcpStream, Error> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = tokio::net::lookup_host((bare, port))
        .await
        .map_err(|error| Error::Failed(format!("`{}` can't be looked up: {error}", host.escape_debug())))?
        .collect();
    let mut refused = None;
    let mut last = None;
    for address in found {
        if let Err(reason) = allowed(address.ip()) {
            refused = Some(reason);
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Plugins speak in small questions; a failure to set it changes nothing but the speed.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = Some(format!("{address}: {error}")),
        }
    }
    Err(match (last, refused) {
        (Some(error), _) => Error::Failed(error),
        (None, Some(reason)) => Error::Denied(reason),
        (None, None) => Error::Failed(format!("`{host}` has no address")),
    })
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    config: ClientConfig,
    host: &str,
    stream: S,
) -> Result<tokio_rustls::client::TlsStream<S>, Error> {
    let bare = host.trim_start_matches('[').trim_end_matches([']', '.']);
    let name = ServerName::try_from(bare.to_owned()).map_err(failed)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(failed)
}

async fn peer_certificate(sandbox: &mut Sandbox, host: String, port: u16) -> Result<Certificate, Error> {
    let target = format!("certificate {host}:{port}");
    sandbox.ask(
        Capability::Tcp,
        || target.clone(),
        |grants| policy::certificate_allowed(&grants.tcp, &grants.http, &host, port, None),
    )?;
    let caller = sandbox.caller();
    let grants = caller.grants.clone();
    let look = async move {
        let stream = dial_checked(&host, port, |ip| {
            policy::certificate_allowed(&grants.tcp, &grants.http, &host, port, Some(ip))
        })
        .await?;
        let config = super::tls::Tls::looking().map_err(failed)?;
        let mut stream = handshake(config, &host, stream).await?;
        let presented = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
        // Said politely, not waited for.
        let _ = stream.shutdown().await;
        let presented = presented.ok_or_else(|| Error::Failed("no certificate was presented".to_owned()))?;
        certificate::read(&presented).map_err(Error::Failed)
    };
    let looked = within(&caller, look).await;
    caller.audit(Capability::Tcp, target, outcome(&looked));
    looked
}
