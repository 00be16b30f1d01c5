//! Measures the whole daemon: start, idle, hot reload, sample to webhook. Prints one line per figure.
//!
//! `cargo run --release --example bench-daemon` (after `cargo build --release`); `tests/bench/run` runs it with the others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a benchmark may panic"
)]

use axum::Router;
use axum::body::Bytes;
use quarterdeck_model::Timestamp;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

fn binary() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("quarterdeck")
}

struct Daemon {
    child: Child,
    url: String,
    token: String,
    http: reqwest::Client,
    ready_after: Duration,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    async fn start(folder: &Path, http: &reqwest::Client) -> Daemon {
        let url_file = folder.join("data/url");
        let _ = std::fs::remove_file(&url_file);
        std::fs::create_dir_all(folder.join("config/plugins")).unwrap();
        let begin = Instant::now();
        let child = Command::new(binary())
            .args(["run", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.join("data"))
            .arg("--config-dir")
            .arg(folder.join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = loop {
            if let Ok(url) = std::fs::read_to_string(&url_file)
                && !url.is_empty()
                && http.get(format!("{url}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success())
            {
                break url;
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "not ready");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let ready_after = begin.elapsed();
        let token = std::fs::read_to_string(folder.join("data/token")).unwrap();
        Daemon { child, url, token, http: http.clone(), ready_after }
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    async fn push(&self, samples: &Value) {
        let request = self.http.post(format!("{}/api/v1/metrics", self.url)).bearer_auth(&self.token).json(samples);
        assert!(request.send().await.unwrap().status().is_success());
    }

    /// `(resident bytes, CPU seconds so far)`, as the kernel counts them; ticks are 1/100 s on Linux.
    fn usage(&self) -> (u64, f64) {
        let process = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
        let stat = std::fs::read_to_string(format!("{process}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        (resident * 1024, ticks as f64 / 100.0)
    }
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

fn report(what: &str, figure: String, bound: &str) {
    println!("| {what} | {figure} | {bound} |");
}

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    println!("| What | Measured | Bound |\n|---|---|---|");
    start_and_idle(&http).await;
    sample_to_webhook(&http).await;
    reload(&http).await;
}

async fn start_and_idle(http: &reqwest::Client) {
    let folder = tempfile::tempdir().unwrap();
    let first = Daemon::start(folder.path(), http).await;
    report(
        "ready, empty AOT cache",
        format!("{:.0} ms", first.ready_after.as_secs_f64() * 1e3),
        "10 s with real figures",
    );
    drop(first);
    let mut ready = Vec::new();
    for _ in 0..10 {
        ready.push(Daemon::start(folder.path(), http).await.ready_after.as_secs_f64() * 1e3);
    }
    report(
        "ready, every bundled plugin cached (median of 10)",
        format!("{:.0} ms", percentile(&mut ready, 0.5)),
        "150 ms",
    );
    let daemon = Daemon::start(folder.path(), http).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (_, before) = daemon.usage();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (resident, after) = daemon.usage();
    report("resident after a minute, idle", format!("{:.1} MB", resident as f64 / 1e6), "60 MB");
    report("CPU, idle", format!("{:.2} % of a core", (after - before) / 30.0 * 100.0), "1 %");
}

async fn sample_to_webhook(http: &reqwest::Client) {
    const SERIES: usize = 400;
    let arrived: Arc<Mutex<Vec<f64>>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}", listener.local_addr().unwrap());
    let sink = arrived.clone();
    let router = Router::new().fallback(move |body: Bytes| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() * 1e3;
        let message: Value = serde_json::from_slice(&body).unwrap();
        let fired = message.pointer("/data/fired_at").and_then(Value::as_str).and_then(Timestamp::parse);
        sink.lock().unwrap().extend(fired.map(|fired| now - fired.as_millis() as f64));
        async { "ok" }
    });
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("config")).unwrap();
    let text = format!(
        "[instances.\"webhook/bench\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{hook}/hook\" }}\ngrants = {{ http = [\"{hook}\"] }}\n\
         [rules.bench]\ndetector = \"threshold/default\"\nselect = {{ metric = \"bench\" }}\nevery = \"100ms\"\nwindow = \"10s\"\n\
         config = {{ raise = 10.0, direction = \"above\" }}\n\
         [routes.bench]\nevents = [\"alert.firing\"]\nlabels = {{ alertname = \"bench\" }}\nnotify = [\"webhook/bench\"]\n"
    );
    std::fs::write(folder.path().join("config/quarterdeck.toml"), text).unwrap();
    let daemon = Daemon::start(folder.path(), http).await;
    for series in 0..SERIES {
        daemon.push(&json!([{"name": "bench", "labels": {"series": series.to_string()}, "value": 20.0}])).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut latencies = arrived.lock().unwrap().clone();
    server.abort();
    assert!(latencies.len() >= SERIES * 9 / 10, "{} of {SERIES} arrived", latencies.len());
    let (median, tail) = (percentile(&mut latencies, 0.5), percentile(&mut latencies, 0.99));
    report("evaluation tick to webhook, durable on the way, p50", format!("{median:.1} ms"), "3 ms");
    report("evaluation tick to webhook, durable on the way, p99", format!("{tail:.1} ms"), "15 ms");
}

async fn reload(http: &reqwest::Client) {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), http).await;
    let plugins = folder.path().join("config/plugins");
    let component = quarterdeck_bundle::COMPONENTS.iter().find(|component| component.name == "threshold").unwrap();
    let digest = async || daemon.get("/api/v1/plugins/threshold").await["digest"].as_str().unwrap().to_owned();
    let mut figures = [Vec::new(), Vec::new()];
    // Each of eight versions is met twice: compiled at first, out of the cache the second time.
    for figures in &mut figures {
        for number in 0..8_u8 {
            let mut bytes = component.bytes.to_vec();
            bytes.extend_from_slice(&[0, 3, 1, b'n', number]);
            std::fs::write(plugins.join(".new"), &bytes).unwrap();
            let before = digest().await;
            let begin = Instant::now();
            std::fs::rename(plugins.join(".new"), plugins.join("threshold.wasm")).unwrap();
            while digest().await == before {
                assert!(begin.elapsed() < Duration::from_secs(30));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            figures.push(begin.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    let [compiled, cached] = &mut figures;
    let size = component.bytes.len() / 1000;
    report(
        &format!("rename of a {size} KB component until it is in use, compiled"),
        format!("{:.0} ms", percentile(compiled, 0.5)),
        "250 ms",
    );
    report("the same, from the cache", format!("{:.0} ms", percentile(cached, 0.5)), "50 ms");
}
