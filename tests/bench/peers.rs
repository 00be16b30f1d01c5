//! Quarterdeck beside Debian's Prometheus and Alertmanager, one after the other in one run on the same machine: what scraping costs,
//! how fast queries are answered, how long an alert takes to a webhook. Prints the rows of a table.
//!
//! `cargo run --release -p quarterdeck --example bench-peers [scrape|query|alerts]` (after `cargo build --release`). What is not
//! installed is named, and its column stays empty.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a benchmark may panic"
)]

#[path = "peers/alerts.rs"]
mod alerts;
#[path = "peers/query.rs"]
mod query;
mod report;
#[path = "peers/scrape.rs"]
mod scrape;
#[path = "peers/server.rs"]
mod server;

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if wanted("scrape") {
        scrape::run().await;
    }
    if wanted("query") {
        query::run().await;
    }
    if wanted("alerts") {
        alerts::run().await;
    }
}
