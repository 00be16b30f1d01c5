//! No code. Cargo builds a dependency again for each set of features that it meets; wasmtime takes minutes each time. What
//! this crate's manifest asks for is what the whole workspace asks for together, so that `cargo test -p one-crate` and
//! `cargo test --workspace` share one wasmtime.
