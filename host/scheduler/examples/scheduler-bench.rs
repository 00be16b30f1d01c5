//! 10,000 jobs at 15 s, for 35 s: how late do they start, and what does it cost?
//!
//! `cargo run --release -p quarterdeck-scheduler --example scheduler-bench`
//!
//! Prints rows of a table: the time between plan and start, and the process's share of one core. With `--no-jitter` all jobs
//! are due in the same millisecond.

#![expect(clippy::expect_used, reason = "a benchmark may panic")]

#[path = "../../../tests/bench/report.rs"]
mod report;

use async_trait::async_trait;
use quarterdeck_model::clock::Clock;
use quarterdeck_model::domain::job::JobSpec;
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_scheduler::{Job, Options, Scheduler, SystemClock};
use report::{percentile, row};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const JOBS: usize = 10_000;
const INTERVAL: Span = Span::from_secs(15);
const DURATION: Duration = Duration::from_secs(35);

/// Milliseconds.
struct Measure(Mutex<Vec<f64>>);

#[async_trait]
impl Job for Measure {
    async fn run(&self, planned: Timestamp) -> Result<(), String> {
        let late = SystemClock.now().since(planned).as_millis() as f64;
        self.0.lock().map_err(|e| e.to_string())?.push(late);
        Ok(())
    }
}

/// CPU time of this process so far: fields 14 and 15 of `/proc/self/stat`, in hundredths of a second.
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map_while(|field| field.parse::<u64>().ok());
    Some(Duration::from_millis((fields.next()? + fields.next()?) * 10))
}

#[tokio::main]
async fn main() {
    let jitter = if std::env::args().any(|argument| argument == "--no-jitter") { Span::ZERO } else { INTERVAL };
    let shutdown = tokio_util::sync::CancellationToken::new();
    let scheduler = Scheduler::start(Arc::new(SystemClock), Options { max_running: JOBS }, shutdown.clone());
    let measure = Arc::new(Measure(Mutex::new(Vec::with_capacity(JOBS * 4))));
    let setting = Instant::now();
    for index in 0..JOBS {
        let spec = JobSpec { jitter, at_start: false, ..JobSpec::every(format!("bench/{index}"), INTERVAL) };
        scheduler.set(spec, measure.clone()).expect("a good schedule");
    }
    let set = format!("{} ms", setting.elapsed().as_millis());
    row(&format!("setting {JOBS} jobs"), &set, "", "");
    let (started, before) = (Instant::now(), cpu_time());
    tokio::time::sleep(DURATION).await;
    let (elapsed, after) = (started.elapsed(), cpu_time());
    shutdown.cancel();
    scheduler.drained().await;
    let mut late = measure.0.lock().expect("no run panicked").clone();
    let missed: u64 = scheduler.list().iter().map(|job| job.missed).sum();
    let what = format!("{JOBS} jobs at {INTERVAL}: start behind the plan");
    row(&format!("{what}, p50"), &format!("{} ms", percentile(&mut late, 0.5)), "", "");
    row(&format!("{what}, p99"), &format!("{} ms", percentile(&mut late, 0.99)), "50 ms", "");
    row(&format!("{what}, worst of {}", late.len()), &format!("{} ms", percentile(&mut late, 1.0)), "", "");
    row("runs left out", &missed.to_string(), "0", "");
    let cpu = match (before, after) {
        (Some(before), Some(after)) => {
            format!("{:.1} % of a core", (after - before).as_secs_f64() / elapsed.as_secs_f64() * 100.0)
        }
        _ => "not known on this system".to_owned(),
    };
    row("CPU of the scheduler for them", &cpu, "15 % of a core", "");
}
