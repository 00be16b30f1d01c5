//! Quarterdeck beside Debian's Prometheus and Alertmanager, one after the other in one run on the same machine: what scraping costs,
//! what a sample takes on the disk, how fast queries are answered, what ten thousand rules cost, how long an alert takes to a webhook.
//! Prints the rows of a table.
//!
//! `cargo run --release -p quarterdeck --example bench-peers [scrape|bytes|query|rules|alerts]` (after `cargo build --release`). What is
//! not installed is named, and its column stays empty. All of it takes about fifteen minutes.

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
#[path = "peers/bytes.rs"]
mod bytes;
mod node;
#[path = "peers/query.rs"]
mod query;
#[path = "peers/remote_write.rs"]
mod remote_write;
mod report;
#[path = "peers/rules.rs"]
mod rules;
#[path = "peers/scrape.rs"]
mod scrape;
#[path = "peers/server.rs"]
mod server;

const PARTS: [&str; 5] = ["scrape", "bytes", "query", "rules", "alerts"];

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let only = std::env::args().nth(1);
    if let Some(only) = &only {
        assert!(PARTS.contains(&only.as_str()), "there is no part `{only}`; hint: one of {}", PARTS.join(", "));
    }
    for part in PARTS.into_iter().filter(|part| only.as_deref().is_none_or(|only| only == *part)) {
        match part {
            "scrape" => scrape::run().await,
            "bytes" => bytes::run().await,
            "query" => query::run().await,
            "rules" => rules::run().await,
            _ => alerts::run().await,
        }
    }
}

/// How many times theirs ours is, to stand behind it.
pub(crate) fn times(ours: f64, theirs: Option<f64>) -> String {
    theirs.map_or_else(String::new, |theirs| format!(", {:.2} times theirs", ours / theirs))
}
