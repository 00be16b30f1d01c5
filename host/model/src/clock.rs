//! The clock, as a port: only the scheduler and the shells hold one. Engines get the time handed in.

use crate::time::{Span, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;

    /// How long until then; a real clock says it more exactly than in whole milliseconds.
    fn until(&self, at: Timestamp) -> Duration {
        at.since(self.now()).as_duration()
    }
}

/// Time that stands still until it is moved: for tests and for trying a policy out.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn at(start: Timestamp) -> Self {
        ManualClock(AtomicI64::new(start.as_millis()))
    }

    pub fn advance(&self, span: Span) {
        self.0.fetch_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
