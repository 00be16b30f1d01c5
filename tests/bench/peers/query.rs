//! An hour of 1,000 counters, written by remote write to both, and asked for by the same queries.

use crate::report::{percentile, row};
use crate::server::Server;
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime};

const SERIES: usize = 1000;
const POINTS: i64 = 241;
const STEP: i64 = 15;
/// Points of a request.
const SLICE: i64 = 24;
const RUNS: usize = 40;

const QUERIES: [(&str, &str, &str); 4] = [
    ("raw, 100 series x 241 points", "bench_total{part=\"a\"}", "Prometheus's"),
    ("rate, 100 series x 241 points", "rate(bench_total{part=\"a\"}[5m])", "Prometheus's"),
    ("sum by of rate, 100 series x 241 points", "sum by (group) (rate(bench_total{part=\"a\"}[5m]))", "Prometheus's"),
    ("sum of rate, 1,000 series x 241 points", "sum(rate(bench_total[5m]))", "half of Prometheus's"),
];

pub(crate) async fn run() {
    let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
    let start = end - (POINTS - 1) * STEP;
    let ours = Server::quarterdeck(&[]).await;
    fill(&ours, "/prometheus/api/v1/write", start).await;
    let theirs = Server::prometheus("global: {scrape_interval: 1h}\n").await;
    if let Some(theirs) = &theirs {
        fill(theirs, "/api/v1/write", start).await;
    }
    // What was written is worked into the store.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (what, query, bound) in QUERIES {
        let (mut took, count) = ask(&ours, "/prometheus/api/v1/query_range", query, start, end).await;
        let other = match &theirs {
            None => String::new(),
            Some(theirs) => {
                let (mut took, their_count) = ask(theirs, "/api/v1/query_range", query, start, end).await;
                assert_eq!(count, their_count, "series of {query}");
                format!("Prometheus: {:.1} ms", percentile(&mut took, 0.5))
            }
        };
        row(&format!("query_range: {what}, p50"), &format!("{:.1} ms", percentile(&mut took, 0.5)), bound, &other);
    }
}

/// Times in milliseconds, and the series of the answer.
async fn ask(server: &Server, path: &str, query: &str, start: i64, end: i64) -> (Vec<f64>, usize) {
    let (mut took, mut series) = (Vec::new(), 0);
    for run in 0..RUNS + 5 {
        let begin = Instant::now();
        let form = [
            ("query", query.to_owned()),
            ("start", start.to_string()),
            ("end", end.to_string()),
            ("step", STEP.to_string()),
        ];
        let form = form.map(|(name, value)| format!("{name}={}", escaped(&value))).join("&");
        let request = server.http.get(format!("{}{path}?{form}", server.url));
        let body = request.send().await.unwrap().bytes().await.unwrap();
        let elapsed = begin.elapsed().as_secs_f64() * 1e3;
        if run >= 5 {
            took.push(elapsed);
        } else {
            let answer: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(answer["status"], "success", "{answer}");
            series = answer["data"]["result"].as_array().unwrap().len();
        }
    }
    (took, series)
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn fill(server: &Server, path: &str, start: i64) {
    for first in (0..POINTS).step_by(SLICE as usize) {
        let mut request = Vec::new();
        for series in 0..SERIES {
            let mut one = Vec::new();
            // In the order of their names.
            let part = if series < 100 { "a" } else { "b" };
            let (group, instance) = (format!("g{}", series % 10), format!("i{series:04}"));
            let labels = [("__name__", "bench_total"), ("group", &group), ("instance", &instance), ("part", part)];
            for (name, value) in labels {
                let mut label = Vec::new();
                message(&mut label, 1, name.as_bytes());
                message(&mut label, 2, value.as_bytes());
                message(&mut one, 1, &label);
            }
            for point in first..(first + SLICE).min(POINTS) {
                let mut sample = vec![1 << 3 | 1];
                sample.extend_from_slice(&((point * (series as i64 % 17 + 1)) as f64 * 1.5).to_le_bytes());
                sample.push(2 << 3);
                varint(&mut sample, ((start + point * STEP) * 1000) as u64);
                message(&mut one, 2, &sample);
            }
            message(&mut request, 1, &one);
        }
        let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
        let request = server
            .post(path)
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await.unwrap());
    }
}

/// A field of protobuf with bytes.
fn message(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
