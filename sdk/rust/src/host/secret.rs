//! Secrets that the host uses for the plugin, without handing them over.

use crate::host::Error;
#[cfg(target_family = "wasm")]
use crate::{bindings::imports::quarterdeck::host::secret as wit, mirror::Mirror};

/// The MAC of `message` under the named secret.
pub fn hmac_sha256(name: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
    #[cfg(target_family = "wasm")]
    return wit::hmac_sha256(name, message).map_err(Mirror::mirror);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| match &mut host.hmac {
        Some(hmac) => hmac(name, message),
        None => Err(Error::no_host()),
    })
}

/// An opaque text that the host replaces by the secret in the headers, in the path and query of the URL, and in the body of JSON or of
/// a form, of a request to a granted origin. What is answered shows this text again where it repeats the secret.
pub fn header_value(name: &str) -> Result<String, Error> {
    #[cfg(target_family = "wasm")]
    return wit::header_value(name).map_err(Mirror::mirror);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|_| Ok(["secret:", name].concat()))
}
