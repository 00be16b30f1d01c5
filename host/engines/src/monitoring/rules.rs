//! A job per rule: read the window, ask the detector, hand its signals to `alerts`, commit what changed.
//!
//! Alerts live in memory and in documents. An evaluation writes only what a restart would miss; values and times of evaluations
//! stay in memory. Whoever else writes an alert (an acknowledgement) is found out by the document's revision, and the
//! evaluation is made again on what they wrote.

use super::alerts::{self, Alerts, Change, Evaluated, Seen};
use super::suspects::{self, Ask, LeftOut};
use super::{derived, ended, expected};
use crate::failing::{Asker, Failing, outcome, unusable};
use crate::{Asked, Context, Error, belongings, to_value};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::alert::{Alert, AlertState, RuleSpec, Target};
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::event::Event;
use quarterdeck_model::kind::detector::{Verdict, Window};
use quarterdeck_model::label::Labels;
use quarterdeck_model::plugin::{Called, InstanceName, PluginRef};
use quarterdeck_model::series::{Selector, SeriesData};
use quarterdeck_model::store::{Document, Page, StoreError};
use quarterdeck_model::transition::{Expected, Transition};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::Job;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tracing::{info, warn};

/// Detectors' states. Id: the rule's name.
const STATES: &str = "detector-state";
/// When rules were last evaluated at all.
const ALIVE: &str = "monitoring";
const ALIVE_ID: &str = "alive";
const ALIVE_EVERY: Duration = Duration::from_secs(60);
/// Where nothing else changes, the detector's state and the values of active alerts are written this often.
const WRITE_EVERY: Span = Span::from_secs(60);
/// A longer window may have to be read from the disk.
const SHORT_WINDOW: Span = Span::from_secs(15 * 60);
const CONFLICTS: u32 = 8;

#[derive(Serialize, Deserialize)]
struct KeptState {
    state: String,
    plugin: PluginRef,
    /// What it is the state of. Absent in what an older version has written.
    #[serde(default)]
    of: Option<(InstanceName, Selector)>,
    /// What the rule expected. Absent in what an older version has written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    expect: Vec<Labels>,
}

#[derive(Serialize, Deserialize)]
struct Alive {
    at: Timestamp,
}

/// Alerts, and the revisions of their documents.
type Known = (Alerts, BTreeMap<String, u64>);

/// One rule at work.
#[derive(Clone)]
struct Rule {
    spec: RuleSpec,
    alerts: Alerts,
    /// Of the alerts' documents, by fingerprint.
    revisions: BTreeMap<String, u64>,
    detector: Option<Vec<u8>>,
    /// What it expected before, while an alert of that fires still.
    dropped: Vec<Labels>,
    left_out: LeftOut,
    /// When the detector's state was written last.
    written: Option<Timestamp>,
    /// One evaluation at a time: an older window must not be concluded after a newer one.
    turn: Arc<Semaphore>,
    /// It is not configured any more. It stays until the end of its alerts is written: a full disk must not make it forgotten while
    /// its alerts fire on in their documents.
    leaving: bool,
}

pub(super) struct Rules {
    context: Context,
    rules: Mutex<BTreeMap<String, Rule>>,
    /// Read at the start, until their rules are set.
    left: Mutex<BTreeMap<String, Known>>,
    failing: Failing,
}

impl Rules {
    pub(super) fn load(context: Context) -> Result<Self, Error> {
        let mut left: BTreeMap<String, Known> = BTreeMap::new();
        for document in context.store.list(Alert::COLLECTION, &Page::all())? {
            let alert: Alert = document.decode()?;
            if alert.group.is_some() || alert.posted.is_some() {
                continue;
            }
            let (alerts, revisions) = left.entry(alert.rule.clone()).or_default();
            revisions.insert(alert.fingerprint.clone(), document.revision);
            alerts.insert(alert.fingerprint.clone(), alert);
        }
        let failing = Failing::load(context.clone(), Asker::Rule)?;
        Ok(Rules { context, rules: Mutex::default(), left: Mutex::new(left), failing })
    }

    pub(super) fn alerts(&self) -> Vec<Alert> {
        self.with(|rules| rules.values().flat_map(|rule| rule.alerts.values().cloned()).collect())
    }

    /// Sets the jobs of the rules that there are now; alerts of rules that are gone end.
    pub(super) async fn sync(self: &Arc<Self>, catalog: &Catalog) -> Result<(), Error> {
        let at_work: BTreeMap<String, RuleSpec> = self.with(|rules| {
            let at_work = rules.iter().filter(|(_, rule)| !rule.leaving);
            at_work.map(|(name, rule)| (name.clone(), rule.spec.clone())).collect()
        });
        // What fails is tried again, and does not keep the others from being set.
        let mut failure = None;
        for (name, spec) in catalog.rules.iter().filter(|(name, spec)| at_work.get(*name) != Some(spec)) {
            if let Err(error) = self.set(name, spec).await {
                failure = Some(error);
                continue;
            }
            let job = JobSpec::every(job_name(name), spec.every);
            let rule = Evaluate { rules: self.clone(), rule: name.clone() };
            if at_work.get(name).is_none_or(|before| before.every != spec.every)
                && let Err(error) = self.context.scheduler.set(job, Arc::new(rule))
            {
                warn!(rule = name, %error, "a rule can't be scheduled");
            }
        }
        let gone = self.with(|rules| {
            let gone = rules.iter_mut().filter(|(name, _)| !catalog.rules.contains_key(*name));
            gone.map(|(name, rule)| {
                rule.leaving = true;
                (name.clone(), rule.turn.clone())
            })
            .collect::<Vec<_>>()
        });
        for (name, turn) in gone {
            self.context.scheduler.remove(&job_name(&name));
            // Behind an evaluation under way, which may write alerts still.
            let _turn = turn.acquire().await.map_err(|_| Error::not_found(format!("rule `{name}`")))?;
            let Ok(rule) = self.rule(&name) else { continue };
            match self.retire(&name, &rule.alerts).await {
                Ok(()) => {
                    self.with(|rules| rules.remove(&name));
                }
                Err(error) => failure = Some(error),
            }
        }
        let orphans: Vec<(String, Known)> = {
            let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            let orphans = left.iter().filter(|(name, _)| !catalog.rules.contains_key(*name));
            orphans.map(|(name, known)| (name.clone(), known.clone())).collect()
        };
        for (name, (alerts, _)) in orphans {
            match self.retire(&name, &alerts).await {
                Ok(()) => self.forget_left(&name),
                Err(error) => failure = Some(error),
            }
        }
        if let Err(error) = self.failing.end(|name| catalog.rules.contains_key(name)).await {
            failure = Some(error);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Takes the jobs out again.
    pub(super) fn clear(&self) {
        for name in self.with(|rules| rules.keys().cloned().collect::<Vec<_>>()) {
            self.context.scheduler.remove(&job_name(&name));
        }
    }

    async fn set(&self, name: &str, spec: &RuleSpec) -> Result<(), Error> {
        let known = self.with(|rules| match rules.get_mut(name) {
            Some(rule) => {
                if watches(&rule.spec) != watches(spec) {
                    // Another detector can't read the state of the one before, nor does it hold for other series.
                    rule.detector = None;
                    rule.left_out = LeftOut::default();
                }
                rule.dropped = expected::dropped(rule.spec.expect.iter().chain(&rule.dropped), &spec.expect);
                rule.spec = spec.clone();
                rule.leaving = false;
                true
            }
            None => false,
        });
        if known {
            return Ok(());
        }
        let (alerts, mut revisions) = self.left(name);
        let now = self.context.now();
        let down_at = alerts::last_up(&alerts, last_sign(&self.context)?).unwrap_or(now);
        let (alerts, changes) = alerts::resume(alerts, spec.hold, down_at, now);
        if !changes.is_empty() {
            info!(rule = name, %down_at, alerts = changes.len(), "pending alerts wait anew after an absence");
            let committed = self.context.commit(self.transition(&changes, None, None)?).await?;
            for (change, revision) in changes.iter().zip(committed.revisions) {
                let fingerprint = &change.alert().fingerprint;
                match change {
                    Change::Dropped(_) => revisions.remove(fingerprint),
                    _ => revisions.insert(fingerprint.clone(), revision),
                };
            }
        }
        let kept: Option<KeptState> = self.context.read(STATES, name)?;
        let dropped = kept.as_ref().map_or_else(Vec::new, |kept| expected::dropped(&kept.expect, &spec.expect));
        let kept = kept.filter(|kept| kept.of.as_ref().is_none_or(|of| *of == watches(spec)));
        let detector = kept.and_then(|kept| STANDARD.decode(kept.state).ok());
        let turn = Arc::new(Semaphore::new(1));
        let spec = spec.clone();
        let left_out = LeftOut::default();
        let rule = Rule { spec, alerts, revisions, detector, dropped, left_out, written: None, turn, leaving: false };
        self.with(|rules| rules.insert(name.to_owned(), rule));
        self.forget_left(name);
        Ok(())
    }

    async fn retire(&self, name: &str, alerts: &Alerts) -> Result<(), Error> {
        let changes = alerts::retire(alerts, self.context.now());
        let mut transition = self.transition(&changes, None, None)?.delete(STATES, name, Expected::Any);
        // Nobody evaluates them any more, so nobody would forget them later.
        for alert in alerts.values() {
            transition.writes.retain(|write| write.id != alert.fingerprint);
            transition = transition.delete(Alert::COLLECTION, &alert.fingerprint, Expected::Any);
        }
        self.context.commit(transition).await?;
        Ok(())
    }

    pub(super) async fn evaluate(&self, name: &str) -> Result<(), Error> {
        let turn = self.rule(name)?.turn;
        let _turn = turn.acquire().await.map_err(|_| Error::not_found(format!("rule `{name}`")))?;
        let rule = self.rule(name)?;
        let (detector, now) = (rule.spec.detector.clone(), self.context.now());
        let judged = self.judge(name, rule, now).await;
        let noted = self.failing.note(name, &detector, outcome(&judged, |plugin| plugin), now).await;
        judged.and(noted)
    }

    /// Gives the version that has judged.
    async fn judge(&self, name: &str, mut rule: Rule, now: Timestamp) -> Result<PluginRef, Error> {
        let mut series = self.read_window(&rule.spec, now).await?;
        ended::leave_out(&self.context, &rule.spec, &mut series, now);
        let expected::Expected { absent, met } = expected::among(&rule.spec, &series);
        series.extend(absent);
        let from = now.minus(rule.spec.window);
        let mut left_out = std::mem::take(&mut rule.left_out);
        let ask = Ask {
            detector: &*self.context.plugins.detector,
            instance: &rule.spec.detector,
            config: &rule.spec.config,
            state: rule.detector.as_deref(),
            from,
            now,
        };
        let asked = ask.judge(series, &mut left_out).await;
        self.with(|rules| {
            if let Some(known) = rules.get_mut(name).filter(|known| watches(&known.spec) == watches(&rule.spec)) {
                known.left_out.clone_from(&left_out);
            }
        });
        let (window, mut called) = asked?;
        let unheard: Vec<Labels> = left_out.labels().cloned().collect();
        let rest = belongings(&mut called);
        let mut conflicts = 0;
        loop {
            match self.conclude(name, &rule, (&window, &unheard), &met, &called, rest.clone()).await {
                Err(Error::Store(StoreError::Conflict { .. })) if conflicts < CONFLICTS => {
                    conflicts += 1;
                    self.reload(name)?;
                    rule = self.rule(name)?;
                }
                concluded => {
                    concluded?;
                    break;
                }
            }
        }
        // After what was decided: alerts don't wait for samples.
        let (samples, refused) = derived::samples(name, &window, &called.value.derived);
        if !samples.is_empty() {
            self.context.series.append(samples).await?;
        }
        match refused.or_else(|| suspects::told(&left_out)) {
            Some(reason) => Err(unusable(&called.plugin, reason)),
            None => Ok(called.plugin),
        }
    }

    /// Judges the signals, and makes durable what has to be. `unheard`: what is left out of the window. `met`: what is expected and there.
    async fn conclude(
        &self,
        name: &str,
        rule: &Rule,
        (window, unheard): (&Window, &[Labels]),
        met: &[Labels],
        called: &Called<Verdict>,
        rest: Transition,
    ) -> Result<(), Error> {
        let catalog = self.context.catalog();
        let configured = |target: &Target| match target {
            Target::Instance(name) => self.context.registry.instance(name).is_some(),
            Target::Service(name) => catalog.services.contains_key(name),
            // Rules of detectors have none of these.
            Target::Scraped(_) => true,
        };
        let settled = met.iter().chain(&rule.dropped).map(|labels| expected::whole(&rule.spec, labels));
        let settled: Vec<Labels> = settled.collect();
        let seen = Seen {
            rule: name,
            spec: &rule.spec,
            series: &window.series,
            signals: &called.value.signals,
            settled: &settled,
            unheard,
            plugin: &called.plugin,
            configured: &configured,
            now: window.now,
        };
        let evaluated =
            alerts::evaluate(&rule.alerts, &seen).map_err(|failure| unusable(&called.plugin, failure.to_string()))?;
        let due = rule.written.is_none_or(|at| window.now.since(at) >= WRITE_EVERY);
        let mut changes = evaluated.changes.clone();
        if due {
            changes.extend(refreshed(&evaluated));
        }
        let mut transition = self.transition(&changes, Some(&rule.revisions), Some(&called.plugin))?;
        let fingerprints: Vec<String> = transition.writes.iter().map(|write| write.id.clone()).collect();
        let write_state = called.value.state != rule.detector && (due || !evaluated.changes.is_empty());
        if write_state {
            transition = keep_state(transition, name, &rule.spec, called)?;
        }
        transition.absorb(rest);
        let committed = self.context.commit(transition).await?;
        let judged = watches(&rule.spec);
        self.with(|rules| {
            // Gone meanwhile: then its alerts were ended by whoever removed it.
            let Some(rule) = rules.get_mut(name) else { return };
            for (fingerprint, revision) in fingerprints.iter().zip(&committed.revisions) {
                rule.revisions.insert(fingerprint.clone(), *revision);
            }
            adopt(rule, evaluated);
            let Rule { dropped, spec, alerts, .. } = rule;
            dropped.retain(|labels| expected::fires(name, spec, labels, alerts));
            // The rule may have been changed meanwhile.
            if watches(&rule.spec) == judged {
                rule.detector.clone_from(&called.value.state);
            }
            if due {
                rule.written = Some(window.now);
            }
        });
        Ok(())
    }

    pub(super) async fn acknowledge(&self, fingerprint: &str, asked: Asked<'_>) -> Result<Alert, Error> {
        let absent = || Error::not_found(format!("alert `{fingerprint}`"));
        let known = self.alerts().into_iter().find(|alert| alert.fingerprint == fingerprint).ok_or_else(absent)?;
        let alert = self
            .context
            .update_as::<Alert, _>(asked, Alert::COLLECTION, fingerprint, |alert| {
                let mut alert = alert.ok_or_else(absent)?;
                if alert.state == AlertState::Resolved {
                    return Err(Error::conflict("the alert is resolved already"));
                }
                if alert.acknowledged_by.is_some() {
                    return Ok(None);
                }
                alert.acknowledged_by = Some(asked.principal.to_owned());
                let event = self.context.event("alert.acknowledged", fingerprint).data(to_value(&alert)?);
                Ok(Some((alert, Transition::new().event(event.principal(asked.principal)))))
            })
            .await?
            .ok_or_else(absent)?;
        self.reload(&known.rule)?;
        Ok(alert)
    }

    pub(super) async fn resolve(&self, fingerprint: &str, asked: Asked<'_>) -> Result<Alert, Error> {
        let absent = || Error::not_found(format!("alert `{fingerprint}`"));
        let known = self.alerts().into_iter().find(|alert| alert.fingerprint == fingerprint).ok_or_else(absent)?;
        // Behind an evaluation under way, which may have nothing to write and would then keep it firing in memory.
        let turn = self.rule(&known.rule)?.turn;
        let _turn = turn.acquire().await.map_err(|_| absent())?;
        let alert = self
            .context
            .update_as::<Alert, _>(asked, Alert::COLLECTION, fingerprint, |alert| {
                let alert = alert.ok_or_else(absent)?;
                match alert.state {
                    AlertState::Resolved => return Ok(None),
                    AlertState::Pending => {
                        return Err(Error::conflict(
                            "the alert does not fire yet; it ends by itself if its signal does",
                        ));
                    }
                    AlertState::Firing => {}
                }
                let alert = alerts::closed(&alert, asked.principal, self.context.now());
                let event = self.context.event(Alert::RESOLVED, fingerprint).data(to_value(&alert)?);
                let event = event.principal(asked.principal).plugin(alert.plugin.clone());
                Ok(Some((alert, Transition::new().event(event))))
            })
            .await?
            .ok_or_else(absent)?;
        self.reload(&known.rule)?;
        Ok(alert)
    }

    /// Takes over what others wrote to the rule's alerts.
    fn reload(&self, name: &str) -> Result<(), Error> {
        let fingerprints: Vec<String> =
            self.with(|rules| rules.get(name).map(|rule| rule.revisions.keys().cloned().collect())).unwrap_or_default();
        let mut documents: Vec<Option<(Document, Alert)>> = Vec::new();
        for fingerprint in &fingerprints {
            let document = self.context.store.get(Alert::COLLECTION, fingerprint)?;
            documents.push(document.map(|document| document.decode().map(|alert| (document, alert))).transpose()?);
        }
        self.with(|rules| {
            let Some(rule) = rules.get_mut(name) else { return };
            for (fingerprint, found) in fingerprints.iter().zip(documents) {
                match found {
                    Some((document, alert)) => {
                        let newer = rule.revisions.get(fingerprint).is_none_or(|known| *known < document.revision);
                        if newer {
                            rule.revisions.insert(fingerprint.clone(), document.revision);
                            rule.alerts.insert(fingerprint.clone(), alert);
                        }
                    }
                    None => {
                        rule.revisions.remove(fingerprint);
                        rule.alerts.remove(fingerprint);
                    }
                }
            }
        });
        Ok(())
    }

    /// Changes as a record. Without `revisions` whatever is there is written over.
    fn transition(
        &self,
        changes: &[Change],
        revisions: Option<&BTreeMap<String, u64>>,
        plugin: Option<&PluginRef>,
    ) -> Result<Transition, StoreError> {
        let mut transition = Transition::new();
        for change in changes {
            let alert = change.alert();
            let id = alert.fingerprint.as_str();
            let expected = revisions.map_or(Expected::Any, |revisions| {
                revisions.get(id).map_or(Expected::Absent, |revision| Expected::Revision(*revision))
            });
            transition = match change {
                Change::Dropped(_) => transition.delete(Alert::COLLECTION, id, expected),
                _ => transition.put(Alert::COLLECTION, id, expected, to_value(alert)?),
            };
            transition.events.extend(self.event(change, plugin)?);
        }
        Ok(transition)
    }

    fn event(&self, change: &Change, plugin: Option<&PluginRef>) -> Result<Option<Event>, StoreError> {
        let event_type = match change {
            Change::Fired(_) => Alert::FIRING,
            Change::Updated(_) => "alert.updated",
            Change::Resolved(_) => Alert::RESOLVED,
            Change::Kept(_) | Change::Dropped(_) => return Ok(None),
        };
        let alert = change.alert();
        let plugin = plugin.or(alert.plugin.as_ref()).cloned();
        Ok(Some(self.context.event(event_type, &alert.fingerprint).data(to_value(alert)?).plugin(plugin)))
    }

    async fn read_window(&self, spec: &RuleSpec, now: Timestamp) -> Result<Vec<SeriesData>, Error> {
        let from = now.minus(spec.window);
        if spec.window <= SHORT_WINDOW {
            return Ok(self.context.series.range(&spec.select, from, now)?);
        }
        let (series, select) = (self.context.series.clone(), spec.select.clone());
        let read = tokio::task::spawn_blocking(move || series.range(&select, from, now)).await;
        Ok(read.map_err(|_| StoreError::Closed)??)
    }

    fn rule(&self, name: &str) -> Result<Rule, Error> {
        self.with(|rules| rules.get(name).cloned()).ok_or_else(|| Error::not_found(format!("rule `{name}`")))
    }

    /// What was read at the start of the alerts of a rule that is not set yet.
    fn left(&self, name: &str) -> Known {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }

    fn forget_left(&self, name: &str) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Rule>) -> T) -> T {
        act(&mut self.rules.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Active alerts that did not change but in their value: readers of documents get to see it now and then.
fn refreshed(evaluated: &Evaluated) -> impl Iterator<Item = Change> {
    let active = evaluated.alerts.values().filter(|alert| alert.state != AlertState::Resolved);
    let unchanged =
        active.filter(|alert| evaluated.changes.iter().all(|change| change.alert().fingerprint != alert.fingerprint));
    unchanged.map(|alert| Change::Kept(alert.clone()))
}

/// Takes the evaluation over into memory.
fn adopt(rule: &mut Rule, evaluated: Evaluated) {
    for change in &evaluated.changes {
        if let Change::Dropped(alert) = change {
            rule.revisions.remove(&alert.fingerprint);
        }
    }
    let acknowledged: BTreeMap<String, String> = rule
        .alerts
        .values()
        .filter_map(|alert| Some((alert.fingerprint.clone(), alert.acknowledged_by.clone()?)))
        .collect();
    rule.alerts = evaluated.alerts;
    // An evaluation that wrote nothing can't have conflicted with an acknowledgement that came in the meantime.
    for (fingerprint, by) in acknowledged {
        if let Some(alert) = rule.alerts.get_mut(&fingerprint).filter(|alert| alert.state == AlertState::Firing) {
            alert.acknowledged_by.get_or_insert(by);
        }
    }
}

/// Who judges what: a detector's state holds for that alone.
fn watches(spec: &RuleSpec) -> (InstanceName, Selector) {
    (spec.detector.clone(), spec.select.clone())
}

fn keep_state(
    transition: Transition,
    name: &str,
    spec: &RuleSpec,
    called: &Called<Verdict>,
) -> Result<Transition, StoreError> {
    Ok(match &called.value.state {
        Some(state) => {
            let (plugin, of, expect) = (called.plugin.clone(), Some(watches(spec)), spec.expect.clone());
            let kept = KeptState { state: STANDARD.encode(state), plugin, of, expect };
            transition.put(STATES, name, Expected::Any, to_value(&kept)?)
        }
        None => transition.delete(STATES, name, Expected::Any),
    })
}

fn job_name(rule: &str) -> String {
    format!("rule/{rule}")
}

struct Evaluate {
    rules: Arc<Rules>,
    rule: String,
}

#[async_trait]
impl Job for Evaluate {
    async fn run(&self, _planned: Timestamp) -> Result<(), String> {
        self.rules.evaluate(&self.rule).await.map_err(|error| error.to_string())
    }
}

/// When the host is known to have been up.
pub(super) fn last_sign(context: &Context) -> Result<Option<Timestamp>, Error> {
    let alive: Option<Alive> = context.read(ALIVE, ALIVE_ID)?;
    Ok(alive.map(|alive| alive.at))
}

/// Notes from time to time that the host is there, so that the next start knows for how long it was not.
pub(super) async fn stay_alive(rules: Arc<Rules>) {
    let context = &rules.context;
    let mut tick = tokio::time::interval(ALIVE_EVERY);
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let alive = to_value(&Alive { at: context.now() });
        let noted = match alive {
            Ok(alive) => context.commit(Transition::new().put(ALIVE, ALIVE_ID, Expected::Any, alive)).await.map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            warn!(%error, "can't note that the host is there");
        }
    }
}
