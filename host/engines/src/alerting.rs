//! Alerts to messages, as Alertmanager does it: routed, grouped, held back, told again. Beside `notifications`, which tells of events of
//! every kind one by one.
//!
//! - `route`, `groups`: who is told when; `inhibit`, `silence`, `windows`: what is held back; pure
//! - `posted`: alerts that other programs have made; pure
//! - `message`: the words, and Alertmanager's payload; `explain`: why somebody was told, or was not; `past`: what became of alerts that
//!   are over; pure
//! - `state`: what is in memory, and its documents; `record`: what is to be written, and how large it is; `deliver`: a message to a
//!   receiver; `check`: whether a configuration can be worked with
//!
//! One task owns the state. It takes what there is at a time - alerts that were sent here, events of the host's own rules, moments that
//! have come, silences - and makes one record of all that follows, with the notifications and the effects that deliver them. So a
//! restart loses no moment and tells nothing twice, an answer leaves after the fdatasync, and many groups cost one of those. Where
//! the store refuses, the state is read anew: nothing stays in memory that is not on the disk.
//!
//! A record has an end. Where more follows, it is cut: a message and what is known of its groups by it stay together, the rest is written by
//! the next record at once, and what was taken in is answered and acknowledged by the last one. Where the store says that a record can't be
//! kept, whatever is in it is taken one by one; a message that it does not take even so is put aside, and its group goes on.

mod check;
mod deliver;
pub mod explain;
pub mod groups;
pub mod inhibit;
mod key;
pub mod message;
pub mod past;
pub mod posted;
mod record;
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
use quarterdeck_model::domain::notification::Notification;
use quarterdeck_model::domain::silence::Silence;
use quarterdeck_model::event::{EventFilter, Offset};
use quarterdeck_model::store::{EventBatch, StoreError};
use quarterdeck_model::{Span, Timestamp};
use record::{ENOUGH, Record};
use silence::{Draft, Refusal, Still};
use state::{Next, State, Waiting};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

/// Name of the durable consumer.
pub const CONSUMER: &str = "alerting";
const EVENTS: [&str; 7] = [
    Alert::FIRING,
    "alert.updated",
    Alert::RESOLVED,
    "alert.acknowledged",
    Notification::FAILED,
    Notification::FALLEN_BACK,
    Notification::DIGESTED,
];
const BATCH: usize = 256;
/// Alerts and orders that are taken into one record, and alerts that end in one.
const AT_ONCE: usize = 256;
/// Looks at groups, and messages about them, that one record holds at most. Whoever waits for the disk seldom tells the most; but what is in
/// a record is in memory until all that read along have taken it, several times as large as it is written.
const LOOKS: usize = 512;
/// After so many of them others have a turn.
const TURN: usize = 32;
/// The clock may be set: nobody sleeps for longer.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

type SilenceDone = oneshot::Sender<Result<Result<Silence, Refusal>, Error>>;

/// What somebody wants done. The answer is sent when it is durable.
pub(crate) enum Command {
    Post(VecDeque<Incoming>, oneshot::Sender<Result<(), Error>>),
    SetSilence { draft: Draft, still: Option<Still>, by: String, done: SilenceDone },
    ExpireSilence { id: String, still: Option<Still>, by: String, done: SilenceDone },
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
        self.ask(|done| Command::Post(alerts.into(), done)).await?
    }

    /// Makes a silence, or changes the one of its id: as it was seen (`still`), or not at all. `None`: whatever it is.
    ///
    /// # Errors
    /// The store's; what is wrong with it is inside.
    pub async fn set_silence(
        &self,
        draft: Draft,
        still: Option<Still>,
        principal: &str,
    ) -> Result<Result<Silence, Refusal>, Error> {
        let by = principal.to_owned();
        self.ask(|done| Command::SetSilence { draft, still, by, done }).await?
    }

    /// Ends a silence, as it was seen (`still`). Doing it again changes nothing.
    ///
    /// # Errors
    /// The store's; that there is none is inside.
    pub async fn expire_silence(
        &self,
        id: &str,
        still: Option<Still>,
        principal: &str,
    ) -> Result<Result<Silence, Refusal>, Error> {
        let (id, by) = (id.to_owned(), principal.to_owned());
        self.ask(|done| Command::ExpireSilence { id, still, by, done }).await?
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

    /// Where an alert was made: with this host's own address for those of its rules.
    pub fn generator_url(&self, alert: &Alert) -> String {
        message::generator_url(alert, &self.0.context.public_url)
    }

    /// Alerts that fire, by fingerprint.
    pub fn alerts(&self) -> Vec<Shown> {
        let now = self.0.context.now();
        self.0.state().alerts(now)
    }

    /// Those of these alerts that fire.
    pub fn alerts_of<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Vec<Shown> {
        let now = self.0.context.now();
        self.0.state().alerts_of(ids, now)
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
        let (context, now) = (&self.0.context, self.0.context.now());
        let known = self.0.state().explain(id, now);
        let explained = match known {
            Some(known) => Some(known),
            // The state is not held while a document is read.
            None => match context.read::<Alert>(Alert::COLLECTION, id)? {
                Some(alert) => Some(self.0.state().explain_alert(&alert, now)),
                None => self.0.state().explain_past(id),
            },
        };
        explained.map(|explained| explain::complete(context, explained)).transpose()
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

/// What a step may do.
pub(crate) struct Limits {
    /// Orders and moments are taken in up to so many bytes of the record: the rest is for what follows from them.
    pub(crate) taken_in: usize,
    /// Alerts that end.
    pub(crate) at_once: usize,
    /// The store has refused a record, and not for want of room: each thing goes by itself, so that one of them does not keep the others.
    pub(crate) is_careful: bool,
}

/// A message, as far as it matters which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct About {
    receiver: String,
    group_key: String,
}

/// How much is put into a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Care {
    #[default]
    Usual,
    OneByOne,
    /// This message can't be kept.
    PutAside {
        about: About,
        reason: String,
    },
}

impl Care {
    fn limits(&self) -> Limits {
        match self {
            Care::Usual => Limits { taken_in: ENOUGH / 2, at_once: AT_ONCE, is_careful: false },
            Care::OneByOne | Care::PutAside { .. } => Limits { taken_in: 1, at_once: 1, is_careful: true },
        }
    }

    /// Why it is to be put aside.
    fn put_aside(&self, message: &About) -> Option<&str> {
        match self {
            Care::PutAside { about, reason } if about == message => Some(reason),
            _ => None,
        }
    }

    /// After a record that was refused. `message`: what was told in it.
    fn refused(self, error: &StoreError, message: Option<About>) -> Self {
        match (self, error, message) {
            (Care::Usual, StoreError::Invalid(_), _) => Care::OneByOne,
            (Care::OneByOne | Care::PutAside { .. }, StoreError::Invalid(reason), Some(about)) => {
                Care::PutAside { about, reason: reason.clone() }
            }
            (care, _, _) => care,
        }
    }

    /// After one that was kept. `is_done`: nothing else is due.
    fn kept(self, message: Option<&About>, is_done: bool) -> Self {
        match self {
            Care::PutAside { about, .. } if is_done || message == Some(&about) => Care::OneByOne,
            Care::OneByOne if is_done => Care::Usual,
            care => care,
        }
    }
}

async fn run(shared: Arc<Shared>, mut orders: mpsc::UnboundedReceiver<Command>, mut consumer: Consumer) {
    let context = &shared.context;
    let mut place = Place::new(CONSUMER, consumer.position());
    let mut catalog = context.catalog.clone();
    let mut waiting = Waiting::default();
    let mut care = Care::default();
    loop {
        let mut work = Work::default();
        // What did not fit into the last record comes before anything new.
        if !waiting.is_something_left(&shared.state()) {
            let now = context.now();
            let next = shared.state().next_at();
            let sleep = next.map_or(LONGEST_SLEEP, |next| next.since(now).as_duration().min(LONGEST_SLEEP));
            tokio::select! {
                () = context.shutdown.cancelled() => return place.write(context).await,
                command = orders.recv() => waiting.commands.extend(command),
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
            let mut size: usize = waiting.commands.iter().map(Command::size).sum();
            while size < AT_ONCE {
                let Ok(command) = orders.try_recv() else { break };
                size += command.size();
                waiting.commands.push_back(command);
            }
        } else if context.shutdown.is_cancelled() {
            return;
        }
        let mut message = None;
        let Err(error) = step(&shared, work, &mut waiting, &mut place, &care, &mut message).await else {
            let now = context.now();
            let mut state = shared.state();
            let is_done = !waiting.is_something_left(&state) && state.next_at().is_none_or(|next| next > now);
            care = care.kept(message.as_ref(), is_done);
            continue;
        };
        warn!(%error, "alerts could not be told; tried again");
        care = care.refused(&error, message);
        let is_unacknowledged = waiting.unacknowledged.is_some();
        waiting.fail(&error);
        loop {
            let again = tokio::select! {
                () = context.shutdown.cancelled() => return,
                again = async { tokio::time::sleep(STORE_AGAIN).await; reload(context) } => again,
            };
            match again {
                Ok((state, position)) => {
                    *shared.state() = state;
                    if is_unacknowledged {
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

fn reload(context: &Context) -> Result<(State, Offset), Error> {
    Ok((State::load(context)?, context.store.cursor(CONSUMER)?))
}

/// What has come.
#[derive(Default)]
struct Work {
    events: Option<EventBatch>,
    configure: Option<Arc<AlertingSpec>>,
}

/// One record of what follows from what there is, as much as fits. The state is held for as long as memory is looked at, and no longer.
async fn step(
    shared: &Shared,
    work: Work,
    waiting: &mut Waiting,
    place: &mut Place,
    care: &Care,
    message: &mut Option<About>,
) -> Result<(), StoreError> {
    let (context, now, limits) = (&shared.context, shared.context.now(), care.limits());
    let mut record = Record::default();
    {
        let mut state = shared.state();
        state.look_at_clock(now);
        if let Some(spec) = work.configure.filter(|spec| **spec != *state.machine.spec) {
            state.machine.configure(spec, now);
        }
        if let Some(batch) = &work.events {
            state.follow(batch, now);
            waiting.unacknowledged = Some(batch.next);
        }
        state.take_in(context, waiting, &mut record, &limits, now)?;
    }
    let may_look = !waiting.begun;
    for looks in 1..=LOOKS {
        if looks.is_multiple_of(TURN) {
            tokio::task::yield_now().await;
        }
        let next = shared.state().advance(&mut record, may_look, &limits, now)?;
        let (tell, notify) = match next {
            Next::Tell(tell, notify) => (tell, notify),
            Next::Again(due) => {
                let sent = deliver::again(context, &due)?;
                shared.state().told_again(&due, sent, &mut record)?;
                continue;
            }
            Next::Looked => continue,
            Next::Nothing => break,
        };
        let about = About { receiver: tell.receiver.clone(), group_key: tell.group_key.clone() };
        let (tell, sent) = match care.put_aside(&about) {
            Some(reason) => {
                let sent = deliver::put_aside(context, &tell, reason);
                (*tell, sent)
            }
            None => deliver::tell(context, *tell, &notify, now)?,
        };
        *message = Some(about);
        shared.state().told(&tell, sent, &mut record, now)?;
        if limits.is_careful {
            break;
        }
    }
    let is_done = shared.state().is_kept();
    if let Some(next) = waiting.unacknowledged.filter(|_| is_done) {
        if record.is_empty() && waiting.replies.is_empty() {
            place.handled(next);
            waiting.unacknowledged = None;
            return Ok(());
        }
        record.ack(CONSUMER, next);
    }
    if record.is_empty() && waiting.replies.is_empty() {
        return Ok(());
    }
    context.commit(record.into_transition()).await?;
    if is_done {
        if let Some(next) = waiting.unacknowledged.take() {
            place.acknowledged(next);
        }
        waiting.replies.drain(..).for_each(|reply| reply(Ok(())));
    }
    Ok(())
}

/// Which acknowledgement ends when, for those who ask for a span.
pub fn until(now: Timestamp, span: Option<Span>) -> Option<Timestamp> {
    span.map(|span| now.plus(span))
}

#[cfg(test)]
mod tests;
