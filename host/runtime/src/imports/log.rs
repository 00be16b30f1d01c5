//! `log`: a plugin's lines in the host's log, bounded in number and length.

use crate::bindings::host::log::{Host, Level};
use crate::sandbox::{Capability, Sandbox};
use quarterdeck_model::plugin::log::LogLevel;

/// A longer line is cut here.
const LINE_BYTES: usize = 4096;

impl Host for Sandbox {
    async fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        // Always granted; a plugin that floods loses lines, and the call where it floods on.
        if let Err(reason) = self.count(Capability::Log) {
            return Err(wasmtime::format_err!("{reason}"));
        }
        if !self.count_line(message.len().min(LINE_BYTES)) {
            return Ok(());
        }
        let line = clean(&message);
        let instance = &self.instance;
        let plugin = &self.plugin.name;
        self.doors.keep_line(instance, &self.plugin.digest, kept(level), &line);
        match level {
            Level::Error => tracing::error!(target: "plugin", %instance, %plugin, "{line}"),
            Level::Warn => tracing::warn!(target: "plugin", %instance, %plugin, "{line}"),
            Level::Info => tracing::info!(target: "plugin", %instance, %plugin, "{line}"),
            Level::Debug => tracing::debug!(target: "plugin", %instance, %plugin, "{line}"),
            Level::Trace => tracing::trace!(target: "plugin", %instance, %plugin, "{line}"),
        }
        Ok(())
    }
}

fn kept(level: Level) -> LogLevel {
    match level {
        Level::Error => LogLevel::Error,
        Level::Warn => LogLevel::Warn,
        Level::Info => LogLevel::Info,
        Level::Debug => LogLevel::Debug,
        Level::Trace => LogLevel::Trace,
    }
}

/// One line, without what would steer a terminal or forge another line.
fn clean(message: &str) -> String {
    let end = (0..=LINE_BYTES.min(message.len())).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    let mut line = String::with_capacity(end);
    for character in message.get(..end).unwrap_or_default().chars() {
        if character.is_control()
            || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    if end < message.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn a_line_can_not_forge_another_one() {
        assert_eq!(clean("a\nERROR b\u{1b}[31m"), "a\\nERROR b\\u{1b}[31m");
        assert_eq!(clean("é".repeat(3000).as_str()).chars().count(), 2049);
        assert_eq!(clean("größe"), "größe");
    }
}
