//! What notifiers share: a message as a group of alerts, templates over it, words where there is no template, and deliveries over
//! HTTP. A plugin carries only what it calls.
//!
//! Not a plugin, and nothing that a plugin needs: one that is written elsewhere depends on the SDK alone.
//!
//! | Module | Holds |
//! |---|---|
//! | [`group`] | any message as Alertmanager's webhook writes it (version 4) |
//! | [`template`] | templates: names, filters, bounds, and what happens when one fails |
//! | [`words`] | titles and texts where no template says otherwise |
//! | [`delivery`] | what an answer over HTTP means, and where secrets stand |
//! | [`time`] | times and durations as people and RFC 3339 write them |
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::allow_attributes,
        reason = "a test may panic"
    )
)]

pub mod delivery;
pub mod group;
pub mod template;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod words;
