//! The one place where a component's imports are bound: WASI, `wasi:http` and the host's own interfaces.

use crate::sandbox::{self, Sandbox};
use wasmtime::Engine;
use wasmtime::component::Linker;

/// Every import that the host provides. What is missing here, no plugin can import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    sandbox::add_wasi_to_linker(&mut linker)?;
    crate::imports::add_to_linker(&mut linker)?;
    Ok(linker)
}
