//! The runtime as a service: what is loaded, what is configured, and the calls between engines and sandboxes.

mod announce;
mod back;
mod bind;
mod bundled;
mod calls;
mod decide;
mod decisions;
mod files;
mod folder;
mod history;
mod janitor;
mod ledger;
mod loading;
mod pages;
mod place;
mod poison;
mod promote;
mod registry;
mod replay;
mod scan;
mod settle;
mod shadow;
mod usage;
mod watch;

#[cfg(test)]
pub(crate) use files::blocking;
pub(crate) use usage::Totals;

pub(crate) use calls::Request;

use crate::cache::Cache;
use crate::call::Ground;
use crate::catalog::Catalog;
use crate::decisions::Journal;
use crate::engine;
use crate::error::Error;
use crate::executor::Executor;
use crate::imports::Doors;
use crate::instance::Instance;
use crate::linker::linker;
use crate::options::Options;
use crate::plugin::Loader;
use announce::Announcer;
use janitor::Order;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::kind::Plugins;
use quarterdeck_model::plugin::InstanceName;
use quarterdeck_model::store::Store;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;

/// How long the start waits for the plugins folder; what takes longer to compile comes into use later.
const FIRST_SCAN: Duration = Duration::from_secs(5);

pub struct Runtime {
    this: Weak<Runtime>,
    engine: Engine,
    executor: Arc<Executor>,
    ground: Ground,
    loader: Loader,
    doors: Arc<Doors>,
    clock: Arc<dyn Clock>,
    /// Sandboxes for everyone, and a few that are kept back for notifiers: paging works while all others are busy.
    sandboxes: Arc<Semaphore>,
    /// For those that wait between calls.
    kept_places: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    sandbox_count: u32,
    reserve_count: u32,
    instances: RwLock<Arc<HashMap<InstanceName, Arc<Instance>>>>,
    catalog: Mutex<Catalog>,
    /// Held by whoever changes what is in use or configured. Never while something is read, compiled or described.
    changing: tokio::sync::Mutex<()>,
    /// Held by whoever puts a file into the plugins folder or takes one away: what was seen there holds until it is done.
    placing: tokio::sync::Mutex<()>,
    /// Held by whoever looks at the plugins folder.
    looking: Mutex<()>,
    /// In MiB of components.
    loading_room: Semaphore,
    /// Each end of a load is told here.
    load_ended: Arc<Notify>,
    plugins_dir: Option<PathBuf>,
    /// The last look at the plugins folder saw nothing of it.
    unreadable: AtomicBool,
    store: Arc<dyn Store>,
    probation_calls: u32,
    quarantine_after: u32,
    announcer: Announcer,
    ids: Arc<IdSource>,
    /// Where decisions are kept, if anywhere.
    journal: Option<Arc<Journal>>,
    shadows: shadow::Shadows,
    calls_made: AtomicU64,
    calls_failed: AtomicU64,
    /// One replay at a time.
    replaying: Semaphore,
    orders: mpsc::UnboundedSender<Order>,
    /// Bundled plugins that nobody has asked for yet.
    later: bundled::Later,
    stopping: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
}

impl Runtime {
    /// Loads the bundled plugins and what is in the plugins folder, and watches that from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// The engine, its threads or its folders can't be had. A plugin that can't be used is refused instead.
    pub async fn start(options: Options) -> Result<Arc<Runtime>, Error> {
        let engine = engine::engine(options.sandboxes)?;
        let cache = Cache::open(&options.cache_dir, options.artefacts_dir.as_deref(), engine::hash(&engine))?;
        if let Some(folder) = &options.plugins_dir {
            std::fs::create_dir_all(folder).map_err(|source| Error::Folder { path: folder.clone(), source })?;
        }
        let doors = Doors::new(options.doors).map_err(|error| Error::Doors { reason: error.to_string() })?;
        let linker = linker(&engine).map_err(|error| Error::Engine { reason: format!("{error:#}") })?;
        let executor = Arc::new(Executor::start(options.guest_threads, options.quick_calls_inline, engine.clone())?);
        let ground = Ground::new(engine.clone(), Arc::clone(&executor), Arc::clone(&doors), Arc::clone(&options.clock));
        let ids = Arc::clone(&options.ids);
        let (announcer, announcing) =
            Announcer::new(Arc::clone(&options.store), Arc::clone(&options.clock), options.ids);
        let (orders, ordered) = mpsc::unbounded_channel();
        let reserve = (options.sandboxes / 10).min(options.sandboxes.saturating_sub(1));
        let (mut journalling, journal_clock) = (None, Arc::clone(&options.clock));
        let runtime = Arc::new_cyclic(|this: &Weak<Runtime>| Runtime {
            this: this.clone(),
            loader: Loader::new(engine.clone(), linker, options.compiler, cache, options.trust),
            engine,
            executor,
            ground,
            doors,
            clock: options.clock,
            sandboxes: semaphore(options.sandboxes - reserve),
            kept_places: semaphore(engine::KEPT_SANDBOXES),
            reserve: semaphore(reserve),
            sandbox_count: options.sandboxes - reserve,
            reserve_count: reserve,
            instances: RwLock::default(),
            catalog: Mutex::default(),
            changing: tokio::sync::Mutex::new(()),
            placing: tokio::sync::Mutex::new(()),
            looking: Mutex::default(),
            loading_room: Semaphore::new(usize::try_from(loading::LOADING_MEBIBYTES).unwrap_or(usize::MAX)),
            load_ended: Arc::default(),
            plugins_dir: options.plugins_dir,
            unreadable: AtomicBool::new(false),
            store: options.store,
            probation_calls: options.probation_calls,
            quarantine_after: options.quarantine_after,
            announcer,
            ids,
            journal: options.journals.map(|journals| {
                let of = Weak::clone(this);
                let spec = move |name: &InstanceName| of.upgrade()?.all_instances().get(name)?.binding().spec.journal;
                let (journal, task) = Journal::new(journals, journal_clock, spec);
                journalling = Some(task);
                journal
            }),
            shadows: shadow::Shadows::default(),
            calls_made: AtomicU64::new(0),
            calls_failed: AtomicU64::new(0),
            replaying: Semaphore::new(1),
            orders,
            later: bundled::Later::default(),
            stopping: CancellationToken::new(),
            tasks: Mutex::default(),
        });
        runtime.spawn(announcing);
        if let Some(task) = journalling {
            runtime.spawn(task);
        }
        runtime.spawn(janitor::run(Arc::downgrade(&runtime), ordered, options.shutdown.clone()));
        let later = runtime.load_bundled(options.bundled, options.bundled_first.as_ref()).await;
        if tokio::time::timeout(FIRST_SCAN, runtime.first_scan()).await.is_err() {
            tracing::warn!("plugins of the folder are still being compiled: they come into use later");
        }
        runtime.spawn(usage::run(Arc::downgrade(&runtime), options.shutdown.clone()));
        runtime.spawn(watch::run(Arc::downgrade(&runtime), options.shutdown));
        runtime.resume_shadows();
        runtime.load_later(later);
        Ok(runtime)
    }

    /// The ports through which engines call plugins.
    pub fn plugins(self: &Arc<Self>) -> Plugins {
        Plugins {
            collector: self.clone(),
            detector: self.clone(),
            scanner_rule: self.clone(),
            correlator: self.clone(),
            notifier: self.clone(),
            deployment_strategy: self.clone(),
            deployment_target: self.clone(),
            runbook_action: self.clone(),
            sla_calculator: self.clone(),
        }
    }

    /// What the doors of all sandboxes share.
    pub fn doors(&self) -> &Arc<Doors> {
        &self.doors
    }

    /// Begins no more calls, waits for those in flight for as long as `deadline`, and ends every task and thread.
    pub async fn shutdown(&self, deadline: Duration) {
        self.stopping.cancel();
        let drained = async {
            // A closed semaphore means that someone else is done waiting already.
            let _ = self.sandboxes.acquire_many(self.sandbox_count).await;
            let _ = self.reserve.acquire_many(self.reserve_count).await;
        };
        if tokio::time::timeout(deadline, drained).await.is_err() {
            tracing::warn!("calls were still in flight at the end of the shutdown's time: they are cancelled");
        }
        self.end_all_shadows();
        if let Some(journal) = &self.journal {
            journal.close().await;
        }
        self.announcer.close().await;
        self.doors.close().await;
        let mut tasks = std::mem::take(&mut *self.lock_tasks());
        tasks.shutdown().await;
    }

    fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all_instances(&self) -> Arc<HashMap<InstanceName, Arc<Instance>>> {
        Arc::clone(&self.instances.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock_tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Owned: ends with the runtime.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.lock_tasks();
        // Finished ones (old versions that were retired) are let go of here.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

fn semaphore(permits: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(permits).unwrap_or(1)))
}
