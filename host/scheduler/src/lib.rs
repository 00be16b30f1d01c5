//! What runs when: jobs at intervals and by cron (IANA zones), and timers for single moments.
//!
//! Not here: what the jobs do, and any memory of them on the disk. A job is set again at every start by whoever owns it, and
//! its planned times are the same then (see [`Timetable`]). A timer is durable because the engine that set it keeps what is
//! due in its own documents and sets its timers again from them at start: nothing is known here alone.
//!
//! Layout
//! - `plan`: the timetable of one job, pure
//! - `agenda`: all jobs, what is due, what was missed, who may run; pure, and generic over what a job is
//! - `service`: the thin shell: one task that sleeps until something is due and spawns the runs
//! - `alarm`: sleeps more exactly than tokio's timer
//! - `timers`: ids that fall due at a moment
//! - `clock`: the system's clock, the only place in Quarterdeck where time is read
//!
//! ```
//! # use quarterdeck_model::{Span, Timestamp, domain::job::JobSpec};
//! # use quarterdeck_scheduler::{Job, Options, Scheduler, SystemClock};
//! # use std::sync::Arc;
//! struct Hello(tokio::sync::Notify);
//! #[async_trait::async_trait]
//! impl Job for Hello {
//!     async fn run(&self, planned: Timestamp) -> Result<(), String> {
//!         println!("planned for {planned}");
//!         self.0.notify_one();
//!         Ok(())
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), quarterdeck_scheduler::Error> {
//! let shutdown = tokio_util::sync::CancellationToken::new();
//! let scheduler = Scheduler::start(Arc::new(SystemClock), Options::default(), shutdown.clone());
//! let hello = Arc::new(Hello(tokio::sync::Notify::new()));
//! scheduler.set(JobSpec::every("hello", Span::from_secs(15)), hello.clone())?;
//! hello.0.notified().await;
//! shutdown.cancel();
//! scheduler.drained().await;
//! # Ok(()) }
//! ```

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

pub mod agenda;
mod alarm;
mod clock;
mod error;
pub mod plan;
mod service;
mod timers;

pub use clock::SystemClock;
pub use error::Error;
pub use plan::Timetable;
pub use service::{Depth, Handle, Job, Options, Scheduler};
pub use timers::{TimerQueue, Timers};
