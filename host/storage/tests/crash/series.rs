//! Samples: those that were acknowledged are there, each once, whatever was being moved into blocks at the time.

use crate::support::{START, options};
use quarterdeck_model::clock::ManualClock;
use quarterdeck_model::series::Series;
use quarterdeck_model::series::ingest::{Ingest, Resolved, Row, SeriesRef};
use quarterdeck_model::series::query::{Budget, Querier};
use quarterdeck_model::{Span, Timestamp};
use quarterdeck_storage::{Database, Options};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const FOLDER: &str = "QUARTERDECK_STORAGE_TEST_SERIES_FOLDER";
const FROM: &str = "QUARTERDECK_STORAGE_TEST_SERIES_FROM";
const ROUNDS: u64 = 10;
const SERIES: usize = 60;
/// Between samples, so that an hour is over every few hundred syncs.
const STEP: i64 = 20_000;

fn at(n: i64) -> i64 {
    START + n * STEP
}

fn open(folder: &Path, n: i64) -> (Arc<Database>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(at(n))));
    (Database::open(Options { clock: clock.clone(), ..options(folder) }).unwrap(), clock)
}

fn resolve(store: &Database) -> Vec<SeriesRef> {
    let resolve = |n: usize| {
        let core = n.to_string();
        let labels = [("__name__", "cpu"), ("core", core.as_str())];
        let Resolved::Series(series) = store.resolve(&[&labels]).unwrap()[0] else { panic!() };
        series
    };
    (0..SERIES).map(resolve).collect()
}

/// Not a test of its own: the process that is killed. Prints what was acknowledged.
#[test]
fn child_of_series() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let mut n: i64 = std::env::var(FROM).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let (store, clock) = open(Path::new(&folder), n);
        let mut series = resolve(&store);
        loop {
            let rows: Vec<Row> =
                series.iter().map(|series| Row { series: *series, at: at(n), value: n as f64 }).collect();
            let appended = store.append_refs(&rows).unwrap();
            if !appended.gone.is_empty() {
                // The same ones come again; those that were taken are dropped.
                series = resolve(&store);
                continue;
            }
            store.sync().await.unwrap();
            println!("acknowledged {n}");
            n += 1;
            clock.advance(Span::from_millis(STEP as u64));
        }
    });
}

#[test]
fn a_kill_loses_no_acknowledged_sample_and_doubles_none() {
    let folder = tempfile::tempdir().unwrap();
    let (mut next, mut moved) = (0i64, false);
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "series::child_of_series", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .env(FROM, next.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = None;
        // What is old is moved once a second: killed a little before, in the middle, and behind.
        let deadline = Instant::now() + Duration::from_millis(900 + (round * 137) % 700);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let note = |line: &str| line.split("acknowledged ").nth(1).and_then(|n| n.parse::<i64>().ok());
        for line in lines.by_ref() {
            acknowledged = note(&line).or(acknowledged);
            if acknowledged.is_some() && Instant::now() > deadline {
                break;
            }
        }
        child.kill().unwrap();
        lines.for_each(|line| acknowledged = note(&line).or(acknowledged));
        child.wait().unwrap();
        let acknowledged = acknowledged.expect("the round did something");

        let blocks = std::fs::read_dir(folder.path().join("series/blocks")).unwrap();
        moved |=
            blocks.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "block")).count()
                > 0;
        let (store, _) = open(folder.path(), acknowledged + 1);
        let found = store.select(&[], Timestamp::MIN, Timestamp::MAX, &Budget::of_samples(usize::MAX)).unwrap();
        assert_eq!(found.len(), SERIES, "round {round}");
        for columns in found {
            let last = columns.values.len() as i64 - 1;
            assert!(last >= acknowledged, "round {round}: {acknowledged} was acknowledged, {last} is the last");
            let expected: Vec<i64> = (0..=last).map(at).collect();
            assert!(columns.at == expected, "round {round}: {:?}", columns.labels);
            assert!(columns.values.iter().enumerate().all(|(n, value)| *value == n as f64), "round {round}");
            next = next.max(last + 1);
        }
    }
    assert!(moved, "nothing was ever moved into a block");
}
