//! What comes of a call of a plugin.

use super::PluginRef;
use crate::event::Event;
use crate::time::Span;
use crate::transition::Write;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum CallError {
    /// The plugin says: configuration or input are wrong.
    #[error("{message}")]
    Rejected { message: String },
    /// The plugin says: it may work later.
    #[error("{message}")]
    Retry { message: String, after: Option<Span> },
    #[error("{message}")]
    Other { message: String },
    #[error("the plugin trapped: {reason}")]
    Trapped { reason: String },
    #[error("the call took longer than its budget of {budget}")]
    Deadline { budget: Span },
    #[error("the call wanted more than its {limit_bytes} bytes of memory")]
    OutOfMemory { limit_bytes: u64 },
    /// A limit other than time and memory.
    #[error("{message}")]
    Limited { message: String },
    /// There is nothing to call: no such instance, wrong kind, disabled, quarantined, awaiting a grant.
    #[error("{message}")]
    Unavailable { message: String },
    /// The host is stopping, or the call was cancelled.
    #[error("cancelled")]
    Cancelled,
}

impl CallError {
    pub const fn code(&self) -> &'static str {
        match self {
            CallError::Rejected { .. } => "rejected",
            CallError::Retry { .. } => "retry",
            CallError::Other { .. } => "other",
            CallError::Trapped { .. } => "trapped",
            CallError::Deadline { .. } => "deadline",
            CallError::OutOfMemory { .. } => "out-of-memory",
            CallError::Limited { .. } => "limited",
            CallError::Unavailable { .. } => "unavailable",
            CallError::Cancelled => "cancelled",
        }
    }

    /// Whether trying the same again may help.
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, CallError::Rejected { .. } | CallError::Other { .. })
    }

    /// How long the plugin asked to be left alone.
    pub const fn retry_after(&self) -> Option<Span> {
        match self {
            CallError::Retry { after, .. } => *after,
            _ => None,
        }
    }

    /// Whether the plugin misbehaved, as opposed to reporting a failure in its own words.
    pub const fn is_misbehaviour(&self) -> bool {
        matches!(
            self,
            CallError::Trapped { .. }
                | CallError::Deadline { .. }
                | CallError::OutOfMemory { .. }
                | CallError::Limited { .. }
        )
    }
}

/// A result, and what belongs to it. The caller commits `writes` and `events` with what it makes of the value; a call
/// that failed has none.
#[derive(Clone, Debug)]
pub struct Called<T> {
    pub value: T,
    pub plugin: PluginRef,
    /// The call's writes to its key-value space.
    pub writes: Vec<Write>,
    /// Events that the plugin published.
    pub events: Vec<Event>,
}

/// A call that failed, and the version that it ran on. `None`: it never came to a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct CallFailed {
    pub error: CallError,
    pub plugin: Option<PluginRef>,
}

impl From<CallError> for CallFailed {
    fn from(error: CallError) -> Self {
        CallFailed { error, plugin: None }
    }
}

/// The answer of a call: what was decided, seen or done, or tried, names its version either way.
pub type CallResult<T> = Result<Called<T>, CallFailed>;

/// The same, of calls that act.
pub type ActResult<T> = CallResult<T>;

/// What finished or goes on; the answer of kinds that act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Outputs, a JSON object.
    Done(Value),
    Pending {
        token: String,
        after: Span,
    },
}
