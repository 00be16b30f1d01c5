//! Faults that a test injects.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Clones share what is injected.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Faults {
    next_sync: Arc<AtomicBool>,
    syncs: Arc<AtomicU64>,
    gate: Arc<Gate>,
    /// 0: what the system says.
    free: Arc<AtomicU64>,
    refusals: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Gate {
    held: Mutex<bool>,
    opened: Condvar,
}

/// Syncs wait as long as this lives.
#[doc(hidden)]
#[must_use = "dropped, it lets the syncs go"]
pub struct Held(Arc<Gate>);

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.held.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.opened.notify_all();
    }
}

impl Faults {
    /// The next fdatasync fails as if the disk were broken.
    pub fn fail_next_sync(&self) {
        self.next_sync.store(true, Ordering::SeqCst);
    }

    /// Each fdatasync takes as long as what this returns lives.
    pub fn hold_syncs(&self) -> Held {
        *self.gate.held.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Held(Arc::clone(&self.gate))
    }

    /// How many were begun, those that were held or failed included.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::SeqCst)
    }

    /// The disk says from now on that it has so many bytes free.
    pub fn set_free_bytes(&self, free: u64) {
        self.free.store(free, Ordering::SeqCst);
    }

    /// How often something was refused because the disk had said so.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::SeqCst)
    }

    pub(crate) fn refused(&self) {
        self.refusals.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn free_bytes(&self) -> Option<u64> {
        Some(self.free.load(Ordering::SeqCst)).filter(|free| *free > 0)
    }

    /// Stands before each fdatasync. True: it is to fail.
    pub(crate) fn at_sync(&self) -> bool {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        let mut held = self.gate.held.lock().unwrap_or_else(PoisonError::into_inner);
        while *held {
            held = self.gate.opened.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        self.next_sync.swap(false, Ordering::SeqCst)
    }
}
