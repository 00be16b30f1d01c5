//! The task that owns one process, from the order to start (or from adoption) until its stop has ended.

use crate::process::{Exit, find_marked};
use crate::record::{COLLECTION, Record};
use crate::{health, output, spawn};
use quarterdeck_model::clock::Clock;
use quarterdeck_model::process::{ProcessPhase, ProcessStatus};
use quarterdeck_model::store::{Store, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// One that ran for this long gets the shortest delay again.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// Between a SIGKILL and giving up on seeing the end: a process in uninterruptible sleep takes its time.
const KILL_PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Stop {
    pub(crate) grace: Span,
    /// Answered when the order is durable and the signal is sent.
    pub(crate) given: oneshot::Sender<Result<(), String>>,
}

/// What is kept of what a process printed before it ended by itself.
const LAST_WORDS_LINES: usize = 5;
const LAST_WORDS_BYTES: u64 = 1 << 10;

/// What all keepers share.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log_dir: PathBuf,
    pub(crate) shutdown: CancellationToken,
}

impl Tools {
    pub(crate) async fn save(&self, record: &Record) -> Result<(), String> {
        let value = serde_json::to_value(record).map_err(|e| e.to_string())?;
        let transition = Transition::new().put(COLLECTION, &record.id(), Expected::Any, value);
        self.store.commit(transition).await.map(|_| ()).map_err(|e| e.to_string())
    }

    pub(crate) async fn forget(&self, id: &str) -> Result<(), StoreError> {
        self.store.commit(Transition::new().delete(COLLECTION, id, Expected::Any)).await.map(|_| ())
    }

    /// Starts the program and writes its pid into the record, in memory.
    pub(crate) async fn spawn(&self, record: &mut Record) -> Result<(), String> {
        let (copy, log_dir, now) = (record.clone(), self.log_dir.clone(), self.clock.now());
        let identity = tokio::task::spawn_blocking(move || spawn::spawn(&copy, &log_dir, now))
            .await
            .map_err(|_| "the spawning thread ended early".to_owned())??;
        record.identity = Some(identity);
        record.started_at = self.clock.now();
        record.exit_code = None;
        Ok(())
    }
}

pub(crate) struct Keeper {
    pub(crate) record: Record,
    pub(crate) tools: Tools,
    pub(crate) orders: mpsc::Receiver<Stop>,
    pub(crate) status: watch::Sender<Shown>,
}

/// What is known of a process from outside.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) status: ProcessStatus,
    /// When it came into this phase.
    pub(crate) since: Timestamp,
    pub(crate) started_at: Timestamp,
    pub(crate) last_words: Option<String>,
}

enum Next {
    /// It ended by itself.
    Ended(Exit),
    Stop(Stop),
    /// The host goes; the process stays.
    Leave,
}

impl Keeper {
    pub(crate) async fn run(mut self) {
        if !self.record.wanted {
            // The host died in the middle of a stop: finish it.
            let grace = self.record.grace;
            return self.stop(grace).await;
        }
        let mut delay = FIRST_DELAY;
        loop {
            let began = Instant::now();
            let next = match self.record.identity.clone() {
                Some(_) => self.watch().await,
                None => Next::Ended(Exit { code: self.record.exit_code }),
            };
            match next {
                Next::Leave => return,
                Next::Stop(order) => return self.obey(order).await,
                Next::Ended(exit) => {
                    self.record.identity = None;
                    self.record.exit_code = exit.code;
                    self.record.last_words = self.last_words().await;
                    self.show(ProcessPhase::Exited);
                }
            }
            if began.elapsed() >= STABLE_AFTER {
                delay = FIRST_DELAY;
            }
            let last_words = self.record.last_words.as_deref().unwrap_or_default();
            warn!(process = %self.record.id(), exit_code = ?self.record.exit_code, again_in = ?delay, last_words, "a process ended by itself");
            tokio::select! {
                () = self.tools.shutdown.cancelled() => return,
                Some(order) = self.orders.recv() => return self.obey(order).await,
                () = tokio::time::sleep(delay) => {}
            }
            delay = (delay * 2).min(LONGEST_DELAY);
            self.start_again().await;
        }
    }

    /// Why it ended, as far as it said so itself.
    async fn last_words(&self) -> Option<String> {
        let path = output::path(&self.tools.log_dir, &self.record.owner, &self.record.spec.name);
        let read = move || output::tail(&path, LAST_WORDS_LINES, LAST_WORDS_BYTES);
        let read = tokio::task::spawn_blocking(read).await.ok()?;
        let words = read.ok().flatten().map(|(words, _)| output::since_start(&words).to_owned());
        words.filter(|words| !words.is_empty())
    }

    async fn start_again(&mut self) {
        self.record.restarts = self.record.restarts.saturating_add(1);
        match self.tools.spawn(&mut self.record).await {
            Ok(()) => {
                self.show(ProcessPhase::Starting);
                // Should this fail, the marker still leads the next host to the process.
                if let Err(error) = self.tools.save(&self.record).await {
                    warn!(process = %self.record.id(), %error, "the new pid of a process can't be written down");
                }
            }
            Err(error) => warn!(process = %self.record.id(), %error, "a process can't be started again"),
        }
    }

    /// Until it ends, is to stop, or the host goes.
    async fn watch(&mut self) -> Next {
        let Some(identity) = self.record.identity.clone() else { return Next::Ended(Exit { code: None }) };
        let (phase, mut phases) = watch::channel(ProcessPhase::Starting);
        let health = health::watch(self.record.spec.health_url.clone(), phase);
        let output =
            output::keep_bounded(output::path(&self.tools.log_dir, &self.record.owner, &self.record.spec.name));
        let process = identity.clone();
        let ended = process.ended();
        tokio::pin!(health, output, ended);
        loop {
            tokio::select! {
                () = &mut ended => break,
                () = self.tools.shutdown.cancelled() => return Next::Leave,
                Some(order) = self.orders.recv() => return Next::Stop(order),
                Ok(()) = phases.changed() => {
                    let now = *phases.borrow_and_update();
                    self.show(now);
                }
                () = &mut health => {}
                () = &mut output => {}
            }
        }
        let marker = self.record.marker.clone();
        let exit = tokio::task::spawn_blocking(move || identity.reap(&marker)).await;
        Next::Ended(exit.unwrap_or(Exit { code: None }))
    }

    async fn obey(&mut self, order: Stop) {
        self.record.wanted = false;
        self.record.grace = order.grace;
        self.show(ProcessPhase::Stopping);
        let saved = self.tools.save(&self.record).await;
        if let Err(error) = &saved {
            // The operator wants it gone: that a full disk can't remember the order is no reason to keep it.
            warn!(process = %self.record.id(), %error, "the order to stop a process can't be written down");
        }
        self.signal(Signal::TERM);
        // The caller may be gone.
        let _ = order.given.send(saved);
        self.stop(order.grace).await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(identity) = &self.record.identity {
            identity.signal_group(signal);
        }
    }

    /// SIGTERM (again, which is harmless), SIGKILL after the grace, and the record goes.
    async fn stop(&mut self, grace: Span) {
        self.show(ProcessPhase::Stopping);
        if let Some(identity) = self.record.identity.clone() {
            self.signal(Signal::TERM);
            let ended = identity.ended();
            tokio::pin!(ended);
            let mut killed_at = None;
            let deadline = tokio::time::sleep(grace.as_duration());
            tokio::pin!(deadline);
            loop {
                tokio::select! {
                    () = &mut ended => break,
                    () = self.tools.shutdown.cancelled() => return,
                    // A second order is already being obeyed; a shorter grace counts.
                    Some(order) = self.orders.recv() => {
                        if killed_at.is_none() {
                            let at = Instant::now() + order.grace.as_duration();
                            let earlier = at.min(deadline.deadline());
                            deadline.as_mut().reset(earlier);
                        }
                        let _ = order.given.send(Ok(()));
                    }
                    () = &mut deadline => {
                        if killed_at.is_some() {
                            warn!(process = %self.record.id(), pid = identity.pid, "a killed process does not end");
                        }
                        killed_at = Some(Instant::now());
                        self.signal(Signal::KILL);
                        deadline.as_mut().reset(Instant::now() + KILL_PATIENCE);
                    }
                }
            }
            let marker = self.record.marker.clone();
            let ended = identity.clone();
            let exit = tokio::task::spawn_blocking(move || ended.reap(&marker)).await;
            self.record.exit_code = exit.ok().and_then(|exit| exit.code);
            self.record.identity = None;
        }
        info!(process = %self.record.id(), exit_code = ?self.record.exit_code, "a process was stopped");
        if let Err(error) = self.tools.forget(&self.record.id()).await {
            warn!(process = %self.record.id(), %error, "the record of a stopped process can't be deleted");
        }
        // Closed before the end is shown, so that whoever sees it may start the name again.
        self.orders.close();
        self.show(ProcessPhase::Exited);
    }

    fn show(&self, phase: ProcessPhase) {
        let now = self.tools.clock.now();
        self.status.send_modify(|shown| {
            let since = if shown.status.phase == phase { shown.since } else { now };
            *shown = Shown { since, ..shown_as(&self.record, phase, now) };
        });
    }
}

pub(crate) fn shown_as(record: &Record, phase: ProcessPhase, since: Timestamp) -> Shown {
    let status = ProcessStatus {
        name: record.spec.name.clone(),
        phase,
        pid: record.identity.as_ref().map(|identity| identity.pid),
        exit_code: record.exit_code,
        restarts: record.restarts,
    };
    Shown { status, since, started_at: record.started_at, last_words: record.last_words.clone() }
}

/// Looks for the process of a record that an earlier host left: by pid and start time, else by the marker. Blocks.
pub(crate) fn adopt(mut record: Record) -> Record {
    record.identity =
        record.identity.take().filter(|identity| identity.is_alive()).or_else(|| find_marked(&record.marker));
    record
}
