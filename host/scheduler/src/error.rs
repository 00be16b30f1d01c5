//! Why a job can't be set or run.

use quarterdeck_model::Span;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "job `{job}`: `{expression}` is not a cron expression: {reason}; hint: five fields, minute hour day month weekday, such as `*/15 8-18 * * MON-FRI`"
    )]
    Cron { job: String, expression: String, reason: String },
    #[error("job `{job}`: `{zone}` is not a time zone; hint: write an IANA name such as `UTC` or `Europe/Berlin`")]
    Zone { job: String, zone: String },
    #[error("job `{job}`: `{expression}` never falls due; hint: is there such a day in any month?")]
    Never { job: String, expression: String },
    #[error("job `{job}`: an interval of {interval} is too short; hint: the shortest is 10ms")]
    Interval { job: String, interval: Span },
    #[error("job `{job}`: no run would ever be allowed; hint: set its concurrency to 1 or more")]
    Concurrency { job: String },
    #[error("there is no job `{job}`; hint: list the jobs to see their names")]
    Unknown { job: String },
    #[error("job `{job}` is running already ({running} at once is its limit); hint: wait until it has finished")]
    Busy { job: String, running: u32 },
    #[error("the scheduler has stopped")]
    Stopped,
}
