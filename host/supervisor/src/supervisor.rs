//! The port: orders in, states out.

use crate::keeper::{self, Keeper, Shown, Stop, Tools};
use crate::output;
use crate::process::new_marker;
use crate::record::{self, COLLECTION, Record};
use async_trait::async_trait;
use quarterdeck_model::Span;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::process::{
    Process, ProcessHealth, ProcessLog, ProcessPhase, ProcessSpec, ProcessStatus, Processes,
};
use quarterdeck_model::store::{Page, Store, StoreError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// Ended processes that are still answered for with `exited` and their exit code; behind that they are `absent`.
const REMEMBERED: usize = 1024;

/// What is shown of a log, at most.
const LOG_BYTES: u64 = 1 << 20;

/// What a process that is stopped because it may not run any more has to end by itself.
const GRACE: Span = Span::from_secs(30);

/// Whether an instance may run a program. Asked before each start, and of all that run when it changes.
pub type Allowed = Arc<dyn Fn(&InstanceName, &ProcessSpec) -> bool + Send + Sync>;

/// Allows every process.
pub fn everything() -> Allowed {
    Arc::new(|_, _| true)
}

pub struct Options {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    /// Ends the watching. The processes themselves go on.
    pub shutdown: CancellationToken,
    /// Holds a folder per instance with what its processes print.
    pub log_dir: PathBuf,
    /// By the configuration in force. What an earlier host left and is not allowed any more is stopped.
    pub allowed: Allowed,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to create the folder for the output of processes, `{path}`: {source}")]
    LogFolder { path: String, source: std::io::Error },
    #[error("failed to read which processes an earlier host left: {0}")]
    Store(#[from] StoreError),
}

pub struct Supervisor {
    tools: Tools,
    tasks: TaskTracker,
    entries: Mutex<HashMap<String, Entry>>,
    /// One start at a time: two for one name must not both spawn.
    starting: tokio::sync::Mutex<()>,
    allowed: RwLock<Allowed>,
}

struct Entry {
    owner: InstanceName,
    spec: ProcessSpec,
    orders: mpsc::Sender<Stop>,
    status: watch::Receiver<Shown>,
}

impl Entry {
    /// Its keeper has gone: the process was stopped.
    fn is_over(&self) -> bool {
        self.orders.is_closed()
    }

    /// It was stopped, or is on its way there.
    fn ends(&self) -> bool {
        self.is_over() || self.current().phase == ProcessPhase::Stopping
    }

    fn current(&self) -> ProcessStatus {
        self.status.borrow().status.clone()
    }

    fn report(&self, id: &str) -> Process {
        let shown = self.status.borrow().clone();
        let health = match shown.status.phase {
            ProcessPhase::Healthy if self.spec.health_url.is_none() => ProcessHealth::Unchecked,
            ProcessPhase::Healthy => ProcessHealth::Healthy,
            ProcessPhase::Unhealthy => ProcessHealth::Unhealthy,
            _ => ProcessHealth::Unknown,
        };
        Process {
            id: id.to_owned(),
            instance: self.owner.clone(),
            name: self.spec.name.clone(),
            program: self.spec.program.clone(),
            state: shown.status.phase,
            since: shown.since,
            health,
            pid: shown.status.pid,
            exit_code: shown.status.exit_code,
            restarts: shown.status.restarts,
            started_at: shown.started_at,
            last_words: shown.last_words,
        }
    }
}

impl Supervisor {
    /// Takes over what an earlier host left: adopts what still runs, starts again what is wanted but gone, finishes stops.
    ///
    /// # Errors
    /// The log folder can't be made, or the store can't be read. A record that can't be read is left alone, with a warning.
    pub async fn start(options: Options) -> Result<Arc<Supervisor>, Error> {
        std::fs::create_dir_all(&options.log_dir)
            .map_err(|source| Error::LogFolder { path: options.log_dir.display().to_string(), source })?;
        let supervisor = Arc::new(Supervisor {
            tools: Tools {
                store: options.store,
                clock: options.clock,
                log_dir: options.log_dir,
                shutdown: options.shutdown,
            },
            tasks: TaskTracker::new(),
            entries: Mutex::new(HashMap::new()),
            starting: tokio::sync::Mutex::new(()),
            allowed: RwLock::new(options.allowed),
        });
        for document in supervisor.tools.store.list(COLLECTION, &Page::all())? {
            match document.decode::<Record>() {
                Ok(record) => supervisor.take_over(record).await,
                Err(error) => warn!(process = %document.id, %error, "the record of a process can't be read"),
            }
        }
        Ok(supervisor)
    }

    /// Returns when all watching has ended, behind the shutdown.
    pub async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Puts in force what may run. Returns when the orders to stop what may not any more are given; none of it starts again.
    pub async fn allow(&self, allowed: Allowed) {
        // Behind a start under way, which has been asked by the old rule.
        let _one_at_a_time = self.starting.lock().await;
        *self.allowed.write().unwrap_or_else(PoisonError::into_inner) = allowed;
        let mut orders = Vec::new();
        for (id, entry) in self.entries().iter() {
            if !entry.ends() && !self.is_allowed(&entry.owner, &entry.spec) {
                orders.push((id.clone(), entry.owner.clone(), entry.spec.name.clone()));
            }
        }
        for (id, owner, name) in orders {
            warn!(process = %id, "stopping a process that its instance may not run any more");
            if let Err(error) = self.stop(&owner, &name, GRACE).await {
                warn!(process = %id, %error, "the order to stop could not be written down");
            }
        }
    }

    /// What [`Supervisor::allow`] would stop: owner and id of each.
    pub fn would_stop(&self, allowed: &Allowed) -> Vec<(InstanceName, String)> {
        let entries = self.entries();
        let ending = entries.iter().filter(|(_, entry)| !entry.ends() && !allowed(&entry.owner, &entry.spec));
        let mut ending: Vec<_> = ending.map(|(id, entry)| (entry.owner.clone(), id.clone())).collect();
        drop(entries);
        ending.sort();
        ending
    }

    fn is_allowed(&self, owner: &InstanceName, spec: &ProcessSpec) -> bool {
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner).clone();
        allowed(owner, spec)
    }

    async fn take_over(&self, mut record: Record) {
        if record.wanted && !self.is_allowed(&record.owner, &record.spec) {
            warn!(process = %record.id(), "stopping a process that its instance may not run any more");
            (record.wanted, record.grace) = (false, GRACE);
            if let Err(error) = self.tools.save(&record).await {
                warn!(process = %record.id(), %error, "the order to stop could not be written down");
            }
        }
        let before = record.clone();
        let mut record = match tokio::task::spawn_blocking(move || keeper::adopt(before)).await {
            Ok(record) => record,
            Err(_) => record,
        };
        let phase = match (&record.identity, record.wanted) {
            (Some(identity), true) => {
                info!(process = %record.id(), pid = identity.pid, "adopted a process");
                ProcessPhase::Starting
            }
            (_, false) => ProcessPhase::Stopping,
            (None, true) => {
                // Gone with the machine or on its own: started at once, not after a back-off.
                match self.tools.spawn(&mut record).await {
                    Ok(()) => {
                        record.restarts = record.restarts.saturating_add(1);
                        info!(process = %record.id(), "started a process again");
                        ProcessPhase::Starting
                    }
                    Err(error) => {
                        warn!(process = %record.id(), %error, "a process can't be started again");
                        ProcessPhase::Exited
                    }
                }
            }
        };
        if record.wanted
            && let Err(error) = self.tools.save(&record).await
        {
            warn!(process = %record.id(), %error, "the new pid of a process can't be written down");
        }
        self.keep(record, phase);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, record: Record, phase: ProcessPhase) -> ProcessStatus {
        let (orders, received) = mpsc::channel(4);
        let (status, shown) = watch::channel(keeper::shown_as(&record, phase, self.tools.clock.now()));
        let entry = Entry { owner: record.owner.clone(), spec: record.spec.clone(), orders, status: shown };
        let current = entry.current();
        let mut entries = self.entries();
        if entries.len() >= REMEMBERED {
            entries.retain(|_, entry| !entry.is_over());
        }
        entries.insert(record.id(), entry);
        drop(entries);
        self.tasks.spawn(Keeper { record, tools: self.tools.clone(), orders: received, status }.run());
        current
    }

    /// The state of a process of that name that is not over.
    fn running(&self, id: &str) -> Option<(ProcessSpec, ProcessStatus)> {
        self.entries().get(id).filter(|entry| !entry.is_over()).map(|entry| (entry.spec.clone(), entry.current()))
    }
}

#[async_trait]
impl Processes for Supervisor {
    async fn start(&self, owner: &InstanceName, spec: ProcessSpec) -> Result<ProcessStatus, String> {
        record::check(owner, &spec)?;
        let _one_at_a_time = self.starting.lock().await;
        if self.tools.shutdown.is_cancelled() {
            return Err("the host is stopping".to_owned());
        }
        if !self.is_allowed(owner, &spec) {
            return Err(format!(
                "`{owner}` may not run `{}` any more; hint: grants.process names what it may",
                spec.program
            ));
        }
        let id = record::id(owner, &spec.name);
        if let Some((running, status)) = self.running(&id) {
            return match (status.phase, running == spec) {
                (ProcessPhase::Stopping, _) => {
                    Err(format!("`{}` is still stopping; hint: start it when it has ended", spec.name))
                }
                (_, true) => Ok(status),
                (_, false) => Err(format!("`{}` runs with another specification; hint: stop it first", spec.name)),
            };
        }
        let marker = new_marker(&id).map_err(|e| format!("can't draw a marker: {e}"))?;
        let mut record = Record {
            owner: owner.clone(),
            spec,
            marker,
            wanted: true,
            grace: Span::ZERO,
            identity: None,
            started_at: self.tools.clock.now(),
            restarts: 0,
            exit_code: None,
            last_words: None,
        };
        // The intent first: should the host die behind the spawn, the marker in it leads the next one to the process.
        self.tools.save(&record).await?;
        let started = match self.tools.spawn(&mut record).await {
            Ok(()) => self.tools.save(&record).await,
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            if let Some(identity) = record.identity.take() {
                identity.signal_group(rustix::process::Signal::KILL);
                identity.ended().await;
                identity.reap(&record.marker);
            }
            if let Err(error) = self.tools.forget(&id).await {
                warn!(process = %id, %error, "the record of a process that did not start can't be deleted");
            }
            return Err(error);
        }
        Ok(self.keep(record, ProcessPhase::Starting))
    }

    async fn status(&self, owner: &InstanceName, name: &str) -> Result<ProcessStatus, String> {
        let id = record::id(owner, name);
        let known = self.entries().get(&id).map(Entry::current);
        Ok(known.unwrap_or_else(|| absent(name)))
    }

    async fn stop(&self, owner: &InstanceName, name: &str, grace: Span) -> Result<ProcessStatus, String> {
        let id = record::id(owner, name);
        let Some((orders, status)) = self.entries().get(&id).map(|entry| (entry.orders.clone(), entry.status.clone()))
        else {
            return Ok(absent(name));
        };
        let (given, answer) = oneshot::channel();
        // A closed channel means that it has been stopped already.
        if orders.send(Stop { grace, given }).await.is_ok()
            && let Ok(result) = answer.await
        {
            result?;
        }
        if self.tools.shutdown.is_cancelled() && status.borrow().status.phase != ProcessPhase::Exited {
            return Err("the host is stopping; hint: ask again after its start".to_owned());
        }
        Ok(status.borrow().status.clone())
    }

    fn list(&self) -> Vec<Process> {
        let mut all: Vec<_> = self.entries().iter().map(|(id, entry)| entry.report(id)).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    fn log(&self, owner: &InstanceName, name: &str, lines: usize) -> Result<Option<ProcessLog>, String> {
        read_log(&self.tools.log_dir, owner, name, lines)
    }
}

fn read_log(log_dir: &Path, owner: &InstanceName, name: &str, lines: usize) -> Result<Option<ProcessLog>, String> {
    // What can't be the name of a process is no path either.
    if !owner.is_valid() || !record::is_name(name) {
        return Ok(None);
    }
    let printed = output::tail(&output::path(log_dir, owner, name), lines, LOG_BYTES)
        .map_err(|error| format!("what `{name}` printed can't be read: {error}"))?;
    Ok(printed.map(|(text, cut)| ProcessLog { id: record::id(owner, name), text, cut }))
}

fn absent(name: &str) -> ProcessStatus {
    ProcessStatus { name: name.to_owned(), phase: ProcessPhase::Absent, pid: None, exit_code: None, restarts: 0 }
}
