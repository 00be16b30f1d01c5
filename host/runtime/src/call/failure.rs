//! Why a call gave no result, in the model's terms.

use crate::bindings::types::Failure;
use crate::sandbox::{LimitReached, Overdue, Sandbox};
use quarterdeck_model::Span;
use quarterdeck_model::plugin::{CallError, Limits};
use wasmtime::{PoolConcurrencyLimitError, Trap};
use wasmtime_wasi::I32Exit;

/// Wasmtime's own error for a result that is too large has no public type.
const FUEL_MESSAGE: &str = "fuel allocated for hostcalls has been exhausted";

/// What a plugin says to a person may have this many bytes: it goes into documents, events and lists, none of which may be
/// blown up by one plugin.
const MAX_WORDS_BYTES: usize = 4 << 10;

/// A plugin's words for a person, cut where they are too long.
pub(crate) fn words(text: String) -> String {
    if text.len() <= MAX_WORDS_BYTES {
        return text;
    }
    let end = (0..=MAX_WORDS_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    // Copied, and not cut where they stand: to shrink what may have megabytes is to ask the kernel for another map of the host's
    // memory, and everybody waits for that.
    let mut cut = String::with_capacity(end + '…'.len_utf8());
    cut.push_str(text.get(..end).unwrap_or_default());
    cut.push('…');
    cut
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rejected(message) => CallError::Rejected { message: words(message) },
            Failure::Retry((message, after)) => {
                CallError::Retry { message: words(message), after: after.map(Span::from_millis) }
            }
            Failure::Other(message) => CallError::Other { message: words(message) },
        }
    }
}

/// A result that has the right type but says what can't be: the plugin's fault, and no use calling it again.
pub(crate) struct Misfit;

impl Misfit {
    pub(crate) fn error(message: impl Into<String>) -> CallError {
        CallError::Other { message: format!("the plugin's result makes no sense: {}", message.into()) }
    }

    pub(crate) fn too_large(what: &str, bytes: usize, limit: usize) -> CallError {
        CallError::Limited { message: format!("{what} has {bytes} bytes, more than the {limit} allowed") }
    }
}

/// What ended a call that did not return.
pub(crate) fn call_error(error: &wasmtime::Error, sandbox: &mut Sandbox) -> CallError {
    if error.is::<Overdue>() {
        return CallError::Deadline { budget: sandbox.budget };
    }
    if let Some(LimitReached(message)) = error.downcast_ref::<LimitReached>() {
        return CallError::Limited { message: message.clone() };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::Unavailable { message: format!("no sandbox is free: {error}") };
    }
    if sandbox.memory().exceeded {
        return CallError::OutOfMemory { limit_bytes: sandbox.limits.memory_bytes };
    }
    if format!("{error:#}").contains(FUEL_MESSAGE) {
        let Limits { io_bytes, result_bytes, .. } = *sandbox.limits;
        let (bytes, name) =
            if result_bytes <= io_bytes { (result_bytes, "result-bytes") } else { (io_bytes, "io-bytes") };
        return CallError::Limited {
            message: format!(
                "the call handed over a value of more than {bytes} bytes; hint: raise `limits.{name}` of `{}`",
                sandbox.instance
            ),
        };
    }
    let reason = match (error.downcast_ref::<Trap>(), error.downcast_ref::<I32Exit>()) {
        (Some(Trap::StackOverflow), _) => "the call stack is exhausted".to_owned(),
        (Some(Trap::UnreachableCodeReached), _) => "it panicked or aborted".to_owned(),
        (Some(trap), _) => trap.to_string(),
        (None, Some(I32Exit(code))) => format!("it exited with code {code}"),
        (None, None) => format!("{error:#}"),
    };
    match sandbox.last_words() {
        Some(words) => CallError::Trapped { reason: format!("{reason}: {words}") },
        None => CallError::Trapped { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_with_a_megabyte_of_words_is_cut_at_a_character() {
        let long = "é".repeat(1 << 19);
        for failure in
            [Failure::Rejected(long.clone()), Failure::Retry((long.clone(), Some(5))), Failure::Other(long.clone())]
        {
            let message = CallError::from(failure).to_string();
            assert!(message.len() <= MAX_WORDS_BYTES + '…'.len_utf8(), "{}", message.len());
            assert!(message.ends_with("é…"));
        }
        assert_eq!(words("short".to_owned()), "short");
    }
}
