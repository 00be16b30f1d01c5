//! `wasi:http/outgoing-handler`, with the handle of a request's options given back.
//!
//! wasmtime-wasi-http 48 is handed that handle for good and keeps it in the sandbox's table, so that a call which sends a thousand
//! requests ends for want of handles. Options are taken out here, and travel in the hooks.

use crate::sandbox::Sandbox;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::LinkOptions;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{RequestOptions, WasiHttp, WasiHttpView};

/// The newest version of 0.2; the linker finds it for the older ones, too.
const INTERFACE: &str = "wasi:http/outgoing-handler@0.2.12";

type Answer = Result<Resource<HostFutureIncomingResponse>, ErrorCode>;

/// Binds the interfaces of `wasi:http` that a plugin may import.
pub(crate) fn add_to_linker(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, WasiHttp>(linker, &LinkOptions::default().into(), Sandbox::http)?;
    linker.instance(INTERFACE)?.func_wrap("handle", handle)
}

fn handle(
    mut store: StoreContextMut<'_, Sandbox>,
    (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>),
) -> wasmtime::Result<(Answer,)> {
    let sandbox = store.data_mut();
    let options = options.map(|options| sandbox.table.delete(options)).transpose()?;
    sandbox.http();
    if let Some(hooks) = &mut sandbox.hooks {
        hooks.options = options;
    }
    let answer = sandbox.http().handle(request, None);
    Ok((match answer {
        Ok(future) => Ok(future),
        Err(error) => Err(error.downcast()?),
    },))
}
