//! Runs plugins: loads components, keeps their versions and instances, and makes the calls, each in a sandbox of its own.
//!
//! The only crate that knows wasmtime. It does not know what an incident is, keeps no state of a plugin's, and acts on the
//! world only through its doors ([`imports`]), behind grants.
//!
//! Layout
//! - `runtime`: the service: start, registry, the plugins folder and what is done with it, swaps, calls; `options`, `error`
//! - `plugin`: one version of a plugin, from bytes to something that can be called; `compile`, `cache`: machine code
//! - `catalog`: which version is in use under which name; `instance`: a plugin in use, its circuit and meter
//! - `call`, `executor`, `engine`: a sandbox's life, the threads it runs on, the settings of wasmtime
//! - `sandbox`, `linker`, [`imports`]: what a sandbox holds, and what it may ask of the host
//! - [`signature`]: who signed a component
//! - `lines`: the newest lines that each instance has logged
//! - `decisions`: what plugins decided: kept, asked again of another version, compared
//! - `kinds`: a file per plugin kind, from the model's types to the component's and back
//!
//! The life of a version: found -> compiled -> described -> probation -> active -> draining -> retired. Calls in flight end on
//! the version that they began with.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

mod bindings;
mod cache;
mod call;
mod catalog;
mod compile;
mod decisions;
mod engine;
mod error;
mod executor;
pub mod imports;
mod instance;
mod kinds;
mod lines;
mod linker;
mod options;
mod plugin;
mod runtime;
mod sandbox;
pub mod signature;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use compile::compile_in_child;
pub use error::Error;
pub use executor::prefer_short_turns;
pub use imports::process_allowed;
pub use options::{Bundled, Compiler, Options};
pub use runtime::Runtime;
