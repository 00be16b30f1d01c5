//! The bus: durable topics over the store's log, subscriptions, and consumers with a cursor.
//!
//! Not here: storage (the log is the store's), meaning of events (engines), HTTP (api). Samples don't travel here.
//!
//! Layout
//! - `publish`: validation and the limit per producer
//! - `subscription`: reading the log and then live, without a gap; `consumer`: the same with a durable cursor
//! - `letter`: what is kept of an event that could not be handled

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

mod bus;
mod consumer;
mod letter;
mod limit;
mod subscription;
mod validate;

pub use bus::{Bus, Options};
pub use consumer::{Consumer, GAP};
pub use subscription::Subscription;

use quarterdeck_model::Span;
use quarterdeck_model::store::StoreError;

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The producer is over its rate.
    #[error("too many events; hint: send on after {retry_after}")]
    TooFast { retry_after: Span },
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The event can't be published, whoever sends it.
    #[error("{0}")]
    Invalid(String),
}
