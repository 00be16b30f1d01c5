//! What tests of shells run on: the real store, bus and scheduler in a temporary folder, and plugins that are plain functions.

use crate::{Context, Options, outbox};
use async_trait::async_trait;
use quarterdeck_model::Shared;
use quarterdeck_model::clock::{Clock, ManualClock};
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::event::{Event, EventFilter, Offset, StoredEvent};
use quarterdeck_model::fetch::{Fetch, Fetched};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::kind::Plugins;
use quarterdeck_model::kind::collector::{Collection, Collector};
use quarterdeck_model::kind::correlator::{AlertSummary, Correlator, OpenIncident, Placement};
use quarterdeck_model::kind::deployment_strategy::{Decision, DeploymentStrategy, Question};
use quarterdeck_model::kind::deployment_target::{DeploymentTarget, Observation, Step};
use quarterdeck_model::kind::detector::{Detector, Verdict, Window};
use quarterdeck_model::kind::notifier::{Message, Notifier};
use quarterdeck_model::kind::runbook_action::RunbookAction;
use quarterdeck_model::kind::scanner_rule::{Interest, Reported, ScannerRule, Subject};
use quarterdeck_model::kind::sla_calculator::{Attainment, SlaCalculator, SlaWindow};
use quarterdeck_model::plugin::{
    ActResult, CallError, CallFailed, CallResult, Called, Digest, InstanceName, InstanceSpec, InstanceState,
    InstanceStatus, Kind, Outcome, PluginRef, PluginStatus, Registry, Usage,
};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::Scheduler;
use quarterdeck_storage::{Database, Faults};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Every wait in a test ends here.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const START: Timestamp = Timestamp::from_millis(1_763_942_400_000);

type Act = Box<dyn FnMut(&str) -> Result<Outcome, CallError> + Send>;
type Publish = Box<dyn FnMut() -> Vec<Event> + Send>;
type Correlate = Box<dyn FnMut(&AlertSummary, &[OpenIncident]) -> Result<Placement, CallError> + Send>;
type Detect = Box<dyn FnMut(&Window, Option<&[u8]>) -> Result<Verdict, CallError> + Send>;
type Collect = Box<dyn FnMut() -> Result<Collection, CallError> + Send>;

/// What the plugins do, and what was asked of them.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Behaviour>>);

#[derive(Default)]
pub(crate) struct Behaviour {
    /// Of all kinds that act, by key.
    pub(crate) act: Option<Act>,
    pub(crate) poll: Option<Act>,
    /// What a call of a kind that acts publishes when it went well.
    pub(crate) publish: Option<Publish>,
    pub(crate) correlate: Option<Correlate>,
    pub(crate) detect: Option<Detect>,
    pub(crate) collect: Option<Collect>,
    /// `(instance, key)` of each call of a kind that acts.
    pub(crate) calls: Vec<(String, String)>,
    pub(crate) messages: Vec<Message>,
    /// What each step was given to run.
    pub(crate) withins: Vec<Span>,
    /// Calls that hung and were dropped.
    pub(crate) dropped: usize,
    pub(crate) instances: BTreeMap<InstanceName, InstanceStatus>,
    /// Inputs that may be offered again: instance, class, digest.
    pub(crate) released: Vec<(InstanceName, String, String)>,
    /// How often somebody has looked for one instance.
    pub(crate) looks: usize,
    /// The plugin's calls never answer.
    pub(crate) hang: bool,
    pub(crate) folds: usize,
    pub(crate) merges: usize,
    /// The configuration's schema of the one plugin that there is.
    pub(crate) schema: Option<Value>,
    /// How often the calculator was replaced by another version.
    pub(crate) replaced: u64,
    /// It refuses partials of other versions.
    pub(crate) strict: bool,
    /// The calculator takes no configuration.
    pub(crate) rejects: bool,
}

impl Fake {
    /// Another version is in use from now on.
    pub(crate) fn replace(&self) {
        self.with(|fake| {
            fake.replaced += 1;
            let plugin = version(fake.replaced);
            fake.instances.values_mut().for_each(|instance| instance.plugin = Some(plugin.clone()));
        });
    }

    fn calculated<T>(&self, value: T) -> CallResult<T> {
        Ok(Called { plugin: version(self.with(|fake| fake.replaced)), ..called(value) })
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Behaviour) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    pub(crate) fn add_instance(&self, name: &str, kind: Kind) {
        let status = InstanceStatus {
            name: name.into(),
            spec: serde_json::from_value::<InstanceSpec>(json!({"plugin": "fake"})).unwrap().into(),
            state: InstanceState::Active,
            reason: None,
            plugin: Some(plugin()),
            awaiting: None,
            kinds: vec![kind],
            usage: Usage::default(),
        };
        self.with(|fake| fake.instances.insert(name.into(), status));
    }

    pub(crate) fn set_state(&self, name: &str, state: InstanceState) {
        self.with(|fake| fake.instances.get_mut(&name.into()).unwrap().state = state);
    }

    pub(crate) fn calls(&self) -> Vec<(String, String)> {
        self.with(|fake| fake.calls.clone())
    }

    async fn act(&self, instance: &InstanceName, key: &str) -> ActResult<Outcome> {
        let hang = self.with(|fake| {
            fake.calls.push((instance.0.clone(), key.to_owned()));
            fake.hang
        });
        if hang {
            let _counted = Dropped(self.clone());
            std::future::pending::<()>().await;
        }
        let outcome = self.with(|fake| fake.act.as_mut().map_or(Ok(Outcome::Done(json!({}))), |act| act(key)));
        let events = self.with(|fake| fake.publish.as_mut().map_or_else(Vec::new, |publish| publish()));
        outcome.map(|outcome| Called { events, ..called(outcome) }).map_err(failed)
    }

    fn polled(&self, token: &str) -> ActResult<Outcome> {
        let outcome = self.with(|fake| fake.poll.as_mut().map_or(Ok(Outcome::Done(json!({}))), |poll| poll(token)));
        outcome.map(called).map_err(failed)
    }

    fn plugins(&self) -> Plugins {
        let fake = Arc::new(self.clone());
        Plugins {
            collector: fake.clone(),
            detector: fake.clone(),
            scanner_rule: fake.clone(),
            correlator: fake.clone(),
            notifier: fake.clone(),
            deployment_strategy: fake.clone(),
            deployment_target: fake.clone(),
            runbook_action: fake.clone(),
            sla_calculator: fake,
        }
    }
}

/// Counts a call that hangs when it is dropped.
struct Dropped(Fake);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.with(|fake| fake.dropped += 1);
    }
}

pub(crate) fn plugin() -> PluginRef {
    PluginRef { name: "fake".into(), version: "1.0.0".into(), digest: Digest("sha256:00".into()) }
}

/// The plugin after so many replacements.
fn version(replaced: u64) -> PluginRef {
    PluginRef { digest: Digest(format!("sha256:{replaced:02}")), ..plugin() }
}

pub(crate) fn called<T>(value: T) -> Called<T> {
    Called { value, plugin: plugin(), writes: Vec::new(), events: Vec::new() }
}

/// As the runtime says it.
pub(crate) fn failed(error: CallError) -> CallFailed {
    let plugin = (!matches!(error, CallError::Unavailable { .. })).then(plugin);
    CallFailed { error, plugin }
}

fn absent<T>() -> CallResult<T> {
    Err(failed(CallError::Unavailable { message: "not in this test".into() }))
}

#[async_trait]
impl Collector for Fake {
    async fn collect(&self, _: &InstanceName, _: Timestamp) -> CallResult<Collection> {
        self.with(|fake| fake.collect.as_mut().map_or_else(absent, |collect| collect().map(called).map_err(failed)))
    }
}

#[async_trait]
impl Detector for Fake {
    async fn evaluate(
        &self,
        _: &InstanceName,
        _: &Map<String, Value>,
        window: &Window,
        state: Option<&[u8]>,
    ) -> CallResult<Verdict> {
        self.with(|fake| {
            fake.detect.as_mut().map_or_else(absent, |detect| detect(window, state).map(called).map_err(failed))
        })
    }
}

#[async_trait]
impl ScannerRule for Fake {
    async fn interests(&self, _: &InstanceName, _: Timestamp) -> CallResult<Interest> {
        absent()
    }

    async fn scan(&self, _: &InstanceName, _: &[Subject], _: Timestamp) -> CallResult<Vec<Reported>> {
        absent()
    }
}

#[async_trait]
impl Correlator for Fake {
    async fn correlate(
        &self,
        _: &InstanceName,
        alert: &AlertSummary,
        open: &[OpenIncident],
        _: Timestamp,
    ) -> CallResult<Placement> {
        self.with(|fake| {
            fake.correlate.as_mut().map_or_else(absent, |correlate| correlate(alert, open).map(called).map_err(failed))
        })
    }
}

#[async_trait]
impl Notifier for Fake {
    async fn notify(&self, instance: &InstanceName, message: &Message, key: &str) -> ActResult<Outcome> {
        self.with(|fake| fake.messages.push(message.clone()));
        self.act(instance, key).await
    }

    async fn poll(&self, _: &InstanceName, token: &str) -> ActResult<Outcome> {
        self.polled(token)
    }
}

#[async_trait]
impl DeploymentStrategy for Fake {
    async fn decide(&self, _: &InstanceName, _: Question<'_>) -> CallResult<Decision> {
        absent()
    }
}

#[async_trait]
impl DeploymentTarget for Fake {
    async fn observe(&self, _: &InstanceName, _: &str) -> CallResult<Observation> {
        absent()
    }

    async fn apply(&self, instance: &InstanceName, _: &str, _: &Step, key: &str) -> ActResult<Outcome> {
        self.act(instance, key).await
    }
}

#[async_trait]
impl RunbookAction for Fake {
    async fn plan(&self, _: &InstanceName, _: &Value) -> CallResult<Option<String>> {
        Ok(called(None))
    }

    async fn run(&self, instance: &InstanceName, _: &Value, key: &str, within: Span) -> ActResult<Outcome> {
        self.with(|fake| fake.withins.push(within));
        self.act(instance, key).await
    }

    async fn poll(&self, _: &InstanceName, token: &str) -> ActResult<Outcome> {
        self.polled(token)
    }

    async fn cancel(&self, _: &InstanceName, _: &str) -> ActResult<()> {
        Ok(called(()))
    }
}

/// Good are samples of 1; the partial is `[good, total]` as JSON; the target is `config.target`.
#[async_trait]
impl SlaCalculator for Fake {
    async fn fold(
        &self,
        _: &InstanceName,
        _: &Map<String, Value>,
        window: &SlaWindow,
        _: Option<&[u8]>,
    ) -> CallResult<Vec<u8>> {
        self.with(|fake| fake.folds += 1);
        let good = window.values.iter().filter(|value| **value == 1.0).count();
        let replaced = self.with(|fake| fake.replaced);
        self.calculated(serde_json::to_vec(&(good, window.values.len(), replaced)).unwrap())
    }

    async fn merge(
        &self,
        _: &InstanceName,
        _: &Map<String, Value>,
        a: &[u8],
        b: &[u8],
        _: Timestamp,
    ) -> CallResult<Vec<u8>> {
        self.with(|fake| fake.merges += 1);
        let read = |bytes| serde_json::from_slice::<(u64, u64, u64)>(bytes).unwrap();
        let (a, b) = (read(a), read(b));
        let (replaced, strict) = self.with(|fake| (fake.replaced, fake.strict));
        if strict && [a.2, b.2].iter().any(|by| *by != replaced) {
            return Err(failed(CallError::Other { message: "the partial figures can't be read".into() }));
        }
        self.calculated(serde_json::to_vec(&(a.0 + b.0, a.1 + b.1, replaced)).unwrap())
    }

    async fn finish(
        &self,
        _: &InstanceName,
        config: &Map<String, Value>,
        partial: &[u8],
        _: Timestamp,
    ) -> CallResult<Attainment> {
        if self.with(|fake| fake.rejects) {
            return Err(failed(CallError::Rejected { message: "no such target".into() }));
        }
        let (good, total, _) = serde_json::from_slice::<(u32, u32, u64)>(partial).unwrap();
        let attained = f64::from(good) / f64::from(total);
        let mut attainment = Attainment::default();
        attainment.adjusted.good = f64::from(good);
        attainment.adjusted.total = f64::from(total);
        attainment.adjusted.attained = Some(attained);
        attainment.met = Some(attained >= config["target"].as_f64().unwrap());
        self.calculated(attainment)
    }
}

#[async_trait]
impl Registry for Fake {
    fn plugins(&self) -> Vec<PluginStatus> {
        let schema = self.with(|fake| fake.schema.clone());
        let status = schema.map(|schema| {
            json!({"name": "fake", "version": "1.0.0", "summary": "", "digest": plugin().digest, "kinds": [], "state": "active",
                "reason": null, "source": "bundled", "bytes": 0, "loaded_at": START, "capabilities": [], "config_schema": schema})
        });
        status.into_iter().map(|status| serde_json::from_value(status).unwrap()).collect()
    }

    fn instances(&self) -> Vec<InstanceStatus> {
        self.with(|fake| fake.instances.values().cloned().collect())
    }

    fn instance(&self, name: &InstanceName) -> Option<InstanceStatus> {
        self.with(|fake| {
            fake.looks += 1;
            fake.instances.get(name).cloned()
        })
    }

    async fn configure(&self, _: BTreeMap<InstanceName, Shared<InstanceSpec>>) {}

    fn release(&self, instance: &InstanceName, class: &str, input: &str) {
        self.with(|fake| fake.released.push((instance.clone(), class.to_owned(), input.to_owned())));
    }

    async fn check(&self, _: &BTreeMap<InstanceName, Shared<InstanceSpec>>) -> Vec<(InstanceName, String, String)> {
        Vec::new()
    }

    async fn reload(&self) -> Vec<PluginStatus> {
        Vec::new()
    }
}

#[async_trait]
impl Fetch for Fake {
    async fn get(&self, _: &str, _: &[String], _: usize, _: Option<&str>) -> Result<Fetched, String> {
        Err("not in this test".into())
    }
}

/// Everything that flows are started with.
pub(crate) fn options(
    folder: &Path,
    fake: &Fake,
    catalog: Catalog,
    now: Timestamp,
    faults: &Faults,
) -> (Options, Arc<Database>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(now));
    let mut options = quarterdeck_storage::Options::new(folder, clock.clone());
    // A byte, so that a test can fill the disk.
    options.free_space_floor_bytes = 1;
    options.faults = faults.clone();
    let database = Database::open(options).unwrap();
    let shutdown = CancellationToken::new();
    let scheduler = Scheduler::start(clock.clone(), quarterdeck_scheduler::Options::default(), shutdown.clone());
    let bus = quarterdeck_bus::Bus::new(database.clone(), clock.clone(), quarterdeck_bus::Options::default());
    let options = Options {
        store: database.clone(),
        series: database.clone(),
        ingest: database.clone(),
        querier: database.clone(),
        bus,
        scheduler,
        plugins: fake.plugins(),
        registry: Arc::new(fake.clone()),
        fetch: Arc::new(fake.clone()),
        outside: crate::monitoring::scrape::Outside::network(),
        clock: clock.clone(),
        ids: Arc::new(IdSource::random()),
        catalog,
        public_url: "http://127.0.0.1:7700".into(),
        outbox: outbox::Options::default(),
        shutdown,
    };
    (options, database, clock)
}

/// A host without its flows: the folder outlives it, so that another one can be started there.
pub(crate) struct Bench {
    pub(crate) context: Context,
    pub(crate) catalog: watch::Sender<Arc<Catalog>>,
    pub(crate) inlet: Option<outbox::Inlet>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) fake: Fake,
    pub(crate) faults: Faults,
    database: Arc<Database>,
    shutdown: CancellationToken,
}

impl Bench {
    /// `now` is where the clock stands.
    pub(crate) fn open(folder: &Path, fake: &Fake, catalog: Catalog, now: Timestamp) -> Self {
        let faults = Faults::default();
        let (options, database, clock) = options(folder, fake, catalog, now, &faults);
        let shutdown = options.shutdown.clone();
        let (context, catalog, inlet, _) = options.into_context();
        Bench { context, catalog, inlet: Some(inlet), clock, fake: fake.clone(), faults, database, shutdown }
    }

    /// Moves the clock, so far that what waits for it looks again: they sleep for at most a second of real time.
    pub(crate) fn advance(&self, span: Span) {
        self.clock.advance(span);
    }

    /// The first event of that type and subject behind `after`.
    pub(crate) async fn event(&self, event_type: &str, subject: Option<&str>, after: Offset) -> StoredEvent {
        let filter = EventFilter {
            types: vec![event_type.to_owned()],
            subject: subject.map(str::to_owned),
            ..Default::default()
        };
        let mut subscription = self.context.bus.subscribe(after, filter);
        let batch = tokio::time::timeout(DEADLINE, subscription.next(1)).await;
        batch.unwrap_or_else(|_| panic!("no {event_type} came")).unwrap().events.remove(0)
    }

    pub(crate) fn events(&self, types: &[&str]) -> Vec<Event> {
        let filter = EventFilter::types(types.iter().copied());
        let (mut after, mut events) = (Offset(0), Vec::new());
        loop {
            let batch = self.context.store.events(after, &filter, 1000).unwrap();
            events.extend(batch.events.into_iter().map(|stored| Arc::unwrap_or_clone(stored.event)));
            if batch.next >= self.context.store.head() {
                return events;
            }
            after = batch.next;
        }
    }

    /// Ends everything as a kill would, as far as documents are concerned: nothing more is written. Returns when the folder is
    /// free; tasks and handles of flows have to be dropped before.
    pub(crate) async fn kill(self) {
        let Bench { context, database, shutdown, .. } = self;
        shutdown.cancel();
        for job in context.scheduler.list() {
            context.scheduler.remove(&job.spec.name);
        }
        database.close().await;
        context.scheduler.drained().await;
        drop(context);
        until("a free folder", || Arc::strong_count(&database) == 1).await;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come to be");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
