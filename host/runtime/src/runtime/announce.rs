//! Tells the log what became of plugins and instances: in the background, in order.

use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::Event;
use quarterdeck_model::id::IdSource;
use quarterdeck_model::plugin::PluginRef;
use quarterdeck_model::store::Store;
use quarterdeck_model::transition::Transition;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

pub(super) const PLUGIN_LOADED: &str = "plugin.loaded";
pub(super) const PLUGIN_REFUSED: &str = "plugin.refused";
pub(super) const PLUGIN_REPLACED: &str = "plugin.replaced";
pub(super) const PLUGIN_RETIRED: &str = "plugin.retired";
pub(super) const PLUGIN_ROLLED_BACK: &str = "plugin.rolled-back";
pub(super) const INSTANCE_STATE_CHANGED: &str = "instance.state-changed";

/// Events in one transition.
const BATCH: usize = 256;
const ATTEMPTS: u32 = 5;

pub(super) struct Announcer {
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    /// Absent once closed.
    events: Mutex<Option<mpsc::UnboundedSender<Event>>>,
    done: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Announcer {
    /// The announcer, and the task that commits.
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (events, received) = mpsc::unbounded_channel();
        let (finished, done) = oneshot::channel();
        let announcer = Announcer { clock, ids, events: Mutex::new(Some(events)), done: Mutex::new(Some(done)) };
        (announcer, commit_all(store, received, finished))
    }

    pub(super) fn say(&self, event_type: &str, subject: &str, plugin: Option<PluginRef>, data: Value) {
        tracing::info!(event = event_type, subject, %data);
        let event = Event::new(&self.ids, self.clock.now(), event_type, subject).plugin(plugin).data(data);
        if let Some(events) = &*self.events.lock().unwrap_or_else(PoisonError::into_inner) {
            // The receiver goes only with the runtime itself.
            let _ = events.send(event);
        }
    }

    /// Returns when everything said so far is committed.
    pub(super) async fn close(&self) {
        drop(self.events.lock().unwrap_or_else(PoisonError::into_inner).take());
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(done) = done {
            // The task's end without a word is an end, too.
            let _ = done.await;
        }
    }
}

async fn commit_all(
    store: Arc<dyn Store>,
    mut received: mpsc::UnboundedReceiver<Event>,
    finished: oneshot::Sender<()>,
) {
    let mut events = Vec::new();
    while received.recv_many(&mut events, BATCH).await > 0 {
        let transition = Transition { events: std::mem::take(&mut events), ..Transition::new() };
        commit(&*store, transition).await;
    }
    // Nobody may be waiting.
    let _ = finished.send(());
}

async fn commit(store: &dyn Store, transition: Transition) {
    for attempt in 1..=ATTEMPTS {
        match store.commit(transition.clone()).await {
            Ok(_) => return,
            Err(error) if attempt == ATTEMPTS => {
                tracing::error!(%error, events = transition.events.len(), "events of plugins are lost");
            }
            Err(error) => {
                tracing::warn!(%error, attempt, "events of plugins can't be committed yet");
                tokio::time::sleep(Duration::from_millis(100) * attempt).await;
            }
        }
    }
}
