//! The shell: one task that sleeps until something is due, and a task for each run.

use crate::Error;
use crate::agenda::{Agenda, Key, Start};
use crate::alarm::Alarm;
use crate::timers::{LONGEST_SLEEP, TimerQueue, Timers, timers};
use async_trait::async_trait;
use quarterdeck_model::Timestamp;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::domain::job::{JobSpec, JobStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// What runs. `planned` is the time of the timetable, not the time at which it really started.
#[async_trait]
pub trait Job: Send + Sync + 'static {
    /// # Errors
    /// Shown as the job's last error; the next run comes as planned.
    async fn run(&self, planned: Timestamp) -> Result<(), String>;
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Runs at once, over all jobs. What is due beyond waits, the longest waiting first.
    pub max_running: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { max_running: 512 }
    }
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    pub jobs: usize,
    pub running: usize,
    /// Due, and waiting because `max_running` runs are in flight.
    pub queued: usize,
}

pub struct Scheduler;

struct Shared {
    agenda: Mutex<Agenda<Arc<dyn Job>>>,
    changed: Notify,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl Scheduler {
    /// Runs until `shutdown`; no run starts after that. Needs a tokio runtime around it.
    pub fn start(clock: Arc<dyn Clock>, options: Options, shutdown: CancellationToken) -> Handle {
        let shared = Arc::new(Shared {
            agenda: Mutex::new(Agenda::new(options.max_running)),
            changed: Notify::new(),
            clock,
            shutdown,
            tasks: TaskTracker::new(),
        });
        shared.tasks.spawn(work(shared.clone()));
        Handle(shared)
    }
}

impl Handle {
    /// Adds a job, or replaces the one of that name; an unchanged schedule keeps its phase.
    ///
    /// # Errors
    /// The schedule can't be understood or never falls due. What was set before under that name stays.
    pub fn set(&self, spec: JobSpec, job: Arc<dyn Job>) -> Result<(), Error> {
        self.set_since(spec, job, None)
    }

    /// Like [`Handle::set`], for an owner who kept the planned time of the last run: what fell due since, while the daemon was
    /// down, counts as missed, and with `run-once` is made up for at once.
    ///
    /// # Errors
    /// As for [`Handle::set`].
    pub fn set_since(&self, spec: JobSpec, job: Arc<dyn Job>, last: Option<Timestamp>) -> Result<(), Error> {
        let now = self.0.clock.now();
        self.0.agenda(|agenda| agenda.set(spec, job, last, now))?;
        self.0.changed.notify_one();
        Ok(())
    }

    /// Runs in flight end by themselves. False: there is no such job.
    pub fn remove(&self, name: &str) -> bool {
        self.0.agenda(|agenda| agenda.remove(name))
    }

    /// Starts a run beside the timetable.
    ///
    /// # Errors
    /// There is no such job, all of its slots are taken, or the scheduler has stopped.
    pub fn run_now(&self, name: &str) -> Result<(), Error> {
        if self.0.shutdown.is_cancelled() {
            return Err(Error::Stopped);
        }
        let now = self.0.clock.now();
        self.0.agenda(|agenda| agenda.run_now(name, now))?;
        self.0.changed.notify_one();
        Ok(())
    }

    /// Sorted by name.
    pub fn list(&self) -> Vec<JobStatus> {
        self.0.agenda(|agenda| agenda.list())
    }

    pub fn get(&self, name: &str) -> Option<JobStatus> {
        self.0.agenda(|agenda| agenda.status(name))
    }

    pub fn depth(&self) -> Depth {
        self.0.agenda(|agenda| Depth { jobs: agenda.len(), running: agenda.running(), queued: agenda.queued() })
    }

    /// A set of timers of its own, for one engine.
    pub fn timers(&self) -> (Timers, TimerQueue) {
        timers(self.0.clock.clone(), self.0.shutdown.clone())
    }

    /// Waits for the shutdown, and then for the runs in flight.
    pub async fn drained(&self) {
        self.0.shutdown.cancelled().await;
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Shared {
    fn agenda<T>(&self, act: impl FnOnce(&mut Agenda<Arc<dyn Job>>) -> T) -> T {
        act(&mut self.agenda.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn work(shared: Arc<Shared>) {
    let alarm = Alarm::new();
    loop {
        let now = shared.clock.now();
        let (starts, wake) = shared.agenda(|agenda| (agenda.take_due(now), agenda.next_wake()));
        for start in starts {
            spawn(&shared, start);
        }
        // Asked again: spawning took some time.
        let sleep = wake.map_or(LONGEST_SLEEP, |wake| shared.clock.until(wake).min(LONGEST_SLEEP));
        if sleep == Duration::ZERO {
            tokio::task::yield_now().await;
            if shared.shutdown.is_cancelled() {
                return;
            }
            continue;
        }
        tokio::select! {
            biased;
            () = shared.shutdown.cancelled() => return,
            () = shared.changed.notified() => {}
            () = alarm.wait(sleep) => {}
        }
    }
}

fn spawn(shared: &Arc<Shared>, start: Start<Arc<dyn Job>>) {
    let Start { key, planned, job } = start;
    let run = Run { shared: shared.clone(), key, started: std::time::Instant::now(), result: None };
    shared.tasks.spawn(async move {
        let mut run = run;
        let result = job.run(planned).await;
        if let Err(error) = &result {
            debug!(%planned, error, "job failed");
        }
        run.result = Some(result);
    });
}

/// A run in flight. Dropped in any case, a panic's too: its slot is given back.
struct Run {
    shared: Arc<Shared>,
    key: Key,
    started: std::time::Instant,
    result: Option<Result<(), String>>,
}

impl Drop for Run {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| {
            warn!("a job panicked or was dropped");
            Err("the run was cut short by a panic in the host".to_owned())
        });
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let duration = quarterdeck_model::Span::from_millis(millis);
        if self.shared.agenda(|agenda| agenda.finished(self.key, duration, result)) {
            self.shared.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
