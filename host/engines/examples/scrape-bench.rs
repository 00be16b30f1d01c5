//! What scraping takes: 100 targets with 1,000 series each, pages in the style of a node exporter, in a steady state. Read, recognised,
//! appended and synced to the disk, once a round; the CPU time of the whole process counts, that of the store's writer too, and that of
//! making the pages does not. Rows of the table of `tests/bench`.
//!
//! ```text
//! cargo run --release -p quarterdeck-engines --example scrape-bench [a page in the text format, to be scraped of each target instead]
//! ```

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic")]

use quarterdeck_engines::monitoring::scrape::Reader;
use quarterdeck_formats::exposition::Format;
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::domain::scrape::ScrapeConfig;
use quarterdeck_model::label::Labels;
use quarterdeck_model::series::Series;
use quarterdeck_model::series::ingest::Ingest;
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_storage::Database;
use rustix::time::{ClockId, clock_gettime};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

const TARGETS: usize = 100;
const SERIES: usize = 1_000;
const ROUNDS: u64 = 40;
/// Rounds until everything is known and warm.
const BEFORE: u64 = 5;
const INTERVAL: Span = Span::from_secs(15);
const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// Name, type, and the values of each of its labels.
type Family = (&'static str, &'static str, &'static [(&'static str, usize)]);

/// A host's families, as many as it takes.
const FAMILIES: &[Family] = &[
    ("node_cpu_seconds_total", "counter", &[("cpu", 16), ("mode", 8)]),
    ("node_cpu_guest_seconds_total", "counter", &[("cpu", 16), ("mode", 2)]),
    ("node_disk_read_bytes_total", "counter", &[("device", 10)]),
    ("node_disk_written_bytes_total", "counter", &[("device", 10)]),
    ("node_disk_io_time_seconds_total", "counter", &[("device", 10)]),
    ("node_filesystem_avail_bytes", "gauge", &[("device", 8), ("fstype", 2), ("mountpoint", 3)]),
    ("node_filesystem_size_bytes", "gauge", &[("device", 8), ("fstype", 2), ("mountpoint", 3)]),
    ("node_network_receive_bytes_total", "counter", &[("device", 12)]),
    ("node_network_transmit_bytes_total", "counter", &[("device", 12)]),
    (
        "node_network_info",
        "gauge",
        &[("address", 4), ("adminstate", 1), ("device", 12), ("duplex", 1), ("operstate", 1)],
    ),
    ("node_schedstat_running_seconds_total", "counter", &[("cpu", 16)]),
    ("node_softnet_processed_total", "counter", &[("cpu", 16)]),
    ("node_memory_bytes", "gauge", &[("kind", 50)]),
    ("node_systemd_unit_state", "gauge", &[("name", 112), ("state", 5), ("type", 1)]),
];

/// What stands before the values of a page, and whether they count up.
fn lines() -> Vec<(String, bool)> {
    let mut lines = Vec::new();
    for (name, kind, labels) in FAMILIES {
        let mut series = vec![String::new()];
        for (label, values) in *labels {
            series = (0..*values)
                .flat_map(|value| series.iter().map(move |before| format!("{before},{label}=\"{label}-{value}\"")))
                .collect();
        }
        for labels in series {
            lines.push((format!("{name}{{{}}}", &labels[1..]), *kind == "counter"));
        }
    }
    assert!(lines.len() >= SERIES);
    lines.truncate(SERIES);
    lines
}

/// As Go writes a number for a page: with an exponent from a million on.
fn go(out: &mut String, value: f64) {
    if value != 0.0 && value.abs() >= 1e6 {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap();
        let _ = write!(out, "{mantissa}e+{exponent:0>2}");
    } else {
        let _ = write!(out, "{value}");
    }
}

/// Half of the values stand still, as they do on an idle host.
fn page(lines: &[(String, bool)], target: usize, round: u64) -> String {
    let (mut out, mut family) = (String::with_capacity(128 << 10), "");
    for (index, (series, counts)) in lines.iter().enumerate() {
        let name = series.split('{').next().unwrap();
        if name != family {
            let kind = if *counts { "counter" } else { "gauge" };
            let _ = write!(out, "# HELP {name} What a node exporter says of it.\n# TYPE {name} {kind}\n");
            family = name;
        }
        let moves = (index + target).is_multiple_of(2);
        let step = if moves { round } else { 0 };
        let value = if *counts {
            ((index * 1_000 + target) as f64 + (step * 15 * (index as u64 % 97 + 1)) as f64 * 0.37)
                .mul_add(100.0, 0.0)
                .round()
                / 100.0
        } else {
            (1u64 << (index % 34)) as f64 + (step * (index as u64 % 7)) as f64
        };
        out.push_str(series);
        out.push(' ');
        go(&mut out, value);
        out.push('\n');
    }
    out
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn main() {
    let given = std::env::args().nth(1).map(|file| std::fs::read_to_string(file).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(START));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _on = runtime.enter();
    let database = Database::open(quarterdeck_storage::Options::new(folder.path(), clock.clone())).unwrap();
    let ingest: Arc<dyn Ingest> = database.clone();
    let before = resident();
    let mut readers: Vec<Reader> = (0..TARGETS)
        .map(|target| {
            let labels = Labels::new().with("instance", format!("host-{target}:9100")).with("job", "node");
            Reader::new(ingest.clone(), "node", &ScrapeConfig::default(), labels).unwrap()
        })
        .collect();
    let lines = lines();
    let (mut samples, mut took, mut bytes) = (0, Duration::ZERO, 0);
    for round in 0..ROUNDS + BEFORE {
        let pages: Vec<String> =
            (0..TARGETS).map(|target| given.clone().unwrap_or_else(|| page(&lines, target, round))).collect();
        let at = START.plus(Span::from_millis(INTERVAL.as_millis() * round)).as_millis();
        let started = cpu();
        let (mut rows, mut scraped) = (Vec::new(), 0);
        for (reader, page) in readers.iter_mut().zip(&pages) {
            rows.clear();
            let text = std::str::from_utf8(page.as_bytes()).unwrap();
            let counts = reader.read(Ok((text, Format::Text)), at, &mut rows).unwrap();
            let appended = ingest.append_refs(&rows).unwrap();
            assert_eq!((appended.taken, appended.gone.len()), (counts.kept, 0));
            scraped += counts.scraped;
        }
        runtime.block_on(database.sync()).unwrap();
        if round >= BEFORE {
            took += cpu() - started;
            samples += scraped;
            bytes += pages.iter().map(String::len).sum::<usize>();
        }
        clock.advance(INTERVAL);
    }
    let rate = samples as f64 / took.as_secs_f64();
    let series = samples as u64 / ROUNDS;
    println!(
        "| scrape: {series} series of {TARGETS} pages read, recognised, appended and synced, steady | {:.2} M samples a CPU second, {:.0} MB of pages a CPU second |  |  |",
        rate / 1e6,
        bytes as f64 / took.as_secs_f64() / 1e6
    );
    println!(
        "| resident memory for them, {} scrapes in memory included | {:.1} MB |  |  |",
        ROUNDS + BEFORE,
        resident().saturating_sub(before) as f64 / 1024.0
    );
    drop(readers);
    drop(ingest);
    runtime.block_on(database.close());
}
