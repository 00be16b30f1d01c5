//! How fast the store is on this disk, beside the disk's own rate of fdatasync measured in the same run.
//!
//! `cargo run --release -p quarterdeck-storage --example store-bench [FOLDER]`; the folder should be on the disk that is meant.

#[path = "../../../tests/bench/report.rs"]
mod report;

use quarterdeck_model::Timestamp;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::event::{Event, EventFilter, Offset};
use quarterdeck_model::id::IdSource;
use quarterdeck_model::store::{Store, StoreError};
use quarterdeck_model::transition::Transition;
use quarterdeck_storage::{Database, Options};
use report::{percentile, row};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(0))
    }
}

const WRITERS: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = std::env::args().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let folder = tempfile::tempdir_in(base)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let raw = &mut std::fs::File::create(folder.path().join("raw"))?;
    runtime.block_on(async {
        let store = Database::open(Options::new(folder.path().join("data"), Arc::new(SystemClock)))?;
        alone(&store, raw).await?;
        let (count, span) = writers(&store, WRITERS, Duration::from_secs(4)).await?;
        let many = count as f64 / span;
        row(
            &format!("durable events of 256 bytes acknowledged, {WRITERS} writers"),
            &format!("{many:.0} /s"),
            "50,000 /s",
            "NATS JetStream, no fsync for each: 103,000 /s",
        );
        let (count, rate) = replay(&store, &EventFilter::default())?;
        row(&format!("replay of {count} events"), &format!("{rate:.0} /s"), "300,000 /s", "NATS JetStream: 295,000 /s");
        let (_, rate) = replay(&store, &EventFilter::types(["bench.rare"]))?;
        row("replay through a filter that none passes", &format!("{rate:.0} /s"), "", "");
        row("size on disk of an event", &format!("{} bytes", store.health().size_bytes / count.max(1)), "", "");
        store.close().await;
        drop(store);
        let start = Instant::now();
        drop(Database::open(Options::new(folder.path().join("data"), Arc::new(SystemClock)))?);
        row("opening that store again", &format!("{} ms", start.elapsed().as_millis()), "", "");
        Ok(())
    })
}

/// On a shared disk a few syncs in a hundred wait milliseconds for what others write, and a rate is mostly a count of those.
/// So disk and store take turns in short slices, and the median time of one sync is held against that of one commit. The
/// rates are told beside it: where the two disagree, the machine was not quiet.
async fn alone(store: &Arc<Database>, raw: &mut std::fs::File) -> Result<(), Box<dyn std::error::Error>> {
    let slice = Duration::from_millis(200);
    let ids = IdSource::random();
    let (mut disk, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..25 {
        let start = Instant::now();
        while start.elapsed() < slice {
            let begun = Instant::now();
            raw.write_all(&[7; 512])?;
            raw.sync_data()?;
            disk.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        let start = Instant::now();
        while start.elapsed() < slice {
            let begun = Instant::now();
            store.commit(Transition::new().event(event(&ids, 0))).await?;
            ours.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    let (disk_median, disk_rate) = told("disk: append of 512 bytes and fdatasync", &mut disk);
    let (our_median, our_rate) = told("durable event of 256 bytes, 1 writer", &mut ours);
    row(
        "1 writer, as a part of the disk's own rate of fdatasync",
        &format!("{:.2} by medians, {:.2} by rates", disk_median / our_median, our_rate / disk_rate),
        "0.5",
        "NATS JetStream, no fsync: 6,300 /s",
    );
    Ok(())
}

/// Prints a row. Returns the median in microseconds, and what the mean is per second.
fn told(what: &str, micros: &mut [f64]) -> (f64, f64) {
    let rate = micros.len() as f64 * 1e6 / micros.iter().sum::<f64>();
    let (median, tail) = (percentile(micros, 0.5), percentile(micros, 0.95));
    row(what, &format!("{rate:.0} /s, p50 {median:.0} us, p95 {tail:.0} us"), "", "");
    (median, rate)
}

fn event(ids: &IdSource, writer: usize) -> Event {
    // With the quotes and the name 256 bytes of JSON.
    let data = json!({"text": "x".repeat(256 - 11)});
    Event::new(ids, SystemClock.now(), "bench.event", format!("writer-{writer}")).data(data)
}

/// Each writer commits one event, waits for the acknowledgement, and commits the next. Returns commits and seconds.
async fn writers(store: &Arc<Database>, count: usize, span: Duration) -> Result<(u64, f64), StoreError> {
    let done = Arc::new(AtomicU64::new(0));
    let ids = Arc::new(IdSource::random());
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..count {
        let (store, done, ids) = (Arc::clone(store), Arc::clone(&done), Arc::clone(&ids));
        tasks.spawn(async move {
            while start.elapsed() < span {
                store.commit(Transition::new().event(event(&ids, writer))).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), StoreError>(())
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.map_err(|e| StoreError::Io(e.to_string()))??;
    }
    Ok((done.load(Ordering::Relaxed), start.elapsed().as_secs_f64()))
}

fn replay(store: &Database, filter: &EventFilter) -> Result<(u64, f64), StoreError> {
    let (start, mut after) = (Instant::now(), Offset(0));
    while after < store.head() {
        after = store.events(after, filter, 4_096)?.next;
    }
    Ok((after.0, after.0 as f64 / start.elapsed().as_secs_f64()))
}
