//! Jobs: what runs on a schedule.

use super::Routes;
use crate::Api;
use crate::extract::{At, Body, Params};
use crate::paging::{List, Slice, Slicing, part};
use crate::problem::Problem;
use crate::schema::{of, taken};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use quarterdeck_model::domain::job::{JobStatus, Missed, Schedule};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa_axum::routes;

pub(crate) fn routes() -> Routes {
    Routes::new().routes(routes!(list_jobs)).routes(routes!(get_job)).routes(routes!(run_job))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Unknown { .. } => Problem::not_found(detail),
            Error::Busy { .. } => Problem::conflict(detail),
            Error::Stopped => Problem::unavailable(detail),
            _ => Problem::invalid(detail),
        }
    }
}

/// A job, and how it went.
#[derive(Debug, Serialize, JsonSchema)]
struct Job {
    name: String,
    schedule: Schedule,
    /// Spread evenly over this much behind the plan, by the job's name.
    jitter: Span,
    /// Runs at once.
    concurrency: u32,
    /// What becomes of runs that can't start in time.
    on_missed: Missed,
    at_start: bool,
    next_run: Option<Timestamp>,
    last_run: Option<Timestamp>,
    last_duration: Option<Span>,
    /// `null`: it went well, or has not run yet.
    last_error: Option<String>,
    running: u32,
    runs: u64,
    failures: u64,
    /// Runs that were left out.
    missed: u64,
}

/// Specification and figures in one object, where `missed` can stand for one thing only.
impl From<JobStatus> for Job {
    fn from(status: JobStatus) -> Self {
        Job {
            name: status.spec.name,
            schedule: status.spec.schedule,
            jitter: status.spec.jitter,
            concurrency: status.spec.concurrency,
            on_missed: status.spec.missed,
            at_start: status.spec.at_start,
            next_run: status.next_run,
            last_run: status.last_run,
            last_duration: status.last_duration,
            last_error: status.last_error,
            running: status.running,
            runs: status.runs,
            failures: status.failures,
            missed: status.missed,
        }
    }
}

/// Jobs, by name.
#[utoipa::path(get, path = "/jobs", tag = "jobs",
    params(Slicing, ("prefix" = Option<String>, Query, description = "Only those whose names begin so, `collect/`.")),
    responses((status = 200, description = "Jobs.", body = ref(of::<List<Job>>()))))]
async fn list_jobs(State(api): State<Arc<Api>>, params: Params) -> Result<Json<List<Job>>, Problem> {
    let prefix = params.text("prefix")?.unwrap_or_default();
    let mut jobs = api.options.scheduler.list();
    jobs.retain(|job| job.spec.name.starts_with(prefix));
    jobs.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    Ok(part(jobs.into_iter().map(Job::from), &Slice::of(&params)?, |job| &job.name))
}

/// One job.
#[utoipa::path(get, path = "/jobs/{name}", tag = "jobs",
    params(("name" = String, Path, description = "Its slashes as `%2F`: `collect%2Fsystem%2Flocal`.")),
    responses((status = 200, description = "The job.", body = ref(of::<Job>()))))]
async fn get_job(State(api): State<Arc<Api>>, At(name): At<String>) -> Result<Json<Job>, Problem> {
    api.options.scheduler.get(&name).map(Job::from).map(Json).ok_or_else(|| Problem::no_document("jobs", &name))
}

/// Which job to run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct JobRun {
    name: String,
}

/// Runs a job now, beside its schedule. Answers when the run has begun.
#[utoipa::path(post, path = "/jobs/run", tag = "jobs",
    request_body(content = ref(taken::<JobRun>()), content_type = "application/json"),
    responses((status = 202, description = "The job as it is now.", body = ref(of::<Job>()))))]
async fn run_job(
    State(api): State<Arc<Api>>,
    Body(JobRun { name }): Body<JobRun>,
) -> Result<(StatusCode, Json<Job>), Problem> {
    api.options.scheduler.run_now(&name)?;
    let job = api.options.scheduler.get(&name).ok_or_else(|| Problem::no_document("jobs", &name))?;
    Ok((StatusCode::ACCEPTED, Json(Job::from(job))))
}
