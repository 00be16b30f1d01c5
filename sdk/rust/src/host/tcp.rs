//! A stream to a granted host and port, or Unix socket. [`Connection`] is `Read + Write`.

use crate::host::Error;
#[cfg(target_family = "wasm")]
use crate::{bindings::imports::quarterdeck::host::tcp as wit, mirror::Mirror};
use std::io::{Read, Write};

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Host and port, in the clear.
    Tcp(String, u16),
    /// Host and port; the host of the plugin does the handshake and checks the certificate.
    Tls(String, u16),
    /// Path of a Unix socket.
    Unix(String),
}

impl Address {
    /// `/run/a.sock` and `unix:/run/a.sock` are Unix sockets, `host:port` is TCP.
    pub fn parse(text: &str) -> Option<Address> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Some(Address::Unix(path.to_owned()));
        }
        if text.starts_with('/') {
            return Some(Address::Unix(text.to_owned()));
        }
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty()).then_some(())?;
        Some(Address::Tcp(host.to_owned(), port.parse().ok()?))
    }
}

/// An open stream.
pub struct Connection {
    #[cfg(target_family = "wasm")]
    inner: wit::Connection,
    #[cfg(not(target_family = "wasm"))]
    inner: Box<dyn crate::testing::Stream>,
}

impl Connection {
    /// Fails after five seconds without an answer.
    pub fn connect(address: &Address) -> Result<Self, Error> {
        #[cfg(target_family = "wasm")]
        {
            let address = match address.clone() {
                Address::Tcp(host, port) => wit::Address::Tcp((host, port)),
                Address::Tls(host, port) => wit::Address::Tls((host, port)),
                Address::Unix(path) => wit::Address::Unix(path),
            };
            wit::Connection::connect(&address).map(|inner| Connection { inner }).map_err(Mirror::mirror)
        }
        #[cfg(not(target_family = "wasm"))]
        crate::testing::with(|host| match &mut host.tcp {
            Some(connect) => connect(address).map(|inner| Connection { inner }),
            None => Err(Error::no_host()),
        })
    }

    /// Goes on in TLS as `host`, after both sides have agreed to it (STARTTLS). The host does the handshake and checks the
    /// certificate; after an error the connection is of no use any more.
    pub fn start_tls(&mut self, host: &str) -> Result<(), Error> {
        #[cfg(target_family = "wasm")]
        return self.inner.start_tls(host).map_err(Mirror::mirror);
        #[cfg(not(target_family = "wasm"))]
        crate::testing::with(|fake| {
            fake.tls.push(host.to_owned());
            Ok(())
        })
    }

    /// Writes `before` and the named secret after it, the two together in base64 where that is wanted. The plugin is not handed the
    /// secret: where the peer says it again, a placeholder is read. A peer that says it in another form than as it is or in base64 -
    /// encrypted, compressed, in parts - defeats that. A fake host writes `secret:` and the name.
    pub fn write_secret(&mut self, before: &[u8], name: &str, base64: bool) -> Result<(), Error> {
        #[cfg(target_family = "wasm")]
        return self.inner.write_secret(before, name, base64).map_err(Mirror::mirror);
        #[cfg(not(target_family = "wasm"))]
        {
            use base64::Engine as _;
            let mut bytes = [before, b"secret:", name.as_bytes()].concat();
            if base64 {
                bytes = base64::engine::general_purpose::STANDARD.encode(bytes).into_bytes();
            }
            self.inner.write_all(&bytes).map_err(|error| Error::Failed(error.to_string()))
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        #[cfg(target_family = "wasm")]
        {
            let max = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
            let bytes = self.inner.read(max).map_err(|error| std::io::Error::from(error.mirror()))?;
            let read = bytes.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(bytes) {
                *to = from;
            }
            Ok(read)
        }
        #[cfg(not(target_family = "wasm"))]
        self.inner.read(buffer)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        #[cfg(target_family = "wasm")]
        {
            self.inner.write(bytes).map_err(|error| std::io::Error::from(error.mirror()))?;
            Ok(bytes.len())
        }
        #[cfg(not(target_family = "wasm"))]
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the peer of a TLS handshake presented, whether trusted or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who says so.
    pub issuer: String,
    /// Seconds since 1970.
    pub not_before_s: i64,
    /// Seconds since 1970.
    pub not_after_s: i64,
    /// DNS names and addresses that it is good for.
    pub names: Vec<String>,
}

/// Does a TLS handshake and says what the peer presented.
pub fn peer_certificate(host: &str, port: u16) -> Result<Certificate, Error> {
    #[cfg(target_family = "wasm")]
    return wit::peer_certificate(host, port).map(Mirror::mirror).map_err(Mirror::mirror);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|fake| match fake.certificates.get(&(host.to_owned(), port)) {
        Some(certificate) => Ok(certificate.clone()),
        None => Err(Error::Failed(["no certificate of ", host].concat())),
    })
}

#[cfg(target_family = "wasm")]
crate::mirror::mirror! {
    struct wit::Certificate => Certificate { subject, issuer, not_before_s, not_after_s, names }
}
