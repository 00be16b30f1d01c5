//! Where sandboxes are closed. That takes some three microseconds, so it is done on the spot, before the answer. But the kernel is asked
//! for the memory map of the whole process on the way, and while the megabytes of another sandbox are handed back, or the access to them
//! is taken away, a quick call would wait for that. For as long as large sandboxes come and go, small ones are closed on a thread of its
//! own, and their answers wait for nobody.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// A sandbox with more memory is large: whoever had it closes it.
const LARGE_BYTES: usize = 2 << 20;

/// How long after a large one small ones are closed elsewhere.
const WHILE: Duration = Duration::from_secs(1);

/// So many wait at most to be closed elsewhere; the pool has slots for them (`engine::SPARE_SANDBOXES`).
const WAITING: usize = 16;

pub(crate) struct Closing<T> {
    since: Instant,
    /// Until when small ones are closed elsewhere, in milliseconds from `since`.
    elsewhere_until: AtomicU64,
    elsewhere: OnceLock<Option<SyncSender<T>>>,
}

impl<T: Send + 'static> Closing<T> {
    pub(crate) fn new() -> Self {
        Closing { since: Instant::now(), elsewhere_until: AtomicU64::new(0), elsewhere: OnceLock::new() }
    }

    /// Closes a sandbox that had so much memory. A small one may live for a moment longer.
    pub(crate) fn close(&self, sandbox: T, memory_bytes: usize) {
        let now = self.since.elapsed();
        if memory_bytes > LARGE_BYTES {
            self.elsewhere_until.fetch_max(millis(now + WHILE), Ordering::Relaxed);
        } else if millis(now) < self.elsewhere_until.load(Ordering::Relaxed) {
            return self.hand_on(sandbox);
        }
        drop(sandbox);
    }

    /// Whoever finds too many waiting closes it himself.
    fn hand_on(&self, sandbox: T) {
        let Some(sender) = self.elsewhere.get_or_init(start) else { return drop(sandbox) };
        match sender.try_send(sandbox) {
            Ok(()) => {}
            Err(TrySendError::Full(sandbox) | TrySendError::Disconnected(sandbox)) => drop(sandbox),
        }
    }
}

/// The thread ends with the last sender.
fn start<T: Send + 'static>() -> Option<SyncSender<T>> {
    let (sender, receiver) = sync_channel::<T>(WAITING);
    let work = move || {
        super::prefer_short_turns();
        for sandbox in receiver {
            drop(sandbox);
        }
    };
    match std::thread::Builder::new().name("closing".to_owned()).spawn(work) {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::debug!(%error, "no thread that closes sandboxes: calls wait for it");
            None
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use std::thread::ThreadId;

    type Seen = Arc<Mutex<Vec<ThreadId>>>;

    /// Tells where it is closed, which takes a moment.
    struct Told(Seen);

    impl Drop for Told {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(1));
            self.0.lock().unwrap().push(std::thread::current().id());
        }
    }

    /// On how many of them the caller's own thread was the one that closed.
    fn closed_here(sandboxes: &[usize]) -> usize {
        let (closing, seen) = (Closing::new(), Seen::default());
        for memory_bytes in sandboxes {
            closing.close(Told(Arc::clone(&seen)), *memory_bytes);
        }
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = seen.lock().unwrap().clone();
            if seen.len() == sandboxes.len() {
                return seen.into_iter().filter(|thread| *thread == std::thread::current().id()).count();
            }
            assert!(Instant::now() < until, "{} of {} were closed", seen.len(), sandboxes.len());
            std::thread::yield_now();
        }
    }

    #[test]
    fn small_sandboxes_among_themselves_are_closed_on_the_spot() {
        assert_eq!(closed_here(&[LARGE_BYTES; 8]), 8);
    }

    #[test]
    fn beside_a_large_one_small_ones_are_closed_elsewhere_and_the_large_one_is_not() {
        let mut sandboxes = vec![LARGE_BYTES + 1];
        sandboxes.extend([LARGE_BYTES; 8]);
        assert_eq!(closed_here(&sandboxes), 1);
    }

    #[test]
    fn whoever_would_hand_on_more_than_may_wait_closes_it_himself() {
        let mut sandboxes = vec![LARGE_BYTES + 1];
        sandboxes.extend([LARGE_BYTES; WAITING * 4]);
        let here = closed_here(&sandboxes);
        assert!(here > 1 && here < WAITING * 4, "{here}");
    }
}
