//! Jobs: what runs on a schedule.

use crate::time::{Span, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    Every(Span),
    /// Five fields, and an IANA zone.
    Cron {
        expression: String,
        zone: String,
    },
}

/// Runs that fell due while the daemon was down, or while all of the job's slots were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// Left out; counted.
    #[default]
    Skip,
    /// Once, as soon as possible, however many were missed.
    RunOnce,
}

/// What is to run when. The name says what it does: `collect/http-probe/api`, `rule/high-cpu`, `scan/default`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobSpec {
    pub name: String,
    pub schedule: Schedule,
    /// Spread evenly over this much behind the plan, by the job's name: always the same for one job.
    pub jitter: Span,
    /// Runs at once.
    pub concurrency: u32,
    pub missed: Missed,
    /// First run right away instead of after one interval.
    pub at_start: bool,
}

impl JobSpec {
    /// At an interval, one run at a time, the first one right away.
    pub fn every(name: impl Into<String>, interval: Span) -> Self {
        JobSpec {
            name: name.into(),
            schedule: Schedule::Every(interval),
            jitter: Span::ZERO,
            concurrency: 1,
            missed: Missed::Skip,
            at_start: true,
        }
    }
}

/// A job as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobStatus {
    #[serde(flatten)]
    pub spec: JobSpec,
    pub next_run: Option<Timestamp>,
    pub last_run: Option<Timestamp>,
    pub last_duration: Option<Span>,
    /// Absent: it went well, or has not run yet.
    pub last_error: Option<String>,
    pub running: u32,
    pub runs: u64,
    pub failures: u64,
    /// Not run because the one before was still running, or the host was late.
    pub missed: u64,
}
