//! How far a flow has come in the log, and when that is to be written down.
//!
//! What comes of an event is committed together with the event's acknowledgement. Most events lead to nothing, and an fdatasync for
//! each would be dear: their place is written down after a few seconds, after some thousands of them, and when the flow ends. So a
//! start does not look at old events again, and retention does not wait for a flow that has long been further.

use crate::Context;
use quarterdeck_model::event::Offset;
use quarterdeck_model::transition::Transition;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// How long the place may lag behind.
const WITHIN: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(10) };
/// By how many events.
const EVENTS: u64 = 4096;

pub(crate) struct Place {
    consumer: &'static str,
    acknowledged: Offset,
    handled: Offset,
    /// When the place has to be written down. `None`: it is.
    due: Option<Instant>,
}

impl Place {
    /// `at`: where the consumer begins.
    pub(crate) fn new(consumer: &'static str, at: Offset) -> Self {
        Place { consumer, acknowledged: at, handled: at, due: None }
    }

    /// Everything up to `next` is handled; nothing that came of it holds the acknowledgement.
    pub(crate) fn handled(&mut self, next: Offset) {
        self.handled = self.handled.max(next);
        if self.handled > self.acknowledged {
            self.due.get_or_insert_with(|| Instant::now() + WITHIN);
        }
    }

    /// The place is durable up to there.
    pub(crate) fn acknowledged(&mut self, up_to: Offset) {
        self.acknowledged = self.acknowledged.max(up_to);
        self.handled = self.handled.max(up_to);
        if self.acknowledged == self.handled {
            self.due = None;
        }
    }

    pub(crate) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
            || self.handled.0.saturating_sub(self.acknowledged.0) >= EVENTS
    }

    /// Resolves when it is time to write the place down.
    pub(crate) async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Writes the place down. Where the store refuses, it is tried again later: it is only about how much is read again.
    pub(crate) async fn write(&mut self, context: &Context) {
        if self.handled == self.acknowledged {
            return;
        }
        match context.store.commit(Transition::new().ack(self.consumer, self.handled)).await {
            Ok(_) => self.acknowledged(self.handled),
            Err(error) => {
                warn!(consumer = self.consumer, %error, "can't acknowledge");
                self.due = Some(Instant::now() + WITHIN);
            }
        }
    }
}
