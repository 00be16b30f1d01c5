use super::*;
use crate::testing::{Bench, Fake, START, until};
use crate::{Tasks, incidents, outbox, runbooks};
use quarterdeck_model::Span;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::event::Offset;
use quarterdeck_model::id::{EventId, IdSource};
use quarterdeck_model::kind::collector::{Collection, Health};
use quarterdeck_model::kind::correlator::Placement;
use quarterdeck_model::plugin::{CallError, Kind, Outcome};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

fn spec(text: serde_json::Value) -> CheckSpec {
    serde_json::from_value(text).unwrap()
}

/// A check in virtual time: each answer is `every` seconds behind the one before.
struct Life {
    check: Check,
    spec: CheckSpec,
    now: Timestamp,
    ids: IdSource,
}

impl Life {
    fn new(text: serde_json::Value) -> Self {
        let check = Check::new("process/shop".into());
        Life { check, spec: spec(text), now: START, ids: IdSource::seeded(7) }
    }

    fn answer(&mut self, condition: Condition, mending: bool) -> Option<Told> {
        self.now = self.now.plus(Span::from_secs(15));
        let (check, told) = observe(self.check.clone(), &self.spec, condition, self.now, mending);
        self.check = check;
        if told == Some(Told::Failed) {
            self.check.attempts.push(Attempt { event: EventId::new(&self.ids, self.now), at: self.now });
        }
        told
    }

    /// What so many answers lead to, and after how many of them.
    fn answers(&mut self, condition: Condition, count: usize) -> Vec<(usize, Told)> {
        (1..=count).filter_map(|n| Some((n, self.answer(condition, false)?))).collect()
    }
}

#[test]
fn a_failure_is_told_once_it_is_held_and_once_only() {
    let mut life = Life::new(json!({"failures": 3, "cool-down": "1h"}));
    assert_eq!(life.answers(Condition::Failed, 2), []);
    assert_eq!(life.answers(Condition::Ok, 1), []);
    assert_eq!(life.answers(Condition::Failed, 100), [(3, Told::Failed)]);
    assert_eq!(life.answers(Condition::Ok, 5), [(1, Told::Recovered)]);
    let mut slow = Life::new(json!({"failures": 1, "for": "1m", "recoveries": 3, "cool-down": "1h"}));
    assert_eq!(slow.answers(Condition::Failed, 10), [(5, Told::Failed)], "the first one was 15 s in");
    assert_eq!(slow.answers(Condition::Ok, 2), []);
    assert_eq!(slow.answers(Condition::Failed, 1), []);
    assert_eq!(slow.answers(Condition::Ok, 9), [(3, Told::Recovered)]);
}

#[test]
fn a_degraded_target_counts_only_where_that_is_said() {
    let mut life = Life::new(json!({"failures": 2}));
    assert_eq!(life.answers(Condition::Degraded, 9), []);
    let mut strict = Life::new(json!({"failures": 2, "degraded": true, "cool-down": "1h"}));
    assert_eq!(strict.answers(Condition::Degraded, 9), [(2, Told::Failed)]);
}

#[test]
fn a_remedy_that_does_not_help_is_tried_again_after_a_while_and_then_given_up() {
    let mut life = Life::new(json!({"failures": 2, "cool-down": "1m", "attempts": 3, "per": "1h"}));
    let told = life.answers(Condition::Failed, 500);
    assert_eq!(told, [(2, Told::Failed), (6, Told::Failed), (10, Told::Failed), (14, Told::GivenUp)]);
    assert_eq!(life.answers(Condition::Ok, 2), [(1, Told::Recovered)]);
    let mut none = Life::new(json!({"failures": 2, "attempts": 0}));
    assert_eq!(none.answers(Condition::Failed, 9), [(2, Told::GivenUp)]);
}

#[test]
fn a_remedy_that_helps_for_a_moment_only_is_bounded_too() {
    let mut life = Life::new(json!({"failures": 1, "cool-down": "1m", "attempts": 3, "per": "1h"}));
    let mut told = Vec::new();
    // Well every other minute, for half a day.
    for round in 0..360 {
        let condition = if round % 2 == 0 { Condition::Failed } else { Condition::Ok };
        told.extend(life.answers(condition, 4).into_iter().map(|(_, told)| (round / 60, told)));
    }
    for hours in 0..3 {
        let count = told.iter().filter(|(two, told)| *two == hours && *told == Told::Failed).count();
        assert!((1..=6).contains(&count), "{count} attempts within two hours");
    }
    assert!(told.iter().any(|(_, told)| *told == Told::GivenUp));
}

#[test]
fn nothing_is_told_while_the_remedy_is_under_way() {
    let mut life = Life::new(json!({"failures": 1, "cool-down": "0s"}));
    assert_eq!(life.answer(Condition::Failed, false), Some(Told::Failed));
    for _ in 0..9 {
        assert_eq!(life.answer(Condition::Failed, true), None);
    }
    assert_eq!(life.answer(Condition::Failed, false), Some(Told::Failed));
}

/// A host with one collector that answers what `state` says (0: well, 1: failed, 2: it fails to find out), and a runbook for its failure.
struct Host {
    bench: Bench,
    monitoring: crate::monitoring::Handle,
    state: Arc<AtomicU8>,
    fake: Fake,
    _tasks: Tasks,
}

const INSTANCE: &str = "process/shop";

async fn host(folder: &Path, fake: &Fake, state: &Arc<AtomicU8>, check: serde_json::Value) -> Host {
    host_at(folder, fake, state, check, START).await
}

async fn host_at(folder: &Path, fake: &Fake, state: &Arc<AtomicU8>, check: serde_json::Value, now: Timestamp) -> Host {
    fake.add_instance(INSTANCE, Kind::Collector);
    fake.add_instance("command/mend", Kind::RunbookAction);
    let answers = state.clone();
    fake.with(|fake| {
        fake.instances.get_mut(&INSTANCE.into()).unwrap().spec.to_mut().check = Some(spec(check));
        fake.correlate = Some(Box::new(|alert, _| {
            Ok(Placement::Open { key: "k".into(), title: alert.summary.clone(), severity: alert.severity })
        }));
        fake.collect = Some(Box::new(move || {
            let (state, message) = match answers.load(Ordering::SeqCst) {
                0 => (Condition::Ok, "runs"),
                1 => (Condition::Failed, "does not run"),
                _ => return Err(CallError::Trapped { reason: "oh".into() }),
            };
            Ok(Collection { families: Vec::new(), health: Health { state, message: message.into() } })
        }));
    });
    let catalog: Catalog = serde_json::from_value(json!({"runbooks": {
        "mend": {"title": "mend", "inputs": {"what": {"required": true}},
            "on": [{"event": "check.failed", "where": {"instance": INSTANCE}, "inputs": {"what": "{{data.instance}}"}}],
            "steps": [{"name": "restart", "action": "command/mend", "with": {"what": "{{inputs.what}}"}}]},
        "other": {"title": "other", "on": [{"event": "check.failed", "where": {"instance": "process/other"}}],
            "steps": [{"name": "a", "action": "command/mend"}]}}}))
    .unwrap();
    let mut bench = Bench::open(folder, fake, catalog, now);
    let mut tasks = Tasks::default();
    runbooks::start(&bench.context, &mut tasks).await.unwrap();
    incidents::start(&bench.context, &mut tasks).await.unwrap();
    let inlet = bench.inlet.take().unwrap();
    outbox::start(&bench.context, inlet, outbox::Options::default(), &mut tasks).await.unwrap();
    let monitoring = crate::monitoring::start(&bench.context, &mut tasks).await.unwrap();
    Host { bench, monitoring, state: state.clone(), fake: fake.clone(), _tasks: tasks }
}

impl Host {
    /// One more answer, a quarter of a minute later.
    async fn answer(&self) {
        let before = self.checked_at();
        until("the job", || self.bench.context.scheduler.get("collect/process/shop").is_some()).await;
        self.bench.advance(Span::from_secs(17));
        until("one more answer", || self.checked_at() > before).await;
    }

    fn checked_at(&self) -> Option<Timestamp> {
        self.monitoring.health().first().map(|health| health.checked_at)
    }

    fn status(&self) -> CheckStatus {
        self.monitoring.health().remove(0).check.unwrap()
    }

    fn count(&self, event_type: &str) -> usize {
        self.bench.events(&[event_type]).len()
    }
}

#[tokio::test]
async fn a_failed_check_starts_its_runbook_once_and_shows_what_came_of_it() {
    let (folder, fake, state) = (tempfile::tempdir().unwrap(), Fake::default(), Arc::new(AtomicU8::new(0)));
    let mended = state.clone();
    fake.with(|fake| {
        fake.act = Some(Box::new(move |_| {
            mended.store(0, Ordering::SeqCst);
            Ok(Outcome::Done(json!({})))
        }));
    });
    let host = host(folder.path(), &fake, &state, json!({"failures": 2})).await;
    host.answer().await;
    assert_eq!(host.status().phase, CheckPhase::Passing);
    host.state.store(1, Ordering::SeqCst);
    host.answer().await;
    assert_eq!((host.status().phase, host.count(Check::FAILED)), (CheckPhase::Failing, 0));
    host.answer().await;
    let failed = host.bench.event(Check::FAILED, Some(INSTANCE), Offset(0)).await;
    assert_eq!(failed.event.data["title"], "`process/shop` has failed: does not run");
    let finished = host.bench.event(Run::FINISHED, None, Offset(0)).await;
    host.answer().await;
    host.bench.event(Check::RECOVERED, Some(INSTANCE), Offset(0)).await;
    for _ in 0..3 {
        host.answer().await;
    }
    let status = host.status();
    assert_eq!((status.phase, status.attempts, status.runs.len()), (CheckPhase::Passing, 1, 1), "{status:?}");
    let run = &status.runs[0];
    assert_eq!((run.run.as_str(), run.runbook.as_str()), (finished.event.subject.as_str(), "mend"));
    assert_eq!((run.state, &run.error), (RunState::Succeeded, &None));
    assert_eq!((host.count(Check::FAILED), host.count(Run::STARTED), host.fake.calls().len()), (1, 1, 1));
    assert_eq!(host.count(Incident::OPENED), 0);
}

#[tokio::test]
async fn a_remedy_that_does_not_help_ends_in_an_incident_which_ends_with_the_failure() {
    let (folder, fake, state) = (tempfile::tempdir().unwrap(), Fake::default(), Arc::new(AtomicU8::new(1)));
    let check = json!({"failures": 1, "cool-down": "1s", "attempts": 2, "severity": "critical"});
    let host = host(folder.path(), &fake, &state, check).await;
    for attempt in 1..=2 {
        host.answer().await;
        until("the run's end", || host.count(Run::FINISHED) == attempt).await;
    }
    host.answer().await;
    let opened = host.bench.event(Incident::OPENED, None, Offset(0)).await;
    assert_eq!(opened.event.data["severity"], "critical");
    let summary = &opened.event.data["members"][0]["summary"];
    assert_eq!(summary, "`process/shop` stays failed, whatever was done: does not run");
    for _ in 0..3 {
        host.answer().await;
    }
    assert_eq!((host.count(Check::FAILED), host.count(Check::GIVEN_UP)), (2, 1));
    let status = host.status();
    assert_eq!((status.phase, status.runs.len()), (CheckPhase::GivenUp, 2), "{status:?}");
    host.state.store(0, Ordering::SeqCst);
    host.answer().await;
    host.bench.event(Incident::RESOLVED, None, Offset(0)).await;
}

#[tokio::test]
async fn a_failure_that_was_told_is_not_told_again_after_a_kill_and_what_can_t_be_found_out_changes_nothing() {
    let (folder, fake, state) = (tempfile::tempdir().unwrap(), Fake::default(), Arc::new(AtomicU8::new(1)));
    let check = json!({"failures": 1, "cool-down": "1h"});
    let first = host(folder.path(), &fake, &state, check.clone()).await;
    first.answer().await;
    first.bench.event(Run::FINISHED, None, Offset(0)).await;
    let Host { bench, monitoring, _tasks, .. } = first;
    drop((monitoring, _tasks));
    bench.kill().await;
    let later = START.plus(Span::from_secs(60));
    let second = host_at(folder.path(), &fake, &state, check, later).await;
    assert_eq!(second.status_once_there().await.phase, CheckPhase::Failed);
    second.answer().await;
    second.state.store(2, Ordering::SeqCst);
    second.answer().await;
    assert_eq!(second.status().phase, CheckPhase::Failed, "a collector that traps says nothing of its target");
    assert_eq!((second.count(Check::FAILED), second.count(Check::RECOVERED), second.status().runs.len()), (1, 0, 1));
}

#[tokio::test]
async fn the_incident_of_a_check_that_leaves_the_configuration_ends() {
    for instance_goes in [true, false] {
        let (folder, fake, state) = (tempfile::tempdir().unwrap(), Fake::default(), Arc::new(AtomicU8::new(1)));
        let host = host(folder.path(), &fake, &state, json!({"failures": 1, "attempts": 0})).await;
        host.answer().await;
        let opened = host.bench.event(Incident::OPENED, None, Offset(0)).await;
        fake.with(|fake| {
            if instance_goes {
                fake.instances.remove(&INSTANCE.into());
            } else {
                fake.instances.get_mut(&INSTANCE.into()).unwrap().spec.to_mut().check = None;
            }
        });
        let catalog = host.bench.context.catalog();
        host.bench.catalog.send_replace(catalog);
        let resolved = host.bench.event(Incident::RESOLVED, None, Offset(0)).await;
        assert_eq!(resolved.event.subject, opened.event.subject);
        let recovered = host.bench.event(Check::RECOVERED, Some(INSTANCE), Offset(0)).await;
        assert_eq!(recovered.event.data["title"], "`process/shop` is not checked any more");
        assert!(host.bench.context.read::<Check>(Check::COLLECTION, INSTANCE).unwrap().is_none());
        assert_eq!(host.count(Check::RECOVERED), 1);
    }
}

impl Host {
    async fn status_once_there(&self) -> CheckStatus {
        until("the health of before", || !self.monitoring.health().is_empty()).await;
        self.status()
    }
}
