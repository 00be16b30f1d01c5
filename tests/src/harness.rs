//! Starts the daemon on a free port with a folder of its own, and ends it.

pub(crate) mod at_rest;
pub(crate) mod browser;
pub(crate) mod counterpart;
pub(crate) mod daemon;
pub(crate) mod guest;
pub(crate) mod receiver;
pub(crate) mod schema;
pub(crate) mod trace;
pub(crate) mod web;

pub(crate) use daemon::{Answers, Daemon, Setup};

use std::time::{Duration, Instant};

/// Asks until there is an answer; panics with `what` when there is none within the time.
pub(crate) async fn eventually<T>(what: &str, within: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
