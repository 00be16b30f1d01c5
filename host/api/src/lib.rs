//! HTTP: everything that Quarterdeck can do, under `/api/v1`, and the pages for machines (`/healthz`, `/readyz`, `/metrics`).
//!
//! Not here: logic. A handler translates: the request into a question to the store or an order to an engine, the answer into
//! JSON, an error into a problem document.
//!
//! Layout
//! - `resources::*`: a file per resource
//! - `prometheus`: the same series, rules and alerts in the form of Prometheus's API, under `/prometheus/api/v1`
//! - `otlp`: metrics of OpenTelemetry, under `/otlp`; `samples`: what it and remote write share
//! - `alertmanager`: alerts and silences in the form of Alertmanager's API, under `/alertmanager/api/v2`
//! - `document`: the OpenAPI document, made from the handlers; `schema`: the schemas of what they take and give
//! - `gate`: what every request passes: `security`, the body's `intake`, `idempotency`, counting
//! - `console`: the pages for people, under `/console`
//! - `glances`: what counts, lists and the search need of all documents of a kind, in memory
//! - `unreadable`: what is in the store and can't be read
//! - `problem`, `paging`, `extract`, `precondition`: what handlers share
//! - `configuration`: the port to the configuration in force
//! - `server`: connections, their limits, and the end of them
//!
//! # Add an endpoint
//! 1. Write the handler in `resources/<noun>.rs` with a `#[utoipa::path]`. Its name is the operation's id. Responses are
//!    named as `body = ref(of::<Type>())`, requests as `ref(taken::<Type>())`; the types derive `schemars::JsonSchema`. Errors and
//!    the token need not be mentioned: `document` adds them.
//! 2. List it in that file's `routes()`, and a new file in `resources::api`. A route that is not listed does not exist, and
//!    a parameter that is not declared is refused.
//! 3. `tests/` checks every answer against the document, its headers too. A test there fails as long as an operation was never
//!    asked: what only reads is asked by itself, add a request where it changes something.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

mod alertmanager;
mod configuration;
mod console;
mod document;
mod extract;
mod gate;
mod glances;
mod idempotency;
mod intake;
mod otlp;
mod paging;
mod precondition;
mod problem;
mod prometheus;
mod requests;
mod resources;
mod samples;
mod schema;
mod security;
mod server;
mod unreadable;

pub use configuration::{
    Configuration, IfMatch, Kept, Object, Order, Refused, Restored, Said, Standing, Version, WORDS,
};
pub use problem::{Mistake, Problem};
pub use prometheus::Limits as QueryLimits;
pub use server::serve;

use axum::Router;
use quarterdeck_engines::Engines;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::decisions::Decisions;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::Registry;
use quarterdeck_model::plugin::files::PluginFiles;
use quarterdeck_model::process::Processes;
use quarterdeck_model::series::Series;
use quarterdeck_model::series::query::Querier;
use quarterdeck_model::store::Store;
use quarterdeck_model::{Span, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Lines in Prometheus's exposition format.
pub type MetricsPage = Arc<dyn Fn() -> String + Send + Sync>;

pub struct Options {
    pub store: Arc<dyn Store>,
    pub series: Arc<dyn Series>,
    pub querier: Arc<dyn Querier>,
    /// What queries in PromQL may cost.
    pub queries: QueryLimits,
    pub bus: quarterdeck_bus::Bus,
    pub registry: Arc<dyn Registry>,
    pub decisions: Arc<dyn Decisions>,
    pub files: Arc<dyn PluginFiles>,
    pub processes: Arc<dyn Processes>,
    pub engines: Arc<Engines>,
    pub scheduler: quarterdeck_scheduler::Handle,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<IdSource>,
    pub started_at: Timestamp,
    pub version: &'static str,
    /// What changes anything needs it. `None`: anyone who reaches the listener may change everything.
    pub token: Option<String>,
    /// Names by which this host may be reached, beside loopback ones; with or without a port.
    pub allowed_hosts: Vec<String>,
    /// Reading needs the token under loopback names, too: a proxy may be in front.
    pub reads_need_token: bool,
    /// Bytes of a request's body. See [`BODY_LIMIT`].
    pub body_limit: usize,
    /// Events that wait for a slow stream. See [`STREAM_BUFFER`]. A change holds for streams that begin later.
    pub stream_buffer: Arc<AtomicUsize>,
    /// How long a stream's buffer may stay full before the client is cut off. An event may wait six times as long. See [`STALL`].
    pub stall: Span,
    pub configuration: Arc<dyn Configuration>,
    /// Further lines for `/metrics`.
    pub metrics_page: MetricsPage,
    /// Ends event streams, so that connections can end.
    pub shutdown: CancellationToken,
}

pub const BODY_LIMIT: usize = 1 << 20;
pub const STREAM_BUFFER: usize = 1024;
pub const STALL: Span = Span::from_secs(10);
/// Event streams at once: a page of the console that is looked at holds one. What waits for all of them together is bounded in `stream`.
const STREAMS: usize = 2_048;
/// Components that are taken in at once: each is held in memory as a whole.
const UPLOADS: usize = 2;
/// Ranges of series that are read at once.
const RANGES: usize = 4;

/// What the handlers work with.
pub struct Api {
    options: Options,
    requests: requests::Requests,
    console: console::State,
    glances: glances::Glances,
    /// Which documents that can't be read were logged.
    unreadable: Arc<unreadable::Told>,
    idempotency: idempotency::Keys,
    /// Changes under way: a client that hangs up does not stop one half-way.
    tasks: TaskTracker,
    streams: Arc<Semaphore>,
    /// Bytes that may still wait for streams.
    stream_bytes: Arc<Semaphore>,
    /// Ranges of series that may still be read at once.
    ranges: Arc<Semaphore>,
    /// Queries that may still be evaluated at once.
    queries: Arc<Semaphore>,
    samples: samples::Intake,
    alerts: alertmanager::Posts,
    producers: resources::events::Producers,
    /// Components that may still be taken in at once.
    uploads: Semaphore,
    /// Streams that were too slow.
    cut_off: Arc<AtomicU64>,
}

impl Api {
    pub fn new(options: Options) -> Self {
        let unreadable: Arc<unreadable::Told> = Arc::default();
        Api {
            queries: Arc::new(Semaphore::new(options.queries.at_once)),
            options,
            requests: requests::Requests::default(),
            console: console::State::default(),
            glances: glances::Glances::new(&unreadable),
            unreadable,
            idempotency: idempotency::Keys::default(),
            tasks: TaskTracker::new(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            stream_bytes: Arc::new(Semaphore::new(resources::stream::ALL_BYTES)),
            ranges: Arc::new(Semaphore::new(RANGES)),
            samples: samples::Intake::default(),
            alerts: alertmanager::Posts::default(),
            producers: resources::events::Producers::default(),
            uploads: Semaphore::new(UPLOADS),
            cut_off: Arc::default(),
        }
    }

    /// Where somebody signs in to the console, once and within ten minutes: path and query, to be put behind the address under which the
    /// host is reached.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn console_link(&self) -> Result<String, Problem> {
        console::session::link(self).map(|code| format!("/console/sign-in?code={code}"))
    }

    fn now(&self) -> Timestamp {
        self.options.clock.now()
    }
}

/// All routes, with everything that a request passes on its way.
pub fn router(api: Arc<Api>) -> Router {
    let (router, _) = resources::all().split_for_parts();
    router
        .merge(console::routes(&api))
        .fallback(resources::no_route)
        .method_not_allowed_fallback(resources::no_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&api), gate::gate))
        .with_state(api)
}

/// The API's document, OpenAPI 3.1 in JSON.
pub fn openapi() -> String {
    document::document().text.clone()
}
