//! Processes that the host owns for its instances: started, watched, started again, stopped, and taken over by the next
//! host after an upgrade or a `kill -9`.
//!
//! What it promises
//! - A process counts as started only when its record (collection [`COLLECTION`], id `<instance>/<name>`) is on the disk.
//! - A process that exits by itself is started again while it is wanted: after 1 s, twice as long each time, at most 30 s.
//!   One that ran for a minute begins at 1 s again.
//! - **The end of the host is not the end of what it deployed.** Shutdown leaves wanted processes running; the next start
//!   adopts those that still run and starts again those that don't. (Under systemd that takes `KillMode=process`.)
//! - A process whose instance is gone, or may not run that program any more, is stopped (SIGTERM, SIGKILL after 30 s) and
//!   not started again: see [`Supervisor::allow`]. An instance that is merely disabled keeps what it runs.
//! - A signal goes only to a process whose pid *and* start time are those of the record, in the boot that it names.
//!
//! How a process lives: a process group of its own, an absolute program without a shell, an environment of `PATH`, `HOME`,
//! `LANG`, a marker and what its specification gives, stdin closed, stdout and stderr in one file below the log folder. The
//! host keeps that file under 2 MiB by moving its content to `<name>.log.1`; while no host runs, nobody does.
//!
//! What it is not: a container runtime. A program that leaves its process group (a daemon that forks itself away) is lost
//! to it; run such programs in the foreground.
//!
//! Layout: `record` (what is durable) · `process` (pids, start times, signals, exits) · `spawn` · `output` · `health` ·
//! `keeper` (the task that owns one process) · `supervisor` (the port)

mod health;
mod keeper;
mod output;
mod process;
mod record;
mod spawn;
mod supervisor;

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test may panic"
)]
mod tests;

pub use record::{COLLECTION, Record};
pub use supervisor::{Allowed, Error, Options, Supervisor, everything};
