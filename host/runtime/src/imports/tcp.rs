//! `tcp`: streams to granted hosts, with TLS by the host, and Unix sockets.

mod certificate;
#[cfg(test)]
mod tests;

use crate::bindings::host::errors::Error;
use crate::bindings::host::tcp::{Address, Certificate, Host, HostConnection};
use crate::imports::audit::DENIED;
use crate::imports::secret::Echo;
use crate::imports::sockets::Socket;
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
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Resource;

/// Name look-up, connection and handshake together; less where the call has less left.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_BYTES: u32 = 1 << 20;
/// How long what may be the beginning of a secret is held back: the rest of one that was written at once comes at once, and whoever waits
/// for us to speak says no more.
const HELD_BACK: Duration = Duration::from_millis(250);

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
    /// Looks for secrets in what the peer says, if the instance has any.
    echo: Option<Echo>,
    /// What was read and looked through, and not handed over yet.
    ready: Vec<u8>,
    /// Given back with the connection. Absent: it ended with the call that opened it.
    socket: Option<Socket>,
}

impl Connection {
    /// At most `max` bytes, none at the end of the stream.
    async fn read(&mut self, max: usize, patience: Instant) -> Result<Vec<u8>, Error> {
        if self.ready.is_empty() {
            self.ready = self.listen(max, patience).await?;
        }
        let rest = self.ready.split_off(self.ready.len().min(max));
        Ok(std::mem::replace(&mut self.ready, rest))
    }

    /// What the peer says next, with placeholders where secrets stood: that may be more than `max`.
    async fn listen(&mut self, max: usize, patience: Instant) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; max];
        loop {
            let holds = self.echo.as_ref().is_some_and(Echo::holds);
            let until = if holds { patience.min(Instant::now() + HELD_BACK) } else { patience };
            let read = match tokio::time::timeout_at(until.into(), self.stream.read(&mut bytes)).await {
                Ok(Ok(read)) => read,
                // TLS peers that just hang up are the rule.
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => 0,
                // The next one to read meets the error again.
                Ok(Err(_)) | Err(_) if holds => 0,
                Ok(Err(error)) => return Err(failed(error)),
                Err(_) => return Err(out_of_time()),
            };
            let said = bytes.get(..read).unwrap_or_default();
            let Some(echo) = &mut self.echo else { return Ok(said.to_vec()) };
            if said.is_empty() {
                return Ok(echo.end().to_vec());
            }
            let clean = echo.piece(said);
            if !clean.is_empty() {
                return Ok(clean.to_vec());
            }
        }
    }

    /// Nothing more goes out, nothing more comes in, and its descriptor is free. Gives back what was open.
    fn close(&mut self) -> Box<dyn Stream> {
        self.ready.clear();
        if let Some(echo) = &mut self.echo {
            echo.end();
        }
        std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()))
    }
}

impl Sandbox {
    /// The call is over: so are its connections, whatever the guest keeps.
    pub(crate) fn close_connections(&mut self) {
        for connection in self.table.iter_mut().filter_map(|entry| entry.downcast_mut::<Connection>()) {
            drop(connection.close());
            connection.socket = None;
        }
    }
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
        let read = connection.read(usize::try_from(max.min(READ_BYTES))?, patience).await;
        Ok(read.and_then(|bytes| {
            self.count_bytes(bytes.len() as u64, 0).map_err(Error::Limited)?;
            Ok(bytes)
        }))
    }

    async fn write(&mut self, handle: Resource<Connection>, bytes: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        if let Err(reason) = self.count(Capability::Tcp).and_then(|()| self.count_bytes(0, bytes.len() as u64)) {
            return Ok(Err(Error::Limited(reason)));
        }
        let patience = self.patience;
        let connection = self.table.get_mut(&handle)?;
        if connection.socket.is_none() {
            return Ok(Err(failed("the connection ended with the call that opened it")));
        }
        let written = async {
            connection.stream.write_all(&bytes).await?;
            connection.stream.flush().await
        };
        let written = tokio::time::timeout_at(patience.into(), written).await;
        Ok(written.map_or_else(|_| Err(out_of_time()), |written| written.map_err(failed)))
    }

    async fn start_tls(&mut self, handle: Resource<Connection>, host: String) -> wasmtime::Result<Result<(), Error>> {
        if let Err(reason) = self.count(Capability::Tcp).and_then(|()| self.count_bytes(0, host.len() as u64)) {
            return Ok(Err(Error::Limited(reason)));
        }
        let caller = self.caller();
        let connection = self.table.get_mut(&handle)?;
        let act = match caller.begin(Capability::Tcp, format!("start-tls {host} at {}", connection.target)).await {
            Ok(act) => act,
            Err(error) => return Ok(Err(error)),
        };
        // Whatever becomes of the handshake, nothing may go on in the clear, nor be taken for what comes in TLS.
        let plain = connection.close();
        let doors = caller.doors.clone();
        let shaken = within(&caller, async move {
            let config = doors.tls.trusting().await.map_err(failed)?;
            handshake(config, &host, plain).await
        })
        .await;
        act.end(outcome(&shaken));
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
        let bytes = match secret::reveal(self, &name, &target).await {
            Ok(secret) => [before.as_slice(), secret.as_bytes()].concat(),
            Err(error) => return Ok(Err(error)),
        };
        let bytes = if base64 { base64::engine::general_purpose::STANDARD.encode(bytes).into_bytes() } else { bytes };
        if base64 {
            // All of it: the letters at either end of the secret tell of it, too.
            let placeholder = self.caller().placeholder(&name);
            let connection = self.table.get_mut(&handle)?;
            connection.echo.get_or_insert_with(Echo::empty).also(&bytes, &placeholder);
        }
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
    let named = match &address {
        Address::Tcp((host, _)) | Address::Tls((host, _)) => host.len(),
        Address::Unix(_) => 0,
    };
    sandbox.count_bytes(0, named as u64).map_err(Error::Limited)?;
    let caller = sandbox.caller();
    let of_call = sandbox
        .sockets
        .clone()
        .try_acquire_owned()
        .map_err(|_| Error::Limited(format!("one call has at most {SOCKETS_PER_CALL} connections open")))?;
    let socket = caller.socket(of_call).await.map_err(Error::Limited)?;
    let takes_secrets = match &address {
        Address::Tcp((host, port)) | Address::Tls((host, port)) => {
            policy::secret_may_be_written_to(&caller.grants.tcp, host, *port)
        }
        Address::Unix(_) => true,
    };
    let act = caller.begin(Capability::Tcp, target.clone()).await?;
    let opened = within(&caller, open(caller.clone(), address)).await;
    act.end(outcome(&opened));
    let (echo, ready, socket) = (caller.echo(), Vec::new(), Some(socket));
    opened.map(|stream| Connection { stream, target, takes_secrets, echo, ready, socket })
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
        Err(Error::Denied(_)) => DENIED,
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
    sandbox.count_bytes(0, host.len() as u64).map_err(Error::Limited)?;
    let caller = sandbox.caller();
    let act = caller.begin(Capability::Tcp, target).await?;
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
    act.end(outcome(&looked));
    looked
}
