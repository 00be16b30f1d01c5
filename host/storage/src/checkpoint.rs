//! The thread that brings sled to where the write-ahead log is, every now and then.

use crate::shared::Shared;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tracing::error;

const EVERY: Duration = Duration::from_secs(1);
/// So that what is urgent, and has two cores, does not wait for what is not.
const PAUSE: Duration = Duration::from_micros(500);
/// Sooner, where so many bytes have come since then.
pub(crate) const SOON: u64 = 16 << 20;
/// The writer waits for it where there are so many.
pub(crate) const AT_MOST: u64 = 64 << 20;

/// Until all senders of `soon` are dropped.
pub(crate) fn run(shared: &Shared, soon: &Receiver<()>) {
    while soon.recv_timeout(EVERY) != Err(RecvTimeoutError::Disconnected) {
        if shared.failure().is_some() {
            return;
        }
        if let Err(failure) = shared.checkpoint(PAUSE) {
            error!(error = %failure, "the disk failed; the store has stopped");
            shared.failed.send_replace(Some(failure));
            return;
        }
    }
}
