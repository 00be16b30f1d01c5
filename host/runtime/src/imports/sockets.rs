//! Descriptors that plugins hold: so many in a call, in all calls of an instance, and in all of the host.

use super::{Caller, SOCKETS_PER_INSTANCE};
use quarterdeck_model::plugin::InstanceName;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What each instance may yet open.
#[derive(Default)]
pub(super) struct Shares(Mutex<HashMap<InstanceName, Arc<Semaphore>>>);

impl Shares {
    pub(super) fn of(&self, instance: &InstanceName) -> Arc<Semaphore> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(instance) {
            return share.clone();
        }
        // Of those who hold nothing nothing has to be known.
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        shares.entry(instance.clone()).or_insert_with(|| Arc::new(Semaphore::new(SOCKETS_PER_INSTANCE))).clone()
    }
}

/// Leave to hold one descriptor; given back when it is dropped.
pub(super) struct Socket {
    _permits: [OwnedSemaphorePermit; 3],
}

impl Caller {
    /// Waits for what the instance and the host have left, for as long as the call may wait for the world.
    ///
    /// # Errors
    /// They had nothing left. Why, for a person.
    pub(super) async fn socket(&self, of_call: OwnedSemaphorePermit) -> Result<Socket, String> {
        // That of the host last: nobody holds it who waits for their own.
        let permits = async {
            let of_instance = self.doors.shares.of(&self.instance).acquire_owned().await;
            let of_host = self.doors.sockets.clone().acquire_owned().await;
            of_instance.and_then(|of_instance| Ok([of_call, of_instance, of_host?]))
        };
        match tokio::time::timeout_at(self.patience.into(), permits).await {
            Ok(Ok(permits)) => Ok(Socket { _permits: permits }),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "no connection was free in time; hint: an instance has at most {SOCKETS_PER_INSTANCE} of them open"
            )),
        }
    }
}
