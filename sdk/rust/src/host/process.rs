//! Processes that the host starts, watches and stops for the instance, across restarts of the host.

use crate::host::Error;
#[cfg(target_family = "wasm")]
use crate::{bindings::imports::quarterdeck::host::process as wit, mirror::Mirror};

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// Unique within the instance. Starting a name that runs with the same spec does nothing.
    pub name: String,
    /// Absolute path.
    pub program: String,
    /// One by one, as the program gets them.
    pub arguments: Vec<String>,
    /// Names and values. Each name has to stand in `environment` of the program's grant.
    pub environment: Vec<(String, String)>,
    /// Answers 2xx when the process is ready. Checked every 500 ms.
    pub health_url: Option<String>,
}

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not ready yet.
    Starting,
    /// Ready.
    Healthy,
    /// Runs, and fails its health check.
    Unhealthy,
    /// Asked to stop.
    Stopping,
    /// Ended, without being asked to.
    Exited,
    /// There is none of that name.
    Absent,
}

/// How a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// As in its [`Spec`].
    pub name: String,
    /// How far it is.
    pub phase: Phase,
    /// While it runs.
    pub pid: Option<u32>,
    /// After it ended; absent when a signal ended it.
    pub exit_code: Option<i32>,
    /// How often the host started it again.
    pub restarts: u32,
}

/// Starts a process; does nothing if one of that name runs with the same spec, fails if it runs with another.
pub fn start(spec: &Spec) -> Result<Status, Error> {
    #[cfg(target_family = "wasm")]
    {
        let spec: wit::Spec = spec.clone().mirror();
        wit::start(&spec).map(Mirror::mirror).map_err(Mirror::mirror)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        let status =
            Status { name: spec.name.clone(), phase: Phase::Starting, pid: Some(1), exit_code: None, restarts: 0 };
        let (running, status) = host.processes.entry(spec.name.clone()).or_insert_with(|| (spec.clone(), status));
        if running != spec {
            return Err(Error::Failed([&spec.name, " runs with another specification"].concat()));
        }
        Ok(status.clone())
    })
}

/// How a process is; [`Phase::Absent`] if there is none.
pub fn status(name: &str) -> Result<Status, Error> {
    #[cfg(target_family = "wasm")]
    return wit::status(name).map(Mirror::mirror).map_err(Mirror::mirror);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| Ok(host.processes.get(name).map_or_else(|| absent(name), |(_, own)| own.clone())))
}

/// SIGTERM, after `grace_ms` SIGKILL, to the whole group.
pub fn stop(name: &str, grace_ms: u64) -> Result<Status, Error> {
    #[cfg(target_family = "wasm")]
    return wit::stop(name, grace_ms).map(Mirror::mirror).map_err(Mirror::mirror);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        let _ = grace_ms;
        host.processes.remove(name);
        Ok(absent(name))
    })
}

#[cfg(not(target_family = "wasm"))]
fn absent(name: &str) -> Status {
    Status { name: name.to_owned(), phase: Phase::Absent, pid: None, exit_code: None, restarts: 0 }
}

#[cfg(target_family = "wasm")]
crate::mirror::mirror! {
    enum wit::Phase => Phase { Starting, Healthy, Unhealthy, Stopping, Exited, Absent }
}

#[cfg(target_family = "wasm")]
crate::mirror::mirror! {
    struct Spec => wit::Spec { name, program, arguments, environment, health_url }
    struct wit::Report => Status { name, phase, pid, exit_code, restarts }
}
