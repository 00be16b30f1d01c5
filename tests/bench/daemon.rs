//! Measures the whole daemon: start, idle, many instances, many rules, hot reload, sample to webhook. Prints the rows of a table.
//!
//! `cargo run --release -p quarterdeck --example bench-daemon [start|many|rules|webhook|reload]` (after `cargo build --release`);
//! `tests/bench/run` runs it with the others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "a benchmark may panic"
)]

#[path = "../src/first_run/figures.rs"]
mod figures;
mod report;

use axum::Router;
use axum::body::Bytes;
use figures::FIGURES;
use quarterdeck_model::Timestamp;
use report::{percentile, row};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

fn binary() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("quarterdeck")
}

/// A copy of it, made as an installer makes one. What is written in large blocks may lie in large folios of the page cache, of which more
/// is mapped at once than is used; what the linker wrote piece by piece does not.
fn installed(folder: &Path) -> PathBuf {
    let copy = folder.join("quarterdeck");
    let (mut from, mut to) = (File::open(binary()).unwrap(), File::create(&copy).unwrap());
    let mut block = vec![0; 1 << 20];
    loop {
        let read = from.read(&mut block).unwrap();
        if read == 0 {
            break;
        }
        to.write_all(&block[..read]).unwrap();
    }
    to.set_permissions(from.metadata().unwrap().permissions()).unwrap();
    copy
}

struct Daemon {
    child: Child,
    url: String,
    token: String,
    http: reqwest::Client,
    ready_after: Duration,
    artefacts: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    async fn start(folder: &Path, http: &reqwest::Client) -> Daemon {
        Daemon::start_of(&binary(), folder, http).await
    }

    async fn start_of(program: &Path, folder: &Path, http: &reqwest::Client) -> Daemon {
        let url_file = folder.join("data/url");
        let _ = std::fs::remove_file(&url_file);
        std::fs::create_dir_all(folder.join("config/plugins")).unwrap();
        let begin = Instant::now();
        let child = Command::new(program)
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
        Daemon { child, url, token, http: http.clone(), ready_after, artefacts: folder.join("data/cache/aot") }
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    /// Waits until what nobody waits for is compiled, too.
    async fn all_compiled(&self) {
        let begin = Instant::now();
        let is_loading =
            |page: &Value| page["items"].as_array().unwrap().iter().any(|plugin| plugin["state"] == "loading");
        while is_loading(&self.get("/api/v1/plugins?limit=500").await) {
            assert!(begin.elapsed() < Duration::from_secs(120), "still compiling");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn push(&self, samples: &Value) {
        let request = self.http.post(format!("{}/api/v1/metrics", self.url)).bearer_auth(&self.token).json(samples);
        assert!(request.send().await.unwrap().status().is_success());
    }

    async fn run_job(&self, name: &str) {
        let body = json!({ "name": name });
        let request = self.http.post(format!("{}/api/v1/jobs/run", self.url)).bearer_auth(&self.token).json(&body);
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

    /// CPU over this time from now, in percent of a core.
    async fn cpu_percent(&self, over: Duration) -> f64 {
        let (_, before) = self.usage();
        tokio::time::sleep(over).await;
        let (_, after) = self.usage();
        (after - before) / over.as_secs_f64() * 100.0
    }
}

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A connection that the daemon is about to close is not used again.
    let http = reqwest::Client::builder().no_proxy().pool_idle_timeout(Duration::from_secs(5)).build().unwrap();
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if wanted("start") {
        start_and_idle(&http).await;
    }
    if wanted("many") {
        many_instances(&http).await;
    }
    if wanted("rules") {
        many_rules(&http).await;
    }
    if wanted("webhook") {
        sample_to_webhook(&http).await;
    }
    if wanted("reload") {
        reload(&http).await;
    }
}

async fn start_and_idle(http: &reqwest::Client) {
    let folder = tempfile::tempdir().unwrap();
    let first = Daemon::start(folder.path(), http).await;
    row(
        "ready, with an empty cache (the plugins of all instances are compiled)",
        &format!("{:.0} ms", first.ready_after.as_secs_f64() * 1e3),
        "",
        "",
    );
    let begin = Instant::now();
    while !has_every_figure(&first).await {
        assert!(begin.elapsed() < Duration::from_secs(120), "some figures never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    row(
        "every figure there, with an empty cache: machine, probe, both objectives, scan",
        &format!("{:.1} s", (first.ready_after + begin.elapsed()).as_secs_f64()),
        "10 s",
        "",
    );
    first.all_compiled().await;
    drop(first);
    let mut ready = Vec::new();
    for _ in 0..10 {
        ready.push(Daemon::start(folder.path(), http).await.ready_after.as_secs_f64() * 1e3);
    }
    row(
        "ready, every bundled plugin cached (median of 10 starts)",
        &format!("{:.0} ms", percentile(&mut ready, 0.5)),
        "150 ms",
        "",
    );
    start_with_a_hundred(http).await;
    let (resident, cpu) = idle(&Daemon::start(folder.path(), http).await).await;
    // Beside the binary: a temporary folder of the machine's may be in memory.
    let elsewhere = tempfile::tempdir_in(binary().parent().unwrap()).unwrap();
    let copy = installed(elsewhere.path());
    let (resident_of_copy, _) = idle(&Daemon::start_of(&copy, folder.path(), http).await).await;
    row(
        "resident, idle for a minute with every bundled plugin",
        &format!("{:.1} MB", resident as f64 / 1e6),
        "60 MB",
        "Prometheus 40 + Alertmanager 30 + netdata 63 MB",
    );
    row("the same, of an installed copy", &format!("{:.1} MB", resident_of_copy as f64 / 1e6), "60 MB", "");
    row("CPU, idle", &format!("{cpu:.2} % of a core"), "1 %", "netdata 1.2 %");
}

/// Resident bytes behind a minute and a half of idleness, and CPU in percent of a core in the half.
async fn idle(daemon: &Daemon) -> (u64, f64) {
    daemon.all_compiled().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let cpu = daemon.cpu_percent(Duration::from_secs(30)).await;
    (daemon.usage().0, cpu)
}

async fn has_every_figure(daemon: &Daemon) -> bool {
    let items = async |path: &str| daemon.get(path).await["items"].as_array().cloned().unwrap_or_default();
    for metric in FIGURES {
        if items(&format!("/api/v1/metrics/latest?metric={metric}")).await.is_empty() {
            return false;
        }
    }
    let slos = items("/api/v1/slos").await;
    let scans = items("/api/v1/scans").await;
    let attained = slos.len() == 2 && slos.iter().all(|slo| slo["state"] != "no-data");
    attained && scans.iter().any(|scan| scan["state"] == "succeeded")
}

/// The bundled plugins, and copies of them in the plugins folder up to a hundred, each a component of its own.
async fn start_with_a_hundred(http: &reqwest::Client) {
    let folder = tempfile::tempdir().unwrap();
    let plugins = folder.path().join("config/plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    let bundled = quarterdeck_bundle::COMPONENTS;
    for (number, component) in (0_u8..).zip(bundled.iter().cycle().take(100 - bundled.len())) {
        let bytes = distinct(component.bytes, number);
        std::fs::write(plugins.join(format!("{}-{number}.wasm", component.name)), bytes).unwrap();
    }
    let first = Daemon::start(folder.path(), http).await;
    first.all_compiled().await;
    let begin = Instant::now();
    while files_in_use(&first) < 100 - bundled.len() {
        assert!(begin.elapsed() < Duration::from_secs(120), "not all plugins are loaded");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(first);
    let mut ready = Vec::new();
    for _ in 0..5 {
        ready.push(Daemon::start(folder.path(), http).await.ready_after.as_secs_f64() * 1e3);
    }
    let figure = format!("{:.0} ms", percentile(&mut ready, 0.5));
    row("ready, 100 plugins cached (median of 5 starts)", &figure, "300 ms", "100 components in wasmtime alone: 37 ms");
}

/// How many files of the plugins folder have been compiled: artefacts in the cache beyond the bundled ones.
fn files_in_use(daemon: &Daemon) -> usize {
    let artefacts = std::fs::read_dir(&daemon.artefacts).unwrap().flatten();
    let artefacts = artefacts.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "cwasm"));
    artefacts.count().saturating_sub(quarterdeck_bundle::COMPONENTS.len())
}

/// The same component with a custom section of its own, so that its digest is another.
fn distinct(bytes: &[u8], number: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.extend_from_slice(&[0, 3, 1, b'n', number]);
    bytes
}

/// Ten thousand instances over a hundred plugins, each a file of its own.
async fn many_instances(http: &reqwest::Client) {
    const PLUGINS: usize = 100;
    const EACH: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let plugins = folder.path().join("config/plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    let component = quarterdeck_bundle::COMPONENTS.iter().find(|component| component.name == "threshold").unwrap();
    let mut text = String::new();
    for number in 0..PLUGINS {
        let name = format!("thresho{number:02}");
        std::fs::write(plugins.join(format!("{name}.wasm")), renamed(component.bytes, "threshold", &name)).unwrap();
        for instance in 0..EACH {
            text.push_str(&format!(
                "[instances.\"{name}/i{instance}\"]\nplugin = \"{name}\"\nconfig = {{ raise = 1.0 }}\n"
            ));
        }
    }
    std::fs::write(folder.path().join("config/quarterdeck.toml"), text).unwrap();
    let active = async |daemon: &Daemon| daemon.get("/api/v1/status").await["instances"].to_string();
    let first = Daemon::start(folder.path(), http).await;
    first.all_compiled().await;
    let begin = Instant::now();
    while first.get(&format!("/api/v1/instances/thresho99/i{}", EACH - 1)).await["state"] != "active" {
        assert!(begin.elapsed() < Duration::from_secs(120), "{}", active(&first).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(first);
    let daemon = Daemon::start(folder.path(), http).await;
    daemon.all_compiled().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (resident, _) = daemon.usage();
    let what = "10000 instances over 100 plugin files";
    row(&format!("resident, {what}"), &format!("{:.0} MB", resident as f64 / 1e6), "250 MB", "");
    let mut latencies = Vec::new();
    for _ in 0..100 {
        let begin = Instant::now();
        daemon.get("/api/v1/status").await;
        latencies.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let (median, tail) = (percentile(&mut latencies, 0.5), percentile(&mut latencies, 0.99));
    row(&format!("status with {what}"), &format!("p50 {median:.1} ms, p99 {tail:.1} ms"), "50 ms", "");
}

/// Ten thousand rules of one detector instance, each with a series of its own that is as it should be.
async fn many_rules(http: &reqwest::Client) {
    const RULES: usize = 10_000;
    const IN_A_PUSH: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("config")).unwrap();
    let rules = (0..RULES).map(|number| {
        format!(
            "[rules.r{number}]\ndetector = \"threshold/default\"\n\
             select = {{ metric = \"bench\", labels = {{ series = \"{number}\" }} }}\nevery = \"15s\"\n\
             config = {{ raise = 10.0, direction = \"above\" }}\n"
        )
    });
    std::fs::write(folder.path().join("config/quarterdeck.toml"), rules.collect::<String>()).unwrap();
    let daemon = Daemon::start(folder.path(), http).await;
    daemon.all_compiled().await;
    for from in (0..RULES).step_by(IN_A_PUSH) {
        let sample = |number: usize| json!({"name": "bench", "labels": {"series": number.to_string()}, "value": 1.0});
        daemon.push(&Value::Array((from..from + IN_A_PUSH).map(sample).collect())).await;
    }
    // Two turns, before two turns are measured.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let runs = async |number: usize| {
        let job = daemon.get(&format!("/api/v1/jobs/rule%2Fr{number}")).await;
        job["runs"].as_u64().unwrap()
    };
    let before = (runs(0).await, runs(RULES - 1).await);
    let cpu = daemon.cpu_percent(Duration::from_secs(30)).await;
    let after = (runs(0).await, runs(RULES - 1).await);
    assert!(after.0 > before.0 && after.1 > before.1, "they are not evaluated: {before:?}, {after:?}");
    let what = format!("CPU of the whole daemon, {RULES} rules at 15s over threshold");
    row(&what, &format!("{cpu:.1} % of a core"), "15 % of a core", "");
}

/// The same component with another name of the same length.
fn renamed(bytes: &[u8], name: &str, by: &str) -> Vec<u8> {
    assert_eq!(name.len(), by.len());
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len().saturating_sub(name.len()) {
        if bytes[at..].starts_with(name.as_bytes()) {
            bytes[at..at + by.len()].copy_from_slice(by.as_bytes());
        }
    }
    bytes
}

async fn sample_to_webhook(http: &reqwest::Client) {
    const ALERTS: usize = 200;
    /// Longer than the interval of the rule.
    const PACE: Duration = Duration::from_millis(130);
    let arrived: Arc<Mutex<Vec<f64>>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}", listener.local_addr().unwrap());
    let sink = arrived.clone();
    let router = Router::new().fallback(move |body: Bytes| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() * 1e3;
        let message: Value = serde_json::from_slice(&body).unwrap();
        // Times have whole milliseconds, cut off: half of one is what that takes away on average.
        let fired = message.pointer("/data/fired_at").and_then(Value::as_str).and_then(Timestamp::parse);
        sink.lock().unwrap().extend(fired.map(|fired| now - (fired.as_millis() as f64 + 0.5)));
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
    daemon.all_compiled().await;
    // One alert at a time: what is measured is the way of one, not a queue.
    for _ in 0..ALERTS {
        for value in [20.0, 0.0] {
            daemon.push(&json!([{"name": "bench", "labels": {"series": "one"}, "value": value}])).await;
            tokio::time::sleep(PACE).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut latencies = arrived.lock().unwrap().clone();
    server.abort();
    assert!(latencies.len() >= ALERTS * 9 / 10, "{} of {ALERTS} arrived", latencies.len());
    let (median, tail) = (percentile(&mut latencies, 0.5), percentile(&mut latencies, 0.99));
    let way = "evaluation tick to webhook over threshold, durable on the way";
    row(&format!("{way}, p50"), &format!("{median:.1} ms"), "3 ms", "Alertmanager, nothing synced: 1.05 ms");
    row(&format!("{way}, p99"), &format!("{tail:.1} ms"), "15 ms", "Alertmanager, nothing synced: 2.1 ms");
}

async fn reload(http: &reqwest::Client) {
    const JOB: &str = "rule/bench";
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("config")).unwrap();
    let rule = "[rules.bench]\ndetector = \"threshold/default\"\nselect = { metric = \"bench\" }\nevery = \"1h\"\n\
                config = { raise = 10.0, direction = \"above\" }\n";
    std::fs::write(folder.path().join("config/quarterdeck.toml"), rule).unwrap();
    let daemon = Daemon::start(folder.path(), http).await;
    daemon.all_compiled().await;
    let plugins = folder.path().join("config/plugins");
    let component = quarterdeck_bundle::COMPONENTS.iter().find(|component| component.name == "threshold").unwrap();
    let digest = async || daemon.get("/api/v1/plugins/threshold").await["digest"].as_str().unwrap().to_owned();
    // Runs that have ended.
    let runs = async || {
        let job = daemon.get("/api/v1/jobs/rule%2Fbench").await;
        job["runs"].as_u64().unwrap() - job["running"].as_u64().unwrap()
    };
    let mut figures = [Vec::new(), Vec::new()];
    // Each of eight versions is met twice: compiled at first, out of the cache the second time.
    for figures in &mut figures {
        for number in 0..8_u8 {
            std::fs::write(plugins.join(".new"), distinct(component.bytes, number)).unwrap();
            let before = digest().await;
            let begin = Instant::now();
            std::fs::rename(plugins.join(".new"), plugins.join("threshold.wasm")).unwrap();
            while digest().await == before {
                assert!(begin.elapsed() < Duration::from_secs(30));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let run_before = runs().await;
            daemon.run_job(JOB).await;
            while runs().await == run_before {
                tokio::task::yield_now().await;
            }
            figures.push(begin.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    let [compiled, cached] = &mut figures;
    let size = component.bytes.len() / 1000;
    let figure = |figures: &mut Vec<f64>| {
        let (median, worst) = (percentile(figures, 0.5), percentile(figures, 1.0));
        format!("p50 {median:.0} ms, worst of {} {worst:.0} ms", figures.len())
    };
    row(
        &format!("rename of a {size} KB component until its first call has ended, compiled"),
        &figure(compiled),
        "250 ms for 100 KB",
        "",
    );
    row("the same, from the cache", &figure(cached), "50 ms", "");
}
