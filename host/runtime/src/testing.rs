//! What the tests of the runtime stand on: guests written as text, a runtime over ports in memory, waiting with a deadline.

pub(crate) mod browsing;
pub(crate) mod guests;

use crate::imports::testing::{MemoryStore, options};
use crate::{Bundled, Options, Runtime};
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::event::{EventFilter, Offset, StoredEvent};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::journal::{Batch, Bounds, Entry, Extent, Journals, Stretch};
use quarterdeck_model::plugin::{InstanceName, InstanceSpec, InstanceState, PluginStatus, Registry};
use quarterdeck_model::store::{Store, StoreError};
use quarterdeck_model::{Span, Timestamp};
use serde_json::json;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A runtime with an empty plugins folder.
pub(crate) struct Bench {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<ManualClock>,
    shutdown: CancellationToken,
    pub(crate) folder: TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Deref for Bench {
    type Target = Arc<Runtime>;

    fn deref(&self) -> &Arc<Runtime> {
        &self.runtime
    }
}

impl Bench {
    pub(crate) async fn with(bundled: Vec<Vec<u8>>) -> Bench {
        Bench::start(tempfile::tempdir().unwrap(), bundled, |_| {}).await
    }

    pub(crate) async fn start(folder: TempDir, bundled: Vec<Vec<u8>>, set: impl FnOnce(&mut Options)) -> Bench {
        let store = Arc::new(MemoryStore::default());
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        let doors = options(store.clone(), Arc::new(RwLock::new(None)), Vec::new());
        let ids = Arc::new(IdSource::seeded(1));
        let mut options = Options::new(folder.path().join("cache"), doors, store.clone(), clock.clone(), ids);
        options.plugins_dir = Some(folder.path().join("plugins"));
        options.sandboxes = 40;
        options.bundled = bundled.into_iter().map(|bytes| Bundled::new("bundled", bytes)).collect();
        set(&mut options);
        let shutdown = options.shutdown.clone();
        let runtime = Runtime::start(options).await.unwrap();
        Bench { runtime, store, clock, shutdown, folder }
    }

    pub(crate) fn plugins_dir(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// Puts a whole file into the plugins folder at once.
    pub(crate) fn drop_in(&self, file: &str, bytes: &[u8]) {
        let temporary = self.folder.path().join("on-its-way");
        std::fs::write(&temporary, bytes).unwrap();
        std::fs::rename(temporary, self.plugins_dir().join(file)).unwrap();
    }

    pub(crate) async fn configure(&self, specs: BTreeMap<InstanceName, InstanceSpec>) {
        self.runtime.configure(specs.into_iter().map(|(name, spec)| (name, spec.into())).collect()).await;
    }

    pub(crate) async fn check(
        &self,
        specs: &BTreeMap<InstanceName, InstanceSpec>,
    ) -> Vec<(InstanceName, String, String)> {
        let specs = specs.iter().map(|(name, spec)| (name.clone(), spec.clone().into()));
        Registry::check(&*self.runtime, &specs.collect()).await
    }

    /// Configures these instances of a plugin, with a budget of 200 ms.
    pub(crate) async fn use_plugin(&self, instances: &[&str], plugin: &str) {
        let specs = instances.iter().map(|name| (InstanceName::from(*name), spec(plugin)));
        self.configure(specs.collect()).await;
    }

    pub(crate) fn status(&self, plugin: &str) -> Option<PluginStatus> {
        Registry::plugins(&*self.runtime).into_iter().find(|status| status.name == plugin)
    }

    /// States that are asked for alone are those that stand beside all the rest. Nothing may change meanwhile.
    pub(crate) fn check_states(&self) {
        let words = |states: Vec<InstanceState>| {
            let mut words: Vec<String> = states.iter().map(|state| format!("{state:?}")).collect();
            words.sort();
            words
        };
        let instances = self.runtime.instances();
        assert_eq!(words(self.runtime.states()), words(instances.iter().map(|instance| instance.state).collect()));
        let mut names = self.runtime.instance_names();
        names.sort();
        assert_eq!(names, instances.into_iter().map(|instance| instance.name).collect::<Vec<_>>());
        let plugins = Registry::plugins(&*self.runtime);
        assert_eq!(self.runtime.plugin_states(), plugins.iter().map(|plugin| plugin.state).collect::<Vec<_>>());
    }

    pub(crate) fn events(&self, event_type: &str) -> Vec<StoredEvent> {
        self.store.events(Offset(0), &EventFilter::types([event_type]), usize::MAX).unwrap().events
    }

    pub(crate) async fn event(&self, event_type: &str) -> StoredEvent {
        eventually(event_type, || self.events(event_type).into_iter().next()).await
    }
}

/// Journals without bounds.
#[derive(Default)]
pub(crate) struct MemoryJournals {
    entries: Mutex<BTreeMap<String, Vec<Entry>>>,
    /// It refuses what is to be written.
    pub(crate) is_full: AtomicBool,
}

impl MemoryJournals {
    pub(crate) fn entries(&self, journal: &str) -> Vec<Entry> {
        self.entries.lock().unwrap().get(journal).cloned().unwrap_or_default()
    }
}

#[async_trait::async_trait]
impl Journals for MemoryJournals {
    async fn write(&self, journal: &str, entries: Batch, _: Bounds) -> Result<(), StoreError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(StoreError::DiskFull { free_bytes: 0, floor_bytes: 1 });
        }
        let entries = entries.iter().map(|(at, bytes)| Entry { at, bytes: bytes.to_vec() });
        self.entries.lock().unwrap().entry(journal.to_owned()).or_default().extend(entries);
        Ok(())
    }

    /// An entry at a time.
    fn read(&self, journal: &str, from: u64, _: usize) -> Result<Stretch, StoreError> {
        let entries = self.entries(journal);
        let entry = entries.get(usize::try_from(from).unwrap()).cloned();
        Ok(Stretch { next: entry.as_ref().map(|_| from + 1), entries: entry.into_iter().collect() })
    }

    fn extent(&self, journal: &str) -> Result<Extent, StoreError> {
        let entries = self.entries(journal);
        let bytes = entries.iter().map(|entry| entry.bytes.len() as u64).sum();
        Ok(Extent { entries: entries.len() as u64, bytes })
    }

    fn journals(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.entries.lock().unwrap().keys().cloned().collect())
    }
}

pub(crate) fn spec(plugin: &str) -> InstanceSpec {
    let mut spec: InstanceSpec = serde_json::from_value(json!({"plugin": plugin})).unwrap();
    spec.limits.deadline = Span::from_millis(200);
    spec
}

pub(crate) fn one(name: &str, spec: InstanceSpec) -> BTreeMap<InstanceName, InstanceSpec> {
    BTreeMap::from([(InstanceName::from(name), spec)])
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
