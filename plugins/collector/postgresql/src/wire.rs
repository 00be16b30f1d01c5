//! Messages of PostgreSQL's protocol, version 3.0: as much of it as a session of simple queries takes.

use crate::authenticate::Authentication;
use crate::{Config, Tls};
use quarterdeck_sdk::host;
use quarterdeck_sdk::host::tcp::{Address, Connection};
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// A longer message is not for us: whoever sends it speaks something else.
const MOST_BYTES: usize = 4 << 20;
/// Version 3.0.
const PROTOCOL: i32 = 196_608;
/// What asks for TLS, in place of a version.
const TLS_PLEASE: i32 = 80_877_103;
const MOST_ROWS: usize = 10_000;

#[derive(Debug, PartialEq)]
pub(crate) enum Error {
    /// The host does not let us.
    Denied(String),
    /// The server is not there, does not let us in, or says something that can't be understood.
    Failed(String),
}

impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::Denied(message) => Error::Denied(message),
            host::Error::Limited(message) | host::Error::Failed(message) => Error::Failed(message),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::Failed(match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the server hung up".to_owned(),
            _ => error.to_string(),
        })
    }
}

pub(crate) fn failed(message: impl Into<String>) -> Error {
    Error::Failed(message.into())
}

pub(crate) type Row = Vec<Option<String>>;

/// A server that is ready for queries.
pub(crate) struct Session {
    connection: Connection,
    parameters: BTreeMap<String, String>,
}

/// A message of the server: its letter, and what is in it.
pub(crate) struct Message {
    letter: u8,
    body: Body,
}

impl Session {
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let address = Address::parse(&config.address)
            .ok_or_else(|| Error::Denied(format!("`{}` is no address", config.address)))?;
        let mut connection = Connection::connect(&address)?;
        if config.tls == Tls::Verify {
            begin_tls(&mut connection, &address)?;
        }
        let mut session = Session { connection, parameters: BTreeMap::new() };
        session.start(config)?;
        Ok(session)
    }

    fn start(&mut self, config: &Config) -> Result<(), Error> {
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        for text in ["user", &config.user, "database", &config.database, "application_name", "quarterdeck"] {
            body.extend(text.as_bytes());
            body.push(0);
        }
        body.push(0);
        self.connection.write_all(&framed(None, &body)?)?;
        let mut authentication = Authentication::new(config);
        loop {
            let mut message = self.receive()?;
            match message.letter {
                b'R' => {
                    if let Some(answer) = authentication.answer(&mut message.body)? {
                        self.connection.write_all(&framed(Some(b'p'), &answer)?)?;
                    }
                }
                b'S' => {
                    let (name, value) = (message.body.text()?, message.body.text()?);
                    self.parameters.insert(name, value);
                }
                b'Z' => return authentication.end(),
                // Keys for cancelling, and notices.
                b'K' | b'N' => {}
                b'E' => return Err(failed(message.body.error())),
                letter => return Err(unknown(letter)),
            }
        }
    }

    /// As `server_version` says it: `15.6 (Debian 15.6-0+deb12u1)`.
    pub(crate) fn version(&self) -> String {
        self.parameters.get("server_version").cloned().unwrap_or_default()
    }

    /// The rows of one query, each value as text.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Vec<Row>, Error> {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.connection.write_all(&framed(Some(b'Q'), &body)?)?;
        let (mut rows, mut refused) = (Vec::new(), None);
        loop {
            let mut message = self.receive()?;
            match message.letter {
                b'D' if rows.len() < MOST_ROWS => rows.push(message.body.row()?),
                b'E' => refused = Some(message.body.error()),
                b'Z' => return refused.map_or(Ok(rows), |reason| Err(failed(reason))),
                // What the columns are, that a query is done, what has changed meanwhile.
                b'D' | b'T' | b'C' | b'N' | b'S' | b'I' => {}
                letter => return Err(unknown(letter)),
            }
        }
    }

    /// Says so before it hangs up, or the server would log it.
    pub(crate) fn close(mut self) {
        let _ = self.connection.write_all(&[b'X', 0, 0, 0, 4]);
    }

    fn receive(&mut self) -> Result<Message, Error> {
        let mut head = [0; 5];
        self.connection.read_exact(&mut head)?;
        let [letter, length @ ..] = head;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or_default();
        if !(4..=MOST_BYTES).contains(&length) {
            return Err(failed("the server does not speak PostgreSQL's protocol"));
        }
        let mut bytes = vec![0; length - 4];
        self.connection.read_exact(&mut bytes)?;
        Ok(Message { letter, body: Body { bytes, at: 0 } })
    }
}

fn begin_tls(connection: &mut Connection, address: &Address) -> Result<(), Error> {
    let Address::Tcp(host, _) = address else { return Err(failed("TLS goes over TCP only")) };
    connection.write_all(&framed(None, &TLS_PLEASE.to_be_bytes())?)?;
    let mut answer = [0];
    connection.read_exact(&mut answer)?;
    match answer {
        [b'S'] => Ok(connection.start_tls(host)?),
        [b'N'] => Err(failed("the server has no TLS; hint: switch `ssl` on there, or `tls` off here")),
        _ => Err(failed("the server does not speak PostgreSQL's protocol")),
    }
}

fn framed(letter: Option<u8>, body: &[u8]) -> Result<Vec<u8>, Error> {
    let length = i32::try_from(body.len() + 4).map_err(|error| failed(error.to_string()))?;
    let mut bytes: Vec<u8> = letter.into_iter().collect();
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    Ok(bytes)
}

fn unknown(letter: u8) -> Error {
    failed(format!("the server said something that is not understood: `{}`", char::from(letter).escape_debug()))
}

/// What is in a message, read from its front.
pub(crate) struct Body {
    bytes: Vec<u8>,
    at: usize,
}

impl Body {
    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Body { bytes: bytes.to_vec(), at: 0 }
    }

    fn take(&mut self, length: usize) -> Result<&[u8], Error> {
        let end = self.at.saturating_add(length);
        let taken = self.bytes.get(self.at..end).ok_or_else(|| failed("a message of the server ends too early"))?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let taken = self.take(N)?;
        <[u8; N]>::try_from(taken).map_err(|error| failed(error.to_string()))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Error> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn salt(&mut self) -> Result<[u8; 4], Error> {
        self.array()
    }

    /// Up to a NUL, which is taken too.
    pub(crate) fn text(&mut self) -> Result<String, Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == 0);
        let length = length.ok_or_else(|| failed("a message of the server ends too early"))?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.at += 1;
        Ok(text)
    }

    pub(crate) fn rest(&mut self) -> String {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        String::from_utf8_lossy(rest).into_owned()
    }

    fn row(&mut self) -> Result<Row, Error> {
        let columns = u16::from_be_bytes(self.array()?);
        let mut row = Vec::with_capacity(usize::from(columns).min(64));
        for _ in 0..columns {
            row.push(match usize::try_from(self.i32()?) {
                Ok(length) => Some(String::from_utf8_lossy(self.take(length)?).into_owned()),
                Err(_) => None,
            });
        }
        Ok(row)
    }

    /// `FATAL: password authentication failed for user "x" (28P01)`.
    fn error(&mut self) -> String {
        let mut fields = BTreeMap::new();
        while let Ok([letter]) = self.array() {
            match self.text() {
                Ok(text) if letter != 0 => fields.insert(letter, text),
                _ => break,
            };
        }
        let field = |letter: u8| fields.get(&letter).map_or("", String::as_str);
        let hint = match field(b'H') {
            "" => String::new(),
            hint => format!("; hint: {hint}"),
        };
        format!("{}: {} ({}){hint}", field(b'S'), field(b'M'), field(b'C'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_refuses_is_said_in_its_words() {
        let mut body = Body::of(b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0");
        assert_eq!(body.error(), "FATAL: sorry, too many clients already (53300)");
        assert_eq!(Body::of(b"").error(), ":  ()");
    }

    #[test]
    fn a_row_has_texts_and_nothings_and_one_that_is_cut_off_is_refused() {
        let row = [0, 2, 0, 0, 0, 2, b'4', b'2', 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Body::of(&row).row().unwrap(), [Some("42".to_owned()), None]);
        for length in 0..row.len() {
            assert!(Body::of(&row[..length]).row().is_err(), "{length}");
        }
    }
}
