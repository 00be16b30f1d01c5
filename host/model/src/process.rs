//! Processes that the host owns for an instance, across restarts of the host.

use crate::plugin::InstanceName;
use crate::time::{Span, Timestamp};
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

/// Whether a process answers as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessHealth {
    /// It has no health URL: that it runs is all there is to know.
    Unchecked,
    /// It has not answered yet, or does not run.
    Unknown,
    Healthy,
    Unhealthy,
}

/// A process as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// `<instance>/<name>`.
    pub id: String,
    pub instance: InstanceName,
    pub name: String,
    pub program: String,
    /// `starting`, `healthy` and `unhealthy` ones run.
    pub state: ProcessPhase,
    /// When it came into this state.
    pub since: Timestamp,
    pub health: ProcessHealth,
    pub pid: Option<u32>,
    /// Of its last end.
    pub exit_code: Option<i32>,
    /// How often the host started it again after it exited by itself.
    pub restarts: u32,
    /// When it was started last.
    pub started_at: Timestamp,
    /// The last lines that it printed before it last ended by itself.
    pub last_words: Option<String>,
}

/// The end of what a process printed, on both of its outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessLog {
    /// `<instance>/<name>`.
    pub id: String,
    /// Lines; what is no UTF-8 is replaced.
    pub text: String,
    /// There is more in front of it.
    pub cut: bool,
}

/// Errors are texts for a person.
#[async_trait]
pub trait Processes: Send + Sync + 'static {
    /// Starts it, or does nothing if it runs with the same specification.
    async fn start(&self, owner: &InstanceName, spec: ProcessSpec) -> Result<ProcessStatus, String>;

    async fn status(&self, owner: &InstanceName, name: &str) -> Result<ProcessStatus, String>;

    /// SIGTERM to the process group, SIGKILL after `grace`. Returns when the order is given; ask `status` for the end.
    async fn stop(&self, owner: &InstanceName, name: &str, grace: Span) -> Result<ProcessStatus, String>;

    /// All that run, and those that have ended of late, by id. Nothing where no processes are kept.
    fn list(&self) -> Vec<Process> {
        Vec::new()
    }

    /// The last lines that a process of this name printed, those of its earlier lives among them. It may have ended long ago. `None`
    /// where nothing is known of it. Reads files.
    fn log(&self, _owner: &InstanceName, _name: &str, _lines: usize) -> Result<Option<ProcessLog>, String> {
        Ok(None)
    }
}
