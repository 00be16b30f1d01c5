//! Writes notifications to the host's log: the recipient that is always there.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::allow_attributes, reason = "a test may panic")
)]

use quarterdeck_sdk::host::log::{self, Level};
use quarterdeck_sdk::notifier::{Message, Notifier};
use quarterdeck_sdk::{Failure, Outcome, Plugin, Severity};

quarterdeck_sdk::config! {
    /// Configuration of `log`.
    pub struct Config {
        /// Stands before every line.
        #[serde(default)]
        pub prefix: String,
    }
}

/// The plugin.
pub struct Log;

impl Plugin for Log {
    type Config = Config;
    const NAME: &'static str = "log";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Writes notifications to the host's log";
}

impl Notifier for Log {
    fn notify(config: &Config, message: &Message, key: &str) -> Result<Outcome, Failure> {
        let line = line(config, message);
        log::write(level(message), &line);
        Ok(Outcome::done().with("line", line).with("key", key))
    }
}

/// Good news is no error, however severe what is over was.
fn level(message: &Message) -> Level {
    let good = [".resolved", ".acknowledged", ".closed", ".recovered"];
    if good.iter().any(|end| message.event_type.ends_with(end)) {
        return Level::Info;
    }
    match message.severity {
        Severity::Critical | Severity::High => Level::Error,
        Severity::Medium => Level::Warn,
        Severity::Low | Severity::Info => Level::Info,
    }
}

/// One line, whatever the text holds: a second one could pass for a message of its own.
fn line(config: &Config, message: &Message) -> String {
    let mut line = config.prefix.clone();
    for part in [message.severity.as_str(), &message.event_type, &message.subject, &message.title, &message.url] {
        if !part.is_empty() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(part.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
    }
    line
}

quarterdeck_sdk::export!(Log: notifier);

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_sdk::Labels;
    use quarterdeck_sdk::testing::FakeHost;

    fn message(title: &str) -> Message {
        Message {
            event_type: "alert.firing".into(),
            subject: "cpu".into(),
            title: title.into(),
            body: String::new(),
            severity: Severity::High,
            labels: Labels::new(),
            at_ms: 0,
            url: String::new(),
            data: "{}".into(),
        }
    }

    #[test]
    fn a_message_is_one_line_at_the_level_of_its_severity() {
        let config = Config { prefix: "ops:".into() };
        let (outcome, host) = FakeHost::default().run(|| Log::notify(&config, &message("high\nload"), "eff_1"));
        assert_eq!(host.log, [(Level::Error, "ops: high alert.firing cpu high load".to_owned())]);
        assert_eq!(
            outcome,
            Ok(Outcome::done().with("line", "ops: high alert.firing cpu high load").with("key", "eff_1"))
        );
    }

    #[test]
    fn good_news_is_no_error_however_severe_what_is_over_was() {
        for (event_type, expected) in [
            ("alert.firing", Level::Error),
            ("alert.resolved", Level::Info),
            ("incident.acknowledged", Level::Info),
            ("slo.recovered", Level::Info),
        ] {
            let message = Message { event_type: event_type.into(), ..message("load") };
            let config = Config { prefix: String::new() };
            let (_, host) = FakeHost::default().run(|| Log::notify(&config, &message, "eff_1"));
            assert_eq!(host.log[0].0, expected, "{event_type}");
        }
    }
}
