//! Measures the console: pages with much behind them, a chart, and many open event streams. Prints the rows of a table.
//!
//! `cargo run --release -p quarterdeck --example bench-console [pages|many|chart|streams]` (after `cargo build --release`); `tests/bench/run` runs
//! it with the others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a benchmark may panic"
)]

mod report;
#[path = "peers/server.rs"]
#[expect(dead_code, reason = "the programs of others are for another benchmark")]
mod server;

use futures::StreamExt;
use report::{percentile, row};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use server::{Cores, Server, now};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

const INSTANCES: usize = 1_000;
const EVENTS: usize = 10_000;
/// Of a kind, where a page looks at all of them.
const OBJECTS: usize = 10_000;
/// How often each page is asked.
const TIMES: usize = 200;
const STREAMS: usize = 1_000;
const PER_SECOND: u32 = 10;
const FOR: Duration = Duration::from_secs(30);

/// Pages of lists, and the first one.
const PAGES: [&str; 23] = [
    "",
    "/alerts",
    "/silences",
    "/rules",
    "/incidents",
    "/metrics",
    "/dashboards",
    "/slos",
    "/findings",
    "/events",
    "/runbooks",
    "/runs",
    "/services",
    "/deployments",
    "/scans",
    "/jobs",
    "/outbox",
    "/dead-letters",
    "/plugins",
    "/instances",
    "/processes",
    "/configuration",
    "/host",
];

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if wanted("pages") {
        pages().await;
    }
    if wanted("many") {
        many().await;
    }
    if wanted("chart") {
        chart().await;
    }
    if wanted("streams") {
        streams().await;
    }
}

/// Answers of a page, in milliseconds from the request to its last byte, over one connection.
async fn ask(server: &Server, path: &str, times: usize) -> (Vec<f64>, usize) {
    let (mut took, mut bytes) = (Vec::new(), 0);
    for n in 0..times + 5 {
        let begin = Instant::now();
        bytes = server.text(&format!("/console{path}")).await.len();
        // The first ones fill what is kept.
        if n >= 5 {
            took.push(begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    (took, bytes)
}

async fn pages() {
    let mut config = "[events]\nproducer-rate = 0\n".to_owned();
    for n in 0..INSTANCES {
        config.push_str(&format!("[instances.\"threshold/n{n}\"]\nplugin = \"threshold\"\n"));
    }
    let server = Server::quarterdeck(&[("quarterdeck.toml", &config)], Cores::All).await;
    for n in 0..EVENTS {
        // As much as alerts and notifications say.
        publish(&server, &format!("event {n}"), &"what has happened ".repeat(150)).await;
    }
    let (mut worst, mut slowest) = (0.0, "");
    for path in PAGES {
        let (mut took, bytes) = ask(&server, path, TIMES).await;
        let (half, p99) = (percentile(&mut took, 0.5), percentile(&mut took, 0.99));
        eprintln!("/console{path}: p50 {half:.2} ms, p99 {p99:.2} ms, {bytes} bytes");
        if p99 > worst {
            (worst, slowest) = (p99, path);
        }
        if matches!(path, "" | "/instances" | "/events" | "/configuration") {
            let what = format!("/console{path} with 1,000 instances and 10,000 events");
            row(&what, &format!("p50 {half:.1} ms, p99 {p99:.1} ms, {:.0} KB", bytes as f64 / 1e3), "p99 20 ms", "");
        }
    }
    let what = format!("the slowest of the console's {} lists, /console{slowest}", PAGES.len());
    row(&what, &format!("p99 {worst:.1} ms"), "p99 20 ms", "");
}

async fn publish(server: &Server, subject: &str, text: &str) {
    let event = json!({"type": "custom.bench", "subject": subject, "data": {"text": text}});
    let sent = server.post("/api/v1/events").json(&event).send().await.unwrap();
    assert!(sent.status().is_success(), "{}", sent.status());
}

/// Ten thousand findings and as many alerts: what looks at all of them.
async fn many() {
    let secrets = tempfile::tempdir().unwrap();
    let mut random = 1_u64;
    let mut letter = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(random >> 59) as usize])
    };
    // A file tells of a hundred at most.
    for file in 0..OBJECTS / 100 {
        let keys = (0..100).map(|n| format!("KEY_{n}=AKIA{}\n", (0..16).map(|_| letter()).collect::<String>()));
        std::fs::write(secrets.path().join(format!("service-{file}.env")), keys.collect::<String>()).unwrap();
    }
    let scan = format!("[scans.many]\nrules = [\"secrets/default\"]\npaths = [{:?}]\n", secrets.path());
    let server = Server::quarterdeck(&[("quarterdeck.toml", &scan)], Cores::All).await;
    let begun = server.post("/api/v1/scans").json(&json!({"name": "many"})).send().await.unwrap();
    assert!(begun.status().is_success(), "{}", begun.status());
    let found = format!("{OBJECTS} findings");
    server::until("the scan", async || server.text("/console/findings").await.contains(&found)).await;
    let alerts: Vec<Value> = (0..OBJECTS)
        .map(|n| {
            let labels =
                json!({"alertname": format!("Bench{}", n % 50), "host": format!("host-{n}"), "severity": "warning"});
            json!({"labels": labels, "annotations": {"summary": format!("disk {n} is almost full")}})
        })
        .collect();
    for part in alerts.chunks(500) {
        let sent = server.post("/alertmanager/api/v2/alerts").json(&part).send().await.unwrap();
        assert!(sent.status().is_success(), "{}", sent.status());
    }
    let firing = format!(">{OBJECTS}<");
    server::until("the alerts", async || server.text("/console/alerts").await.contains(&firing)).await;
    for (path, what) in [
        ("", "with 10,000 alerts that fire"),
        ("/findings", "with 10,000 findings"),
        ("/alerts", "with 10,000 alerts"),
        ("/search?q=nowhere-to-be-found", "in 10,000 findings and 10,000 alerts, none of which is meant"),
        ("/search?q=host-9999", "in 10,000 findings and 10,000 alerts, one of which is meant"),
    ] {
        let (mut took, bytes) = ask(&server, path, TIMES).await;
        let (half, p99) = (percentile(&mut took, 0.5), percentile(&mut took, 0.99));
        let page = path.split('?').next().unwrap_or_default();
        let figure = format!("p50 {half:.1} ms, p99 {p99:.1} ms, {:.0} KB", bytes as f64 / 1e3);
        row(&format!("/console{page} {what}"), &figure, "p99 20 ms", "");
    }
}

/// Ten series over a day, a sample every 15 seconds.
async fn chart() {
    const DAY: i64 = 86_400_000;
    let server = Server::quarterdeck(&[("quarterdeck.toml", "")], Cores::All).await;
    let end = (now() * 1e3) as i64;
    for series in 0..10 {
        let samples: Vec<Value> = (0..DAY / 15_000)
            .map(|n| {
                let at = quarterdeck_model::Timestamp::from_millis(end - DAY + n * 15_000);
                let value = (n as f64 / 100.0 + f64::from(series)).sin();
                json!({"name": "bench_value", "labels": {"series": series.to_string()}, "value": value, "at": at})
            })
            .collect();
        for part in samples.chunks(2_000) {
            let sent = server.post("/api/v1/metrics").json(&part).send().await.unwrap();
            assert!(sent.status().is_success(), "{}: {}", sent.status(), sent.text().await.unwrap());
        }
    }
    let page = server.text("/console/metrics?q=bench_value&range=24h").await;
    let drawn = page.matches("key key-").count();
    assert!(drawn >= 10, "{drawn} lines are drawn");
    let (mut took, bytes) = ask(&server, "/metrics?q=bench_value&range=24h", TIMES).await;
    let (half, p99) = (percentile(&mut took, 0.5), percentile(&mut took, 0.99));
    let figure = format!("p50 {half:.1} ms, p99 {p99:.1} ms, {:.0} KB", bytes as f64 / 1e3);
    row("a page with a chart of 10 series over 24 h", &figure, "100 ms", "");
}

/// As many pages that are looked at, each with its stream. The one who listens is on the same cores.
async fn streams() {
    let server = Arc::new(Server::quarterdeck(&[("quarterdeck.toml", "")], Cores::All).await);
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let (late, mut all) = unbounded_channel::<f64>();
    let open = Arc::new(AtomicUsize::new(0));
    let mut listeners = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        let url = format!("{}/console/stream?type=custom.bench", server.url);
        listeners.spawn(listen(http.clone(), url, late.clone(), Arc::clone(&open)));
    }
    drop(late);
    let begin = Instant::now();
    while open.load(Ordering::SeqCst) < STREAMS {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} streams are open", open.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (idle, before) = server.usage();
    let begin = Instant::now();
    let mut beat = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut sent = 0;
    while begin.elapsed() < FOR {
        beat.tick().await;
        publish(&server, &format!("{:.6}", now()), "").await;
        sent += 1;
    }
    let (resident, after) = server.usage();
    let cpu = (after - before) / begin.elapsed().as_secs_f64() * 100.0;
    tokio::time::sleep(Duration::from_secs(2)).await;
    listeners.shutdown().await;
    let mut behind = Vec::new();
    while let Some(late) = all.recv().await {
        behind.push(late * 1e3);
    }
    let (count, most) = (behind.len(), percentile(&mut behind, 1.0));
    let what = format!("{STREAMS} event streams, {PER_SECOND} events a second");
    row(&format!("{what}: CPU of the daemon"), &format!("{cpu:.0} % of a core"), "100 %", "");
    let figure = format!("p99 {:.0} ms, worst {most:.0} ms", percentile(&mut behind, 0.99));
    row(&format!("{what}: an event behind its sending"), &figure, "1 s", "");
    row(&format!("{what}: events that arrived"), &format!("{count} of {}", sent * STREAMS), "all", "");
    row(
        &format!("{what}: resident"),
        &format!("{:.0} MB ({:.0} MB before the first event)", resident / 1e6, idle / 1e6),
        "",
        "",
    );
}

/// Tells of every event how late it has come, in seconds.
async fn listen(http: reqwest::Client, url: String, late: UnboundedSender<f64>, open: Arc<AtomicUsize>) {
    let answer = http.get(url).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    open.fetch_add(1, Ordering::SeqCst);
    let (mut parts, mut rest) = (answer.bytes_stream(), String::new());
    while let Some(Ok(part)) = parts.next().await {
        rest.push_str(&String::from_utf8_lossy(&part));
        while let Some(end) = rest.find('\n') {
            let line: String = rest.drain(..=end).collect();
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let event: Value = serde_json::from_str(data.trim()).unwrap();
            if let Some(sent) = event["subject"].as_str().and_then(|text| text.parse::<f64>().ok()) {
                let _ = late.send(now() - sent);
            }
        }
    }
}
