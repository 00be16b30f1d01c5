//! Alerts that are posted, a group for each, and a webhook at the end.

use crate::report::{percentile, row};
use crate::server::{Cores, Server};
use crate::times;
use axum::Router;
use axum::body::Bytes;
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Before those that count: the first ones wait for connections and for whatever is made ready once.
const BEFORE: usize = 20;
const ONE_BY_ONE: usize = 300;
const MANY: usize = 30_000;
/// Alerts of a request.
const BATCH: usize = 100;
const PATIENCE: Duration = Duration::from_secs(120);

/// When each alert's name came in first.
type Seen = Arc<Mutex<HashMap<String, Instant>>>;

struct Measured {
    p50: f64,
    p99: f64,
    /// Alerts a second.
    rate: f64,
    resident: f64,
}

pub(crate) async fn run() {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}", listener.local_addr().unwrap());
    let sink = Arc::clone(&seen);
    let router = Router::new().fallback(move |body: Bytes| {
        let now = Instant::now();
        let message: Value = serde_json::from_slice(&body).unwrap();
        let mut seen = sink.lock().unwrap();
        for alert in message["alerts"].as_array().unwrap() {
            seen.entry(alert["labels"]["alertname"].as_str().unwrap().to_owned()).or_insert(now);
        }
        drop(seen);
        async { "" }
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let ours = {
        let config = format!(
            "built-ins = false\n\
             [alerting.route]\nreceiver = \"hook\"\ngroup-by = [\"...\"]\ngroup-wait = \"0s\"\n\
             [alerting.receivers.hook]\nnotify = [\"alertmanager-webhook/bench\"]\n\
             [instances.\"alertmanager-webhook/bench\"]\nplugin = \"alertmanager-webhook\"\n\
             config = {{ url = \"{hook}/\" }}\ngrants = {{ http = [\"{hook}\"] }}\n"
        );
        let server = Server::quarterdeck(&[("quarterdeck.toml", &config)], Cores::All).await;
        measure(&server, "/alertmanager/api/v2/alerts", &seen).await
    };
    seen.lock().unwrap().clear();
    let config = format!(
        "route: {{receiver: hook, group_by: ['...'], group_wait: 0s}}\n\
         receivers: [{{name: hook, webhook_configs: [{{url: '{hook}/'}}]}}]\n"
    );
    let theirs = match Server::alertmanager(&[("alertmanager.yml", &config)]).await {
        Some(server) => Some(measure(&server, "/api/v2/alerts", &seen).await),
        None => None,
    };
    let other = |of: &dyn Fn(&Measured) -> String| {
        theirs.as_ref().map_or_else(String::new, |measured| format!("Alertmanager, nothing synced: {}", of(measured)))
    };
    let beside = |ours: f64, of: fn(&Measured) -> f64| times(ours, theirs.as_ref().map(of));
    row(
        "alert posted to webhook, p50",
        &format!("{:.2} ms{}", ours.p50, beside(ours.p50, |m| m.p50)),
        "twice Alertmanager's",
        &other(&|m| format!("{:.2} ms", m.p50)),
    );
    row(
        "alert posted to webhook, p99",
        &format!("{:.2} ms{}", ours.p99, beside(ours.p99, |m| m.p99)),
        "twice Alertmanager's",
        &other(&|m| format!("{:.2} ms", m.p99)),
    );
    let what = format!("{MANY} alerts, a group and a webhook for each");
    row(
        &what,
        &format!("{:.0} /s{}", ours.rate, beside(ours.rate, |m| m.rate)),
        "three times Alertmanager's",
        &other(&|m| format!("{:.0} /s", m.rate)),
    );
    row(
        &format!("resident memory after {MANY} alerts"),
        &format!("{:.0} MB{}", ours.resident / 1e6, beside(ours.resident, |m| m.resident)),
        "a third of Alertmanager's",
        &other(&|m| format!("{:.0} MB", m.resident / 1e6)),
    );
}

async fn measure(server: &Server, path: &str, seen: &Seen) -> Measured {
    let mut took = Vec::new();
    for number in 0..BEFORE + ONE_BY_ONE {
        let name = format!("one{number}");
        let begin = Instant::now();
        post(server, path, std::slice::from_ref(&name)).await;
        let arrived = loop {
            if let Some(at) = seen.lock().unwrap().get(&name) {
                break *at;
            }
            assert!(begin.elapsed() < PATIENCE, "`{name}` was not told");
            tokio::time::sleep(Duration::from_micros(200)).await;
        };
        if number >= BEFORE {
            took.push((arrived - begin).as_secs_f64() * 1e3);
        }
    }
    let told = seen.lock().unwrap().len();
    assert_eq!(told, BEFORE + ONE_BY_ONE, "alerts that were told");
    let begin = Instant::now();
    let names: Vec<String> = (0..MANY).map(|number| format!("many{number}")).collect();
    stream::iter(names.chunks(BATCH)).for_each_concurrent(4, |names| post(server, path, names)).await;
    while seen.lock().unwrap().len() < told + MANY {
        assert!(begin.elapsed() < PATIENCE, "{} of {MANY} were told", seen.lock().unwrap().len() - told);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rate = MANY as f64 / begin.elapsed().as_secs_f64();
    let (resident, _) = server.usage();
    Measured { p50: percentile(&mut took, 0.5), p99: percentile(&mut took, 0.99), rate, resident }
}

async fn post(server: &Server, path: &str, names: &[String]) {
    let alerts: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "labels": {"alertname": name, "severity": "critical", "instance": "host:9100", "job": "node"},
                "annotations": {"summary": "a summary of what is wrong"},
                "generatorURL": "http://127.0.0.1/graph",
            })
        })
        .collect();
    let answer = server.post(path).json(&alerts).send().await.unwrap();
    assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await.unwrap());
}
