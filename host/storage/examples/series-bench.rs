//! How fast samples are taken in, how much memory and disk they need, and how fast they are read.
//!
//! `cargo run --release -p quarterdeck-storage --example series-bench [FOLDER] [PAGES]`; the folder should be on the disk that is meant.
//! PAGES is a file of scraped pages: lines of the text format, and a line `# scrape N` before each page. Without it values are made up.
//! They are taken as scraped every 15 seconds, whenever they were.

#[path = "../../../tests/bench/node.rs"]
mod node;
#[path = "../../../tests/bench/report.rs"]
mod report;

use node::{Failure, Page, blocks, bytes_of_blocks, until};
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::series::Series;
use quarterdeck_model::series::ingest::{Ingest, Resolved, Row, SeriesRef};
use quarterdeck_model::series::query::{Budget, Comparison, Matcher, Querier};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_storage::{Database, Options};
use report::{percentile, row};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// 10:40 in UTC, of 2025.
const START: i64 = 1_750_002_000_000;
const STEP: i64 = 15_000;
const SERIES: usize = 100_000;
/// What one source sends at once.
const SOURCE: usize = 1_000;

fn main() -> Result<(), Failure> {
    let base = std::env::args().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let pages = std::env::args().nth(2).map(PathBuf::from);
    let folder = tempfile::tempdir_in(base)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        many_series(&folder.path().join("many")).await?;
        node_figures(&folder.path().join("node"), pages.as_deref()).await
    })
}

fn open(folder: &Path, clock: &Arc<ManualClock>) -> Result<Arc<Database>, StoreError> {
    Database::open(Options::new(folder, clock.clone()))
}

/// Series of a service on many machines: ten labels, as an orchestrator puts them on.
fn resolve(store: &Database, count: usize) -> Result<Vec<SeriesRef>, Failure> {
    let mut refs = Vec::with_capacity(count);
    for n in 0..count {
        let (metric, pod) = (n % SOURCE, n / SOURCE);
        let texts = [
            format!("service_metric_{:03}_total", metric / 10),
            format!("pod-{pod:03}-7d9f8b6c5-x{pod:04}"),
            format!("10.1.{}.{}:9100", pod / 250, pod % 250),
            format!("/api/v1/resource/{}", metric % 10),
            format!("node-{:02}", pod % 20),
        ];
        let [name, pod, instance, path, node] = &texts;
        let labels = [
            ("__name__", name.as_str()),
            ("container", "server"),
            ("instance", instance),
            ("job", "services"),
            ("method", "GET"),
            ("namespace", "production"),
            ("node", node),
            ("path", path),
            ("pod", pod),
            ("region", "eu-central-1"),
            ("status", "200"),
        ];
        match store.resolve(&[&labels])?.first() {
            Some(Resolved::Series(series)) => refs.push(*series),
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok(refs)
}

/// Of four kinds, as on a machine: constant, counted, seconds with two decimals, noise.
fn value(series: usize, n: i64) -> f64 {
    let mixed = (series as u64 ^ n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match series % 10 {
        0..4 => series as f64,
        4..7 => (n * (series as i64 % 50)) as f64 + (mixed >> 60) as f64,
        7..9 => (n * 1_500 + (mixed >> 57) as i64) as f64 / 100.0,
        _ => 40.0 + (mixed >> 40) as f64 / 1e6,
    }
}

async fn many_series(folder: &Path) -> Result<(), Failure> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(START)));
    let before = resident();
    let store = open(folder, &clock)?;
    let refs = resolve(&store, SERIES)?;
    let mut cpu = Duration::ZERO;
    let (mut rows, mut waits) = (Vec::with_capacity(SOURCE), 0u64);
    let mut reached = BTreeMap::new();
    for n in 0..240 {
        let at = START + n * STEP;
        for (source, refs) in refs.chunks(SOURCE).enumerate() {
            rows.clear();
            let place = source * SOURCE;
            rows.extend(refs.iter().enumerate().map(|(n_of, series)| Row {
                series: *series,
                // Sources are not scraped at the same moment.
                at: at + source as i64 * 140,
                value: value(place + n_of, n),
            }));
            let begun = cpu_time();
            while let Err(error) = store.append_refs(&rows) {
                if !matches!(error, StoreError::Busy { .. }) {
                    return Err(error.into());
                }
                waits += 1;
                store.sync().await?;
            }
            cpu += cpu_time().saturating_sub(begun);
        }
        clock.advance(Span::from_millis(STEP.unsigned_abs()));
        let begun = cpu_time();
        store.sync().await?;
        cpu += cpu_time().saturating_sub(begun);
        if [19, 119, 239].contains(&n) {
            reached.insert(n + 1, resident());
        }
    }
    let samples = SERIES as f64 * 240.0;
    row(
        "samples per CPU second by handles, 100,000 series, each scrape synced",
        &format!("{:.1} M, {waits} waits", samples / cpu.as_secs_f64() / 1e6),
        "3 M",
        "Prometheus, with scraping: 0.45 M",
    );
    for (samples, bytes) in &reached {
        let bound = if *samples == 20 { "133 MB for the whole daemon" } else { "" };
        let peer = if *samples == 20 { "Prometheus: 266 MB" } else { "" };
        row(
            &format!("resident memory, 100,000 series x {samples} samples"),
            &format!("{:.0} MB, {:.0} MB of them without any", megabytes(*bytes), megabytes(before)),
            bound,
            peer,
        );
    }
    for (what, pod) in [("100 series", "pod-00[7].*"), ("1,000 series", "pod-00.*")] {
        let matchers = [
            matcher("__name__", Comparison::Matches, "service_metric_01[0-9]_total"),
            matcher("pod", Comparison::Matches, pod),
        ];
        let now = START + 240 * STEP;
        let (took, found, points) = select(&store, &matchers, now - 3_600_000, now)?;
        row(&format!("select of {what} over an hour ({found}, {points} samples)"), &took, "a few ms", "");
    }
    store.close().await;
    drop(store);
    let start = Instant::now();
    let store = open(folder, &clock)?;
    row("opening it again: 24 M samples in the log", &format!("{:.1} s", start.elapsed().as_secs_f64()), "", "");
    // The oldest hour moves into a block.
    clock.advance(Span::from_secs(2 * 3_600));
    let begun = cpu_time();
    until(|| blocks(folder) > 0).await?;
    let moving = cpu_time().saturating_sub(begun);
    row("CPU time of moving them into a block", &format!("{:.1} s", moving.as_secs_f64()), "", "");
    row("bytes a sample in it, index included", &format!("{:.2}", bytes_of_blocks(folder) as f64 / samples), "", "");
    row("resident memory after that", &format!("{:.0} MB", megabytes(resident())), "", "");
    let matchers = [
        matcher("__name__", Comparison::Matches, "service_metric_01[0-9]_total"),
        matcher("pod", Comparison::Matches, "pod-00.*"),
    ];
    let (took, found, points) = select(&store, &matchers, START - 1, START + 3_600_000)?;
    row(&format!("select of 1,000 series over an hour from the block ({found}, {points} samples)"), &took, "", "");
    Ok(())
}

fn matcher(label: &str, comparison: Comparison, value: &str) -> Matcher {
    Matcher { label: label.to_owned(), comparison, value: value.to_owned() }
}

fn select(store: &Database, matchers: &[Matcher], from: i64, to: i64) -> Result<(String, usize, usize), StoreError> {
    let (mut times, mut series, mut points) = (Vec::new(), 0, 0);
    for _ in 0..30 {
        let start = Instant::now();
        let budget = Budget::of_samples(50_000_000);
        let found = store.select(matchers, Timestamp::from_millis(from), Timestamp::from_millis(to), &budget)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        (series, points) = (found.len(), found.iter().map(|columns| columns.at.len()).sum());
    }
    let (median, tail) = (percentile(&mut times, 0.5), percentile(&mut times, 0.95));
    Ok((format!("p50 {median:.2} ms, p95 {tail:.2} ms"), series, points))
}

/// One machine's figures.
async fn node_figures(folder: &Path, pages: Option<&Path>) -> Result<(), Failure> {
    let pages = match pages {
        Some(path) => node::pages(&std::fs::read_to_string(path)?),
        None => made_up(),
    };
    let packed = node::in_blocks(folder, &pages).await?;
    row(
        &format!("bytes a sample of node figures, index included ({} series x {} scrapes)", packed.series, pages.len()),
        &format!("{:.2}", packed.bytes as f64 / packed.samples as f64),
        "1.3",
        "Prometheus: 2.82",
    );
    Ok(())
}

fn made_up() -> Vec<Page> {
    let series = |n: usize| format!("node_metric_{:02}{{device=\"d{}\"}}", n / 10, n % 10);
    (0..480).map(|scrape| (0..500).map(|n| (series(n), value(n, scrape))).collect()).collect()
}

/// Of all threads.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// In bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
