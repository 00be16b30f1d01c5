//! A conversation with a mail server (RFC 5321), with STARTTLS (RFC 3207) and AUTH PLAIN and LOGIN (RFC 4954).

use crate::{Authentication, Config, Security};
use base64::Engine as _;
use quarterdeck_sdk::Failure;
use quarterdeck_sdk::host::tcp::{Address, Connection};
use std::io::{Read, Write};

/// A server that says more at once is no mail server.
const LINE_BYTES: usize = 4096;
const LINES: usize = 100;

pub(crate) struct Session {
    connection: Connection,
    /// Read, and not looked at yet.
    buffer: Vec<u8>,
    /// What the server says that it can do, in capitals.
    extensions: Vec<String>,
}

/// What came of a mail.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) accepted: usize,
    /// Recipients that the server will never take, with its words.
    pub(crate) refused: Vec<String>,
    /// Recipients that it may take later.
    pub(crate) deferred: Vec<Deferred>,
    /// What the server said at the end: as a rule, its number for the mail.
    pub(crate) answer: String,
}

/// A recipient that the server did not take, and may take later.
#[derive(Debug)]
pub(crate) struct Deferred {
    pub(crate) recipient: String,
    /// With the recipient in front.
    pub(crate) words: String,
}

struct Reply {
    code: u16,
    text: String,
}

impl Reply {
    /// 4yz passes, 5yz does not.
    fn is_passing(&self) -> bool {
        (400..500).contains(&self.code)
    }

    fn refusal(&self, to: &str) -> Failure {
        let message = format!("the mail server answered {} to {to}: {}", self.code, self.text);
        if self.is_passing() { Failure::retry(message) } else { Failure::rejected(message) }
    }
}

impl Session {
    /// As far as the first mail: connected, in TLS where that is wanted, and logged in.
    pub(crate) fn open(config: &Config) -> Result<Session, Failure> {
        let (server, port) = (config.server.clone(), config.port());
        let address = match config.security {
            Security::ImplicitTls => Address::Tls(server, port),
            Security::Starttls | Security::None => Address::Tcp(server, port),
        };
        let connection = Connection::connect(&address)?;
        let mut session = Session { connection, buffer: Vec::new(), extensions: Vec::new() };
        session.expect(&[220], "the connection")?;
        session.hello(config)?;
        if matches!(config.security, Security::Starttls) {
            session.change_to_tls(config)?;
        }
        if let (Some(user), Some(password)) = (&config.user, &config.password_secret) {
            session.log_in(config.authentication, user, password)?;
        }
        Ok(session)
    }

    fn hello(&mut self, config: &Config) -> Result<(), Failure> {
        self.say(&format!("EHLO {}", config.hello))?;
        let reply = self.reply()?;
        if reply.code == 250 {
            self.extensions = reply.text.lines().skip(1).map(str::to_ascii_uppercase).collect();
            return Ok(());
        }
        // It knows no extensions, then.
        self.extensions.clear();
        self.ask(&format!("HELO {}", config.hello), &[250], "HELO").map(|_| ())
    }

    fn offers(&self, extension: &str) -> Option<&str> {
        self.extensions.iter().find_map(|line| {
            let rest = line.strip_prefix(extension)?;
            (rest.is_empty() || rest.starts_with([' ', '='])).then_some(rest)
        })
    }

    fn change_to_tls(&mut self, config: &Config) -> Result<(), Failure> {
        if self.offers("STARTTLS").is_none() {
            return Err(Failure::rejected(
                "the mail server offers no STARTTLS\nhint: security = \"implicit-tls\", or \"none\" where the network is trusted",
            ));
        }
        self.ask("STARTTLS", &[220], "STARTTLS")?;
        // Said in the clear, it would be taken for an answer in TLS.
        if !self.buffer.is_empty() {
            return Err(Failure::rejected("the mail server went on in the clear after STARTTLS"));
        }
        self.connection.start_tls(&config.server)?;
        // What was said in the clear may have been said by anybody.
        self.extensions.clear();
        self.hello(config)
    }

    fn log_in(&mut self, wanted: Option<Authentication>, user: &str, password: &str) -> Result<(), Failure> {
        let offered: Vec<String> = self
            .offers("AUTH")
            .unwrap_or_default()
            .split([' ', '='])
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        let offers = |name: &str| offered.iter().any(|own| own == name);
        let how = match wanted {
            Some(how) => how,
            None if offers("PLAIN") => Authentication::Plain,
            None if offers("LOGIN") => Authentication::Login,
            None => {
                return Err(Failure::rejected(format!(
                    "the mail server offers neither AUTH PLAIN nor AUTH LOGIN, but [{}]\nhint: it may do so in TLS only",
                    offered.join(", ")
                )));
            }
        };
        match how {
            Authentication::Plain => {
                self.write(b"AUTH PLAIN ")?;
                self.connection.write_secret(&[b"\0", user.as_bytes(), b"\0"].concat(), password, true)?;
            }
            Authentication::Login => {
                self.ask("AUTH LOGIN", &[334], "AUTH LOGIN")?;
                let name = base64::engine::general_purpose::STANDARD.encode(user);
                self.ask(&name, &[334], "the user's name")?;
                self.connection.write_secret(b"", password, true)?;
            }
        }
        self.write(b"\r\n")?;
        self.expect(&[235], &format!("the login of `{user}`")).map(|_| ())
    }

    /// One mail. Recipients that are refused, for now or for good, cost the others nothing; one that nobody gets is a failure.
    pub(crate) fn send(&mut self, from: &str, recipients: &[String], mail: &[u8]) -> Result<Sent, Failure> {
        let size = if self.offers("SIZE").is_some() { format!(" SIZE={}", mail.len()) } else { String::new() };
        self.ask(&format!("MAIL FROM:<{from}>{size}"), &[250], &format!("the sender `{from}`"))?;
        let (mut accepted, mut refused, mut deferred) = (0, Vec::new(), Vec::new());
        for recipient in recipients {
            self.say(&format!("RCPT TO:<{recipient}>"))?;
            let reply = self.reply()?;
            if matches!(reply.code, 250 | 251) {
                accepted += 1;
                continue;
            }
            let words = format!("{recipient}: {} {}", reply.code, reply.text);
            if reply.is_passing() {
                deferred.push(Deferred { recipient: recipient.clone(), words });
            } else {
                refused.push(words);
            }
        }
        if accepted == 0 {
            let passing = !deferred.is_empty();
            refused.extend(deferred.into_iter().map(|deferred| deferred.words));
            let message = format!("the mail server takes no recipient: {}", refused.join("; "));
            return Err(if passing { Failure::retry(message) } else { Failure::rejected(message) });
        }
        self.ask("DATA", &[354], "DATA")?;
        self.write(&stuffed(mail))?;
        let reply = self.expect(&[250], "the mail")?;
        Ok(Sent { accepted, refused, deferred, answer: reply.text })
    }

    /// Said politely; the mail is delivered whatever the answer.
    pub(crate) fn quit(mut self) {
        let _ = self.ask("QUIT", &[221], "QUIT");
    }

    fn ask(&mut self, command: &str, expected: &[u16], what: &str) -> Result<Reply, Failure> {
        self.say(command)?;
        self.expect(expected, what)
    }

    fn say(&mut self, command: &str) -> Result<(), Failure> {
        self.write(format!("{command}\r\n").as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.connection.write_all(bytes).map_err(|error| lost(&error))
    }

    fn expect(&mut self, expected: &[u16], to: &str) -> Result<Reply, Failure> {
        let reply = self.reply()?;
        if expected.contains(&reply.code) { Ok(reply) } else { Err(reply.refusal(to)) }
    }

    fn reply(&mut self) -> Result<Reply, Failure> {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let line = self.line()?;
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok()).filter(|code| (200..600).contains(code));
            let (Some(code), true) = (code, lines.len() < LINES) else {
                return Err(Failure::retry("the other end does not speak as a mail server"));
            };
            lines.push(line.get(4..).unwrap_or_default().trim_end().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, text: lines.join("\n") });
            }
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.buffer.len() > LINE_BYTES {
                return Err(Failure::retry("the other end does not speak as a mail server"));
            }
            let mut piece = [0; 1024];
            match self.connection.read(&mut piece).map_err(|error| lost(&error))? {
                0 => return Err(Failure::retry("the mail server hung up")),
                read => self.buffer.extend_from_slice(piece.get(..read).unwrap_or_default()),
            }
        }
    }
}

fn lost(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => Failure::rejected(error.to_string()),
        _ => Failure::retry(format!("the connection to the mail server: {error}")),
    }
}

/// As a server takes it: every line ends in CR LF, one that begins with a dot has one more, and a dot alone ends it.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(mail.len() + 64);
    for line in mail.strip_suffix(b"\n").unwrap_or(mail).split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
        stuffed.extend_from_slice(b"\r\n");
    }
    stuffed.extend_from_slice(b".\r\n");
    stuffed
}

#[cfg(test)]
mod tests {
    use super::stuffed;

    #[test]
    fn a_dot_at_the_beginning_of_a_line_does_not_end_the_mail() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b\nc"), b"a\r\n..\r\n...b\r\nc\r\n.\r\n");
        assert_eq!(stuffed(b"a\r\n"), b"a\r\n.\r\n");
    }
}
