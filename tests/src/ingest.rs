//! Samples from elsewhere: a real node exporter scraped, a real vmagent and a real Prometheus that write remotely, and an OpenTelemetry
//! exporter's request. What they say is compared with what the daemon then says by query.

use crate::harness::counterpart::find;
use crate::harness::web::free_port;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// A program that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &Path, folder: &Path, arguments: &[String]) -> Program {
    let name = program.file_name().unwrap().to_string_lossy();
    let log = std::fs::File::create(folder.join(format!("{name}.log"))).unwrap();
    let child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Program(child)
}

/// The address of a node exporter.
fn node_exporter(program: &Path, folder: &Path) -> (Program, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let arguments = [format!("--web.listen-address={address}")];
    (start(program, folder, &arguments), address)
}

/// What a query finds: labels and value of each.
async fn query(daemon: &Daemon, query: &str) -> Vec<(Value, f64)> {
    let url = reqwest::Url::parse_with_params("http://x/prometheus/api/v1/query", [("query", query)]).unwrap();
    let answer = daemon.get(&format!("{}?{}", url.path(), url.query().unwrap())).await;
    let found = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    found.into_iter().map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap().parse().unwrap())).collect()
}

/// The one value that a query finds.
async fn value(daemon: &Daemon, text: &str) -> Option<f64> {
    match query(daemon, text).await.as_slice() {
        [(_, value)] => Some(*value),
        _ => None,
    }
}

/// What a page says of a series that does not change while it is read.
async fn on_page(daemon: &Daemon, address: &str, series: &str) -> f64 {
    let page = daemon.http().get(format!("http://{address}/metrics")).send().await.unwrap().text().await.unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}")).parse().unwrap()
}

async fn target(daemon: &Daemon, url: &str) -> Option<Value> {
    let targets = daemon.get("/prometheus/api/v1/targets?state=active").await;
    targets["data"]["activeTargets"].as_array()?.iter().find(|target| target["scrapeUrl"] == url).cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_node_exporter_is_scraped_and_targets_of_a_file_are_followed() {
    let test = "a_real_node_exporter_is_scraped_and_targets_of_a_file_are_followed";
    let Some(program) = find("prometheus-node-exporter", test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_exporter, address) = node_exporter(&program, folder.path());
    let setup = Setup::new();
    setup.write(
        "scrape/node.yml",
        "scrape_configs:\n- job_name: node\n  scrape_interval: 1s\n  file_sd_configs: [{files: [targets/*.json]}]\n  \
         metric_relabel_configs: [{source_labels: [__name__], regex: 'go_.*', action: drop}]\n",
    );
    let list = |targets: &[&str]| json!([{"targets": targets, "labels": {"zone": "here"}}]).to_string();
    setup.write("scrape/targets/node.json", &list(&[&address]));
    let daemon = setup.start().await;
    let up = format!("up{{instance=\"{address}\",job=\"node\",zone=\"here\"}}");
    eventually("the exporter is up", SOON, async || (value(&daemon, &up).await == Some(1.0)).then_some(())).await;
    for series in ["node_memory_MemTotal_bytes", "node_boot_time_seconds"] {
        let expected = on_page(&daemon, &address, series).await;
        assert_eq!(value(&daemon, &format!("{series}{{job=\"node\"}}")).await, Some(expected), "{series}");
    }
    assert_eq!(query(&daemon, "go_goroutines{job=\"node\"}").await, []);
    let scraped = value(&daemon, "scrape_samples_scraped{job=\"node\"}").await.unwrap();
    let kept = value(&daemon, "scrape_samples_post_metric_relabeling{job=\"node\"}").await.unwrap();
    assert!(scraped > kept && kept > 100.0, "{scraped} {kept}");
    let said = daemon.get("/prometheus/api/v1/metadata?metric=node_boot_time_seconds").await;
    assert_eq!(said["data"]["node_boot_time_seconds"][0]["type"], "gauge");
    let said = daemon.get("/prometheus/api/v1/targets/metadata?metric=node_boot_time_seconds").await;
    assert_eq!(said["data"][0]["target"]["instance"], json!(address));
    let shown = target(&daemon, &format!("http://{address}/metrics")).await.unwrap();
    assert_eq!(
        (&shown["health"], &shown["scrapePool"], &shown["lastError"]),
        (&json!("up"), &json!("node"), &json!(""))
    );
    assert_eq!(shown["discoveredLabels"]["__address__"], json!(address));

    // The file is changed while the daemon runs: it is to scrape itself, and the exporter no more.
    let own = daemon.url.strip_prefix("http://").unwrap().to_owned();
    daemon.setup.write("scrape/targets/node.json", &list(&[&own]));
    let own_up = format!("up{{instance=\"{own}\",job=\"node\"}}");
    eventually("the new target is up", SOON, async || (value(&daemon, &own_up).await == Some(1.0)).then_some(())).await;
    eventually("the old one has ended", SOON, async || query(&daemon, &up).await.is_empty().then_some(())).await;
    assert_eq!(query(&daemon, &format!("node_boot_time_seconds{{instance=\"{address}\"}}")).await, []);
    let info = query(&daemon, "quarterdeck_build_info{job=\"node\"}").await;
    assert_eq!((info.len(), info[0].1), (1, 1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_configuration_with_a_mistake_is_told_with_its_place_and_changes_nothing() {
    let setup = Setup::new();
    setup.write("scrape/a.yml", "scrape_configs:\n- job_name: own\n  scrape_interval: 1s\n");
    let daemon = setup.start().await;
    let own = daemon.url.strip_prefix("http://").unwrap().to_owned();
    let good = format!(
        "scrape_configs:\n- job_name: own\n  scrape_interval: 1s\n  static_configs: [{{targets: ['{own}', '127.0.0.1:9']}}]\n"
    );
    daemon.setup.write("scrape/a.yml", &good);
    let url = format!("{}/metrics", daemon.url);
    let is_up = async || target(&daemon, &url).await.filter(|target| target["health"] == "up");
    eventually("the target is up", SOON, is_up).await;
    let refused =
        async || target(&daemon, "http://127.0.0.1:9/metrics").await.filter(|target| target["health"] == "down");
    let down = eventually("the other one is down", SOON, refused).await;
    assert!(!down["lastError"].as_str().unwrap().is_empty(), "{down}");
    assert_eq!(value(&daemon, "up{instance=\"127.0.0.1:9\"}").await, Some(0.0));
    let bad = format!("{good}  kubernetes_sd_configs: []\n  relabel_configs: [{{action: hashmod, target_label: x}}]\n");
    daemon.setup.write("scrape/a.yml", &bad);
    let checked = daemon.command_line(&["config", "check"]);
    let said = String::from_utf8(checked.stdout).unwrap() + &String::from_utf8(checked.stderr).unwrap();
    assert!(!checked.status.success(), "{said}");
    assert!(said.contains("a.yml:5:3: scrape.own.kubernetes_sd_configs: it is not supported here; hint"), "{said}");
    daemon.setup.write("scrape/a.yml", &bad.replace("  kubernetes_sd_configs: []\n", ""));
    let checked = daemon.command_line(&["config", "check"]);
    let said = String::from_utf8(checked.stdout).unwrap() + &String::from_utf8(checked.stderr).unwrap();
    assert!(said.contains("scrape.own.relabel_configs[0]") && said.contains("modulus"), "{said}");
    assert!(target(&daemon, &url).await.is_some(), "the one before stays in force");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_vmagent_writes_what_it_scrapes() {
    let test = "a_real_vmagent_writes_what_it_scrapes";
    let (Some(agent), Some(exporter)) = (find("vmagent", test), find("prometheus-node-exporter", test)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_exporter, address) = node_exporter(&exporter, folder.path());
    let daemon = Setup::new().start().await;
    let config = folder.path().join("scrape.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: node\n  static_configs: [{{targets: ['{address}']}}]\n"
    );
    std::fs::write(&config, text).unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, &daemon.token).unwrap();
    let arguments = [
        format!("-promscrape.config={}", config.display()),
        format!("-remoteWrite.url={}/prometheus/api/v1/write", daemon.url),
        format!("-remoteWrite.bearerTokenFile={}", token.display()),
        format!("-remoteWrite.tmpDataPath={}", folder.path().join("queue").display()),
        format!("-httpListenAddr=127.0.0.1:{}", free_port()),
        "-remoteWrite.flushInterval=1s".to_owned(),
    ];
    let _agent = start(&agent, folder.path(), &arguments);
    let series = "node_memory_MemTotal_bytes";
    let written = async || value(&daemon, &format!("{series}{{job=\"node\",instance=\"{address}\"}}")).await;
    let found = eventually("what vmagent writes", SOON, written).await;
    // vmagent reads numbers quickly, and not to the last bit.
    let there = on_page(&daemon, &address, series).await;
    assert!((found / there - 1.0).abs() < 1e-14, "{found} of {there}");
    let up = format!("up{{job=\"node\",instance=\"{address}\"}}");
    assert_eq!(value(&daemon, &up).await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_writes_what_it_scrapes_and_both_answer_alike() {
    let test = "a_real_prometheus_writes_what_it_scrapes_and_both_answer_alike";
    let (Some(prometheus), Some(exporter)) = (find("prometheus", test), find("prometheus-node-exporter", test)) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (exporter, address) = node_exporter(&exporter, folder.path());
    let daemon = Setup::new().start().await;
    let token = folder.path().join("token");
    std::fs::write(&token, &daemon.token).unwrap();
    let config = folder.path().join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: node\n  static_configs: [{{targets: ['{address}']}}]\n\
         remote_write:\n- url: {}/prometheus/api/v1/write\n  authorization: {{credentials_file: {}}}\n  \
         queue_config: {{batch_send_deadline: 1s}}\n  metadata_config: {{send_interval: 1s}}\n",
        daemon.url,
        token.display()
    );
    std::fs::write(&config, text).unwrap();
    let port = free_port();
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", folder.path().join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    let _prometheus = start(&prometheus, folder.path(), &arguments);
    let up = format!("up{{job=\"node\",instance=\"{address}\"}}");
    eventually("what Prometheus writes", SOON, async || (value(&daemon, &up).await == Some(1.0)).then_some(())).await;
    // Both are asked about the same moment, which has passed for both.
    let at = query_time(&daemon, &up).await;
    for text in [
        "count by (job) ({job=\"node\"})",
        "node_memory_MemTotal_bytes",
        "sum by (mode) (node_cpu_seconds_total)",
        "node_filesystem_size_bytes",
    ] {
        let same = async || {
            let ours = ask(&daemon, &format!("{}/prometheus", daemon.url), text, at).await?;
            let theirs = ask(&daemon, &format!("http://127.0.0.1:{port}"), text, at).await?;
            (ours == theirs && !ours.is_empty()).then_some(())
        };
        eventually(&format!("both answer `{text}` alike"), SOON, same).await;
    }
    // What they describe arrives with it.
    let described = async || {
        let said = daemon.get("/prometheus/api/v1/metadata?metric=node_cpu_seconds_total").await;
        (said["data"]["node_cpu_seconds_total"][0]["type"] == "counter").then_some(())
    };
    eventually("what Prometheus says of a metric", Duration::from_secs(120), described).await;
    // A target that goes away ends here as there.
    drop(exporter);
    eventually("the target is down", SOON, async || (value(&daemon, &up).await == Some(0.0)).then_some(())).await;
    let gone = async || query(&daemon, "node_memory_MemTotal_bytes{job=\"node\"}").await.is_empty().then_some(());
    eventually("its series have ended", SOON, gone).await;
}

/// When the newest sample of a query was taken, in seconds.
async fn query_time(daemon: &Daemon, series: &str) -> f64 {
    value(daemon, &format!("timestamp({series})")).await.unwrap()
}

/// What a server answers about a moment, as sorted texts.
async fn ask(daemon: &Daemon, server: &str, text: &str, at: f64) -> Option<Vec<String>> {
    let at = at.to_string();
    let parameters = [("query", text), ("time", at.as_str())];
    let url = reqwest::Url::parse_with_params(&format!("{server}/api/v1/query"), parameters).unwrap();
    let answer: Value = daemon.http().get(url).send().await.ok()?.json().await.ok()?;
    let mut found: Vec<String> = answer["data"]["result"].as_array()?.iter().map(Value::to_string).collect();
    found.sort_unstable();
    Some(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_of_opentelemetry_survive_a_kill_once_they_are_acknowledged() {
    let daemon = Setup::new().start().await;
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos().to_string();
    let request = json!({"resourceMetrics": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "host.name", "value": {"stringValue": "web"}}]},
        "scopeMetrics": [{"metrics": [{"name": "orders", "sum": {"isMonotonic": true, "aggregationTemporality": 2,
            "dataPoints": [{"timeUnixNano": at, "asInt": "17"}]}}]}]}]});
    let answer = daemon
        .http()
        .post(format!("{}/otlp/v1/metrics", daemon.url))
        .bearer_auth(&daemon.token)
        .json(&request)
        .send()
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), answer.json::<Value>().await.unwrap()), (200, json!({})));
    let daemon = daemon.kill().start().await;
    assert_eq!(value(&daemon, "orders_total{job=\"shop\"}").await, Some(17.0));
    let (info, one) = query(&daemon, "target_info{job=\"shop\"}").await.remove(0);
    assert_eq!((&info["host_name"], one), (&json!("web"), 1.0));
}
