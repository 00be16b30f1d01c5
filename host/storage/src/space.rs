//! The floor of free space.

use crate::faults::Faults;
use quarterdeck_model::store::StoreError;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old a figure may be.
const FRESH: Duration = Duration::from_secs(1);

pub(crate) struct Space {
    dir: PathBuf,
    floor: u64,
    faults: Faults,
    seen: Mutex<Option<(Instant, u64)>>,
}

impl Space {
    pub(crate) fn new(dir: PathBuf, floor: u64, faults: Faults) -> Self {
        Space { dir, floor, faults, seen: Mutex::new(None) }
    }

    /// Bytes that the daemon's user can still fill; up to a second old. `u64::MAX` if the system can't tell.
    pub(crate) fn free(&self) -> u64 {
        if let Some(free) = self.faults.free_bytes() {
            return free;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, free)) = *seen
            && at.elapsed() < FRESH
        {
            return free;
        }
        let free = rustix::fs::statvfs(&self.dir).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        *seen = Some((Instant::now(), free));
        free
    }

    /// Refuses to write `bytes` more where that would go below the floor.
    pub(crate) fn check(&self, bytes: u64) -> Result<(), StoreError> {
        let free = self.free();
        if free.saturating_sub(bytes) < self.floor {
            self.faults.refused();
            return Err(StoreError::DiskFull { free_bytes: free, floor_bytes: self.floor });
        }
        Ok(())
    }
}
