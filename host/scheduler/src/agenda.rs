//! All jobs: what is due, what was missed, and who may run. Pure: the time is handed in, runs are handed out.
//!
//! A planned time is missed when all of the job's slots are taken, when the host is too late for it, or when it went by while
//! the daemon was down (for those who say when they ran last). `skip` counts it; `run-once` makes up for any number of them
//! with one run. Where the host was asleep for many planned times, `skip` waits for the next one, so that not every job starts
//! in the same moment.

use crate::Error;
use crate::plan::Timetable;
use quarterdeck_model::domain::job::{JobSpec, JobStatus, Missed};
use quarterdeck_model::{Span, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// After more than one planned time went by, the last one still counts as on time when it is this late.
const PUNCTUAL: Span = Span::from_millis(1000);

/// A clock that goes back by less than this is being adjusted, not set.
const ADJUSTED: Span = Span::from_millis(1000);

/// Set back by no more than this, a cron job does not run again at the times that it ran at (as after the end of summer time).
const SET_BACK: Span = Span::from_secs(3 * 3600);

/// What a job is known by inside, so that a run that ends after its job was removed and added again meets the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

/// A run to start now.
#[derive(Debug, PartialEq, Eq)]
pub struct Start<J> {
    pub key: Key,
    pub planned: Timestamp,
    pub job: J,
}

#[derive(Debug)]
struct Entry<J> {
    spec: JobSpec,
    timetable: Timetable,
    job: J,
    next: Option<Timestamp>,
    /// `next` is the run at start, which is off the timetable.
    starting: bool,
    /// A missed run that is made up for when a slot is free.
    owed: Option<Timestamp>,
    last_planned: Option<Timestamp>,
    running: u32,
    queued: u32,
    last_run: Option<Timestamp>,
    last_duration: Option<Span>,
    last_error: Option<String>,
    runs: u64,
    failures: u64,
    missed: u64,
}

#[derive(Debug)]
pub struct Agenda<J> {
    names: BTreeMap<String, Key>,
    entries: HashMap<Key, Entry<J>>,
    due: BTreeSet<(Timestamp, Key)>,
    /// Due, and waiting for one of the host's slots.
    ready: VecDeque<(Key, Timestamp)>,
    running: usize,
    max_running: usize,
    last_key: u64,
    seen: Timestamp,
}

impl<J: Clone> Agenda<J> {
    /// At most `max_running` runs at once (at least one), over all jobs.
    pub fn new(max_running: usize) -> Self {
        Agenda {
            names: BTreeMap::new(),
            entries: HashMap::new(),
            due: BTreeSet::new(),
            ready: VecDeque::new(),
            running: 0,
            max_running: max_running.max(1),
            last_key: 0,
            seen: Timestamp::MIN,
        }
    }

    /// Adds a job, or replaces the one of that name. Its phase and its counters stay if the schedule is the same.
    ///
    /// `last` is the planned time up to which its runs are done, where the caller kept that: what fell due since is missed.
    ///
    /// # Errors
    /// The schedule can't be understood or never falls due, or the concurrency is 0. What was set before stays.
    pub fn set(&mut self, spec: JobSpec, job: J, last: Option<Timestamp>, now: Timestamp) -> Result<(), Error> {
        let timetable = Timetable::new(&spec)?;
        if spec.concurrency == 0 {
            return Err(Error::Concurrency { job: spec.name });
        }
        if let Some((key, entry)) = self.named(&spec.name) {
            let same = entry.spec.schedule == spec.schedule && entry.spec.jitter == spec.jitter;
            entry.timetable = timetable;
            entry.spec = spec;
            entry.job = job;
            if !same {
                let next = entry.timetable.next_after(now);
                entry.starting = false;
                self.plan(key, next);
            }
            return Ok(());
        }
        let (next, starting) = match last {
            _ if spec.at_start => (Some(timetable.at_start(now)), true),
            Some(last) => (timetable.next_after(last.min(now)), false),
            None => (timetable.next_after(now), false),
        };
        self.last_key += 1;
        let key = Key(self.last_key);
        self.names.insert(spec.name.clone(), key);
        let entry = Entry {
            spec,
            timetable,
            job,
            next: None,
            starting,
            owed: None,
            last_planned: last,
            running: 0,
            queued: 0,
            last_run: None,
            last_duration: None,
            last_error: None,
            runs: 0,
            failures: 0,
            missed: 0,
        };
        self.entries.insert(key, entry);
        self.plan(key, next);
        Ok(())
    }

    /// Runs in flight end by themselves. False: there is no such job.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(key) = self.names.remove(name) else { return false };
        self.plan(key, None);
        self.entries.remove(&key);
        self.ready.retain(|(queued, _)| *queued != key);
        true
    }

    /// Due now, whatever its timetable says; that goes on as it was.
    ///
    /// # Errors
    /// There is no such job, or all of its slots are taken.
    pub fn run_now(&mut self, name: &str, now: Timestamp) -> Result<(), Error> {
        let (key, entry) = self.named(name).ok_or_else(|| Error::Unknown { job: name.to_owned() })?;
        if entry.running + entry.queued >= entry.spec.concurrency {
            return Err(Error::Busy { job: name.to_owned(), running: entry.running });
        }
        entry.queued += 1;
        self.ready.push_back((key, now));
        Ok(())
    }

    /// Hands out what is to start at `now`, and plans what follows.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Start<J>> {
        self.observe(now);
        while let Some(&(due, key)) = self.due.first() {
            if due > now {
                break;
            }
            self.fall_due(key, due, now);
        }
        let mut starts = Vec::new();
        while self.running < self.max_running {
            let Some((key, planned)) = self.ready.pop_front() else { break };
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.queued = entry.queued.saturating_sub(1);
            entry.running += 1;
            entry.runs += 1;
            entry.last_run = Some(now);
            self.running += 1;
            starts.push(Start { key, planned, job: entry.job.clone() });
        }
        starts
    }

    fn fall_due(&mut self, key: Key, due: Timestamp, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&key) else {
            self.due.remove(&(due, key));
            return;
        };
        let (planned, count, fresh, next) = if std::mem::take(&mut entry.starting) {
            (due, 1, true, entry.timetable.after_start(due.max(now)))
        } else {
            let passed = entry.timetable.passed(due, now);
            let punctual = if passed.count == 1 { entry.timetable.grace() } else { PUNCTUAL };
            let fresh = now.since(passed.latest) <= punctual;
            (passed.latest, passed.count, fresh, entry.timetable.next_after(passed.latest.max(now)))
        };
        let wanted = fresh || entry.spec.missed == Missed::RunOnce;
        entry.last_planned = Some(planned);
        entry.missed += count - u64::from(wanted);
        if wanted {
            if entry.running + entry.queued < entry.spec.concurrency {
                entry.queued += 1;
                self.ready.push_back((key, planned));
            } else if entry.spec.missed == Missed::RunOnce && entry.owed.is_none() {
                entry.owed = Some(planned);
            } else {
                entry.missed += 1;
            }
        }
        self.plan(key, next);
    }

    /// A run that was handed out has ended. True: call [`Agenda::take_due`], another one may start.
    pub fn finished(&mut self, key: Key, duration: Span, result: Result<(), String>) -> bool {
        self.running = self.running.saturating_sub(1);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.running = entry.running.saturating_sub(1);
            entry.last_duration = Some(duration);
            entry.failures += u64::from(result.is_err());
            entry.last_error = result.err();
            if let Some(planned) = entry.owed.take() {
                entry.queued += 1;
                self.ready.push_back((key, planned));
            }
        }
        !self.ready.is_empty()
    }

    /// When [`Agenda::take_due`] has to be called next.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    pub fn status(&self, name: &str) -> Option<JobStatus> {
        self.names.get(name).and_then(|key| self.entries.get(key)).map(Entry::status)
    }

    /// Sorted by name.
    pub fn list(&self) -> Vec<JobStatus> {
        self.names.values().filter_map(|key| self.entries.get(key)).map(Entry::status).collect()
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Runs in flight.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Runs that are due and wait for a slot of the host.
    pub fn queued(&self) -> usize {
        self.ready.len()
    }

    /// Plans everything again where the clock was set back: what was planned by the old clock may be far away.
    fn observe(&mut self, now: Timestamp) {
        if now.plus(ADJUSTED) < self.seen {
            let keys: Vec<Key> = self.names.values().copied().collect();
            for key in keys {
                let Some(entry) = self.entries.get(&key) else { continue };
                let next = match entry.last_planned {
                    _ if entry.starting => Some(entry.timetable.at_start(now)),
                    Some(last) if entry.timetable.is_cron() && last.since(now) <= SET_BACK => {
                        entry.timetable.next_after(last.max(now))
                    }
                    _ => entry.timetable.next_after(now),
                };
                self.plan(key, next);
            }
        }
        self.seen = now;
    }

    fn plan(&mut self, key: Key, next: Option<Timestamp>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if let Some(old) = entry.next.take() {
            self.due.remove(&(old, key));
        }
        entry.next = next;
        if let Some(next) = next {
            self.due.insert((next, key));
        }
    }

    fn named(&mut self, name: &str) -> Option<(Key, &mut Entry<J>)> {
        let key = *self.names.get(name)?;
        self.entries.get_mut(&key).map(|entry| (key, entry))
    }
}

impl<J> Entry<J> {
    fn status(&self) -> JobStatus {
        JobStatus {
            spec: self.spec.clone(),
            next_run: self.next,
            last_run: self.last_run,
            last_duration: self.last_duration,
            last_error: self.last_error.clone(),
            running: self.running,
            runs: self.runs,
            failures: self.failures,
            missed: self.missed,
        }
    }
}

#[cfg(test)]
mod tests;
