//! Appends lines to granted files.

#[cfg(target_family = "wasm")]
use crate::bindings::imports::quarterdeck::host::append as wit;
use crate::host::Error;
#[cfg(target_family = "wasm")]
use crate::mirror::Mirror;

/// Of one line at most.
pub const LINE_BYTES: usize = 256 << 10;

/// Appends `bytes`, at most [`LINE_BYTES`] without a line end in them, and a line end. A file that is not there is made. When it
/// returns, the line is on the disk; where it fails, the line may be there.
pub fn line(path: &str, bytes: &[u8]) -> Result<(), Error> {
    #[cfg(target_family = "wasm")]
    return wit::line(path, bytes).map_err(Mirror::mirror);
    #[cfg(not(target_family = "wasm"))]
    crate::testing::with(|host| {
        if bytes.contains(&b'\n') || bytes.len() > LINE_BYTES {
            return Err(Error::Failed("no line: it is too long, or holds a line end".to_owned()));
        }
        host.lines.push((path.to_owned(), bytes.to_vec()));
        Ok(())
    })
}
