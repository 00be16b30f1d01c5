//! The instance's log. Always granted; bounded in lines per call.
//!
//! The macros take fields and a message, in the manner of `tracing`: `key = value` and a bare name are written as `Debug` does,
//! with `%` before it a value is written as `Display` does.
//!
//! ```
//! use quarterdeck_sdk::host::log;
//! # quarterdeck_sdk::testing::FakeHost::default().run(|| {
//! let (samples, target) = (12, "db-1:9187");
//! log::info!("scraped {samples} samples");
//! log::warn!(target = %target, samples, "fewer samples than usual");
//! # });
//! ```

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

/// Writes one line at [`Level::Trace`].
pub fn trace(message: &str) {
    write(Level::Trace, message);
}

/// Writes a line at [`Level::Error`]: fields, then a message as [`format!`] takes it.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::__line!($crate::host::log::Level::Error, {}, $($line)+) };
}

/// Writes a line at [`Level::Warn`]: fields, then a message as [`format!`] takes it.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::__line!($crate::host::log::Level::Warn, {}, $($line)+) };
}

/// Writes a line at [`Level::Info`]: fields, then a message as [`format!`] takes it.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::__line!($crate::host::log::Level::Info, {}, $($line)+) };
}

/// Writes a line at [`Level::Debug`]: fields, then a message as [`format!`] takes it.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::__line!($crate::host::log::Level::Debug, {}, $($line)+) };
}

/// Writes a line at [`Level::Trace`]: fields, then a message as [`format!`] takes it.
#[macro_export]
macro_rules! trace {
    ($($line:tt)+) => { $crate::__line!($crate::host::log::Level::Trace, {}, $($line)+) };
}

/// Takes one field after another until the message is left.
#[doc(hidden)]
#[macro_export]
macro_rules! __line {
    ($level:expr, {$($known:tt)*}, $key:ident = % $value:expr, $($rest:tt)+) => {
        $crate::__line!($level, {$($known)* [$key "{}" $value]}, $($rest)+)
    };
    ($level:expr, {$($known:tt)*}, $key:ident = ? $value:expr, $($rest:tt)+) => {
        $crate::__line!($level, {$($known)* [$key "{:?}" $value]}, $($rest)+)
    };
    ($level:expr, {$($known:tt)*}, $key:ident = $value:expr, $($rest:tt)+) => {
        $crate::__line!($level, {$($known)* [$key "{:?}" $value]}, $($rest)+)
    };
    ($level:expr, {$($known:tt)*}, % $key:ident, $($rest:tt)+) => {
        $crate::__line!($level, {$($known)* [$key "{}" $key]}, $($rest)+)
    };
    ($level:expr, {$($known:tt)*}, ? $key:ident, $($rest:tt)+) => {
        $crate::__line!($level, {$($known)* [$key "{:?}" $key]}, $($rest)+)
    };
    ($level:expr, {$($known:tt)*}, $key:ident, $($rest:tt)+) => {
        $crate::__line!($level, {$($known)* [$key "{:?}" $key]}, $($rest)+)
    };
    ($level:expr, {$([$key:ident $shape:literal $value:expr])*}, $($message:tt)+) => {
        $crate::host::log::write(
            $level,
            &(::std::format!($($message)+) $(+ &::std::format!(concat!(" ", stringify!($key), "=", $shape), $value))*),
        )
    };
}

pub use crate::{debug, error, info, trace, warn};

#[cfg(test)]
mod tests {
    use super::Level;
    use crate::host::log;

    #[test]
    fn fields_follow_the_message_as_debug_or_display_writes_them() {
        let ((), host) = crate::testing::FakeHost::default().run(|| {
            let (target, samples, failure) = ("db 1", 12, Some("late"));
            log::error!("plain");
            log::warn!(%target, samples, "{} of {samples}", samples - 1);
            log::info!(target, reason = ?failure, share = samples as f64 / 8.0, "fields");
            log::debug!(first = %1 + 1, "computed");
            log::trace!(?failure, "last {word}", word = "words");
        });
        let expected = [
            (Level::Error, "plain"),
            (Level::Warn, "11 of 12 target=db 1 samples=12"),
            (Level::Info, "fields target=\"db 1\" reason=Some(\"late\") share=1.5"),
            (Level::Debug, "computed first=2"),
            (Level::Trace, "last words failure=Some(\"late\")"),
        ];
        assert_eq!(host.log, expected.map(|(level, line)| (level, line.to_owned())));
    }
}
