//! The store through its ports, over a real folder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test may panic"
)]

mod documents;
mod faults;
mod journal;
mod log;
mod retention;
mod series;
mod support;

use quarterdeck_model::Timestamp;
use quarterdeck_model::event::{EventFilter, Offset, StoredEvent};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::store::Store;
use quarterdeck_storage::{Database, Options};
use std::sync::Arc;
use support::*;
