//! Publishes events; each grant names a topic prefix. Committed with the call's result, dropped if the call fails.

use crate::host::Error;

/// `data` is a JSON object of at most 64 KiB.
pub fn publish(
    event_type: &str,
    subject: &str,
    data: &serde_json::Map<String, serde_json::Value>,
) -> Result<(), Error> {
    let data = serde_json::to_string(data).map_err(|error| Error::Failed(error.to_string()))?;
    #[cfg(target_family = "wasm")]
    {
        use crate::mirror::Mirror;
        crate::bindings::imports::quarterdeck::host::events::publish(event_type, subject, &data).map_err(Mirror::mirror)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        host.events.push((event_type.to_owned(), subject.to_owned(), data));
        Ok(())
    })
}
