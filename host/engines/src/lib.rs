//! The flows of the domain: a module each, a pure state machine with a thin shell around it.
//!
//! The machines read no clock and do no I/O: `(state, input, now) -> (state', events, effects)`. The shells hand in
//! what the ports of the model give, and commit what comes out as one record. Flows never call one another: they meet on the
//! bus, through documents, and through the outbox, which carries out what they want done.
//!
//! Not here: plugins (seen only through the ports in `quarterdeck_model::kind`), storage, HTTP.
//!
//! Layout
//! - `context`: the ports, and the loop of reading, deciding and committing that all shells share; `asked`: who asks for a change
//! - `outbox`: carries out effects under the contract of `quarterdeck_model::effect`
//! - `monitoring`: collectors, rules, alerts
//! - `slos`: objectives; `failing`: rules and objectives whose questions are asked in vain
//! - `incidents`: alerts and findings gathered into what people work on
//! - `notifications`: events to messages; `alerting`: alerts to messages, grouped, as Alertmanager does it
//! - `runbooks`, `scans`, `deployments`
//! - `started`: which run an event starts; `size`: how large something is as JSON; `shorten`: a message
//!   that is too large
//! - `retention`: forgets what ended long ago; `letters`: what was given up on, counted and taken up again

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

pub mod alerting;
mod asked;
mod context;
pub mod deployments;
mod error;
mod failing;
pub mod incidents;
pub mod letters;
pub mod monitoring;
pub mod notifications;
pub mod outbox;
mod place;
mod results;
mod retention;
pub mod runbooks;
pub mod scans;
mod shorten;
mod size;
pub mod slos;
mod started;
mod tasks;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use asked::Asked;
pub use context::{Context, belongings, to_json, to_value, write};
pub use error::Error;
pub use tasks::Tasks;

use quarterdeck_model::clock::Clock;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::fetch::Fetch;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::kind::Plugins;
use quarterdeck_model::plugin::Registry;
use quarterdeck_model::series::Series;
use quarterdeck_model::series::ingest::Ingest;
use quarterdeck_model::series::query::Querier;
use quarterdeck_model::store::Store;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;

/// How long [`Engines::stop`] waits for calls in flight.
/// A little longer than the outbox waits for its own.
const STOP_WITHIN: Duration = Duration::from_millis(3_100);

pub struct Options {
    pub store: Arc<dyn Store>,
    pub series: Arc<dyn Series>,
    pub ingest: Arc<dyn Ingest>,
    pub querier: Arc<dyn Querier>,
    pub bus: quarterdeck_bus::Bus,
    pub scheduler: quarterdeck_scheduler::Handle,
    pub plugins: Plugins,
    pub registry: Arc<dyn Registry>,
    pub fetch: Arc<dyn Fetch>,
    /// Where samples are scraped from.
    pub outside: monitoring::scrape::Outside,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<IdSource>,
    pub catalog: Catalog,
    /// Where people reach this host, without a slash at the end: `http://127.0.0.1:7700`.
    pub public_url: String,
    pub outbox: outbox::Options,
    /// Cancelled from outside or by [`Engines::stop`].
    pub shutdown: CancellationToken,
}

impl Options {
    /// The context of flows, the way to change its catalog, and the other end of its outlet to the outbox.
    pub(crate) fn into_context(self) -> (Context, watch::Sender<Arc<Catalog>>, outbox::Inlet, outbox::Options) {
        let (catalog, receiver) = watch::channel(Arc::new(self.catalog));
        let (outlet, inlet) = outbox::channel();
        let context = Context {
            store: self.store,
            series: self.series,
            ingest: self.ingest,
            querier: self.querier,
            bus: self.bus,
            scheduler: self.scheduler,
            plugins: self.plugins,
            registry: self.registry,
            fetch: self.fetch,
            outside: self.outside,
            clock: self.clock,
            ids: self.ids,
            catalog: receiver,
            public_url: self.public_url,
            shutdown: self.shutdown.child_token(),
            outlet,
            lately: Arc::default(),
        };
        (context, catalog, inlet, self.outbox)
    }
}

/// All flows at work.
pub struct Engines {
    pub monitoring: monitoring::Handle,
    pub slos: slos::Handle,
    pub notifications: notifications::Handle,
    pub alerting: alerting::Handle,
    pub incidents: incidents::Handle,
    pub runbooks: runbooks::Handle,
    pub scans: scans::Handle,
    pub deployments: deployments::Handle,
    pub letters: letters::Handle,
    pub outbox: outbox::Handle,
    catalog: watch::Sender<Arc<Catalog>>,
    shutdown: CancellationToken,
    stopped: Mutex<Option<oneshot::Receiver<()>>>,
    failed: watch::Receiver<Option<&'static str>>,
}

impl Engines {
    /// Starts every flow where it was.
    ///
    /// # Errors
    /// Where the store can't be read.
    pub async fn start(options: Options) -> Result<Engines, Error> {
        let (context, catalog, inlet, outbox) = options.into_context();
        let mut tasks = Tasks::default();
        // Those that listen start before the outbox, whose results they wait for; all of them resume from cursors anyhow.
        let notifications = notifications::start(&context, &mut tasks).await?;
        let alerting = alerting::start(&context, &mut tasks).await?;
        let incidents = incidents::start(&context, &mut tasks).await?;
        let runbooks = runbooks::start(&context, &mut tasks).await?;
        let deployments = deployments::start(&context, &mut tasks).await?;
        let scans = scans::start(&context, &mut tasks).await?;
        let slos = slos::start(&context, &mut tasks).await?;
        let monitoring = monitoring::start(&context, &mut tasks).await?;
        retention::start(&context, &mut tasks);
        failing::start(&context, &mut tasks);
        let letters = letters::start(&context, &mut tasks);
        let outbox = outbox::start(&context, inlet, outbox, &mut tasks).await?;
        let (ended, stopped) = oneshot::channel();
        let (report, failed) = watch::channel(None);
        tokio::spawn(supervise(tasks, context.shutdown.clone(), report, ended));
        Ok(Engines {
            monitoring,
            slos,
            notifications,
            alerting,
            incidents,
            runbooks,
            scans,
            deployments,
            letters,
            outbox,
            catalog,
            shutdown: context.shutdown,
            stopped: Mutex::new(Some(stopped)),
            failed,
        })
    }

    /// Puts another catalog in force. What is in flight goes on as it began.
    pub fn apply(&self, catalog: Catalog) {
        self.catalog.send_replace(Arc::new(catalog));
    }

    /// The catalog in force.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.borrow().clone()
    }

    /// Resolves, with the flow's name, when a flow has ended although nobody stopped it: a defect, or a store that failed.
    /// The host can't do its work any more then and should end.
    pub async fn failed(&self) -> &'static str {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await.map(|name| *name) {
            Ok(Some(name)) => name,
            _ => std::future::pending().await,
        }
    }

    /// Ends every flow, and waits for calls in flight for a few seconds. What is not finished by then goes on at the next
    /// start. Calling it again does nothing.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stopped) = stopped {
            // An error means that the task is gone, which is what is waited for.
            let _ = stopped.await;
        }
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Owns the flows' tasks from start to end. Is itself bounded by the shutdown, which dropping the engines cancels.
async fn supervise(
    mut tasks: Tasks,
    shutdown: CancellationToken,
    report: watch::Sender<Option<&'static str>>,
    ended: oneshot::Sender<()>,
) {
    loop {
        let name = tokio::select! {
            () = shutdown.cancelled() => break,
            name = tasks.next_ended() => name,
        };
        match name {
            Some(name) if !shutdown.is_cancelled() => {
                error!(flow = name, "a flow has ended by itself");
                report.send_replace(Some(name));
            }
            Some(_) => {}
            None => {
                shutdown.cancelled().await;
                break;
            }
        }
    }
    tasks.join(STOP_WITHIN).await;
    // Nobody may be waiting.
    let _ = ended.send(());
}
