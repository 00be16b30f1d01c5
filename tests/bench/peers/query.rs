//! An hour of 1,000 counters, written by remote write to both, and asked for by the same queries, in turns.

use crate::remote_write::{Series, write};
use crate::report::{percentile, row};
use crate::server::{Cores, Server, now, until};
use crate::times;
use serde_json::Value;
use std::time::Instant;

const SERIES: usize = 1000;
const POINTS: i64 = 241;
const STEP: i64 = 15;
/// Points of a request.
const SLICE: i64 = 24;
const RUNS: usize = 40;
/// Runs before those that count.
const BEFORE: usize = 5;

/// What it is called, the query, the series that it finds, and the bound.
const QUERIES: [(&str, &str, usize, &str); 4] = [
    ("raw, 100 series x 241 points", "bench_total{part=\"a\"}", 100, "Prometheus's"),
    ("rate, 100 series x 241 points", "rate(bench_total{part=\"a\"}[5m])", 100, "Prometheus's"),
    (
        "sum by of rate, 100 series x 241 points",
        "sum by (group) (rate(bench_total{part=\"a\"}[5m]))",
        10,
        "Prometheus's",
    ),
    ("sum of rate, 1,000 series x 241 points", "sum(rate(bench_total[5m]))", 1, "half of Prometheus's"),
];

pub(crate) async fn run() {
    let end = now() as i64;
    let start = end - (POINTS - 1) * STEP;
    let ours = Server::quarterdeck(&[], Cores::All).await;
    fill(&ours, start, end).await;
    let theirs = Server::prometheus(&[("prometheus.yml", "global: {scrape_interval: 1h}\n")], Cores::All).await;
    if let Some(theirs) = &theirs {
        fill(theirs, start, end).await;
    }
    for (what, query, series, bound) in QUERIES {
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for run in 0..RUNS + BEFORE {
            let (took, found) = ask(&ours, query, start, end, run < BEFORE).await;
            our_times.push(took);
            assert!(found.is_none_or(|(found, _)| found == series), "{found:?} of {query}, not {series} series");
            let Some(theirs) = &theirs else { continue };
            let (took, theirs_found) = ask(theirs, query, start, end, run < BEFORE).await;
            their_times.push(took);
            assert_eq!(found, theirs_found, "series and points of {query}");
        }
        let ours = percentile(&mut our_times[BEFORE..], 0.5);
        let theirs = theirs.is_some().then(|| percentile(&mut their_times[BEFORE..], 0.5));
        row(
            &format!("query_range: {what}, p50"),
            &format!("{ours:.1} ms{}", times(ours, theirs)),
            bound,
            &theirs.map_or_else(String::new, |theirs| format!("Prometheus: {theirs:.1} ms")),
        );
    }
}

/// The time of an answer in milliseconds; and its series and points, where it is to be read.
async fn ask(server: &Server, query: &str, start: i64, end: i64, is_read: bool) -> (f64, Option<(usize, usize)>) {
    let parameters = [
        ("query", query.to_owned()),
        ("start", start.to_string()),
        ("end", end.to_string()),
        ("step", STEP.to_string()),
    ];
    let begin = Instant::now();
    let body = server.asked("query_range", &parameters).await;
    let elapsed = begin.elapsed().as_secs_f64() * 1e3;
    let found = is_read.then(|| {
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        let series = answer["data"]["result"].as_array().unwrap();
        (series.len(), series.iter().map(|one| one["values"].as_array().unwrap().len()).sum())
    });
    (elapsed, found)
}

/// Writes it all, and waits until all of it is found.
async fn fill(server: &Server, start: i64, end: i64) {
    for first in (0..POINTS).step_by(SLICE as usize) {
        let points = first..(first + SLICE).min(POINTS);
        let one = |series: usize| {
            let part = if series < 100 { "a" } else { "b" };
            // In the order of their names.
            let labels = [
                ("__name__", "bench_total".to_owned()),
                ("group", format!("g{}", series % 10)),
                ("instance", format!("i{series:04}")),
                ("part", part.to_owned()),
            ];
            let value = |point: i64| (point * (series as i64 % 17 + 1)) as f64 * 1.5;
            Series {
                labels: labels.map(|(name, value)| (name.to_owned(), value)).to_vec(),
                samples: points.clone().map(|point| ((start + point * STEP) * 1000, value(point))).collect(),
            }
        };
        write(server, &(0..SERIES).map(one).collect::<Vec<_>>()).await;
    }
    until("everything that was written is found", async || {
        let found = server.number("sum(count_over_time(bench_total[2h]))", end as f64).await;
        found as i64 == SERIES as i64 * POINTS
    })
    .await;
}
