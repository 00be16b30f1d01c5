//! What was acknowledged is on the disk: seen in the order of system calls, and when the disk fails.

use crate::harness::trace::{Trace, of_acknowledgements, traced};
use crate::harness::{Daemon, Setup, counterpart, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);
const CLIENTS: usize = 16;
const INCIDENTS: usize = 6;

/// One series, one incident; a runbook that carries a text of the request into its record; services whose target is not there, so that
/// a deployment of theirs comes no further than to its record. Nothing else writes by itself.
const CONFIG: &str = "built-ins = false\n\
    [events]\nproducer-rate = 0\n\
    [instances.\"threshold/load\"]\nplugin = \"threshold\"\nconfig = { raise = 10.0 }\n\
    [instances.\"by-labels/default\"]\nplugin = \"by-labels\"\nconfig = { group-by = [\"series\"] }\n\
    [instances.\"metric-check/default\"]\nplugin = \"metric-check\"\ngrants = { metrics = true }\n\
    [rules.load]\ndetector = \"threshold/load\"\nselect = { metric = \"load_test\" }\nevery = \"100ms\"\nfor = \"0s\"\n\
    [runbooks.note]\ntitle = \"Note\"\ninputs = { tag = \"\" }\n\
    steps = [{ name = \"only\", action = \"metric-check/default\", with = { metric = \"load_test\", condition = \">= 0\" } }]\n\
    [instances.\"rolling/web\"]\nplugin = \"rolling\"\n\
    [instances.\"haproxy/web\"]\nplugin = \"haproxy\"\n";
/// Each has one deployment.
const SERVICES: usize = 6;

fn setup() -> Setup {
    let setup = Setup::new().config(CONFIG);
    for n in 0..SERVICES {
        setup.write(&format!("services/web-{n}.toml"), "target = \"haproxy/web\"\nstrategy = \"rolling/web\"\n");
    }
    setup
}

/// A request that writes, and what shows it and its record in a trace.
struct Wanted {
    method: Method,
    path: String,
    body: Value,
    request: String,
    record: Vec<String>,
}

impl Wanted {
    fn event(tag: &str) -> Wanted {
        Wanted {
            method: Method::POST,
            path: "/api/v1/events".to_owned(),
            body: json!({"type": "custom.traced", "subject": tag, "data": {}}),
            request: tag.to_owned(),
            record: vec![tag.to_owned()],
        }
    }

    fn run(tag: &str) -> Wanted {
        Wanted {
            method: Method::POST,
            path: "/api/v1/runs".to_owned(),
            body: json!({"runbook": "note", "inputs": {"tag": tag}}),
            request: tag.to_owned(),
            record: vec![tag.to_owned()],
        }
    }

    fn acknowledgement(incident: &str) -> Wanted {
        let path = format!("/api/v1/incidents/{incident}/acknowledge");
        let record = vec![incident.to_owned(), "incident.acknowledged".to_owned()];
        Wanted { method: Method::POST, path: path.clone(), body: json!({}), request: path, record }
    }

    fn alert(fingerprint: &str) -> Wanted {
        let path = format!("/api/v1/alerts/{fingerprint}/acknowledge");
        let record = vec![fingerprint.to_owned(), "alert.acknowledged".to_owned()];
        Wanted { method: Method::POST, path: path.clone(), body: json!({}), request: path, record }
    }

    fn deployment(service: usize, tag: &str) -> Wanted {
        Wanted {
            method: Method::POST,
            path: "/api/v1/deployments".to_owned(),
            body: json!({"service": format!("web-{service}"), "revision": tag}),
            request: tag.to_owned(),
            record: vec![tag.to_owned(), "deployment.started".to_owned()],
        }
    }

    /// An instance that is set over the API: its words and the version are one record.
    fn object(tag: &str) -> Wanted {
        Wanted {
            method: Method::PUT,
            path: format!("/api/v1/configuration/objects/instances/log%2F{tag}"),
            body: json!({"plugin": "log"}),
            request: tag.to_owned(),
            record: vec![tag.to_owned(), "configuration.applied".to_owned()],
        }
    }

    /// A series that is new: its labels are in the record, which samples alone can't be told from.
    fn samples(tag: &str) -> Wanted {
        Wanted {
            method: Method::POST,
            path: "/api/v1/metrics".to_owned(),
            body: json!([{"name": "traced", "labels": {"tag": tag}, "value": 1.0}]),
            request: tag.to_owned(),
            record: vec![tag.to_owned()],
        }
    }

    fn resolution(incident: &str, tag: &str) -> Wanted {
        Wanted {
            method: Method::POST,
            path: format!("/api/v1/incidents/{incident}/resolve"),
            body: json!({"note": tag}),
            request: tag.to_owned(),
            record: vec![tag.to_owned()],
        }
    }

    /// On a connection of the client's own.
    async fn send(&self, client: &reqwest::Client, daemon: &Daemon) -> reqwest::Result<StatusCode> {
        let request = client.request(self.method.clone(), format!("{}{}", daemon.url, self.path));
        let request = request.bearer_auth(&daemon.token);
        let response = request.json(&self.body).send().await?;
        let status = response.status();
        daemon.answers().read(&self.method, response).await?;
        Ok(status)
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1).timeout(SOON).build().unwrap()
}

/// An incident per series.
async fn incidents(daemon: &Daemon) -> Vec<String> {
    let samples: Vec<Value> = (0..INCIDENTS)
        .map(|n| json!({"name": "load_test", "labels": {"series": n.to_string()}, "value": 20.0}))
        .collect();
    daemon.post("/api/v1/metrics", &Value::Array(samples)).await;
    eventually("an incident per series", SOON, async || {
        let found = daemon.items("/api/v1/incidents").await;
        (found.len() == INCIDENTS).then(|| found.iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect())
    })
    .await
}

/// Of every acknowledged write: its record is written, then an fdatasync of that file begins and succeeds, then the answer
/// leaves on the connection of the request. One writer alone, and sixteen that share syncs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_that_acknowledges_a_write_leaves_before_its_fdatasync() {
    let test = "no_answer_that_acknowledges_a_write_leaves_before_its_fdatasync";
    let Some(strace) = counterpart::find("strace", test) else { return };
    let setup = setup();
    let output = setup.folder.path().join("trace");
    let inner = setup.command(&["run", "--listen", "127.0.0.1:0"]);
    let mut command = traced(&strace, &inner, &of_acknowledgements(), &output);
    let daemon = Daemon::launch(setup, &mut command).await;
    let incidents = incidents(&daemon).await;
    let alerts = daemon.items("/api/v1/alerts").await;
    let alerts: Vec<&str> = alerts.iter().map(|alert| alert["fingerprint"].as_str().unwrap()).collect();

    let mut alone: Vec<Wanted> = Vec::new();
    alone.extend((0..10).map(|n| Wanted::event(&format!("alone-event-{n}."))));
    alone.extend((0..5).map(|n| Wanted::run(&format!("alone-run-{n}."))));
    alone.extend(incidents.iter().take(2).map(|id| Wanted::acknowledgement(id)));
    alone.extend(alerts.iter().take(2).map(|fingerprint| Wanted::alert(fingerprint)));
    alone.extend((0..2).map(|n| Wanted::deployment(n, &format!("alone-revision-{n}-"))));
    alone.extend((0..3).map(|n| Wanted::object(&format!("alone-object-{n}-x"))));
    alone.extend((0..3).map(|n| Wanted::samples(&format!("alone-sample-{n}."))));
    let own = client();
    for wanted in &alone {
        assert!(wanted.send(&own, &daemon).await.unwrap().is_success(), "{}", wanted.path);
    }

    let together: Vec<Vec<Wanted>> = (0..CLIENTS)
        .map(|client| {
            let mut wanted: Vec<Wanted> = (0..6).map(|n| Wanted::event(&format!("event-{client}-{n}."))).collect();
            wanted.extend((0..2).map(|n| Wanted::run(&format!("run-{client}-{n}."))));
            // Two incidents are acknowledged already.
            if let Some(id) = incidents.get(client).filter(|_| client >= 2) {
                wanted.push(Wanted::acknowledgement(id));
                wanted.push(Wanted::resolution(id, &format!("resolution-{client}.")));
            }
            if let Some(fingerprint) = alerts.get(client).filter(|_| client >= 2) {
                wanted.push(Wanted::alert(fingerprint));
            }
            if (2..SERVICES).contains(&client) {
                wanted.push(Wanted::deployment(client, &format!("revision-{client}-")));
                wanted.push(Wanted::object(&format!("object-{client}-x")));
            }
            wanted.push(Wanted::samples(&format!("sample-{client}.")));
            wanted
        })
        .collect();
    let clients = together.iter().map(async |wanted| {
        let own = client();
        for wanted in wanted {
            assert!(wanted.send(&own, &daemon).await.unwrap().is_success(), "{}", wanted.path);
        }
    });
    futures::future::join_all(clients).await;

    let store = std::fs::canonicalize(daemon.setup.write_ahead_log()).unwrap();
    let samples = std::fs::canonicalize(daemon.setup.samples_log()).unwrap();
    let (setup, _, well) = daemon.stop();
    assert!(well, "{}", setup.log());
    let trace = eventually("the whole trace", SOON, async || {
        let trace = Trace::read(&output);
        trace.is_whole.then_some(trace)
    })
    .await;
    let all: Vec<&Wanted> = alone.iter().chain(together.iter().flatten()).collect();
    let wrong: Vec<String> = all
        .iter()
        .filter_map(|wanted| {
            let record: Vec<&str> = wanted.record.iter().map(String::as_str).collect();
            trace.acknowledged_in_order(&[&store, &samples], &wanted.request, &record).err()
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}, the first:\n{}", wrong.len(), all.len(), wrong[0]);
}

async fn subjects(daemon: &Daemon, event_type: &str) -> BTreeSet<String> {
    let (mut seen, mut after) = (BTreeSet::new(), 0);
    loop {
        let page = daemon.get(&format!("/api/v1/events?type={event_type}&limit=500&after={after}")).await;
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|event| event["subject"].as_str().unwrap().to_owned()));
        match items.last() {
            Some(last) => after = last["offset"].as_u64().unwrap(),
            None => return seen,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_disk_fails_the_daemon_stops_at_once_and_says_so_and_nothing_acknowledged_is_lost() {
    let test = "when_the_disk_fails_the_daemon_stops_at_once_and_says_so_and_nothing_acknowledged_is_lost";
    let Some(trace) = fails(test, "fdatasync", "EIO", "Input/output error").await else { return };
    // The first that failed was the last, or the one before it at the end: nothing goes on over a disk that is broken.
    let failed = trace.failed("fdatasync");
    assert!((1..=2).contains(&failed), "{failed} syncs failed");
}

/// As above, where the disk refuses what is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_write_fails_the_daemon_stops_at_once_and_says_so_and_nothing_acknowledged_is_lost() {
    let test = "when_a_write_fails_the_daemon_stops_at_once_and_says_so_and_nothing_acknowledged_is_lost";
    for (error, words) in [("EIO", "Input/output error"), ("ENOSPC", "No space left on device")] {
        let Some(trace) = fails(test, "pwrite64", error, words).await else { return };
        assert!(trace.failed("pwrite64") >= 1, "no write failed");
    }
}

/// From some call on, every one of these fails, under load: no writer is told of a success from there on, the daemon ends at once
/// with the reason, and at the next start everything that was acknowledged is there.
async fn fails(test: &str, call: &str, error: &str, words: &str) -> Option<Trace> {
    let strace = counterpart::find("strace", test)?;
    let setup = setup();
    let output = setup.folder.path().join("trace");
    let inner = setup.command(&["run", "--listen", "127.0.0.1:0"]);
    let (trace, fault) = (format!("trace={call}"), format!("inject={call}:error={error}:when=150+"));
    let inject = ["-e", &*trace, "-e", &*fault];
    let daemon = Daemon::launch(setup, &mut traced(&strace, &inner, &inject, &output)).await;
    let clients = (0..8).map(async |number| {
        let own = client();
        let mut acknowledged = Vec::new();
        for n in 0..5000 {
            let tag = format!("{number}-{n}.");
            match Wanted::event(&tag).send(&own, &daemon).await {
                Ok(status) if status.is_success() => acknowledged.push(tag),
                // A problem document, or a connection that ended with the daemon.
                Ok(status) => {
                    assert!(status.is_server_error(), "{status}");
                    return acknowledged;
                }
                Err(_) => return acknowledged,
            }
        }
        panic!("the disk never failed");
    });
    let acknowledged: BTreeSet<String> = futures::future::join_all(clients).await.into_iter().flatten().collect();
    assert!(acknowledged.len() > 50, "only {} before the disk failed", acknowledged.len());
    let (setup, code, _) = daemon.ended(Duration::from_secs(5)).await;
    let log = setup.log();
    assert_eq!(code, Some(1), "{log}");
    let last = log.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(last.contains("the disk failed") && last.contains(words), "the last word:\n{log}");
    assert!(!log.contains("panicked"), "{log}");
    let trace = Trace::read(&output);
    let daemon = setup.start().await;
    let seen = subjects(&daemon, "custom").await;
    let lost: Vec<_> = acknowledged.difference(&seen).take(5).collect();
    assert!(lost.is_empty(), "lost {lost:?} of {}", acknowledged.len());
    daemon.post("/api/v1/events", &Wanted::event("afterwards").body).await;
    Some(trace)
}
