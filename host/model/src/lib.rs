//! What all parts of Quarterdeck agree on: ids, time, events, transitions, effects, domain documents, and the ports
//! through which engines see plugins, the store and the clock.
//!
//! Not here: I/O of any kind, wasmtime, sled, HTTP. Nothing in this crate reads a clock.
//!
//! Layout
//! - `id`, `time`, `severity`, `label`: values; `nearest`: what a slip was meant to be; `brief`: messages without what a file holds
//! - `event`: the envelope; `transition`: the one record of a change; `effect`: what the outbox carries out
//! - `store`, `series`, `journal`, `clock`, `fetch`, `process`, `secret`: ports of the kernel
//! - `plugin`: plugins, instances, grants, limits, why a call failed; `decisions`: what plugins decided, and would have
//! - `kind::*`: one file per plugin kind, its input, output and port
//! - `domain::*`: one file per noun of the domain: specifications and documents
//!
//! ```
//! use quarterdeck_model::{Timestamp, event::Event, id::IdSource};
//! let ids = IdSource::seeded(7);
//! let opened = Event::new(&ids, Timestamp::from_millis(1_000), "incident.opened", "inc_1").data(serde_json::json!({"title": "disk full"}));
//! assert_eq!(opened.event_type, "incident.opened");
//! ```

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

mod brief;
pub mod clock;
pub mod decisions;
pub mod domain;
pub mod effect;
pub mod event;
pub mod fetch;
pub mod id;
pub mod journal;
pub mod json;
pub mod kind;
pub mod label;
mod nearest;
pub mod plugin;
pub mod process;
pub mod secret;
pub mod series;
pub mod severity;
pub mod shared;
pub mod store;
pub mod time;
pub mod transition;

pub use brief::brief;
pub use json::Json;
pub use label::Labels;
pub use nearest::nearest;
pub use severity::Severity;
pub use shared::Shared;
pub use time::{Span, Timestamp};
