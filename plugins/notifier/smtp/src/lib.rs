//! Sends mail: text and HTML, to several recipients, over a server that the instance may reach. Every attempt at one delivery carries the
//! same `Message-ID`, by which servers and readers drop a second one.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

mod deferred;
mod mail;
mod session;

use quarterdeck_plugin_support::{template, time};
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::{Capability, Failure, Outcome, Plugin, Problem};
use session::Session;

quarterdeck_sdk::config! {
    /// Configuration of `smtp`.
    pub struct Config {
        /// Name or address of the mail server.
        pub server: String,
        /// Unless given, 587, with `implicit-tls` 465, and with `none` 25.
        #[serde(default)]
        pub port: Option<u16>,
        /// How the connection is protected.
        #[serde(default = "starttls")]
        pub security: Security,
        /// Who logs in. Unless given, nobody does.
        #[serde(default)]
        pub user: Option<String>,
        /// Name of the secret that is the password.
        #[serde(default)]
        pub password_secret: Option<String>,
        /// How one logs in. Unless given, as the server offers it.
        #[serde(default)]
        pub authentication: Option<Authentication>,
        /// `Quarterdeck <quarterdeck@example.com>`.
        pub from: String,
        /// `ops@example.com`, `Ops <ops@example.com>`.
        pub to: Vec<String>,
        /// More recipients, shown to all.
        #[serde(default)]
        pub cc: Vec<String>,
        /// More recipients, shown to nobody.
        #[serde(default)]
        pub bcc: Vec<String>,
        /// Where answers go.
        #[serde(default)]
        pub reply_to: Option<String>,
        /// A template of the subject.
        #[serde(default)]
        pub subject: Option<String>,
        /// A template of the text.
        #[serde(default)]
        pub text: Option<String>,
        /// A template of the HTML, which escapes what it fills in.
        #[serde(default)]
        pub html: Option<String>,
        /// No HTML beside the text.
        #[serde(default)]
        pub text_only: bool,
        /// How this host introduces itself.
        #[serde(default = "localhost")]
        pub hello: String,
    }

    /// How a connection is protected.
    #[derive(Copy)]
    pub enum Security {
        /// It begins in the clear and changes to TLS before anything is said; a server that can't is refused.
        Starttls,
        /// It is TLS from its beginning.
        ImplicitTls,
        /// Not at all: for a server on the same machine or in a network that is trusted. No password goes over it except to this machine.
        None,
    }

    /// How one logs in.
    #[derive(Copy)]
    pub enum Authentication {
        /// Name and password in one.
        Plain,
        /// Name and password one after the other.
        Login,
    }
}

fn starttls() -> Security {
    Security::Starttls
}

fn localhost() -> String {
    "localhost".to_owned()
}

impl Config {
    fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            Security::Starttls => 587,
            Security::ImplicitTls => 465,
            Security::None => 25,
        })
    }

    /// Every recipient, with the place in the configuration.
    fn recipients(&self) -> impl Iterator<Item = (String, &String)> {
        let lists = [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc)];
        lists.into_iter().flat_map(|(name, list)| {
            list.iter().enumerate().map(move |(index, mailbox)| (format!("/{name}/{index}"), mailbox))
        })
    }
}

/// The plugin.
pub struct Smtp;

impl Plugin for Smtp {
    type Config = Config;
    const NAME: &'static str = "smtp";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Sends mail";

    fn capabilities() -> Vec<Capability> {
        vec![
            Capability::required("tcp", "talks to the mail server"),
            Capability::optional("secret", "logs in with the configured password"),
            Capability::optional("kv", "keeps a mail for recipients that the server does not take yet"),
        ]
    }

    fn validate(config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |pointer: &str, message: String| problems.push(Problem::at(pointer, message));
        if config.to.is_empty() {
            wrong("/to", "a mail has to go to somebody".to_owned());
        }
        let sender = ("/from".to_owned(), &config.from);
        let answers = config.reply_to.iter().map(|mailbox| ("/reply-to".to_owned(), mailbox));
        for (pointer, mailbox) in config.recipients().chain([sender]).chain(answers) {
            if mail::mailbox(mailbox).is_none() {
                wrong(&pointer, format!("`{mailbox}` is not a mail address\nhint: `Ops <ops@example.com>`"));
            }
        }
        match (&config.user, &config.password_secret) {
            (Some(_), None) => wrong("/password-secret", "a user logs in with a password".to_owned()),
            (None, Some(_)) => wrong("/user", "a password belongs to a user".to_owned()),
            (Some(user), Some(_)) if user.chars().any(char::is_control) => {
                wrong("/user", "a user's name has no control characters".to_owned());
            }
            (Some(_), Some(_)) if config.security == Security::None && !is_this_machine(&config.server) => {
                wrong(
                    "/security",
                    "the password would go over the network in the clear\nhint: security = \"starttls\"".to_owned(),
                );
            }
            _ => {}
        }
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name(&config.hello) {
            wrong("/hello", "a host's name is expected".to_owned());
        }
        if !is_name(&config.server) {
            wrong("/server", format!("`{}` is not the name of a server", config.server));
        }
        problems.extend(template::check_option("/subject", config.subject.as_ref()));
        problems.extend(template::check_option("/text", config.text.as_ref()));
        problems.extend(template::check_option("/html", config.html.as_ref()));
        problems
    }
}

fn is_this_machine(server: &str) -> bool {
    let address = server.parse::<std::net::IpAddr>();
    server == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl Notifier for Smtp {
    fn notify(config: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        let mail = mail::write(config, message, key)?;
        let mut session = Session::open(config)?;
        let sent = session.send(&mail.from, &mail.recipients, &mail.bytes)?;
        session.quit();
        let receipt = Outcome::done().with("message_id", mail.id).with("answer", &*sent.answer);
        let receipt = mail.renderer.receipt(receipt);
        Ok(deferred::settle(mail.from, &mail.bytes, key, receipt, sent, time::now_ms()))
    }

    fn poll(config: &Config, token: &str) -> Result<Outcome, Failure> {
        deferred::again(config, token, time::now_ms())
    }
}

quarterdeck_sdk::export!(Smtp: notifier);

#[cfg(test)]
mod tests;
