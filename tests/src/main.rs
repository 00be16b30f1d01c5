//! Integration tests over the real binary: they start the daemon, speak HTTP to it, and stop it. A module per flow.
//!
//! Every answer of the API is checked against the OpenAPI document that the daemon serves (`harness::schema`).
//! A test that needs a real counterpart (HAProxy, nginx, Redis, PostgreSQL, wrk, strace, a registry, Prometheus, Chromium) says so by name and ends
//! early where it is missing; with `QUARTERDECK_TESTS_REQUIRE_COUNTERPARTS=1` it fails instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a test may panic"
)]

mod harness;

mod alertmanager;
mod architecture;
mod authoring;
mod build_script;
mod canary;
mod collectors;
mod command_line;
mod configuration;
mod console;
mod decisions;
mod detectors;
mod disk;
mod dns;
mod durability;
mod events;
mod first_run;
mod hostile;
mod hot_reload;
mod incidents;
mod ingest;
mod kills;
mod languages;
mod monitoring;
mod notifiers;
mod outside;
mod plugin_life;
mod prometheus;
mod reads;
mod rolling;
mod rule_files;
mod runbooks;
mod stop;
