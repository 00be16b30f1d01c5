//! A sandbox that waits for the next call of the same instance, because its component asked for that: one whose start is costly brings
//! an interpreter along. It serves a bounded number of calls, never one that decides, and goes with the binding that it was opened
//! under: other grants, another configuration or another version never meet it.

use super::Guest;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a component may ask for at most.
pub(crate) const MOST_CALLS: u32 = 1_000;

/// The place of one sandbox; a call that finds it empty opens its own.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Option<Waiting>>);

struct Waiting {
    guest: Guest,
    _place: OwnedSemaphorePermit,
}

/// How a call may use the sandbox of an earlier one.
pub(crate) struct Keeping {
    pub(crate) kept: Arc<Kept>,
    /// Calls of one sandbox.
    pub(crate) calls: u32,
    /// How many may wait, of all instances.
    pub(crate) places: Arc<Semaphore>,
}

impl Keeping {
    pub(super) fn take(&self) -> Option<Guest> {
        let waiting = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        waiting.map(|waiting| waiting.guest)
    }

    /// Keeps it, unless it has served enough, or there is no room for another one that waits.
    pub(super) fn put(&self, mut guest: Guest) {
        guest.served = guest.served.saturating_add(1);
        if guest.served >= self.calls {
            return;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        guest.store.data_mut().rest();
        // Two calls at once have two sandboxes: that of the first one to end goes.
        *self.kept.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Waiting { guest, _place: place });
    }
}
