//! The daemon: every part is made here, handed to those above it, and ended in the opposite order.

mod configuration;
mod elsewhere;
mod folders;
mod load;
mod log;
mod memory;
mod offline;
mod plugins;
pub(crate) mod scratch;
mod secrets;
mod vitals;
mod watch;

use crate::arguments::{Arguments, Global};
use crate::output::{Output, print_line};
use anyhow::{Context, Result, anyhow};
use configuration::Configuration;
pub(crate) use elsewhere::{same as same_folder, unread};
use folders::Folders;
pub(crate) use load::{config_dir, load_configuration, load_rest, own_config_dir};
pub(crate) use offline::{Asked, ask_offline};
use quarterdeck_config::{Base, Loaded, Settings};
use quarterdeck_engines::Engines;
use quarterdeck_model::Span;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::{Digest, Registry};
use quarterdeck_model::store::Store;
use quarterdeck_runtime::{Bundled, Compiler, Runtime};
use quarterdeck_scheduler::{Scheduler, SystemClock};
use quarterdeck_storage::Database;
use quarterdeck_supervisor::Supervisor;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

// A stop takes no longer than these three together. What is not finished goes on at the next start.

/// What is in flight may end by itself: requests, jobs, effects. A little longer than each part takes for its own.
const IN_FLIGHT: Duration = Duration::from_millis(3_200);
/// Then calls of plugins are cut off.
const CUT_OFF: Duration = Duration::from_millis(600);
/// Then the store is closed, whatever else has or has not ended.
const CLOSE: Duration = Duration::from_millis(800);

/// One TLS implementation for the whole process. Calling it again does nothing.
pub(crate) fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    memory::bound_arenas();
    open_more_files();
    let output = Output { json: arguments.global.json };
    // The files have to be right by themselves: what the API has said about objects is known when the store is open.
    let read = load::read(&arguments.global, load::config_dir(&arguments.global))
        .and_then(|base| load::lay(&base, &[]).map(|loaded| (base, loaded)));
    let (base, loaded) = match read {
        Ok(read) => read,
        Err(problems) => {
            if output.json {
                let said: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
                output.error(&anyhow!(said.join("\n")));
            } else {
                problems.0.iter().for_each(|problem| eprintln!("error: {problem}"));
            }
            return ExitCode::from(2);
        }
    };
    let log = log::start(&loaded.settings.log);
    let data = loaded.settings.data_dir.clone();
    install_crypto();
    let ended = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(quarterdeck_runtime::prefer_short_turns)
        .enable_all()
        .build()
        .context("failed to start threads")
        .and_then(|threads| {
            let ended = threads.block_on(run(&arguments.global, base, loaded, log));
            // Work on blocking threads can't be cut off, and the end does not wait for it.
            threads.shutdown_timeout(Duration::from_millis(200));
            ended
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = more_space(&error, &data);
            output.error(&if hint.is_empty() { error } else { anyhow!("{error:#}{hint}") });
            ExitCode::from(1)
        }
    }
}

/// Every connection is an open file, and what a shell or systemd allows at first (1,024) is less than the host serves. Programs that it
/// runs get the same: as many as they may have by themselves.
fn open_more_files() {
    const WANTED: u64 = 16_384;
    let limit = getrlimit(Resource::Nofile);
    let (Some(now), most) = (limit.current, limit.maximum.unwrap_or(WANTED)) else { return };
    let wanted = Rlimit { current: Some(WANTED.min(most).max(now)), maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        eprintln!("no more than {now} files can be open: {error}");
    }
}

/// What to do where no part has said it: an error of the system that tells of a full disk, wherever it came up.
fn more_space(error: &anyhow::Error, data: &Path) -> String {
    let is_full = |cause: &std::io::Error| matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let is_said = format!("{error:#}").contains("hint: ");
    if is_said || !error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(is_full) {
        return String::new();
    }
    format!("; hint: free space on the disk of {}", data.display())
}

async fn run(global: &Global, base: Base, loaded: Loaded, log: log::Handle) -> Result<()> {
    let begin = std::time::Instant::now();
    // Before anything that takes long: a stop that comes early is a stop in order all the same.
    let mut signals = Signals::install()?;
    let settings = loaded.settings.without_objects();
    let folders = Folders::prepare(&settings.data_dir)?;
    let token = folders.token()?;
    let listener = TcpListener::bind(settings.listen).await.with_context(|| {
        format!(
            "failed to listen on {}; hint: is another daemon running? name another address with --listen",
            settings.listen
        )
    })?;
    let address = listener.local_addr()?;
    let host_url = format!("http://{address}");

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = Arc::new(IdSource::random());
    // Parts end in an order of their own, so each has a token of its own.
    let (accepting, scheduling, running) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let database = open_database(&settings, &folders, &clock).await?;
    // The folder is this daemon's from here on.
    let starts = folders.starting()?;
    let store: Arc<dyn Store> = database.clone();
    let bus = quarterdeck_bus::Bus::new(store.clone(), clock.clone(), producer_limits(&settings));
    let scheduler = Scheduler::start(clock.clone(), quarterdeck_scheduler::Options::default(), scheduling.clone());
    let secrets = Arc::new(secrets::Sources::default());
    let config_dir = load::config_dir(global).unwrap_or_else(|| folders.data.join("config"));
    let (in_use, allowed) = {
        let with_words = configuration::at_start(&base, &*store).unwrap_or_else(|| loaded.settings.clone());
        let resolved = with_words.resolve(&host_url, &config_dir, &folders.data);
        (plugins_in_use(&with_words), configuration::processes(&resolved))
    };
    let supervisor = Supervisor::start(quarterdeck_supervisor::Options {
        store: store.clone(),
        clock: clock.clone(),
        shutdown: running.clone(),
        log_dir: folders.data.join("processes"),
        allowed,
    })
    .await?;
    let _ = std::fs::create_dir_all(&config_dir);
    let plugins_dir = settings.plugins_folder(Some(&config_dir));
    std::fs::create_dir_all(&plugins_dir)
        .with_context(|| format!("failed to make the plugins folder {}", plugins_dir.display()))?;
    for unread in unread(global, &config_dir, &plugins_dir, &folders.data) {
        warn!("{unread}");
    }
    let signs = vitals::Signs::new(store.clone());
    let starting = start_runtime(Parts {
        settings: &settings,
        folders: &folders,
        plugins_dir: &plugins_dir,
        database: &database,
        clock: &clock,
        ids: &ids,
        supervisor: supervisor.clone(),
        signs: signs.clone(),
        secrets: secrets.clone(),
        address,
        shutdown: running.clone(),
        bundled: Wanted::All { first: in_use },
    });
    // All plugins may have to be compiled. What is done of that stays in the cache.
    let runtime = tokio::select! {
        runtime = starting => runtime?,
        () = signals.stop() => {
            info!("asked to stop during the start");
            scheduling.cancel();
            running.cancel();
            let _ = tokio::time::timeout(IN_FLIGHT, scheduler.drained()).await;
            close(&database).await;
            return Ok(());
        }
    };
    let registry: Arc<dyn Registry> = runtime.clone();
    let files = plugins::Recorded::new(runtime.clone(), &folders.data);
    let moves = plugins::Recorded::changes(&bus);
    let stream_buffer = Arc::new(AtomicUsize::new(stream_buffer(&settings)));
    let configuration = Arc::new(Configuration {
        global: global.clone(),
        host_url: host_url.clone(),
        config_dir: config_dir.clone(),
        data_dir: folders.data.clone(),
        store: store.clone(),
        clock: clock.clone(),
        ids: ids.clone(),
        registry: registry.clone(),
        files: files.clone(),
        supervisor: supervisor.clone(),
        secrets,
        bus: bus.clone(),
        stream_buffer: stream_buffer.clone(),
        log,
        engines: OnceLock::new(),
        started: settings.clone(),
        current: RwLock::new(Arc::new(configuration::InForce::files(base, loaded))),
        changing: tokio::sync::Mutex::new(()),
        on_disk: Mutex::default(),
    });
    configuration.start().await;
    let engines = Arc::new(
        Engines::start(quarterdeck_engines::Options {
            store: store.clone(),
            series: database.clone(),
            ingest: database.clone(),
            querier: database.clone(),
            bus: bus.clone(),
            scheduler: scheduler.clone(),
            plugins: runtime.plugins(),
            registry: registry.clone(),
            fetch: runtime.doors().fetch(),
            outside: quarterdeck_engines::monitoring::scrape::Outside::network(),
            clock: clock.clone(),
            ids: ids.clone(),
            catalog: configuration.catalog(),
            public_url: host_url.clone(),
            outbox: quarterdeck_engines::outbox::Options::default(),
            shutdown: running.clone(),
        })
        .await?,
    );
    let _ = configuration.engines.set(engines.clone());
    let _ = signs.registry.set(registry.clone());
    let _ = signs.engines.set(engines.clone());
    let api = Arc::new(quarterdeck_api::Api::new(quarterdeck_api::Options {
        store: store.clone(),
        series: database.clone(),
        querier: database.clone(),
        queries: quarterdeck_api::QueryLimits::default(),
        bus,
        registry,
        decisions: files.clone(),
        files: files.clone(),
        processes: supervisor,
        engines: engines.clone(),
        scheduler: scheduler.clone(),
        clock: clock.clone(),
        ids,
        started_at: clock.now(),
        version: env!("CARGO_PKG_VERSION"),
        token: Some(token),
        allowed_hosts: settings.api.allowed_hosts.clone(),
        reads_need_token: settings.api.reading_needs_token(),
        body_limit: usize::try_from(settings.api.body_limit_bytes).unwrap_or(usize::MAX),
        stream_buffer,
        configuration: configuration.clone(),
        stall: quarterdeck_api::STALL,
        metrics_page: Arc::new(String::new),
        shutdown: accepting.clone(),
    }));
    let server = quarterdeck_api::serve(listener, quarterdeck_api::router(api.clone()), accepting.clone());
    let server = tokio::spawn(server);
    let watcher = tokio::spawn(watch::run(configuration.clone(), accepting.clone()));
    let trimmer = tokio::spawn(memory::run(runtime.clone(), accepting.clone()));
    let follower = tokio::spawn(files.follow(moves, accepting.clone()));
    folders.announce(&host_url)?;
    drop(starts);
    info!(%host_url, ready_after = ?begin.elapsed(), "ready");
    let link = api.console_link().inspect_err(|problem| warn!(?problem, "no link to the console")).ok();
    greet(&host_url, &folders, &config_dir, &plugins_dir, link.as_deref());

    let reason = until_the_end(signals, &database, &engines, &configuration).await?;
    info!(reason = reason.as_deref().unwrap_or("asked to"), "stopping");
    folders.withdraw();
    // From here on nothing new begins, in any part.
    accepting.cancel();
    scheduling.cancel();
    let in_flight = async {
        let _ = tokio::join!(server, watcher, trimmer, follower, scheduler.drained(), engines.stop());
    };
    if tokio::time::timeout(IN_FLIGHT, in_flight).await.is_err() {
        warn!(within = ?IN_FLIGHT, "not everything ended in time; what was in flight is cut off, and goes on at the next start");
    }
    running.cancel();
    if tokio::time::timeout(CUT_OFF, runtime.shutdown(CUT_OFF / 2)).await.is_err() {
        error!(within = ?CUT_OFF, "calls of plugins could not be cut off in time");
    }
    close(&database).await;
    reason.map_or(Ok(()), |reason| Err(anyhow!(reason)))
}

async fn close(database: &Database) {
    match tokio::time::timeout(CLOSE, database.close()).await {
        Ok(()) => info!("the store is closed"),
        Err(_) => error!(within = ?CLOSE, "the store could not be closed in time; what was acknowledged is safe"),
    }
}

fn producer_limits(settings: &Settings) -> quarterdeck_bus::Options {
    quarterdeck_bus::Options {
        producer_rate: settings.events.producer_rate,
        producer_burst: settings.events.producer_burst,
    }
}

fn stream_buffer(settings: &Settings) -> usize {
    usize::try_from(settings.events.stream_buffer).unwrap_or(usize::MAX)
}

async fn open_database(settings: &Settings, folders: &Folders, clock: &Arc<dyn Clock>) -> Result<Arc<Database>> {
    let mut options = quarterdeck_storage::Options::new(folders.data.join("store"), clock.clone());
    options.free_space_floor_bytes = settings.storage.free_space_floor_bytes;
    let (after, step) = (settings.storage.thin_samples_after, settings.storage.thin_samples_to);
    let thins = after > Span::ZERO && step > Span::ZERO;
    options.retention = quarterdeck_storage::Retention {
        events: settings.storage.keep_events,
        samples: settings.storage.keep_samples,
        log_bytes: settings.storage.keep_log_bytes,
        thinning: thins.then_some(quarterdeck_storage::Thinning { after, step }),
    };
    options.max_series = settings.storage.max_series;
    options.out_of_order = settings.storage.out_of_order;
    // On one of our threads: those of the store have the turns of the one that starts them, and everybody waits for them.
    let opened =
        tokio::task::spawn_blocking(move || Database::open(options)).await.context("the store's start failed")?;
    opened.with_context(|| format!("failed to open the store in {}", folders.data.display()))
}

struct Parts<'a> {
    settings: &'a Settings,
    folders: &'a Folders,
    plugins_dir: &'a Path,
    database: &'a Arc<Database>,
    clock: &'a Arc<dyn Clock>,
    ids: &'a Arc<IdSource>,
    supervisor: Arc<Supervisor>,
    signs: Arc<vitals::Signs>,
    secrets: Arc<secrets::Sources>,
    address: SocketAddr,
    shutdown: CancellationToken,
    bundled: Wanted,
}

/// Which bundled plugins are wanted, by name.
enum Wanted {
    Only(BTreeSet<String>),
    /// These at the start, the others after it where they have to be compiled.
    All {
        first: BTreeSet<String>,
    },
}

/// Whatever runs on them, or may be asked to, without another word.
fn plugins_in_use(settings: &Settings) -> BTreeSet<String> {
    settings.instances.values().filter(|instance| instance.enabled).map(|instance| instance.plugin.clone()).collect()
}

async fn start_runtime(parts: Parts<'_>) -> Result<Arc<Runtime>> {
    let signs = parts.signs;
    let settings = &parts.settings.runtime;
    let bundled = quarterdeck_bundle::COMPONENTS
        .iter()
        .filter(|component| match &parts.bundled {
            Wanted::Only(only) => only.contains(component.name),
            Wanted::All { .. } => true,
        })
        .map(|component| Bundled {
            name: component.name.to_owned(),
            digest: Digest(component.digest.to_owned()),
            bytes: Cow::Borrowed(component.bytes),
        })
        .collect();
    let doors = quarterdeck_runtime::imports::DoorsOptions {
        store: parts.database.clone(),
        series: parts.database.clone(),
        processes: parts.supervisor,
        secrets: parts.secrets,
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        own_origin: Arc::new(RwLock::new(Some(parts.address))),
        tls_roots: Vec::new(),
        vitals: Arc::new(move || signs.take()),
    };
    let store: Arc<dyn Store> = parts.database.clone();
    let mut options = quarterdeck_runtime::Options::new(
        parts.folders.cache.clone(),
        doors,
        store,
        parts.clock.clone(),
        parts.ids.clone(),
    );
    options.artefacts_dir.clone_from(&parts.folders.artefacts);
    options.journals = Some(parts.database.clone());
    options.plugins_dir = Some(parts.plugins_dir.to_owned());
    options.bundled = bundled;
    if let Wanted::All { first } = parts.bundled {
        options.bundled_first = Some(first);
    }
    options.trust = parts.settings.plugins.clone();
    options.compiler = Compiler::Child {
        program: std::env::current_exe().context("failed to find the daemon's own file")?,
        arguments: vec!["compile-component".to_owned()],
        memory_bytes: settings.compile_memory_bytes,
        timeout: settings.compile_timeout.as_duration(),
    };
    if let Some(threads) = settings.guest_threads {
        options.guest_threads = usize::try_from(threads).unwrap_or(1);
    }
    options.sandboxes = settings.sandboxes;
    options.probation_calls = settings.probation_calls;
    options.quarantine_after = settings.quarantine_after;
    options.shutdown = parts.shutdown;
    Ok(Runtime::start(options).await?)
}

/// Where to look: for a person who has just started it.
fn greet(url: &str, folders: &Folders, config_dir: &Path, plugins_dir: &Path, console: Option<&str>) {
    print_line(&format!("Quarterdeck {} listens on {url}", env!("CARGO_PKG_VERSION")));
    if let Some(path) = console {
        print_line(&format!("  console        {url}{path}"));
        print_line("                 signs in once, within ten minutes; another one: quarterdeck console");
    }
    print_line(&format!("  status         quarterdeck status, or {url}/"));
    print_line(&format!("  API            {url}/api/v1/openapi.json"));
    print_line(&format!("  configuration  {}", config_dir.display()));
    print_line(&format!("  plugins        {}  (drop .wasm files here)", plugins_dir.display()));
    print_line(&format!("  data, token    {}", folders.data.display()));
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// From here on a signal is kept until somebody waits for it.
    fn install() -> Result<Self> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Returns when the daemon is asked to end.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits for a signal (no reason) or for a defect that ends the daemon (the reason).
async fn until_the_end(
    mut signals: Signals,
    database: &Database,
    engines: &Engines,
    configuration: &Configuration,
) -> Result<Option<String>> {
    let mut failed = database.failed();
    loop {
        tokio::select! {
            // A failed store ends the flows, too: it is the reason, and they are what follows.
            biased;
            reason = failed.wait_for(Option::is_some) => {
                let reason = match reason {
                    Ok(reason) => reason.as_ref().map(ToString::to_string),
                    Err(_) => None,
                };
                let reason = reason.unwrap_or_else(|| "it ended by itself".to_owned());
                return Ok(Some(format!("the store has failed: {reason}; what was acknowledged is safe")));
            }
            _ = signals.interrupt.recv() => return Ok(None),
            _ = signals.terminate.recv() => return Ok(None),
            _ = signals.hangup.recv() => {
                for problem in configuration.reload_files("operator").await.err().into_iter().flatten() {
                    error!("{problem}");
                }
            }
            flow = engines.failed() => return Ok(Some(format!("the flow `{flow}` ended by itself"))),
        }
    }
}
