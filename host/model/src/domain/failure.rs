//! A question that is asked again and again, and in vain: a rule that can't be evaluated, an objective that can't be calculated.

use crate::plugin::{InstanceName, PluginRef};
use crate::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kept while it lasts, in a collection for each kind of asker. Id: the name of who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The rule's or the objective's.
    pub name: String,
    /// Who is asked.
    pub instance: InstanceName,
    /// The version that failed first. `null`: the question never came to one.
    pub plugin: Option<PluginRef>,
    /// `CallError::code`, and the error in words: those of the failure that was told.
    pub code: String,
    pub error: String,
    /// The first answer that could not be used.
    pub since: Timestamp,
}

impl Failure {
    pub const RULES: &'static str = "rule-failures";
    pub const RULE_FAILED: &'static str = "rule.failed";
    pub const RULE_RECOVERED: &'static str = "rule.recovered";
    pub const CALCULATIONS: &'static str = "calculation-failures";
    pub const CALCULATION_FAILED: &'static str = "calculation.failed";
    pub const CALCULATION_RECOVERED: &'static str = "calculation.recovered";
}
