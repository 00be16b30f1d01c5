//! The configuration in force: loaded, checked against the plugins, applied in one step, kept.
//!
//! - `files`: reading them again, and why that was refused
//! - `objects`: what the API says about single objects, over what the files say
//! - `versions`: the newest versions, and the way back to one; `kept`: how they stand in the store
//! - `fit`: whether plugins take what is configured for them; `doubts`: what is taken, and can't work as things stand
//! - `running`: whether a change would end what runs for a service

mod doubts;
mod files;
mod fit;
mod kept;
mod objects;
mod running;
mod versions;

pub(super) use doubts::{all as all_doubts, without_plugins as doubts_without_plugins};
pub(super) use fit::{to_be_asked, unfit, unfit_by_itself};

use super::load;
use super::log;
use super::plugins::Recorded;
use super::secrets::Sources;
use crate::arguments::Global;
use async_trait::async_trait;
use quarterdeck_api::{IfMatch, Mistake, Object, Order, Refused, Restored, Standing};
use quarterdeck_config::{Base, File, Loaded, Problem, Problems, Settings, StorageSettings, Word};
use quarterdeck_engines::Engines;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::Registry;
use quarterdeck_model::store::Store;
use quarterdeck_model::transition::Transition;
use quarterdeck_supervisor::{Allowed, Supervisor};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tracing::{error, warn};

pub(super) struct Configuration {
    pub(super) global: Global,
    pub(super) host_url: String,
    pub(super) config_dir: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<IdSource>,
    pub(super) registry: Arc<dyn Registry>,
    pub(super) files: Arc<Recorded>,
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) secrets: Arc<Sources>,
    pub(super) bus: quarterdeck_bus::Bus,
    pub(super) stream_buffer: Arc<AtomicUsize>,
    pub(super) log: log::Handle,
    /// Set when the engines stand.
    pub(super) engines: OnceLock<Arc<Engines>>,
    /// The settings of the start, without objects: some hold until the end.
    pub(super) started: Settings,
    pub(super) current: RwLock<Arc<InForce>>,
    /// One change at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
    pub(super) on_disk: Mutex<files::OnDisk>,
}

/// What is in force, and what it was made of.
pub(super) struct InForce {
    base: Arc<Base>,
    /// The API's words that are laid over the files.
    words: Vec<Word>,
    /// Those that could not be, and why.
    left_out: Vec<(Word, String)>,
    loaded: Loaded,
    /// What plugins don't take, and had to be lived with.
    unfit: Vec<Problem>,
    /// Id under which it is kept. Empty where it could not be.
    version: String,
    /// All of it as JSON, see [`InForce::value`].
    value: Mutex<Option<Arc<Value>>>,
}

/// How long the configuration is kept as JSON.
const VALUE_KEPT: Duration = Duration::from_secs(60);

impl InForce {
    /// What the files say, before anything else is known.
    pub(super) fn files(base: Base, loaded: Loaded) -> Self {
        InForce {
            base: Arc::new(base),
            words: Vec::new(),
            left_out: Vec::new(),
            loaded,
            unfit: Vec::new(),
            version: String::new(),
            value: Mutex::default(),
        }
    }

    /// All of it as JSON. Who looks at pages of the configuration, or lists its objects, asks for it again and again, so it is kept
    /// for a minute after it was made; not longer, since it is several times as large as the settings are.
    fn value(self: &Arc<Self>) -> Arc<Value> {
        let mut kept = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*kept {
            return Arc::clone(value);
        }
        let value = Arc::new(self.loaded.value());
        // Without a runtime there is nobody who would let go of it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            *kept = Some(Arc::clone(&value));
            let this = Arc::downgrade(self);
            runtime.spawn(async move {
                tokio::time::sleep(VALUE_KEPT).await;
                if let Some(this) = this.upgrade() {
                    this.value.lock().unwrap_or_else(PoisonError::into_inner).take();
                }
            });
        }
        value
    }
}

/// The settings as they will be once the API's words lie over the files: before there is anything to put them in force.
pub(super) fn at_start(base: &Base, store: &dyn Store) -> Option<Settings> {
    let (words, _) = objects::kept(store);
    objects::lay_what_fits(base, words).map(|(loaded, ..)| loaded.settings)
}

/// What instances may run under these settings.
pub(super) fn processes(settings: &Settings) -> Allowed {
    let instances = settings.instances.clone();
    Arc::new(move |owner, process| {
        instances.get(owner).is_some_and(|instance| quarterdeck_runtime::process_allowed(instance, process))
    })
}

impl Configuration {
    fn resolved(&self, settings: &Settings) -> Settings {
        settings.resolve(&self.host_url, &self.config_dir, &self.data_dir)
    }

    pub(super) fn catalog(&self) -> Catalog {
        self.resolved(&self.current().loaded.settings).catalog()
    }

    fn current(&self) -> Arc<InForce> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lays what the API has said over the files, and puts the whole in force. Nothing of it stops the start: a word that does not
    /// fit any more is left out, and what plugins don't take is theirs to refuse; both is said.
    pub(super) async fn start(&self) {
        let base = Arc::clone(&self.current().base);
        let (words, unreadable) = objects::kept(&*self.store);
        let (loaded, words, mut left_out) = match objects::lay_what_fits(&base, words) {
            Some(laid) => laid,
            None => return error!("the files have changed during the start"),
        };
        left_out.extend(unreadable);
        for (word, reason) in &left_out {
            error!(section = word.section, name = word.name, reason, "an object of the API is left out");
        }
        let settings = self.resolved(&loaded.settings);
        let unfit = unfit(&*self.registry, &loaded, &settings).await;
        for problem in &unfit {
            error!("{problem}");
        }
        let mut next =
            InForce { base, words, left_out, loaded, unfit, version: String::new(), value: Mutex::default() };
        next.version = self.keep_if_possible(&next, "host", Transition::new()).await;
        self.forget(&next, true).await;
        self.put_in_force(next).await;
        self.warn();
    }

    /// Says what is in force and can't work as things stand.
    fn warn(&self) {
        for doubt in self.doubts() {
            warn!("{doubt}");
        }
    }

    fn doubts(&self) -> Vec<Problem> {
        doubts::all(&*self.registry, &self.current().loaded)
    }

    /// Hands every part what is its own. Nothing of this can fail.
    async fn put_in_force(&self, next: InForce) {
        let settings = self.resolved(&next.loaded.settings);
        self.secrets.set(settings.secrets.clone());
        // Before the instances: what a new one may run is allowed when it is first asked, and what goes stays down.
        self.supervisor.allow(processes(&settings)).await;
        self.registry.configure(settings.instances.clone()).await;
        self.files.grants_changed().await;
        if let Some(engines) = self.engines.get() {
            engines.apply(settings.catalog());
        }
        self.bus.set_limits(super::producer_limits(&settings));
        self.stream_buffer.store(super::stream_buffer(&settings), Ordering::Relaxed);
        if self.current().loaded.settings.log != settings.log {
            self.log.set(&settings.log);
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    /// Services whose processes would end if this were put in force, and that would stay.
    fn bereft(&self, before: &InForce, next: &Loaded) -> Vec<Problem> {
        let ending = self.supervisor.would_stop(&processes(&self.resolved(&next.settings)));
        running::bereft(&before.loaded.settings, next, &ending)
    }

    /// Settings that hold from start to end.
    fn pending_restart(&self) -> Vec<String> {
        let (old, current) = (&self.started, self.current());
        let new = &current.loaded.settings;
        let same = [
            ("listen", old.listen == new.listen),
            ("data-dir", old.data_dir == new.data_dir),
            ("plugins-dir", old.plugins_dir == new.plugins_dir),
            ("plugins", old.plugins == new.plugins),
            ("storage", same_store(&old.storage, &new.storage)),
            ("runtime", old.runtime == new.runtime),
            ("api", old.api == new.api),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name.to_owned()).collect()
    }
}

fn problem(message: String, hint: Option<&str>) -> Problem {
    Problem { place: None, pointer: String::new(), message, hint: hint.map(str::to_owned) }
}

fn mistakes(problems: Vec<Problem>) -> Vec<Mistake> {
    let mistake = |problem: Problem| Mistake { detail: problem.to_string(), path: problem.pointer };
    problems.into_iter().map(mistake).collect()
}

impl From<Problems> for Invalid {
    fn from(problems: Problems) -> Self {
        Invalid(Refused::Invalid(mistakes(problems.0)))
    }
}

/// A refusal, on its way from several parts.
struct Invalid(Refused);

/// What is kept of what has ended is for the engines, who follow the configuration.
fn same_store(before: &StorageSettings, after: &StorageSettings) -> bool {
    *before == StorageSettings { keep_ended: before.keep_ended, ..after.clone() }
}

#[async_trait]
impl quarterdeck_api::Configuration for Configuration {
    fn effective(&self) -> Arc<Value> {
        self.current().value()
    }

    fn origin(&self, pointer: &str) -> Option<String> {
        Some(self.current().loaded.place(pointer)).filter(|place| !place.is_empty())
    }

    fn standing(&self) -> Standing {
        let current = self.current();
        let mut problems: Vec<Mistake> = current
            .left_out
            .iter()
            .map(|(word, reason)| Mistake { path: word.pointer(), detail: format!("left out: {reason}") })
            .collect();
        problems.extend(mistakes(current.unfit.clone()));
        Standing {
            version: current.version.clone(),
            digest: current.loaded.digest.clone(),
            pending_restart: self.pending_restart(),
            problems,
            refused: mistakes(self.why_refused()),
            warnings: mistakes(self.doubts()),
        }
    }

    fn refused(&self) -> Vec<Mistake> {
        mistakes(self.why_refused())
    }

    async fn reload(&self) -> Result<Value, Refused> {
        self.reload_files("operator").await.map_err(|problems| Refused::Invalid(mistakes(problems)))
    }

    fn objects(&self) -> Vec<Object> {
        objects::all(&self.current())
    }

    fn object(&self, section: &str, name: &str) -> Option<Object> {
        objects::one(&self.current(), section, name)
    }

    async fn change(&self, section: &str, name: &str, order: Order, if_match: IfMatch) -> Result<(), Refused> {
        self.change_object(section, name, order, &if_match).await
    }

    async fn restore(&self, version: &str, if_match: IfMatch) -> Result<Restored, Refused> {
        self.restore_version(version, &if_match).await
    }

    fn export(&self) -> Result<Vec<File>, String> {
        quarterdeck_config::export(&self.current().loaded)
    }
}
