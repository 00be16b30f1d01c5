//! As much of Redis's protocol as questions with one text for an answer take.

use quarterdeck_sdk::host;
use quarterdeck_sdk::host::tcp::{Address, Connection};
use std::io::{Read, Write};

/// A longer answer is not for us.
const MOST_BYTES: usize = 4 << 20;
const LINE_BYTES: usize = 64 << 10;

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
        Error::Failed(error.to_string())
    }
}

pub(crate) struct Session {
    connection: Connection,
    /// What was read, and not yet taken.
    heard: Vec<u8>,
}

impl Session {
    pub(crate) fn open(address: &Address) -> Result<Self, Error> {
        Ok(Session { connection: Connection::connect(address)?, heard: Vec::new() })
    }

    /// # Errors
    /// The server refuses, in its words.
    pub(crate) fn ask(&mut self, words: &[&[u8]]) -> Result<String, Error> {
        let mut question = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            question.extend(format!("${}\r\n", word.len()).as_bytes());
            question.extend(*word);
            question.extend(b"\r\n");
        }
        self.connection.write_all(&question)?;
        let line = self.line()?;
        let foreign = || Error::Failed("the server does not speak Redis's protocol".to_owned());
        let (kind, rest) = line.split_at_checked(1).ok_or_else(foreign)?;
        match kind {
            "+" => Ok(rest.to_owned()),
            "-" => Err(Error::Failed(rest.to_owned())),
            "$" => {
                let length: usize = rest.parse().ok().filter(|length| *length <= MOST_BYTES).ok_or_else(foreign)?;
                let mut bytes = self.take(length + 2)?;
                bytes.truncate(length);
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => Err(foreign()),
        }
    }

    fn line(&mut self) -> Result<String, Error> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line = self.take(end + 1)?;
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.heard.len() > LINE_BYTES {
                return Err(Error::Failed("the server does not speak Redis's protocol".to_owned()));
            }
            self.hear()?;
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        while self.heard.len() < length {
            self.hear()?;
        }
        let rest = self.heard.split_off(length);
        Ok(std::mem::replace(&mut self.heard, rest))
    }

    fn hear(&mut self) -> Result<(), Error> {
        let mut buffer = [0; 8192];
        let read = self.connection.read(&mut buffer)?;
        if read == 0 {
            return Err(Error::Failed("the server hung up".to_owned()));
        }
        self.heard.extend(buffer.iter().take(read));
        Ok(())
    }
}
