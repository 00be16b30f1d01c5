//! The doors: everything that a plugin may ask of the host, behind its grants. A file per capability; all of them ask
//! [`policy`] through [`Sandbox::ask`] and are metered there.
//!
//! Effects (HTTP, programs, connections, processes, secrets, lines in files) leave a record in the log, `audit.<capability>`, whether
//! the call then succeeds or not, or is dropped in the middle: each is an [`Act`] that takes the room of its record first, see [`audit`].

mod append;
mod audit;
mod events;
mod exec;
mod fetch;
mod file_systems;
mod files;
pub(crate) mod http;
mod kv;
mod log;
mod metrics;
mod policy;
mod process;
mod secret;
mod sockets;
mod system;
pub(crate) mod tcp;
#[cfg(test)]
pub(crate) mod testing;
mod tls;

pub(crate) use kv::Space;
pub use policy::process_allowed;

use crate::bindings::host;
use crate::bindings::host::errors::Error as Refusal;
use crate::lines::Lines;
use crate::sandbox::{Capability, Sandbox};
use audit::{Audit, DENIED, Entry, Place};
use quarterdeck_model::clock::Clock;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::log::LogLevel;
use quarterdeck_model::plugin::{Digest, Grants, InstanceName, PluginRef};
use quarterdeck_model::process::Processes;
use quarterdeck_model::secret::Secrets;
use quarterdeck_model::series::Series;
use quarterdeck_model::store::Store;
use sockets::Shares;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};

/// Descriptors are the whole host's: its store and its API need some. Connections, responses that are being read, and
/// programs that plugins may have open at once, all of them together.
const SOCKETS: usize = 512;
const PROGRAMS: usize = 64;
/// ... and of these, in one call, and in all calls of one instance.
pub(crate) const SOCKETS_PER_CALL: usize = 32;
const SOCKETS_PER_INSTANCE: usize = 128;

pub struct DoorsOptions {
    pub store: Arc<dyn Store>,
    pub series: Arc<dyn Series>,
    pub processes: Arc<dyn Processes>,
    pub secrets: Arc<dyn Secrets>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<IdSource>,
    /// Where the host itself listens, once it does: plugins reach its health pages and nothing else.
    pub own_origin: Arc<RwLock<Option<SocketAddr>>>,
    /// Certificates in PEM that are trusted beside the machine's own.
    pub tls_roots: Vec<Vec<u8>>,
    /// How the host itself is, for `system`.
    pub vitals: Arc<dyn Fn() -> Vitals + Send + Sync>,
}

/// How the host itself is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vitals {
    /// Of one core.
    pub cpu_percent: f64,
    pub memory_bytes: u64,
    pub uptime_seconds: u64,
    pub instances: u32,
    /// Calls of plugins since the start, and how many of them failed.
    pub calls: u64,
    pub call_failures: u64,
    /// Offset of the newest event.
    pub log_offset: u64,
    /// Effects that are not finished.
    pub outbox_depth: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to open the doors outside of a tokio runtime")]
    NoRuntime,
    #[error("failed to read a trusted certificate: {0}; hint: certificates are given as PEM")]
    TlsRoots(String),
}

/// What the doors of all sandboxes share.
pub struct Doors {
    store: Arc<dyn Store>,
    series: Arc<dyn Series>,
    processes: Arc<dyn Processes>,
    secrets: Arc<dyn Secrets>,
    ids: Arc<IdSource>,
    own_origin: Arc<RwLock<Option<SocketAddr>>>,
    vitals: Arc<dyn Fn() -> Vitals + Send + Sync>,
    clock: Arc<dyn Clock>,
    /// What instances have logged.
    pub(crate) lines: Lines,
    audit: Audit,
    machine: Arc<system::Machine>,
    file_systems: Arc<file_systems::FileSystems>,
    lanes: Arc<append::Lanes>,
    readers: Arc<files::Readers>,
    client: http::Client,
    tls: Arc<tls::Tls>,
    placeholders: secret::Placeholders,
    sockets: Arc<Semaphore>,
    shares: Shares,
    programs: Arc<Semaphore>,
    /// The host's runtime: connections and children live here, whichever runtime a guest is polled by.
    runtime: Handle,
}

impl Doors {
    /// Takes the tokio runtime that it is called in for what outlives a call.
    ///
    /// # Errors
    /// There is no runtime, or a trusted certificate can't be read.
    pub fn new(options: DoorsOptions) -> Result<Arc<Doors>, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let tls = Arc::new(tls::Tls::new(&options.tls_roots).map_err(Error::TlsRoots)?);
        let audit = Audit::start(&runtime, options.store.clone(), options.clock.clone(), options.ids.clone());
        Ok(Arc::new(Doors {
            store: options.store,
            series: options.series,
            processes: options.processes,
            secrets: options.secrets,
            ids: options.ids,
            own_origin: options.own_origin,
            vitals: options.vitals,
            clock: options.clock,
            lines: Lines::default(),
            audit,
            machine: Arc::default(),
            file_systems: Arc::default(),
            lanes: Arc::default(),
            readers: Arc::default(),
            client: http::Client::new(tls.clone()),
            tls,
            placeholders: secret::Placeholders::new(),
            sockets: Arc::new(Semaphore::new(SOCKETS)),
            shares: Shares::default(),
            programs: Arc::new(Semaphore::new(PROGRAMS)),
            runtime,
        }))
    }

    /// Writes down what is left of the audit, and ends its writer. Nothing is begun behind this that would leave a record; what goes on
    /// for more than a second leaves none, and is counted.
    pub async fn close(&self) {
        self.audit.close().await;
    }

    /// Audit records that were lost since the start: the store refused them for too long, or the host had stopped.
    pub fn audit_records_dropped(&self) -> u64 {
        self.audit.dropped()
    }

    /// Keeps a line for whoever looks at the instance.
    pub(crate) fn keep_line(&self, instance: &InstanceName, plugin: &Digest, level: LogLevel, line: &str) {
        self.lines.keep(instance, plugin, self.clock.now(), level, line);
    }

    /// Whether `ip:port` is where the host itself listens.
    fn is_own(&self, ip: IpAddr, port: u16) -> bool {
        let own = *self.own_origin.read().unwrap_or_else(PoisonError::into_inner);
        policy::is_own(own, ip, port)
    }
}

/// Who asks, for the audit and for doors that outlive a borrow of the sandbox.
#[derive(Clone)]
pub(crate) struct Caller {
    instance: InstanceName,
    plugin: PluginRef,
    grants: Arc<Grants>,
    doors: Arc<Doors>,
    /// See [`Sandbox::patience`].
    patience: Instant,
}

impl Caller {
    /// An effect that is to come. It is on the record from here on; nothing may be done before [`Act::reserve`].
    fn act(&self, capability: Capability, target: impl Into<String>) -> Act {
        let (instance, plugin) = (self.instance.clone(), Some(self.plugin.clone()));
        let target = target.into();
        Act::new(&self.doors, Entry { instance, plugin, capability, target, outcome: String::new() })
    }

    /// The same, with the room of its record.
    ///
    /// # Errors
    /// There is none within the time of the call: nothing may be done.
    async fn begin(&self, capability: Capability, target: impl Into<String>) -> Result<Act, Refusal> {
        let mut act = self.act(capability, target);
        act.reserve(self.patience).await.map_err(Refusal::Failed)?;
        Ok(act)
    }

    /// What was not granted.
    fn denied(&self, capability: Capability, target: impl Into<String>) {
        self.act(capability, target).end(DENIED);
    }
}

/// An effect on its way. Whatever becomes of it leaves a record, also where its call is dropped in the middle.
struct Act {
    doors: Arc<Doors>,
    entry: Entry,
    /// Absent: nothing was done yet.
    place: Option<Place>,
}

impl Act {
    /// Of `entry`, whose outcome is yet to come.
    fn new(doors: &Arc<Doors>, entry: Entry) -> Self {
        let entry = Entry { outcome: "interrupted".to_owned(), ..entry };
        Act { doors: doors.clone(), entry, place: None }
    }

    /// Waits for the room of the record, until then at most.
    ///
    /// # Errors
    /// There is none: nothing may be done. Why, for a person.
    async fn reserve(&mut self, until: Instant) -> Result<(), String> {
        match self.doors.audit.place(until).await {
            Ok(place) => {
                self.place = Some(place);
                Ok(())
            }
            Err(reason) => {
                "no room for its record".clone_into(&mut self.entry.outcome);
                Err(reason)
            }
        }
    }

    /// `outcome`: what came of it, [`DENIED`] where nothing was done after all.
    fn end(mut self, outcome: impl Into<String>) {
        self.entry.outcome = outcome.into();
    }
}

impl Drop for Act {
    fn drop(&mut self) {
        let entry = self.entry.clone();
        match self.place.take() {
            Some(place) if entry.outcome != DENIED => place.record(entry),
            _ => self.doors.audit.note(entry),
        }
    }
}

impl Sandbox {
    fn caller(&self) -> Caller {
        Caller {
            instance: self.instance.clone(),
            plugin: self.plugin.clone(),
            grants: self.grants.clone(),
            doors: self.doors.clone(),
            patience: self.patience,
        }
    }

    /// The one question before every host call: counts it, and asks the policy. What is refused is on the record, for
    /// capabilities that act; `target` is made only then.
    fn ask(
        &mut self,
        capability: Capability,
        target: impl FnOnce() -> String,
        granted: impl FnOnce(&Grants) -> policy::Verdict,
    ) -> Result<(), Refusal> {
        policy::capability_allowed(capability, self.pure).map_err(Refusal::Denied)?;
        self.count(capability).map_err(Refusal::Limited)?;
        granted(&self.grants).map_err(|reason| {
            if audit::is_effect(capability) {
                self.caller().denied(capability, target());
            }
            tracing::debug!(instance = %self.instance, capability = capability.as_str(), %reason, "denied");
            Refusal::Denied(reason)
        })
    }
}

/// Binds every interface of ours, and `wasi:http`.
pub(crate) fn add_to_linker(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    host::log::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    host::kv::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    host::metrics::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    host::events::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    host::system::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    host::exec::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    host::tcp::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    host::process::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    host::secret::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    host::reveal::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    host::files::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    host::append::add_to_linker::<_, HasSelf<Sandbox>>(linker, |sandbox| sandbox)?;
    http::add_to_linker(linker)
}

impl host::errors::Host for Sandbox {}
