//! The instance's log. Always granted; bounded in lines per call.

/// How loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An operator must act.
    Error,
    /// Something went wrong and was dealt with.
    Warn,
    /// Worth a line in normal operation.
    Info,
    /// For whoever works on the plugin.
    Debug,
    /// Everything.
    Trace,
}

/// Writes one line.
pub fn write(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::imports::quarterdeck::host::log as wit;
        let level = match level {
            Level::Error => wit::Level::Error,
            Level::Warn => wit::Level::Warn,
            Level::Info => wit::Level::Info,
            Level::Debug => wit::Level::Debug,
            Level::Trace => wit::Level::Trace,
        };
        wit::write(level, message);
    }
    #[cfg(not(target_family = "wasm"))]
    let _ = crate::testing::with(|host| {
        host.log.push((level, message.to_owned()));
        Ok(())
    });
}

/// Writes one line at [`Level::Error`].
pub fn error(message: &str) {
    write(Level::Error, message);
}

/// Writes one line at [`Level::Warn`].
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Writes one line at [`Level::Info`].
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Writes one line at [`Level::Debug`].
pub fn debug(message: &str) {
    write(Level::Debug, message);
}
