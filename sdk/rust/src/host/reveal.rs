//! Secrets, as they are, for protocols in which the plugin has to say them. A grant of its own (`reveal`): where
//! [`secret`](crate::host::secret) does, prefer that.

use crate::host::Error;
#[cfg(target_family = "wasm")]
use crate::{bindings::imports::quarterdeck::host::reveal as wit, mirror::Mirror};

/// The named secret, without line ends behind it. It belongs into no message and no log.
pub fn secret(name: &str) -> Result<Vec<u8>, Error> {
    #[cfg(target_family = "wasm")]
    return wit::secret(name).map_err(Mirror::mirror);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| match host.secrets.get(name) {
        Some(secret) => Ok(secret.clone()),
        None => Err(Error::Denied(["the secret `", name, "` is not to be revealed"].concat())),
    })
}
