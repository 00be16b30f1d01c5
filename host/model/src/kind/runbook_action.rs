//! Do this step, or say what it would do.

use crate::plugin::{ActResult, CallResult, InstanceName, Outcome};
use crate::time::Span;
use async_trait::async_trait;
use serde_json::Value;

/// What goes on for longer answers that it is pending, or its instance is given a deadline that says so.
pub const LONGEST_RUN: Span = Span::from_secs(600);

#[async_trait]
pub trait RunbookAction: Send + Sync + 'static {
    /// `None`: the action can't tell, which a dry run reports as "unknown", never as "ok".
    async fn plan(&self, instance: &InstanceName, inputs: &Value) -> CallResult<Option<String>>;

    /// `within`: how long the step may take. The call gets that much time, or the instance's own where that is more; no step
    /// gets more than [`LONGEST_RUN`] that way.
    async fn run(&self, instance: &InstanceName, inputs: &Value, key: &str, within: Span) -> ActResult<Outcome>;

    async fn poll(&self, instance: &InstanceName, token: &str) -> ActResult<Outcome>;

    async fn cancel(&self, instance: &InstanceName, token: &str) -> ActResult<()>;
}
