//! Queries over an in-memory store, described in the format of Prometheus's own evaluation tests.
//!
//! - [`script`]: the format
//! - [`store`]: what `load` fills
//! - [`judge`]: runs a case and compares
//! - [`prometheus`]: Prometheus's files, and the list of what is left out
//! - [`own`]: our files (`tests/cases`)
//! - [`bounds`]: what a query may not cost
//! - [`blind`]: when there is nothing to judge
//! - [`naive`], [`pairs`]: columns against single steps, operators against their definition

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod blind;
mod bounds;
mod judge;
mod naive;
mod own;
mod pairs;
mod prometheus;
mod script;
mod store;
