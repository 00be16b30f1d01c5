//! Timers: ids that fall due at a moment.
//!
//! They live in memory only. What makes them durable is that an engine keeps what is due in its own documents and sets its
//! timers again from them at start; a timer of the past is due at once.

use quarterdeck_model::Timestamp;
use quarterdeck_model::clock::Clock;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The clock may be set while we sleep: nobody sleeps for longer than this.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Moments {
    due: BTreeSet<(Timestamp, String)>,
    at: HashMap<String, Timestamp>,
}

#[derive(Default)]
struct Shared {
    moments: Mutex<Moments>,
    changed: Notify,
}

/// Sets and cancels. Clones share one queue.
#[derive(Clone)]
pub struct Timers(Arc<Shared>);

/// Hands out the ids that are due. One reader.
pub struct TimerQueue {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
}

pub(crate) fn timers(clock: Arc<dyn Clock>, shutdown: CancellationToken) -> (Timers, TimerQueue) {
    let shared = Arc::new(Shared::default());
    (Timers(shared.clone()), TimerQueue { shared, clock, shutdown })
}

impl Timers {
    /// Due at `at`, instead of when it was due before, if it was set.
    pub fn set(&self, id: impl Into<String>, at: Timestamp) {
        let id = id.into();
        self.with(|moments| {
            if let Some(old) = moments.at.insert(id.clone(), at) {
                moments.due.remove(&(old, id.clone()));
            }
            moments.due.insert((at, id));
        });
        self.0.changed.notify_one();
    }

    /// Does nothing if it is not set, or was handed out already.
    pub fn cancel(&self, id: &str) {
        self.with(|moments| {
            if let Some(at) = moments.at.remove(id) {
                moments.due.remove(&(at, id.to_owned()));
            }
        });
    }

    /// How many are set.
    pub fn len(&self) -> usize {
        self.with(|moments| moments.at.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with<T>(&self, change: impl FnOnce(&mut Moments) -> T) -> T {
        change(&mut self.0.moments.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TimerQueue {
    /// Waits for the next id that is due and forgets it; the earliest first. `None` after shutdown. Nothing is lost when the
    /// future is dropped.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if self.shutdown.is_cancelled() {
                return None;
            }
            let sleep = match self.take() {
                Next::Due(id) => return Some(id),
                Next::In(span) => Some(span.min(LONGEST_SLEEP)),
                Next::Nothing => None,
            };
            let slept = async {
                match sleep {
                    Some(span) => tokio::time::sleep(span).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = slept => {}
                () = self.shared.changed.notified() => {}
                () = self.shutdown.cancelled() => return None,
            }
        }
    }

    fn take(&self) -> Next {
        let now = self.clock.now();
        let mut moments = self.shared.moments.lock().unwrap_or_else(PoisonError::into_inner);
        match moments.due.first() {
            None => Next::Nothing,
            Some((at, _)) if *at > now => Next::In(at.since(now).as_duration()),
            Some(_) => match moments.due.pop_first() {
                Some((_, id)) => {
                    moments.at.remove(&id);
                    Next::Due(id)
                }
                None => Next::Nothing,
            },
        }
    }
}

enum Next {
    Due(String),
    In(Duration),
    Nothing,
}
