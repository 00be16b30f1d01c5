//! Carry out this move; what do you see?

use crate::plugin::{ActResult, CallResult, InstanceName, Outcome};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaPhase {
    Starting,
    Healthy,
    Unhealthy,
    Draining,
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replica {
    pub name: String,
    pub revision: String,
    pub phase: ReplicaPhase,
    /// 0 to 256.
    pub weight: u32,
    pub responses: u64,
    pub failures: u64,
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub replicas: Vec<Replica>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    Start { replica: String, revision: String },
    Weight { replica: String, weight: u32 },
    Drain { replica: String },
    Stop { replica: String },
}

#[async_trait]
pub trait DeploymentTarget: Send + Sync + 'static {
    async fn observe(&self, instance: &InstanceName, service: &str) -> CallResult<Observation>;

    async fn apply(&self, instance: &InstanceName, service: &str, step: &Step, key: &str) -> ActResult<Outcome>;
}
