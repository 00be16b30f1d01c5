//! One severity scale everywhere.

use crate::Schema;
use serde::{Deserialize, Serialize};

/// Worst first, so the smaller one is the worse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Schema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody has to act now.
    Critical,
    /// Somebody has to act today.
    High,
    /// It should be looked at.
    Medium,
    /// It may be looked at.
    Low,
    /// Good to know.
    Info,
}

impl Severity {
    /// The worse of the two.
    #[must_use]
    pub fn worse(self, other: Severity) -> Severity {
        self.min(other)
    }

    /// `critical` ... `info`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
            Severity::Info => "info",
        }
    }
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::Severity;
    use crate::bindings::imports::quarterdeck::types::types as wit;

    crate::mirror::mirror! {
        enum wit::Severity => Severity { Critical, High, Medium, Low, Info }
        enum Severity => wit::Severity { Critical, High, Medium, Low, Info }
    }
}
