//! Reads granted files, in parts.

use crate::host::Error;
#[cfg(target_family = "wasm")]
use crate::{bindings::imports::quarterdeck::host::files as wit, mirror::Mirror};

/// Of one read at most.
pub const READ_BYTES: u32 = 1 << 20;

/// A part of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Empty at the end of the file.
    pub bytes: Vec<u8>,
    /// Of the whole file.
    pub size_bytes: u64,
    /// Stays the same while the file is renamed, and differs between files that there are at one time.
    pub identity: u64,
}

/// At most `max` bytes (and [`READ_BYTES`]) from `offset` on. `None`: there is no such file.
pub fn read(path: &str, offset: u64, max: u32) -> Result<Option<Part>, Error> {
    #[cfg(target_family = "wasm")]
    return wit::read(path, offset, max).map(Mirror::mirror).map_err(Mirror::mirror);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        let Some((identity, bytes)) = host.files.get(path) else { return Ok(None) };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let length = usize::try_from(max.min(READ_BYTES)).unwrap_or(usize::MAX);
        let part = bytes.iter().skip(from).take(length).copied().collect();
        Ok(Some(Part { bytes: part, size_bytes: bytes.len() as u64, identity: *identity }))
    })
}

#[cfg(target_family = "wasm")]
crate::mirror::mirror! {
    struct wit::Part => Part { bytes, size_bytes, identity }
}
