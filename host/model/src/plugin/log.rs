//! What plugins log.

use super::Digest;
use crate::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// A line that a plugin has logged for one of its instances, or printed to its standard output or error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Counts the instance's lines since the daemon's start.
    pub number: u64,
    pub at: Timestamp,
    pub level: LogLevel,
    /// Of the version that logged it.
    pub digest: Digest,
    pub message: String,
}
