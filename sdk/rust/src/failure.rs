//! Why a call failed, and what a kind that acts answers.

use serde_json::{Map, Value};

/// Why a call failed, and with it what the host does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The configuration or the input is wrong; the host does not call again until it changes.
    Rejected(String),
    /// It may work later; the host backs off.
    Retry {
        /// What went wrong, for a person.
        message: String,
        /// At least so many milliseconds, where something said so.
        after_ms: Option<u64>,
    },
    /// Anything else. Not tried again.
    Other(String),
}

impl Failure {
    /// The configuration or the input is wrong.
    pub fn rejected(message: impl Into<String>) -> Self {
        Failure::Rejected(message.into())
    }

    /// It may work later.
    pub fn retry(message: impl Into<String>) -> Self {
        Failure::Retry { message: message.into(), after_ms: None }
    }

    /// Anything else.
    pub fn other(message: impl Into<String>) -> Self {
        Failure::Other(message.into())
    }

    /// What went wrong, whichever it is.
    pub fn message(&self) -> &str {
        match self {
            Failure::Rejected(message) | Failure::Other(message) | Failure::Retry { message, .. } => message,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Failure {}

/// What a kind that acts answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Finished, with these outputs.
    Done(Map<String, Value>),
    /// Still running.
    Pending {
        /// At most 4 KiB, handed back to `poll` (and `cancel`).
        token: String,
        /// After how many milliseconds to ask again.
        after_ms: u64,
    },
}

impl Outcome {
    /// Finished, with nothing to say.
    pub fn done() -> Self {
        Outcome::Done(Map::new())
    }

    /// Adds an output; of no effect while pending.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Outcome::Done(outputs) = &mut self {
            outputs.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Still running; ask again after so many milliseconds.
    pub fn pending(token: impl Into<String>, after_ms: u64) -> Self {
        Outcome::Pending { token: token.into(), after_ms }
    }
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::{Failure, Outcome};
    use crate::bindings::imports::quarterdeck::types::types as wit;
    use crate::mirror::Mirror;
    use serde_json::Value;

    impl Mirror<wit::Failure> for Failure {
        fn mirror(self) -> wit::Failure {
            match self {
                Failure::Rejected(message) => wit::Failure::Rejected(message),
                Failure::Retry { message, after_ms } => wit::Failure::Retry((message, after_ms)),
                Failure::Other(message) => wit::Failure::Other(message),
            }
        }
    }

    impl Mirror<wit::Outcome> for Outcome {
        fn mirror(self) -> wit::Outcome {
            match self {
                Outcome::Done(outputs) => wit::Outcome::Done(Value::Object(outputs).to_string()),
                Outcome::Pending { token, after_ms } => wit::Outcome::Pending((token, after_ms)),
            }
        }
    }
}
