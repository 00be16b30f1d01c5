//! The tasks of all flows, owned in one place.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout_at};
use tracing::{error, warn};

/// Tasks with names. Dropping it ends them.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// The task ends when the context's shutdown is cancelled, and not before.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.set.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Name of the next task that ends; `None` when there are none left.
    pub(crate) async fn next_ended(&mut self) -> Option<&'static str> {
        let id = match self.set.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(failure) => {
                error!(flow = self.names.get(&failure.id()), error = %failure, "a flow's task failed");
                failure.id()
            }
        };
        Some(self.names.remove(&id).unwrap_or("unnamed"))
    }

    /// Waits for all of them, then ends what is left.
    pub(crate) async fn join(mut self, within: Duration) {
        let deadline = Instant::now() + within;
        while let Ok(ended) = timeout_at(deadline, self.next_ended()).await {
            if ended.is_none() {
                return;
            }
        }
        let left: Vec<_> = self.names.values().collect();
        warn!(?left, "flows did not end in time");
        self.set.shutdown().await;
    }
}
