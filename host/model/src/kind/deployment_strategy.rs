//! What is the next move?

use crate::kind::deployment_target::Replica;
use crate::plugin::{CallResult, InstanceName};
use crate::time::{Span, Timestamp};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub service: String,
    /// Empty on the first deployment.
    pub stable: String,
    pub candidate: String,
    pub replicas: u32,
    pub started_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Analysis {
    pub since: Timestamp,
    pub responses: u64,
    pub failures: u64,
    pub stable_responses: u64,
    pub stable_failures: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "move", rename_all = "kebab-case")]
pub enum Move {
    Start { count: u32 },
    Weight { percent: u32 },
    Retire { replicas: Vec<String> },
    Hold { span: Span },
    Pause { reason: String },
    Complete,
    RollBack { reason: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub next: Move,
    pub reason: String,
    pub state: Option<Vec<u8>>,
}

pub struct Question<'a> {
    /// The service's, laid over the instance's (key by key).
    pub config: &'a Map<String, Value>,
    pub plan: &'a Plan,
    pub replicas: &'a [Replica],
    pub analysis: &'a Analysis,
    pub promoted: bool,
    pub state: Option<&'a [u8]>,
    pub now: Timestamp,
}

#[async_trait]
pub trait DeploymentStrategy: Send + Sync + 'static {
    async fn decide(&self, instance: &InstanceName, question: Question<'_>) -> CallResult<Decision>;
}
