//! Processes that the host owns for an instance, across restarts of the host.

use crate::plugin::InstanceName;
use crate::time::Span;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Unique within the instance.
    pub name: String,
    /// Absolute path.
    pub program: String,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Answers 2xx when the process is ready.
    pub health_url: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessPhase {
    Starting,
    Healthy,
    Unhealthy,
    Stopping,
    Exited,
    Absent,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessStatus {
    pub name: String,
    pub phase: ProcessPhase,
    pub pid: Option<u32>,
    pub exit_code: Option<i32>,
    /// How often the host started it again after it exited by itself.
    pub restarts: u32,
}

/// Errors are texts for a person.
#[async_trait]
pub trait Processes: Send + Sync + 'static {
    /// Starts it, or does nothing if it runs with the same specification.
    async fn start(&self, owner: &InstanceName, spec: ProcessSpec) -> Result<ProcessStatus, String>;

    async fn status(&self, owner: &InstanceName, name: &str) -> Result<ProcessStatus, String>;

    /// SIGTERM to the process group, SIGKILL after `grace`. Returns when the order is given; ask `status` for the end.
    async fn stop(&self, owner: &InstanceName, name: &str, grace: Span) -> Result<ProcessStatus, String>;
}
