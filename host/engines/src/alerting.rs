//! Alerts to messages, as Alertmanager does it: routed, grouped, held back, told again. Beside `notifications`, which tells of events of
//! every kind one by one.
//!
//! - `route`, `groups`: who is told when; `inhibit`, `silence`, `windows`: what is held back; pure
//! - `posted`: alerts that other programs have made; pure
//! - `message`: the words, and Alertmanager's payload; `explain`: why somebody was told, or was not; pure
//! - `state`: what is in memory, and its documents; `check`: whether a configuration can be worked with
//!
//! One task owns the state. It takes what there is at a time - alerts that were sent here, events of the host's own rules, moments that
//! have come, silences - and makes one record of all that follows, with the notifications and the effects that deliver them. So a
//! restart loses no moment and tells nothing twice, an answer leaves after the fdatasync, and many groups cost one of those. Where
//! the store refuses, the state is read anew: nothing stays in memory that is not on the disk.

mod check;
pub mod explain;
pub mod groups;
pub mod inhibit;
mod key;
pub mod message;
pub mod posted;
pub mod route;
pub mod silence;
mod state;
pub mod windows;

pub use check::{Mistake, check};
pub use explain::Explanation;
pub use key::fingerprint;
pub use state::{Preview, Shown, ShownGroup, WindowStatus};

use crate::place::Place;
use crate::results::STORE_AGAIN;
use crate::{Asked, Context, Error, Tasks};
use posted::Incoming;
use quarterdeck_bus::Consumer;
use quarterdeck_model::domain::alert::Alert;
use quarterdeck_model::domain::alerting::{AlertingSpec, Matcher};
use quarterdeck_model::domain::silence::Silence;
use quarterdeck_model::event::{EventFilter, Offset};
use quarterdeck_model::store::{EventBatch, StoreError};
use quarterdeck_model::{Span, Timestamp};
use silence::{Draft, Refusal};
use state::{Reply, State};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

/// Name of the durable consumer.
pub const CONSUMER: &str = "alerting";
const EVENTS: [&str; 4] = [Alert::FIRING, "alert.updated", Alert::RESOLVED, "alert.acknowledged"];
const BATCH: usize = 256;
/// Alerts and orders that are taken into one record, groups that are looked at in one, and alerts that end in one.
const AT_ONCE: usize = 256;
/// The clock may be set: nobody sleeps for longer.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// What somebody wants done. The answer is sent when it is durable.
pub(crate) enum Command {
    Post(Vec<Incoming>, oneshot::Sender<Result<(), Error>>),
    SetSilence(Draft, String, oneshot::Sender<Result<Result<Silence, Refusal>, Error>>),
    ExpireSilence(String, String, oneshot::Sender<Result<Result<Silence, Refusal>, Error>>),
    Acknowledge { id: String, by: String, until: Option<Timestamp>, done: oneshot::Sender<Result<(), Error>> },
    Resolve { id: String, by: String, done: oneshot::Sender<Result<(), Error>> },
}

impl Command {
    /// About how much is to be written for it.
    fn size(&self) -> usize {
        if let Command::Post(alerts, _) = self { alerts.len().max(1) } else { 1 }
    }
}

struct Shared {
    context: Context,
    state: Mutex<State>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl Handle {
    /// Takes alerts in that another program has made, and that [`posted::check`] accepted. Durable on return.
    ///
    /// # Errors
    /// The store's.
    pub async fn post(&self, alerts: Vec<Incoming>) -> Result<(), Error> {
        if alerts.is_empty() {
            return Ok(());
        }
        self.ask(|done| Command::Post(alerts, done)).await?
    }

    /// Makes a silence, or changes the one of its id.
    ///
    /// # Errors
    /// The store's; what is wrong with it is inside.
    pub async fn set_silence(&self, draft: Draft, principal: &str) -> Result<Result<Silence, Refusal>, Error> {
        self.ask(|done| Command::SetSilence(draft, principal.to_owned(), done)).await?
    }

    /// Ends a silence. Doing it again changes nothing.
    ///
    /// # Errors
    /// The store's; that there is none is inside.
    pub async fn expire_silence(&self, id: &str, principal: &str) -> Result<Result<Silence, Refusal>, Error> {
        self.ask(|done| Command::ExpireSilence(id.to_owned(), principal.to_owned(), done)).await?
    }

    /// Says that somebody has seen an alert: it is not told again until it ends, or until that time. Of an alert of the host's
    /// own rules only the time is kept here; `monitoring` does the rest.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], and [`Error::Conflict`] for an alert that is over.
    pub async fn acknowledge(&self, id: &str, until: Option<Timestamp>, asked: Asked<'_>) -> Result<(), Error> {
        self.check_revision(id, asked)?;
        let (id, by) = (id.to_owned(), asked.principal.to_owned());
        self.ask(|done| Command::Acknowledge { id, by, until, done }).await?
    }

    /// Ends an alert that was sent here. Sent again, it begins anew.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`].
    pub async fn resolve(&self, id: &str, asked: Asked<'_>) -> Result<(), Error> {
        self.check_revision(id, asked)?;
        let (id, by) = (id.to_owned(), asked.principal.to_owned());
        self.ask(|done| Command::Resolve { id, by, done }).await?
    }

    /// Whether the alert was made by another program.
    pub fn is_posted(&self, id: &str) -> bool {
        self.0.state().is_posted(id)
    }

    pub fn silences(&self) -> Vec<Silence> {
        let now = self.0.context.now();
        self.0.state().machine.silences.sorted(now).into_iter().cloned().collect()
    }

    pub fn silence(&self, id: &str) -> Option<Silence> {
        self.0.state().machine.silences.get(id).cloned()
    }

    /// What a silence would match now.
    pub fn preview(&self, matchers: &[Matcher]) -> Preview {
        self.0.state().preview(matchers)
    }

    /// Alerts that fire, by fingerprint.
    pub fn alerts(&self) -> Vec<Shown> {
        let now = self.0.context.now();
        self.0.state().alerts(now)
    }

    /// Groups, by their labels and receivers.
    pub fn groups(&self) -> Vec<ShownGroup> {
        let now = self.0.context.now();
        self.0.state().groups(now)
    }

    /// Planned work, by name.
    pub fn maintenance(&self) -> Vec<WindowStatus> {
        let now = self.0.context.now();
        self.0.state().maintenance(now)
    }

    /// Why somebody was told of an alert, or was not; `None` where there is no such alert.
    ///
    /// # Errors
    /// The store's.
    pub fn explain(&self, id: &str) -> Result<Option<Explanation>, Error> {
        let context = &self.0.context;
        let told = self.0.state().explain(id, context.now());
        explain::complete(context, id, told)
    }

    /// The configuration in force.
    pub fn spec(&self) -> Arc<AlertingSpec> {
        self.0.state().machine.spec.clone()
    }

    /// An acknowledged revision that somebody has seen.
    fn check_revision(&self, id: &str, asked: Asked<'_>) -> Result<(), Error> {
        match self.0.context.find(Alert::COLLECTION, id)? {
            Some(document) => asked.check(id, document.revision),
            None => Err(Error::not_found(format!("alert `{id}`"))),
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Error> {
        let (done, answer) = oneshot::channel();
        let closed = || Error::Store(StoreError::Closed);
        self.0.commands.send(command(done)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }
}

pub(crate) async fn start(context: &Context, tasks: &mut Tasks) -> Result<Handle, Error> {
    let is_new = context.store.cursor(CONSUMER)? == Offset(0);
    // Looked at before the documents: what comes after it is read as an event too.
    let head = context.store.head();
    let state = State::load(context)?;
    let mut consumer = context.bus.consumer(CONSUMER, EventFilter::types(EVENTS))?;
    if is_new {
        // The alerts that there are say all; the past was told by others.
        consumer.seek(head);
    }
    let (commands, orders) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared { context: context.clone(), state: Mutex::new(state), commands });
    tasks.spawn("alerting", run(shared.clone(), orders, consumer));
    Ok(Handle(shared))
}

/// What is to be done at once.
#[derive(Default)]
struct Work {
    commands: Vec<Command>,
    events: Option<EventBatch>,
    configure: Option<Arc<AlertingSpec>>,
}

async fn run(shared: Arc<Shared>, mut orders: mpsc::UnboundedReceiver<Command>, mut consumer: Consumer) {
    let context = &shared.context;
    let mut place = Place::new(CONSUMER, consumer.position());
    let mut catalog = context.catalog.clone();
    loop {
        let now = context.now();
        let next = shared.state().next();
        let sleep = next.map_or(LONGEST_SLEEP, |next| next.since(now).as_duration().min(LONGEST_SLEEP));
        let mut work = Work::default();
        tokio::select! {
            () = context.shutdown.cancelled() => return place.write(context).await,
            command = orders.recv() => work.commands.extend(command),
            batch = consumer.next(BATCH) => match batch {
                Ok(batch) => work.events = Some(batch),
                Err(error) => return error!(%error, "alerting can't follow the bus"),
            },
            changed = catalog.changed() => match changed {
                Ok(()) => work.configure = Some(Arc::new(catalog.borrow_and_update().alerting.clone())),
                Err(_) => return place.write(context).await,
            },
            () = place.due() => {
                place.write(context).await;
                continue;
            }
            () = tokio::time::sleep(sleep) => {}
        }
        let mut size: usize = work.commands.iter().map(Command::size).sum();
        while size < AT_ONCE {
            let Ok(command) = orders.try_recv() else { break };
            size += command.size();
            work.commands.push(command);
        }
        let handled = work.events.as_ref().map(|batch| batch.next);
        if let Err(error) = step(&shared, work, &mut place).await {
            warn!(%error, "alerts could not be told; tried again");
            loop {
                let again = tokio::select! {
                    () = context.shutdown.cancelled() => return,
                    again = async { tokio::time::sleep(STORE_AGAIN).await; reload(context) } => again,
                };
                match again {
                    Ok((state, position)) => {
                        *shared.state() = state;
                        if handled.is_some() {
                            consumer.seek(position);
                        }
                        break;
                    }
                    Err(Error::Store(StoreError::Closed)) => return,
                    Err(error) => warn!(%error, "alerting can't read its documents; tried again"),
                }
            }
        }
    }
}

fn reload(context: &Context) -> Result<(State, Offset), Error> {
    Ok((State::load(context)?, context.store.cursor(CONSUMER)?))
}

/// One record of all that follows from what there is.
async fn step(shared: &Shared, work: Work, place: &mut Place) -> Result<(), StoreError> {
    let context = &shared.context;
    let now = context.now();
    let mut replies: Vec<Reply> = Vec::new();
    let decided = {
        let mut state = shared.state();
        if let Some(spec) = work.configure.filter(|spec| **spec != *state.machine.spec) {
            state.machine.configure(spec, now);
        }
        state.decide(context, work.commands, work.events.as_ref(), &mut replies, now, AT_ONCE)
    };
    let next = work.events.map(|batch| batch.next);
    let committed = match decided {
        Ok(transition) if transition.is_empty() && replies.is_empty() => {
            if let Some(next) = next {
                place.handled(next);
            }
            return Ok(());
        }
        Ok(transition) => {
            let transition = match next {
                Some(next) => transition.ack(CONSUMER, next),
                None => transition,
            };
            context.commit(transition).await.map(|_| ())
        }
        Err(error) => Err(error),
    };
    if let (Ok(()), Some(next)) = (&committed, next) {
        place.acknowledged(next);
    }
    for reply in replies {
        reply(committed.clone());
    }
    committed
}

/// Which acknowledgement ends when, for those who ask for a span.
pub fn until(now: Timestamp, span: Option<Span>) -> Option<Timestamp> {
    span.map(|span| now.plus(span))
}

#[cfg(test)]
mod tests;
