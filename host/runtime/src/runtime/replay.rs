//! Asks a version what another one was asked in the past: what the plugin's instances kept of its decisions, from the oldest on.
//!
//! A decision is that of the plugin that made it, whatever its instance runs on by now: an instance that was given another plugin has a journal
//! of both, and others than today's instances of a plugin may have kept some of it.
//!
//! In the daemon, since the journals are in its store, and so are the sandboxes, the limits and the compiler that a new version would
//! run with. One replay at a time; it runs beside live calls, on the same guests' threads.

use super::Runtime;
use super::decide::Candidate;
use crate::decisions::{Asked, Record, Tally, decided_by};
use quarterdeck_model::decisions::{Refused, Replay, ReplayOptions};
use quarterdeck_model::journal::{Journals, Stretch};
use quarterdeck_model::plugin::{InstanceName, Kind, Limits};
use quarterdeck_model::{Span, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Bytes of a journal that are read in one step.
const STEP_BYTES: usize = 1 << 20;
/// Decisions that a worker takes at once.
const BATCH: usize = 128;
/// A candidate that misbehaved so many times in a row is not asked about the rest.
const MISBEHAVIOURS: u32 = 25;
/// A replay that takes longer is ended, with what it found out.
const LONGEST: Duration = Duration::from_secs(600);

/// A journal that is read.
struct Kept {
    /// What the calls of its instance may use.
    limits: Arc<Limits>,
    /// It is of an instance that was asked for: what can't be read there may be the plugin's.
    is_meant: bool,
}

/// Decisions of one instance.
struct Batch {
    instance: Arc<InstanceName>,
    limits: Arc<Limits>,
    records: Vec<Arc<Record<'static>>>,
}

/// What the reader and the workers share.
struct Course {
    until: Instant,
    in_a_row: AtomicU32,
    unreadable: AtomicU64,
    /// Instances that have kept decisions of the plugin, of whatever time.
    decided: Mutex<BTreeSet<InstanceName>>,
    stopped: Mutex<Option<String>>,
    /// Of the decisions that were asked.
    range: Mutex<Option<(Timestamp, Timestamp)>>,
}

impl Course {
    fn stop(&self, why: String) {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    fn is_stopped(&self) -> bool {
        if Instant::now() >= self.until {
            self.stop(format!(
                "it took longer than {}",
                Span::from_millis(LONGEST.as_millis().try_into().unwrap_or(0))
            ));
        }
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn note(&self, at: Timestamp) {
        let mut range = self.range.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, to) = range.unwrap_or((at, at));
        *range = Some((from.min(at), to.max(at)));
    }
}

impl Runtime {
    pub(super) async fn replayed(
        &self,
        name: &str,
        component: Vec<u8>,
        options: ReplayOptions,
    ) -> Result<Replay, Refused> {
        let Ok(_alone) = self.replaying.try_acquire() else {
            return Err(Refused::Conflict("another replay is under way; hint: wait for its end".to_owned()));
        };
        let (store, journals) = self.journals_of(name)?;
        let version = self.candidate(component, "replay").await?;
        if !version.kinds.iter().copied().any(Kind::is_pure) {
            let what = format!("`{}` is of no kind that decides", version.reference.name);
            return Err(Refused::Unusable(what));
        }
        let this = self.this.upgrade().ok_or_else(|| Refused::Conflict("the host is stopping".to_owned()))?;
        let started = Instant::now();
        let course = Arc::new(Course {
            until: started + LONGEST,
            in_a_row: AtomicU32::new(0),
            unreadable: AtomicU64::new(0),
            decided: Mutex::default(),
            stopped: Mutex::default(),
            range: Mutex::default(),
        });
        let candidate = Arc::new(Candidate::new(Arc::clone(&version), "replay"));
        let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let (batches, received) = mpsc::channel(2 * workers);
        let received = Arc::new(tokio::sync::Mutex::new(received));
        let mut working = JoinSet::new();
        for _ in 0..workers {
            let (this, candidate) = (Arc::clone(&this), Arc::clone(&candidate));
            let (received, course) = (Arc::clone(&received), Arc::clone(&course));
            working.spawn(async move {
                let mut tally = Tally::first(options.samples);
                loop {
                    let Some(batch) = received.lock().await.recv().await else { return tally };
                    this.ask_again_all(&candidate, batch, &course, &mut tally).await;
                }
            });
        }
        drop(received);
        let meant = journals.iter().filter(|(_, kept)| kept.is_meant).map(|(instance, _)| instance.clone());
        let meant: Vec<InstanceName> = meant.collect();
        // An instance may have kept decisions of several plugins: those of the candidate's are meant.
        let plugin = if name.contains('/') { version.reference.name.as_str() } else { name };
        let plugin: Arc<str> = Arc::from(plugin);
        let read = read(store, journals, plugin, options, Arc::clone(&course), batches).await;
        let mut tally = Tally::first(options.samples);
        while let Some(counted) = working.join_next().await {
            match counted {
                Ok(counted) => tally.absorb(counted),
                Err(error) => course.stop(format!("a part of it failed: {error}")),
            }
        }
        read?;
        let (then, now) = tally.durations();
        let range = *course.range.lock().unwrap_or_else(PoisonError::into_inner);
        let stopped = course.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let unreadable = course.unreadable.load(Ordering::Relaxed);
        let decided = std::mem::take(&mut *course.decided.lock().unwrap_or_else(PoisonError::into_inner));
        if decided.is_empty() && unreadable == 0 && stopped.is_none() && options.limit > 0 {
            return Err(none_kept(name));
        }
        let instances = if decided.is_empty() { meant } else { decided.into_iter().collect() };
        Ok(Replay {
            candidate: version.reference.clone(),
            instances,
            from: range.map(|(from, _)| from),
            to: range.map(|(_, to)| to),
            comparison: tally.comparison,
            then,
            now,
            unreadable,
            stopped,
            took: Span::from_millis(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)),
            samples: tally.samples(),
        })
    }

    async fn ask_again_all(&self, candidate: &Candidate, batch: Batch, course: &Course, tally: &mut Tally) {
        for record in batch.records {
            if course.is_stopped() {
                return;
            }
            if !candidate.version.kinds.contains(&record.question.kind()) {
                course.unreadable.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let limits = Arc::clone(&batch.limits);
            let Some((now, busy)) = self.rehearse(candidate, limits, &record).await else {
                course.stop("the host has no sandbox for it, or is stopping".to_owned());
                return;
            };
            match now.as_ref().err().filter(|failed| failed.misbehaved) {
                None => course.in_a_row.store(0, Ordering::Relaxed),
                Some(failed) if course.in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= MISBEHAVIOURS => {
                    let last = &failed.message;
                    course.stop(format!("the candidate misbehaved {MISBEHAVIOURS} times in a row, last: {last}"));
                }
                Some(_) => {}
            }
            course.note(record.now);
            tally.count(&Asked { instance: &batch.instance, record: &record, now, busy });
        }
    }

    /// The journals that a replay of that name reads: of an instance its own, of a plugin all of them, since any may hold its decisions.
    #[expect(clippy::type_complexity, reason = "a store, and what is read of it")]
    fn journals_of(&self, name: &str) -> Result<(Arc<dyn Journals>, BTreeMap<InstanceName, Kept>), Refused> {
        let Some(journal) = &self.journal else {
            return Err(Refused::Conflict("this host keeps no journals".to_owned()));
        };
        let instances = self.all_instances();
        let is_one = name.contains('/');
        let is_meant = |instance: &InstanceName| match instances.get(instance) {
            _ if is_one => instance.as_str() == name,
            Some(known) => known.binding().spec.plugin == name,
            // Of one that is gone, the part before the slash is what tells its plugin.
            None => instance.as_str().split('/').next() == Some(name),
        };
        let limits = |instance: &InstanceName| {
            instances.get(instance).map(|instance| Arc::clone(&instance.binding().limits)).unwrap_or_default()
        };
        let kept = journal.store().journals()?.into_iter().map(InstanceName);
        let kept = kept.map(|instance| {
            let kept = Kept { limits: limits(&instance), is_meant: is_meant(&instance) };
            (instance, kept)
        });
        let kept: BTreeMap<_, _> = kept.filter(|(_, kept)| kept.is_meant || !is_one).collect();
        if kept.is_empty() {
            return Err(none_kept(name));
        }
        Ok((Arc::clone(journal.store()), kept))
    }
}

fn none_kept(name: &str) -> Refused {
    Refused::Missing(format!(
        "no decision of `{name}` is kept; hint: give its instance a journal: `journal = {{ keep = \"7d\" }}`"
    ))
}

/// Reads the journals and hands the plugin's decisions on, until there are none or nobody wants any more.
async fn read(
    store: Arc<dyn Journals>,
    journals: BTreeMap<InstanceName, Kept>,
    plugin: Arc<str>,
    options: ReplayOptions,
    course: Arc<Course>,
    batches: mpsc::Sender<Batch>,
) -> Result<(), Refused> {
    let mut left = usize::try_from(options.limit).unwrap_or(usize::MAX);
    for (instance, Kept { limits, is_meant }) in journals {
        let instance = Arc::new(instance);
        let mut next = Some(0);
        while let Some(from) = next.take().filter(|_| left > 0 && !course.is_stopped()) {
            let (store, name, plugin) = (Arc::clone(&store), Arc::clone(&instance), Arc::clone(&plugin));
            let step = tokio::task::spawn_blocking(move || {
                store.read(name.as_str(), from, STEP_BYTES).map(|stretch| decoded(stretch, &plugin, options.since))
            });
            let step = step.await.map_err(|error| Refused::Conflict(format!("the journal can't be read: {error}")))?;
            let Decoded { mut records, any, unreadable, next: behind } = step?;
            next = behind;
            if any {
                let mut decided = course.decided.lock().unwrap_or_else(PoisonError::into_inner);
                decided.insert(InstanceName::clone(&instance));
            }
            if is_meant {
                course.unreadable.fetch_add(unreadable, Ordering::Relaxed);
            }
            records.truncate(left);
            left -= records.len();
            while !records.is_empty() {
                let rest = records.split_off(records.len().min(BATCH));
                let batch = Batch { instance: Arc::clone(&instance), limits: Arc::clone(&limits), records };
                if batches.send(batch).await.is_err() {
                    return Ok(());
                }
                records = rest;
            }
        }
    }
    Ok(())
}

/// What a stretch holds of a plugin's decisions.
struct Decoded {
    /// Since the time that is asked for.
    records: Vec<Arc<Record<'static>>>,
    /// Whether there are any, of whatever time.
    any: bool,
    /// Since that time, and of whatever plugin.
    unreadable: u64,
    /// Where it goes on.
    next: Option<u64>,
}

fn decoded(stretch: Stretch, plugin: &str, since: Option<Timestamp>) -> Decoded {
    let mut decoded = Decoded { records: Vec::new(), any: false, unreadable: 0, next: stretch.next };
    for entry in &stretch.entries {
        let is_wanted = since.is_none_or(|since| entry.at >= since);
        match decided_by(&entry.bytes) {
            Some(by) if by != plugin => continue,
            Some(_) => decoded.any = true,
            None => {}
        }
        match Record::decode(&entry.bytes).filter(|_| is_wanted) {
            Some(record) => decoded.records.push(Arc::new(record)),
            None => decoded.unreadable += u64::from(is_wanted),
        }
    }
    decoded
}
