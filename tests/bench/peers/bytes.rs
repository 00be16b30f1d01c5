//! What a sample of a machine's figures takes on the disk, index included: the same pages of Debian's node exporter in a block of each
//! store, as if one had been scraped every 15 seconds.
//!
//! Unless `BENCH_PAGES` names a file of pages (see `series-bench`), they are scraped here, and faster than that: two minutes stand for an hour.

use crate::node::{self, Page};
use crate::remote_write::{Series, write};
use crate::report::row;
use crate::server::{Cores, Server, now, until};
use crate::times;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const SCRAPES: usize = 240;
const PACE: Duration = Duration::from_millis(500);
/// Seconds from a page to the next one, as they are written.
const STEP: i64 = 15;
/// Pages of a request.
const SLICE: usize = 24;

pub(crate) async fn run() {
    let (pages, whence) = match std::env::var("BENCH_PAGES") {
        Ok(file) => (node::pages(&std::fs::read_to_string(&file).unwrap()), ""),
        Err(_) => match Server::node_exporter().await {
            Some(exporter) => (scraped(&exporter).await, ", half a second apart"),
            None => return,
        },
    };
    assert!(pages.len() > 1 && pages.iter().all(|page| page.len() > 100), "too few figures for an answer");
    let folder = tempfile::tempdir().unwrap();
    let packed = node::in_blocks(folder.path(), &pages).await.unwrap();
    let ours = packed.bytes as f64 / packed.samples as f64;
    let theirs = match Server::prometheus(&[("prometheus.yml", "global: {scrape_interval: 1h}\n")], Cores::All).await {
        Some(server) => Some(in_snapshot(&server, &pages).await),
        None => None,
    };
    row(
        &format!(
            "bytes a sample of node figures, index included ({} series x {} scrapes{whence})",
            packed.series,
            pages.len()
        ),
        &format!("{ours:.2}{}", times(ours, theirs)),
        "1.3",
        &theirs.map_or_else(String::new, |theirs| format!("Prometheus: {theirs:.2}")),
    );
}

async fn scraped(exporter: &Server) -> Vec<Page> {
    let mut pages = Vec::with_capacity(SCRAPES);
    let mut ticks = tokio::time::interval(PACE);
    for _ in 0..SCRAPES {
        ticks.tick().await;
        pages.push(node::page(&exporter.text("/metrics").await));
    }
    pages
}

/// Bytes of a sample in the block that a snapshot makes of what is in memory.
async fn in_snapshot(server: &Server, pages: &[Page]) -> f64 {
    let end = now() as i64;
    let start = end - (pages.len() as i64 - 1) * STEP;
    let mut samples = 0;
    for (slice, of_a_request) in pages.chunks(SLICE).enumerate() {
        let mut series: BTreeMap<&str, Vec<(i64, f64)>> = BTreeMap::new();
        for (n, page) in of_a_request.iter().enumerate() {
            let at = (start + (slice * SLICE + n) as i64 * STEP) * 1000;
            for (name, value) in page {
                series.entry(name).or_default().push((at, *value));
            }
            samples += page.len();
        }
        let one = |(name, samples): (&str, Vec<(i64, f64)>)| Series {
            labels: node::labels(name).into_iter().collect(),
            samples,
        };
        write(server, &series.into_iter().map(one).collect::<Vec<_>>()).await;
    }
    // Name by name: without their names series would be equal, which Prometheus refuses.
    let series = pages.iter().flatten().map(|(name, _)| name.split('{').next().unwrap());
    let names: BTreeSet<&str> = series.collect();
    until("everything that was written is found", async || {
        let mut found = 0.0;
        for name in &names {
            let counted = format!("sum(count_over_time({name}{{job=\"node\"}}[{}s]))", end - start + 60);
            found += server.number(&counted, end as f64).await;
        }
        found as usize == samples
    })
    .await;
    let answer = server.post("/api/v1/admin/tsdb/snapshot").send().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["status"], "success", "{answer}");
    let name = answer["data"]["name"].as_str().unwrap();
    bytes_below(&server.path("data/snapshots").join(name)) as f64 / samples as f64
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let about = entry.metadata().unwrap();
            if about.is_dir() { bytes_below(&entry.path()) } else { about.len() }
        })
        .sum()
}
