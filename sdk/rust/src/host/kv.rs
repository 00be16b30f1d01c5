//! The instance's own key-value space, bounded by its quota. Writes are committed with the call's result, and dropped if
//! the call fails. Keys have at most 512 bytes, values 256 KiB.

use crate::host::Error;
#[cfg(target_family = "wasm")]
use crate::{bindings::imports::quarterdeck::host::kv as wit, mirror::Mirror};

/// The value of a key. Sees this call's own writes.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    #[cfg(target_family = "wasm")]
    return wit::get(key).map_err(Mirror::mirror);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| Ok(host.kv.get(key).cloned()))
}

/// Sets the value of a key.
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    #[cfg(target_family = "wasm")]
    return wit::set(key, value).map_err(Mirror::mirror);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        host.kv.insert(key.to_owned(), value.to_vec());
        Ok(())
    })
}

/// Removes a key; one that is not there is removed already.
pub fn delete(key: &str) -> Result<(), Error> {
    #[cfg(target_family = "wasm")]
    return wit::delete(key).map_err(Mirror::mirror);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        host.kv.remove(key);
        Ok(())
    })
}
