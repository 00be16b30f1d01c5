//! The API over the real store, bus, scheduler and engines; only plugins are missing. Every answer is checked against the
//! API's own document.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test may panic"
)]

mod alertmanager;
mod backtests;
mod changes;
mod configuration;
mod console;
mod console_acting;
mod console_events;
mod console_host;
mod console_links;
mod console_odd;
mod console_plugins;
mod console_sessions;
mod console_taking_back;
mod console_watching;
mod contract;
mod decisions;
mod grafana;
mod life;
mod plugins;
mod problems;
mod prometheus;
mod ranges;
mod samples;
#[path = "../../../../tests/src/harness/schema.rs"]
mod schema;
mod server;
mod silences;
mod stream;
mod support;
mod unreadable;
mod world;
