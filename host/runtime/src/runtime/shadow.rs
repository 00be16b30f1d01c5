//! Candidates beside the versions in use: each is asked what its plugin's instances are asked, after they have answered, by a task of
//! its own. What it says is compared and counted; what it does (trap, loop, eat memory) nobody else sees.
//!
//! Which candidates there are is kept in the store, and their components in the component store: they survive a restart. What was
//! counted does not. One that can't be loaded after that is tried again (`waiting`), and one whose component is gone ends, as is said.

mod waiting;

use super::Runtime;
use super::announce::{SHADOW_DIFFERS, SHADOW_ENDED, SHADOW_STARTED};
use super::decide::Candidate;
use crate::decisions::{Asked, Record, Tally};
use crate::instance::{Circuit, Instance};
use crate::plugin::Refusal;
use quarterdeck_model::Timestamp;
use quarterdeck_model::decisions::{self, Refused, ShadowState};
use quarterdeck_model::plugin::{Digest, Kind, PluginRef};
use quarterdeck_model::store::{Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use waiting::{Waiting, resume};

/// Collection of the candidates, by the name of their plugin.
const SHADOWS: &str = "shadows";
/// Questions that wait for a candidate, and their bytes. It skips what does not fit.
const WAITING: usize = 1024;
const WAITING_BYTES: usize = 8 << 20;
/// Differences that are kept.
const SAMPLES: usize = 20;
/// Misbehaviours in a row after which it is left alone for a while.
const LEFT_ALONE_AFTER: u32 = 5;
/// How often it is said that there are new differences.
const SAID_EVERY: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    digest: Digest,
    since: Timestamp,
    /// Absent in what an older host has written.
    #[serde(default)]
    version: String,
}

/// All candidates.
#[derive(Default)]
pub(super) struct Shadows {
    /// Spares calls the look where there are none.
    any: AtomicBool,
    by_plugin: RwLock<HashMap<String, Arc<Shadow>>>,
    /// Those of an earlier life of the host that are not asked yet, by the name of their plugin.
    waiting: Mutex<HashMap<String, Waiting>>,
    /// Held by whoever changes which ones there are, here and in the store.
    changing: tokio::sync::Mutex<()>,
}

impl Shadows {
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn of(&self, plugin: &str) -> Option<Arc<Shadow>> {
        if !self.any() {
            return None;
        }
        self.by_plugin.read().unwrap_or_else(PoisonError::into_inner).get(plugin).cloned()
    }

    fn all(&self) -> Vec<Arc<Shadow>> {
        self.by_plugin.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Ends the one that was there.
    fn set(&self, plugin: &str, shadow: Option<Arc<Shadow>>) -> Option<Arc<Shadow>> {
        let mut by_plugin = self.by_plugin.write().unwrap_or_else(PoisonError::into_inner);
        let before = match shadow {
            Some(shadow) => by_plugin.insert(plugin.to_owned(), shadow),
            None => by_plugin.remove(plugin),
        };
        self.any.store(!by_plugin.is_empty(), Ordering::Release);
        if let Some(before) = &before {
            before.ended.cancel();
        }
        before
    }
}

/// One candidate at work.
pub(super) struct Shadow {
    pub(super) candidate: Candidate,
    since: Timestamp,
    circuit: Circuit,
    questions: mpsc::Sender<Offered>,
    waiting_bytes: AtomicUsize,
    skipped: AtomicU64,
    tally: Mutex<Tally>,
    ended: CancellationToken,
}

struct Offered {
    instance: Arc<Instance>,
    bytes: Vec<u8>,
}

impl Shadow {
    /// Never waits.
    pub(super) fn offer(&self, instance: &Arc<Instance>, decision: &[u8]) {
        let size = decision.len();
        let fits = self.waiting_bytes.fetch_add(size, Ordering::Relaxed) + size <= WAITING_BYTES;
        let offered = || Offered { instance: Arc::clone(instance), bytes: decision.to_vec() };
        if !fits || self.questions.try_send(offered()).is_err() {
            self.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
            self.skip();
        }
    }

    pub(super) fn skip(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime {
    /// Takes up the candidates of an earlier life of the host, beside everything else: they may have to be compiled.
    pub(super) fn resume_shadows(&self) {
        for document in self.store.list(SHADOWS, &Page::all()).unwrap_or_default() {
            if let Ok(kept) = document.decode::<Kept>() {
                self.shadows.waits(&document.id, Waiting::of(kept.clone()));
                self.spawn(resume(Weak::clone(&self.this), document.id, kept));
            }
        }
    }

    /// Takes up a candidate, or lets go of it for good. An error is one that may be over soon.
    async fn take_up(&self, plugin: &str, kept: &Kept) -> Result<(), Refusal> {
        let version = self.stored_version(plugin, &kept.digest).await?;
        let _changing = self.shadows.changing.lock().await;
        let unreadable = |error: StoreError| Refusal::passing(format!("the store can't be used: {error}"));
        let document = self.store.get(SHADOWS, plugin).map_err(unreadable)?;
        let is_meant = document.is_some_and(|document| document.decode().is_ok_and(|now: Kept| now == *kept));
        // Somebody may have ended it meanwhile, or begun with another one.
        if !is_meant {
            return Ok(());
        }
        if let Some(version) = version {
            self.set_shadow(plugin, version, kept.since);
            return Ok(());
        }
        let ended = self.store.commit(Transition::new().delete(SHADOWS, plugin, Expected::Any)).await;
        ended.map_err(unreadable)?;
        let reason = "the component store does not hold it any more, or it can't be used";
        let data = json!({"candidate": {"name": plugin, "digest": kept.digest}, "reason": reason});
        self.announcer.say(SHADOW_ENDED, plugin, None, data);
        Ok(())
    }

    pub(super) async fn begin_shadow(&self, plugin: &str, component: Vec<u8>) -> Result<decisions::Shadow, Refused> {
        let version = self.candidate(component, "candidate").await?;
        if version.reference.name != plugin {
            let named = &version.reference.name;
            return Err(Refused::Unusable(format!(
                "the component names itself `{named}`; hint: a candidate for `{plugin}` has that name"
            )));
        }
        if !version.kinds.iter().copied().any(Kind::is_pure) {
            return Err(Refused::Unusable(format!("`{plugin}` is of no kind that decides: it can't be asked twice")));
        }
        let active = self.catalog().current(plugin);
        let Some(active) = active else {
            return Err(Refused::Missing(format!(
                "there is no plugin `{plugin}` that it could be compared with; hint: `quarterdeck plugin list`"
            )));
        };
        if active.is(&version) {
            return Err(Refused::Conflict(format!("`{plugin}` runs on that very component")));
        }
        let _changing = self.shadows.changing.lock().await;
        let since = self.clock.now();
        let PluginRef { version: named, digest, .. } = version.reference.clone();
        let kept = json!(Kept { digest, since, version: named });
        self.store.commit(Transition::new().put(SHADOWS, plugin, Expected::Any, kept)).await?;
        let reference = version.reference.clone();
        let before = self.shadows.of(plugin).map(|before| self.shown(&before));
        let before = before.or_else(|| self.shadows.waiting(plugin).map(|waiting| self.shown_waiting(plugin, waiting)));
        let shadow = self.set_shadow(plugin, version, since);
        self.shadows.waits_no_more(plugin);
        if let Some(before) = before {
            self.say_ended(&before, Some(&reference));
        }
        let data = json!({"candidate": reference, "active": active.reference});
        self.announcer.say(SHADOW_STARTED, plugin, Some(reference), data);
        Ok(self.shown(&shadow))
    }

    pub(super) async fn stop_shadow(&self, plugin: &str) -> Result<decisions::Shadow, Refused> {
        let _changing = self.shadows.changing.lock().await;
        let last = match (self.shadows.of(plugin), self.shadows.waiting(plugin)) {
            (Some(shadow), _) => self.shown(&shadow),
            (None, Some(waiting)) => self.shown_waiting(plugin, waiting),
            (None, None) => return Err(no_candidate(plugin)),
        };
        self.store.commit(Transition::new().delete(SHADOWS, plugin, Expected::Any)).await?;
        self.shadows.set(plugin, None);
        // Whoever tries to load it finds that it is not meant any more.
        self.shadows.waits_no_more(plugin);
        self.say_ended(&last, None);
        Ok(last)
    }

    /// How it stood in the end, and what is asked in its place.
    fn say_ended(&self, last: &decisions::Shadow, replaced_by: Option<&PluginRef>) {
        let data = json!({"candidate": last.candidate, "comparison": last.comparison, "skipped": last.skipped,
            "replaced_by": replaced_by});
        self.announcer.say(SHADOW_ENDED, &last.plugin, Some(last.candidate.clone()), data);
    }

    pub(super) fn shadow_of(&self, plugin: &str) -> Result<Arc<Shadow>, Refused> {
        self.shadows.of(plugin).ok_or_else(|| match self.shadows.waiting(plugin) {
            Some(waiting) => Refused::Conflict(format!("the candidate can't be used now: {}", waiting.reason())),
            None => no_candidate(plugin),
        })
    }

    pub(super) fn all_shadows(&self) -> Vec<decisions::Shadow> {
        // In this order: one that is taken up meanwhile is in both, and not in none.
        let waiting = self.shadows.all_waiting();
        let mut shown: Vec<_> = self.shadows.all().iter().map(|shadow| self.shown(shadow)).collect();
        for (plugin, waiting) in waiting {
            if shown.iter().all(|shadow| shadow.plugin != plugin) {
                shown.push(self.shown_waiting(&plugin, waiting));
            }
        }
        shown.sort_by(|a, b| a.plugin.cmp(&b.plugin));
        shown
    }

    /// The host stops: they stay candidates.
    pub(super) fn end_all_shadows(&self) {
        self.shadows.all().iter().for_each(|shadow| shadow.ended.cancel());
    }

    fn shown(&self, shadow: &Shadow) -> decisions::Shadow {
        let candidate = shadow.candidate.version.reference.clone();
        let active: Option<PluginRef> =
            self.catalog().current(&candidate.name).map(|version| version.reference.clone());
        let left_alone = shadow.circuit.quarantine();
        let tally = shadow.tally();
        let (then, now) = tally.durations();
        decisions::Shadow {
            plugin: candidate.name.clone(),
            candidate,
            active,
            since: shadow.since,
            state: if left_alone.is_some() { ShadowState::LeftAlone } else { ShadowState::Asked },
            reason: left_alone,
            comparison: tally.comparison,
            skipped: shadow.skipped.load(Ordering::Relaxed),
            then,
            now,
            samples: tally.samples(),
        }
    }

    fn set_shadow(&self, plugin: &str, version: Arc<crate::plugin::Version>, since: Timestamp) -> Arc<Shadow> {
        let (questions, received) = mpsc::channel(WAITING);
        let shadow = Arc::new(Shadow {
            candidate: Candidate::new(version, "shadow"),
            since,
            circuit: Circuit::new(LEFT_ALONE_AFTER),
            questions,
            waiting_bytes: AtomicUsize::new(0),
            skipped: AtomicU64::new(0),
            tally: Mutex::new(Tally::newest(SAMPLES)),
            ended: CancellationToken::new(),
        });
        self.shadows.set(plugin, Some(Arc::clone(&shadow)));
        self.spawn(work(Weak::clone(&self.this), Arc::clone(&shadow), received));
        shadow
    }

    async fn ask_shadow(&self, shadow: &Shadow, offered: Offered) -> bool {
        let circuit = &shadow.circuit;
        let Ok(admission) = circuit.admit(self.clock.now()) else {
            shadow.skip();
            return false;
        };
        let asks = |record: &Record<'_>| shadow.candidate.version.kinds.contains(&record.question.kind());
        let Some(record) = Record::decode(&offered.bytes).filter(asks).map(Arc::new) else {
            circuit.abandon_trial(self.clock.now());
            shadow.skip();
            return false;
        };
        let limits = Arc::clone(&offered.instance.binding().limits);
        let Some((now, busy)) = self.rehearse(&shadow.candidate, limits, &record).await else {
            circuit.abandon_trial(self.clock.now());
            shadow.skip();
            return false;
        };
        let misbehaviour = now.as_ref().err().filter(|failed| failed.misbehaved);
        circuit.record(admission, misbehaviour.map(|failed| failed.message.clone()), self.clock.now());
        shadow.tally().count(&Asked { instance: &offered.instance.name, record: &record, now, busy })
    }

    fn say_differences(&self, shadow: &Shadow) {
        let reference = &shadow.candidate.version.reference;
        let (comparison, newest) = {
            let tally = shadow.tally();
            (tally.comparison, tally.samples().into_iter().next())
        };
        let newest = newest.map(|sample| {
            json!({"instance": sample.instance, "at": sample.at, "function": sample.function, "then": sample.then, "now": sample.now})
        });
        let data = json!({"candidate": reference, "comparison": comparison, "newest": newest});
        self.announcer.say(SHADOW_DIFFERS, &reference.name, Some(reference.clone()), data);
    }
}

fn no_candidate(plugin: &str) -> Refused {
    Refused::Missing(format!("`{plugin}` has no candidate; hint: `quarterdeck plugin shadow {plugin} --with FILE`"))
}

/// Puts the questions to a candidate, one after the other, until its end.
async fn work(runtime: Weak<Runtime>, shadow: Arc<Shadow>, mut questions: mpsc::Receiver<Offered>) {
    let mut said: Option<Instant> = None;
    loop {
        let offered = tokio::select! {
            biased;
            () = shadow.ended.cancelled() => return,
            offered = questions.recv() => offered,
        };
        let (Some(offered), Some(runtime)) = (offered, runtime.upgrade()) else { return };
        shadow.waiting_bytes.fetch_sub(offered.bytes.len(), Ordering::Relaxed);
        let differs = tokio::select! {
            biased;
            () = shadow.ended.cancelled() => return,
            differs = runtime.ask_shadow(&shadow, offered) => differs,
        };
        if differs && said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            said = Some(Instant::now());
            runtime.say_differences(&shadow);
        }
    }
}
