//! The floor of free space.

use crate::faults::Faults;
use quarterdeck_model::store::StoreError;
use rustix::fs::statvfs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How old a figure may be.
const FRESH: Duration = Duration::from_secs(1);
/// So near the floor each group looks for itself: others write to the disk, too.
const NEAR: u64 = 64 << 20;
/// Kept free above the floor for what sled writes by itself, before or after a record, and asks nobody about. Up to 64 KiB were seen.
const OWN: u64 = 1 << 20;
/// What a small record may take, with what sled makes of it: where there is no room for that, nothing can be written.
const SMALL: u64 = 64 << 10;

pub(crate) struct Space {
    look: Box<dyn Fn() -> u64 + Send + Sync>,
    floor: u64,
    faults: Faults,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    free: Option<(Instant, u64)>,
    /// What was let through since then, and is not in the figure.
    since: u64,
    /// What was let through and may still be in the program's buffers: a look does not see it.
    unsynced: u64,
    /// What stands in the write-ahead log and still comes to sled.
    pending: u64,
}

impl Seen {
    fn free(&self) -> Option<u64> {
        let (at, free) = self.free?;
        (at.elapsed() < FRESH).then(|| free.saturating_sub(self.since))
    }

    fn look(&mut self, free: u64) -> u64 {
        self.free = Some((Instant::now(), free));
        self.since = self.unsynced.saturating_add(self.pending);
        free.saturating_sub(self.since)
    }
}

impl Space {
    pub(crate) fn new(dir: PathBuf, floor: u64, faults: Faults) -> Self {
        let look = move || statvfs(&dir).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        Space::over(look, floor, faults)
    }

    fn over(look: impl Fn() -> u64 + Send + Sync + 'static, floor: u64, faults: Faults) -> Self {
        Space { look: Box::new(look), floor, faults, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that the daemon's user can still fill, without what is on its way to the disk; up to a second old. About `u64::MAX`
    /// if the system can't tell.
    pub(crate) fn free(&self) -> u64 {
        if let Some(free) = self.faults.free_bytes() {
            return free;
        }
        let mut seen = self.seen();
        seen.free().unwrap_or_else(|| seen.look((self.look)()))
    }

    /// Refuses to write `bytes` more where that would go below the floor. What it lets through counts as written.
    pub(crate) fn check(&self, bytes: u64) -> Result<(), StoreError> {
        // Whoever writes nothing only asks whether there is more than the floor.
        let own = if bytes == 0 { 0 } else { OWN.min(self.floor) };
        let mut seen = self.room(bytes, own).inspect_err(|_| self.faults.refused())?;
        seen.since = seen.since.saturating_add(bytes);
        seen.unsynced = seen.unsynced.saturating_add(bytes);
        Ok(())
    }

    /// Whether a small record would be let through.
    pub(crate) fn is_open(&self) -> Result<(), StoreError> {
        self.room(SMALL, OWN.min(self.floor)).map(drop)
    }

    fn room(&self, bytes: u64, own: u64) -> Result<MutexGuard<'_, Seen>, StoreError> {
        let mut free = self.free();
        let mut seen = self.seen();
        if free.saturating_sub(bytes) < self.floor.saturating_add(NEAR) && self.faults.free_bytes().is_none() {
            free = seen.look((self.look)());
        }
        if free.saturating_sub(bytes) < self.floor.saturating_add(own) {
            return Err(StoreError::DiskFull { free_bytes: free, floor_bytes: self.floor });
        }
        Ok(seen)
    }

    /// So much of what was let through is on the disk, or was not needed: the next look sees what there is of it.
    pub(crate) fn settled(&self, bytes: u64) {
        let mut seen = self.seen();
        seen.unsynced = seen.unsynced.saturating_sub(bytes);
    }

    /// Everything that was let through is on the disk, but for so many bytes that still come to sled: the next look sees it.
    pub(crate) fn synced(&self, pending: u64) {
        let mut seen = self.seen();
        (seen.unsynced, seen.pending) = (0, pending);
    }

    /// So many bytes still come to sled. What was let through meanwhile is on its way as before.
    pub(crate) fn still_pending(&self, pending: u64) {
        self.seen().pending = pending;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    const MIB: u64 = 1 << 20;

    /// A disk that takes what is written to it when it is synced, and counts how often it is asked.
    fn space(free: u64, floor: u64) -> (Space, Arc<AtomicU64>, Arc<AtomicU64>) {
        let (free, looks) = (Arc::new(AtomicU64::new(free)), Arc::new(AtomicU64::new(0)));
        let look = {
            let (free, looks) = (Arc::clone(&free), Arc::clone(&looks));
            move || {
                looks.fetch_add(1, Ordering::SeqCst);
                free.load(Ordering::SeqCst)
            }
        };
        (Space::over(look, floor, Faults::default()), free, looks)
    }

    #[test]
    fn what_was_written_since_the_last_look_counts_and_the_floor_holds() {
        let (space, free, _) = space(100 * MIB, 10 * MIB);
        let mut written = 0;
        while space.check(8 * MIB).is_ok() {
            written += 8;
            assert!(written <= 90, "{written} MiB are over the floor");
        }
        assert_eq!(written, 88);
        // The disk has it now; half of what was allowed for was needed.
        free.store(56 * MIB, Ordering::SeqCst);
        space.synced(0);
        for _ in 0..5 {
            space.check(8 * MIB).unwrap();
        }
        assert!(space.check(8 * MIB).is_err());
        assert!(space.check(0).is_ok(), "it stands above the floor");
    }

    #[test]
    fn what_is_on_its_way_counts_until_it_is_synced_whatever_has_come_to_its_place_meanwhile() {
        let (space, _, _) = space(30 * MIB, 10 * MIB);
        space.check(8 * MIB).unwrap();
        space.synced(8 * MIB);
        space.check(8 * MIB).unwrap();
        assert!(space.check(8 * MIB).is_err());
        // A checkpoint ends while the second is being written.
        space.still_pending(0);
        space.check(8 * MIB).unwrap();
        assert!(space.check(8 * MIB).is_err());
        space.synced(0);
        space.check(8 * MIB).unwrap();
    }

    #[test]
    fn near_the_floor_each_group_looks_for_itself() {
        let (space, _, looks) = space(10_000 * MIB, 10 * MIB);
        for _ in 0..50 {
            space.check(MIB).unwrap();
            space.synced(0);
        }
        // A machine that is held up may look a few times more.
        assert!(looks.load(Ordering::SeqCst) < 50, "far from the floor the figure is kept");
        let (space, free, _) = self::space(40 * MIB, 10 * MIB);
        space.check(MIB).unwrap();
        // Somebody else has filled it.
        free.store(9 * MIB, Ordering::SeqCst);
        assert!(matches!(space.check(0), Err(StoreError::DiskFull { floor_bytes, .. }) if floor_bytes == 10 * MIB));
    }

    #[test]
    fn where_a_small_record_is_refused_the_store_says_that_nothing_can_be_written() {
        let mut refused = 0;
        for free in (10 * MIB..13 * MIB).step_by(16 << 10) {
            let (space, _, _) = space(free, 10 * MIB);
            let is_open = space.is_open().is_ok();
            refused += usize::from(!is_open);
            assert_eq!(space.check(SMALL).is_ok(), is_open, "{free} bytes are free");
        }
        assert!(
            (64..128).contains(&refused),
            "{refused} times: from the floor on up to a little more than a mebibyte above it"
        );
    }
}
