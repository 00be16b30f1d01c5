//! The Prometheus API for its own clients: `promtool` asks the daemon, and a real Prometheus that scrapes the daemon has to answer
//! queries over the same samples as the daemon does.

use crate::harness::counterpart::find;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SOON: Duration = Duration::from_secs(60);

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Runs `promtool query`; its standard output, or its standard error where it fails.
fn promtool(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).arg("query").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// RFC 3339, as pushed samples have it.
fn written(millis: u64) -> String {
    quarterdeck_model::Timestamp::from_millis(i64::try_from(millis).unwrap()).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_queries_the_daemon_as_it_queries_prometheus() {
    let Some(program) = find("promtool", "promtool_queries_the_daemon_as_it_queries_prometheus") else { return };
    let daemon = Setup::new().start().await;
    let server = format!("{}/prometheus", daemon.url);
    let now = seconds_now();
    let samples: Vec<Value> = (0..5)
        .flat_map(|step| {
            [("north", 2), ("south", 3)].map(|(region, factor)| {
                let at = written((now - 4 + step) * 1000);
                json!({"name": "shop_orders_total", "labels": {"region": region}, "value": step * factor, "at": at})
            })
        })
        .collect();
    daemon.post("/api/v1/metrics", &Value::Array(samples)).await;
    let time = now.to_string();
    let ask = |arguments: &[&str]| promtool(&program, arguments);

    let vector = ask(&["instant", "--time", &time, &server, "sum by (region) (shop_orders_total)"]).unwrap();
    let mut lines: Vec<&str> = vector.lines().collect();
    lines.sort_unstable();
    let expected =
        [("north", 8), ("south", 12)].map(|(region, value)| format!("{{region=\"{region}\"}} => {value} @[{now}]"));
    assert_eq!(lines, expected);
    let scalar = ask(&["-o", "json", "instant", "--time", &time, &server, "1e3 / 7"]).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&scalar).unwrap(), json!([now, "142.85714285714286"]));

    let (start, end) = ((now - 2).to_string(), now.to_string());
    let range = ["range", "--start", &start, "--end", &end, "--step", "1s", &server, "sum(shop_orders_total)"];
    let matrix = ask(&[&["-o", "json"], range.as_slice()].concat()).unwrap();
    let expected = json!([{"metric": {}, "values": [[now - 2, "10"], [now - 1, "15"], [now, "20"]]}]);
    assert_eq!(serde_json::from_str::<Value>(&matrix).unwrap(), expected);

    let series = ask(&["series", "--match", "shop_orders_total{region=~\"n.*\"}", &server]).unwrap();
    assert_eq!(series.trim(), "{__name__=\"shop_orders_total\", region=\"north\"}");
    let labels = ask(&["labels", &server, "region"]).unwrap();
    assert_eq!(labels.lines().collect::<Vec<_>>(), ["north", "south"]);
    // What collectors of the daemon itself have brought is there as well, without any configuration.
    eventually("a metric of the machine", SOON, async || {
        let names = ask(&["labels", &server, "__name__"]).unwrap();
        names.lines().any(|name| name == "cpu_usage_percent").then_some(())
    })
    .await;

    let refused = ask(&["instant", &server, "sum(shop_orders_total"]).unwrap_err();
    assert!(refused.contains("invalid parameter \"query\": parse error"), "{refused}");
    let refused =
        ask(&["instant", "--time", &time, &server, "shop_orders_total * on () shop_orders_total"]).unwrap_err();
    assert!(refused.contains("execution"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_and_descriptions_of_what_collectors_bring_are_known() {
    let daemon = Setup::new().start().await;
    let said = eventually("what the machine's collector says of a metric", SOON, async || {
        let answer = daemon.get("/prometheus/api/v1/metadata?metric=cpu_usage_percent").await;
        answer["data"]["cpu_usage_percent"].as_array().cloned()
    })
    .await;
    assert_eq!((said.len(), &said[0]["type"]), (1, &json!("gauge")), "{said:?}");
    assert!(!said[0]["help"].as_str().unwrap().is_empty(), "{said:?}");
}

/// A real Prometheus, which ends with the test.
struct Prometheus {
    child: Child,
    url: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Started in the folder; scrapes that daemon once a second, as the job `deck`.
async fn start_prometheus(program: &Path, folder: &Path, daemon: &Daemon) -> Prometheus {
    let target = daemon.url.strip_prefix("http://").unwrap();
    let config = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: deck\n  static_configs:\n  - targets: [\"{target}\"]\n"
    );
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = std::fs::File::create(folder.join("prometheus.log")).unwrap();
    let child = Command::new(program)
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let prometheus = Prometheus { child, url: format!("http://127.0.0.1:{port}") };
    eventually("Prometheus is ready", SOON, async || {
        let answer = daemon.http().get(format!("{}/-/ready", prometheus.url)).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    prometheus
}

/// The data of an answer of either.
async fn data(daemon: &Daemon, server: &str, endpoint: &str, parameters: &[(&str, &str)]) -> Value {
    let url = reqwest::Url::parse_with_params(&format!("{server}/api/v1/{endpoint}"), parameters).unwrap();
    let answer: Value = daemon.http().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["status"], "success", "{server} {parameters:?}: {answer}");
    answer["data"].clone()
}

/// Numbers within rounding, everything else the same; series in any order.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(one), Value::Array(other)) => {
            let sorted = |items: &[Value]| {
                let mut items = items.to_vec();
                if items.iter().all(Value::is_object) {
                    items.sort_by_key(|item| item["metric"].to_string());
                }
                items
            };
            one.len() == other.len() && sorted(one).iter().zip(&sorted(other)).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        (Value::String(one), Value::String(other)) => match (one.parse::<f64>(), other.parse::<f64>()) {
            (Ok(one), Ok(other)) if one.is_finite() => (one - other).abs() <= 1e-9 * one.abs().max(1.0),
            _ => one == other,
        },
        (one, other) => one == other,
    }
}

/// Samples that a Prometheus has scraped, as the API takes them.
async fn scraped(daemon: &Daemon, prometheus: &Prometheus) -> Vec<Value> {
    let matrix = data(daemon, &prometheus.url, "query", &[("query", "{job=\"deck\"}[1m]")]).await;
    let series = matrix["result"].as_array().unwrap();
    let samples = series.iter().flat_map(|series| {
        let mut labels = series["metric"].as_object().unwrap().clone();
        let name = labels.remove("__name__").unwrap();
        series["values"].as_array().unwrap().iter().filter_map(move |point| {
            let at = written((point[0].as_f64().unwrap() * 1000.0).round() as u64);
            let value: f64 = point[1].as_str().unwrap().parse().unwrap();
            value.is_finite().then(|| json!({"name": name, "labels": labels, "value": value, "at": at}))
        })
    });
    samples.collect()
}

/// Debian's Prometheus has ranges that are closed, Prometheus 3 and this host have ranges open to the left: no window here ends on a
/// sample, so that both see the same ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_and_a_real_prometheus_answer_the_same_over_the_same_samples() {
    let test = "the_daemon_and_a_real_prometheus_answer_the_same_over_the_same_samples";
    let Some(program) = find("prometheus", test) else { return };
    let daemon = Setup::new().start().await;
    let folder = tempfile::tempdir().unwrap();
    let prometheus = start_prometheus(&program, folder.path(), &daemon).await;
    let newest = eventually("fifteen scrapes", SOON, async || {
        // Something changes from scrape to scrape.
        daemon.get("/api/v1/alerts").await;
        let counted = data(
            &daemon,
            &prometheus.url,
            "query",
            &[("query", "timestamp(up{job=\"deck\"}) and count_over_time(up[1m]) >= 15")],
        );
        counted.await["result"][0]["value"][1].as_str().map(|text| text.parse::<f64>().unwrap())
    })
    .await;
    let samples = scraped(&daemon, &prometheus).await;
    assert!(samples.len() > 300, "{}", samples.len());
    for part in samples.chunks(1_000) {
        daemon.post("/api/v1/metrics", &Value::Array(part.to_vec())).await;
    }
    let ours = format!("{}/prometheus", daemon.url);
    let time = format!("{:.3}", newest - 0.5);
    let start = format!("{:.3}", newest - 8.5);
    for query in [
        "quarterdeck_http_requests_total{job=\"deck\"}",
        "sum by (route, status) (rate(quarterdeck_http_requests_total{job=\"deck\"}[5s]))",
        "irate(quarterdeck_http_request_seconds_total{job=\"deck\"}[5s]) > 0",
        "histogram_quantile(0.9, sum by (le) (rate(quarterdeck_plugin_call_duration_seconds_bucket{job=\"deck\"}[10s])))",
        "count by (__name__) ({job=\"deck\", __name__=~\"quarterdeck_.*\"})",
        "topk(3, quarterdeck_plugin_calls_total{job=\"deck\"}) and on () up{job=\"deck\"}",
        "avg_over_time(quarterdeck_plugin_wall_seconds_total{job=\"deck\"}[4s]) / on (job, instance) group_left quarterdeck_jobs{job=\"deck\"}",
        "max_over_time(rate(quarterdeck_log_head{job=\"deck\"}[3s])[6s:1s])",
        "quarterdeck_log_head{job=\"deck\"} offset 3s",
        "quantile by (job) (0.5, quarterdeck_plugin_host_calls_total{job=\"deck\"})",
        "label_replace(quarterdeck_build_info{job=\"deck\"}, \"major\", \"$1\", \"version\", \"([0-9]+).*\")",
        "absent(quarterdeck_nothing{job=\"deck\"})",
        "stddev_over_time(scrape_duration_seconds{job=\"deck\"}[8s])",
        "quarterdeck_jobs{job=\"deck\"} * 0 / 0",
        "1e21 + vector(0)",
        "sum(quarterdeck_plugin_calls_total{job=\"deck\"} >= bool 5) unless vector(3) > 4",
    ] {
        let instant = [("query", query), ("time", time.as_str())];
        let range = [("query", query), ("start", start.as_str()), ("end", time.as_str()), ("step", "1s")];
        for (endpoint, parameters) in [("query", instant.as_slice()), ("query_range", range.as_slice())] {
            let found = data(&daemon, &ours, endpoint, parameters).await;
            let expected = data(&daemon, &prometheus.url, endpoint, parameters).await;
            assert!(same(&found, &expected), "{endpoint} {query}:\n{found:#}\nand Prometheus:\n{expected:#}");
        }
    }
    // Prometheus has scraped on meanwhile: it may know more than was pushed, and nothing less.
    let pushed = |label: &str| -> BTreeSet<&str> {
        let labels =
            samples.iter().map(|sample| if label == "__name__" { &sample["name"] } else { &sample["labels"][label] });
        labels.filter_map(Value::as_str).collect()
    };
    for label in ["__name__", "route", "instance", "nothing"] {
        let endpoint = format!("label/{label}/values");
        let found = data(&daemon, &ours, &endpoint, &[("match[]", "{job=\"deck\"}")]).await;
        assert_eq!(found, json!(pushed(label)), "{label}");
        let theirs = data(&daemon, &prometheus.url, &endpoint, &[("match[]", "{job=\"deck\"}")]).await;
        assert!(found.as_array().unwrap().iter().all(|value| theirs.as_array().unwrap().contains(value)), "{label}");
    }
}
