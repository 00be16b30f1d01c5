//! The thread that moves old samples from memory into blocks, makes few blocks of many, and drops those that are old.

use super::compact::compact;
use super::cut::cut;
use crate::shared::Shared;
use crate::space::Space;
use quarterdeck_model::store::StoreError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tracing::warn;

/// How often it looks whether there is something to cut.
const LOOK: Duration = Duration::from_secs(1);
/// How often for blocks to make one of, or to drop; and when it tries again what failed.
const LATER: Duration = Duration::from_secs(60);

/// What work on blocks needs to know.
pub(crate) struct Upkeep<'a> {
    pub(crate) space: &'a Space,
    pub(crate) stopping: &'a AtomicBool,
}

impl Upkeep<'_> {
    /// # Errors
    /// [`StoreError::Closed`] if the store is about to close: what was begun is left, and done another time.
    pub(crate) fn go_on(&self) -> Result<(), StoreError> {
        if self.stopping.load(Ordering::Relaxed) { Err(StoreError::Closed) } else { Ok(()) }
    }
}

/// Until the sender of `stopped` is dropped.
pub(crate) fn run(shared: &Arc<Shared>, stopped: &Receiver<()>) {
    let (mut cut_at, mut compact_at) = (Instant::now(), Instant::now());
    while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let upkeep = Upkeep { space: &shared.space, stopping: &shared.stopping };
        if shared.failure().is_some() {
            return;
        }
        if Instant::now() >= cut_at {
            match cut(&shared.series, shared.clock.now(), &upkeep) {
                Ok(true) => compact_at = Instant::now(),
                Ok(false) => {}
                Err(StoreError::Closed) => return,
                Err(error) => {
                    warn!(%error, "old samples stay in memory and in the log; tried again in a minute");
                    cut_at = Instant::now() + LATER;
                }
            }
        }
        if Instant::now() >= compact_at {
            compact_at = match compact(&shared.series, shared.clock.now(), &upkeep) {
                Ok(true) => Instant::now(),
                Ok(false) => Instant::now() + LATER,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    warn!(%error, "blocks of samples were left as they are; tried again in a minute");
                    Instant::now() + LATER
                }
            };
        }
    }
}
