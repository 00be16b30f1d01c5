//! Do this step, or say what it would do.

use crate::plugin::{ActResult, CallResult, InstanceName, Outcome};
use async_trait::async_trait;
use serde_json::Value;

#[async_trait]
pub trait RunbookAction: Send + Sync + 'static {
    /// `None`: the action can't tell, which a dry run reports as "unknown", never as "ok".
    async fn plan(&self, instance: &InstanceName, inputs: &Value) -> CallResult<Option<String>>;

    async fn run(&self, instance: &InstanceName, inputs: &Value, key: &str) -> ActResult<Outcome>;

    async fn poll(&self, instance: &InstanceName, token: &str) -> ActResult<Outcome>;

    async fn cancel(&self, instance: &InstanceName, token: &str) -> ActResult<()>;
}
