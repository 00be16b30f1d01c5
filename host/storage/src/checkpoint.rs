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
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Database, Options};
    use quarterdeck_model::Timestamp;
    use quarterdeck_model::clock::ManualClock;
    use quarterdeck_model::store::{Store as _, StoreError};
    use quarterdeck_model::transition::{Expected, Transition};
    use serde_json::json;
    use std::sync::Arc;
    use std::time::Duration;

    #[tokio::test]
    async fn after_a_failure_nothing_of_the_log_is_given_up_not_even_when_the_store_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_750_000_000_000)));
        let store =
            Database::open(Options { free_space_floor_bytes: 0, ..Options::new(folder.path(), clock) }).unwrap();
        let shared = store.shared();
        store.commit(Transition::new().put("c", "a", Expected::Any, json!(1))).await.unwrap();
        shared.checkpoint(Duration::ZERO).unwrap();
        assert_eq!(shared.ahead(), 0);
        store.commit(Transition::new().put("c", "b", Expected::Any, json!(2))).await.unwrap();
        shared.failed.send_replace(Some(StoreError::Io("a page can't be written".to_owned())));
        let ahead = shared.ahead();
        assert!(matches!(shared.checkpoint(Duration::ZERO), Err(StoreError::Io(_))));
        assert_eq!(shared.ahead(), ahead, "the log goes on in the file in which it was");
    }
}
