//! What a killed daemon leaves in its store, looked at while nothing runs: there, every transition has to be wholly true or not at all.

use super::Setup;
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::domain::alert::{Alert, AlertState};
use quarterdeck_model::domain::deployment::{Deployment, DeploymentState, ServiceRecord};
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::domain::notification::{DeliveryState, Notification};
use quarterdeck_model::domain::runbook::{Run, RunState, StepState};
use quarterdeck_model::domain::scan::{Finding, FindingState, Scan, ScanState};
use quarterdeck_model::effect::{EffectResult, OUTBOX, Pending};
use quarterdeck_model::event::{EventFilter, Offset, StoredEvent};
use quarterdeck_model::store::{Page, Store};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_storage::{Database, Options};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

pub(crate) struct AtRest {
    store: Arc<Database>,
    pub(crate) events: Vec<StoredEvent>,
    outbox: BTreeMap<String, Pending>,
    /// The end of each effect that has one.
    ends: BTreeMap<String, StoredEvent>,
    _folder: tempfile::TempDir,
}

impl AtRest {
    /// Of a copy: the daemon's next start has to cope with what the kill has left, and not with what this has repaired.
    pub(crate) fn of(setup: &Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&setup.data_dir().join("store"), folder.path());
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let clock = ManualClock::at(Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap()));
        // Nothing is thrown away while it is looked at.
        let mut options = Options::new(folder.path(), Arc::new(clock));
        (options.free_space_floor_bytes, options.retention.events) = (0, Span::from_secs(365 * 86_400));
        let store = Database::open(options).unwrap();
        let (mut events, mut after) = (Vec::new(), Offset(0));
        while after < store.head() {
            let batch = store.events(after, &EventFilter::default(), 1_000).unwrap();
            after = batch.next;
            events.extend(batch.events);
        }
        let outbox = store.list(OUTBOX, &Page::all()).unwrap();
        let outbox = outbox.into_iter().map(|document| (document.id.clone(), document.decode().unwrap())).collect();
        let mut at_rest = AtRest { store, events, outbox, ends: BTreeMap::new(), _folder: folder };
        at_rest.ends = at_rest.ends_of_effects();
        at_rest
    }

    fn all<T: DeserializeOwned>(&self, collection: &str) -> Vec<T> {
        let documents = self.store.list(collection, &Page::all()).unwrap();
        documents.into_iter().map(|document| document.decode().unwrap()).collect()
    }

    /// Of these types, with the topic's dot or whole.
    pub(crate) fn of_types<'a>(&'a self, types: &[&str]) -> impl Iterator<Item = &'a StoredEvent> + use<'a> {
        let filter = EventFilter::types(types.iter().copied());
        self.events.iter().filter(move |stored| filter.matches(&stored.event))
    }

    fn cursor(&self, consumer: &str) -> Offset {
        self.store.cursor(consumer).unwrap()
    }

    fn ends_of_effects(&self) -> BTreeMap<String, StoredEvent> {
        let mut ends = BTreeMap::new();
        for end in self.of_types(&["effect.done", "effect.failed", "effect.unknown"]) {
            let result: EffectResult = serde_json::from_value(end.event.data.clone()).unwrap();
            let effect = result.effect.0;
            assert!(!self.outbox.contains_key(&effect), "{effect} has ended and is still to be done");
            let before = ends.insert(effect.clone(), end.clone());
            assert!(before.is_none(), "{effect} ended twice");
        }
        ends
    }

    /// Panics where something is half applied. `told`: the types of events of which each is told to one recipient.
    pub(crate) fn check(&self, told: &[&str]) {
        let offsets: Vec<u64> = self.events.iter().map(|stored| stored.offset.0).collect();
        assert_eq!(offsets, (1..=self.store.head().0).collect::<Vec<_>>(), "the log has a gap");
        self.alerts();
        self.incidents();
        self.notifications(told);
        self.runs();
        self.deployments();
        self.findings();
    }

    /// How often an event of this type was told, by its subject.
    fn said(&self, event_type: &str) -> BTreeMap<String, u32> {
        let mut said = BTreeMap::new();
        for stored in self.of_types(&[event_type]) {
            *said.entry(stored.event.subject.clone()).or_default() += 1;
        }
        said
    }

    /// Somebody goes on when it is done: it is still to be done, or its end is unread.
    fn goes_on(&self, effect: &str, cursor: Offset) -> bool {
        self.outbox.contains_key(effect) || self.ends.get(effect).is_some_and(|end| end.offset > cursor)
    }

    /// The last that was told of an alert is what its document says.
    fn alerts(&self) {
        let told = [Alert::FIRING, Alert::RESOLVED];
        let last: BTreeMap<&str, &StoredEvent> =
            self.of_types(&told).map(|stored| (stored.event.subject.as_str(), stored)).collect();
        for (fingerprint, stored) in &last {
            let document = self.store.get(Alert::COLLECTION, fingerprint).unwrap();
            let document: Alert = document.unwrap_or_else(|| panic!("nobody knows of {stored:?}")).decode().unwrap();
            let told: Alert = serde_json::from_value(stored.event.data.clone()).unwrap();
            let of = |alert: &Alert| (alert.state, alert.fired_at, alert.resolved_at);
            assert_eq!(of(&document), of(&told), "alert {fingerprint} is not as it was told");
        }
        for alert in self.all::<Alert>(Alert::COLLECTION).iter().filter(|alert| alert.state != AlertState::Pending) {
            assert!(last.contains_key(alert.fingerprint.as_str()), "nobody was told of {alert:?}");
        }
    }

    /// The last that was told of an incident is its document; what was read of the alerts led to one change each, what was not, to none.
    fn incidents(&self) {
        let mut changes: BTreeMap<&str, u32> = BTreeMap::new();
        let mut last = BTreeMap::new();
        for stored in self.of_types(&["incident."]) {
            let mut told = stored.event.data.clone();
            // What its members have in common is said for routes and triggers; the document has the members.
            let labels = told.as_object_mut().and_then(|told| told.remove("labels")).unwrap();
            assert!(labels["alertname"].is_string(), "{:?}", stored.event);
            let members =
                told["members"].as_array().unwrap().iter().map(|member| member["labels"].as_object().unwrap());
            let common = members.cloned().reduce(|mut common, labels| {
                common.retain(|name, value| labels.get(name) == Some(value));
                common
            });
            assert_eq!(labels.as_object(), common.as_ref(), "{:?}", stored.event);
            last.insert(stored.event.subject.as_str(), told);
            if let Some(cause) = &stored.event.causation {
                *changes.entry(cause.as_str()).or_default() += 1;
            }
        }
        let documents = self.store.list(Incident::COLLECTION, &Page::all()).unwrap();
        assert_eq!(documents.len(), last.len(), "incidents and what was told of them");
        for document in documents {
            assert_eq!(Some(&document.value), last.get(document.id.as_str()), "{} is not as it was told", document.id);
        }
        let cursor = self.cursor("incidents");
        for alert in self.of_types(&[Alert::FIRING, Alert::RESOLVED]) {
            let led_to = changes.get(alert.event.id.as_str()).copied().unwrap_or(0);
            assert_eq!(
                led_to,
                u32::from(alert.offset <= cursor),
                "changes that came of {alert:?}, read up to {cursor}"
            );
        }
    }

    /// Each event up to the cursor is told once, none behind it; a message is pending as long as its effect is, or its end unread.
    fn notifications(&self, told: &[&str]) {
        let cursor = self.cursor("notifications");
        let mut caused: BTreeMap<String, u32> = BTreeMap::new();
        let waiting = self.outbox.values().filter(|pending| pending.effect.purpose == "notification");
        let ended = self.ends.values().filter(|end| end.event.data["purpose"] == "notification");
        let causes = waiting.map(|pending| &pending.effect.causation).chain(ended.map(|end| &end.event.causation));
        for cause in causes {
            *caused.entry(cause.clone().unwrap().0).or_default() += 1;
        }
        for stored in self.of_types(told) {
            let times = caused.remove(stored.event.id.as_str()).unwrap_or(0);
            assert_eq!(times, u32::from(stored.offset <= cursor), "times that {stored:?} is told, read up to {cursor}");
        }
        assert!(caused.is_empty(), "told of what is not there: {caused:?}");
        let mut concluded: BTreeMap<&str, u32> = BTreeMap::new();
        for stored in self.of_types(&[Notification::DELIVERED, Notification::FAILED]) {
            *concluded.entry(stored.event.subject.as_str()).or_default() += 1;
        }
        for notification in self.all::<Notification>(Notification::COLLECTION) {
            let id = notification.id.as_str();
            let end_is_read = self.ends.get(id).is_some_and(|end| end.offset <= cursor);
            let is_known = self.outbox.contains_key(id) || self.ends.contains_key(id);
            assert!(is_known, "pending for ever: {notification:?}");
            let is_pending = notification.state == DeliveryState::Pending;
            assert_eq!(is_pending, !end_is_read, "{notification:?}, read up to {cursor}");
            assert_eq!(concluded.get(id).copied().unwrap_or(0), u32::from(!is_pending), "ends of {notification:?}");
        }
    }

    /// A run waits for an effect that is to be done, or whose end is unread; one that has ended has said so, and waits for none.
    fn runs(&self) {
        let cursor = self.cursor("runbooks");
        let (started, finished) = (self.said(Run::STARTED), self.said(Run::FINISHED));
        let runs: Vec<Run> = self.all(Run::COLLECTION);
        assert_eq!(runs.len(), started.len(), "runs and what was told of them");
        let mut waited_for = BTreeSet::new();
        for run in &runs {
            let (id, is_running) = (run.id.as_str(), run.state == RunState::Running);
            assert_eq!(started.get(id), Some(&1), "{run:?}");
            assert_eq!(finished.get(id).copied().unwrap_or(0), u32::from(!is_running), "{run:?}");
            let steps = run.steps.iter().filter(|step| step.state == StepState::Running);
            let effects: Vec<&str> = steps.map(|step| step.effect.as_ref().unwrap().as_str()).collect();
            assert_eq!(effects.len(), usize::from(is_running), "{run:?}");
            for effect in effects {
                assert!(self.goes_on(effect, cursor), "running for ever: {run:?}");
                waited_for.insert(effect.to_owned());
            }
        }
        let steps = self.outbox.iter().filter(|(_, pending)| pending.effect.owner.starts_with("run_"));
        for (effect, pending) in steps {
            assert!(waited_for.contains(effect), "nobody waits for {pending:?}");
        }
    }

    /// One that has not ended is what its service's record says is under way, and waits for a moment - the next start reads that from its
    /// document - or for steps that are to be done, or whose ends are unread. One that has ended has said so, and nothing of it is under way.
    fn deployments(&self) {
        let cursor = self.cursor("deployments");
        let (started, finished) = (self.said(Deployment::STARTED), self.said(Deployment::FINISHED));
        let deployments: Vec<Deployment> = self.all(Deployment::COLLECTION);
        assert_eq!(deployments.len(), started.len(), "deployments and what was told of them");
        let services: Vec<ServiceRecord> = self.all(ServiceRecord::COLLECTION);
        let under_way: BTreeSet<(&str, &str)> = services
            .iter()
            .filter_map(|record| Some((record.service.as_str(), record.deployment.as_ref()?.as_str())))
            .collect();
        for deployment in &deployments {
            let (id, has_ended) = (deployment.id.as_str(), deployment.state.is_final());
            assert_eq!(started.get(id), Some(&1), "{deployment:?}");
            assert_eq!(finished.get(id).copied().unwrap_or(0), u32::from(has_ended), "{deployment:?}");
            assert_eq!(deployment.finished_at.is_some(), has_ended, "{deployment:?}");
            let is_known = under_way.contains(&(deployment.service.as_str(), id));
            assert_eq!(is_known, !has_ended, "its service says otherwise: {deployment:?}");
            for step in deployment.in_flight.iter().filter(|step| !step.done) {
                assert!(self.goes_on(step.effect.as_str(), cursor), "under way for ever: {deployment:?}");
            }
        }
        let is_there = |id: &str| deployments.iter().any(|deployment| deployment.id.as_str() == id);
        assert!(under_way.iter().all(|(_, id)| is_there(id)), "nobody knows of some of {under_way:?}");
        // What was under way when one went back may still be carried out; one that has succeeded has waited for all of it.
        for deployment in deployments.iter().filter(|deployment| deployment.state == DeploymentState::Succeeded) {
            let left = self.outbox.values().find(|pending| pending.effect.owner == deployment.id.as_str());
            assert!(left.is_none(), "nobody waits for {left:?}");
        }
    }

    /// A finding was opened and fixed by turns, and is what was told of it last; the scan that it names is there. A scan that has ended
    /// has said so, and counts what was told of findings in its name; one that a kill has cut off counts nothing, but has told of what
    /// it has written.
    fn findings(&self) {
        let mut told: BTreeMap<&str, Vec<Finding>> = BTreeMap::new();
        let mut by_scan: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for stored in self.of_types(&[Finding::OPENED, Finding::FIXED]) {
            let finding: Finding = serde_json::from_value(stored.event.data.clone()).unwrap();
            let is_open = stored.event.event_type == Finding::OPENED;
            assert_eq!(finding.state == FindingState::Open, is_open, "{stored:?}");
            let counts = by_scan.entry(finding.scan.0.clone()).or_default();
            *(if is_open { &mut counts.0 } else { &mut counts.1 }) += 1;
            told.entry(stored.event.subject.as_str()).or_default().push(finding);
        }
        let (started, finished) = (self.said("scan.started"), self.said(Scan::FINISHED));
        let scans: Vec<Scan> = self.all(Scan::COLLECTION);
        assert_eq!(scans.len(), started.len(), "scans and what was told of them");
        for scan in &scans {
            let (id, is_running) = (scan.id.as_str(), scan.state == ScanState::Running);
            assert_eq!(started.get(id), Some(&1), "{scan:?}");
            assert_eq!(finished.get(id).copied().unwrap_or(0), u32::from(!is_running), "{scan:?}");
            if matches!(scan.state, ScanState::Succeeded | ScanState::Partial) {
                let counted = by_scan.get(id).copied().unwrap_or_default();
                assert_eq!((scan.new_findings, scan.fixed_findings), counted, "opened and fixed by {scan:?}");
            }
        }
        for finding in self.all::<Finding>(Finding::COLLECTION) {
            let of_it = told.remove(finding.id.as_str()).unwrap_or_default();
            let by_turns =
                |(turn, told): (usize, &Finding)| (told.state == FindingState::Open) == turn.is_multiple_of(2);
            assert!(of_it.iter().enumerate().all(by_turns), "opened and fixed, but not by turns: {of_it:?}");
            let last = of_it.last().unwrap_or_else(|| panic!("nobody was told of {finding:?}"));
            assert_eq!((finding.state, finding.first_seen), (last.state, last.first_seen), "{finding:?}");
            assert!(scans.iter().any(|scan| scan.id == finding.scan), "of no scan: {finding:?}");
        }
        assert!(told.is_empty(), "nobody knows of {told:?}");
    }

    pub(crate) fn run_ids(&self) -> BTreeSet<String> {
        self.all::<Run>(Run::COLLECTION).into_iter().map(|run| run.id.0).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
