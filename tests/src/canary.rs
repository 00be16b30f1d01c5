//! A canary under real load through a real HAProxy: a good revision is promoted, a bad one rolled back.

use crate::harness::{Daemon, Setup, counterpart, eventually};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A service: a revision in `bad` answers every fifth request with 500, one in `drop` closes the connection instead of answering it.
const SERVICE: &str = r#"
import http.server, itertools, os, signal, sys
port, bad, drops = int(sys.argv[1]), sys.argv[2].startswith("bad"), sys.argv[2].startswith("drop")
count = itertools.count(1)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        failing = (bad or drops) and self.path != "/healthz" and next(count) % 5 == 0
        if failing and drops:
            self.close_connection = True
            return
        body = b"oops" if failing else sys.argv[2].encode()
        self.send_response(500 if failing else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments): pass
    def handle(self):
        # HAProxy resets connections that it does not need any more.
        try: super().handle()
        except ConnectionError: pass
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"#;

struct Haproxy(Child);

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start_haproxy(program: &Path, folder: &Path, port: u16) -> Haproxy {
    let socket = folder.join("haproxy.sock");
    let slots: String = (1..=8).map(|n| format!("    server s{n} 127.0.0.1:1 disabled weight 0\n")).collect();
    let text = format!(
        "global\n    stats socket {} mode 600 level admin\n    maxconn 2000\n\
         defaults\n    mode http\n    timeout connect 2s\n    timeout client 30s\n    timeout server 30s\n    option redispatch\n    retries 3\n\
         frontend front\n    bind 127.0.0.1:{port}\n    default_backend web\n\
         backend web\n    balance roundrobin\n{slots}",
        socket.display()
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let log = std::fs::File::create(folder.join("haproxy.log")).unwrap();
    let child = Command::new(program)
        .arg("-f")
        .arg(&file)
        .arg("-db")
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Haproxy(child)
}

async fn deploy(daemon: &Daemon, revision: &str) -> Value {
    let started = daemon.post("/api/v1/deployments", &json!({"service": "web", "revision": revision})).await;
    let path = format!("/api/v1/deployments/{}", started["id"].as_str().unwrap());
    eventually(&format!("the deployment of {revision} ends"), Duration::from_secs(120), async || {
        let deployment = daemon.get(&path).await;
        deployment["finished_at"].is_string().then_some(deployment)
    })
    .await
}

/// wrk's own counts: `(responses, failed)`.
fn wrk_counts(output: &str) -> (u64, u64) {
    let number = |marker: &str| {
        output
            .lines()
            .find(|line| line.contains(marker))
            .and_then(|line| line.split_whitespace().find_map(|word| word.trim_end_matches(',').parse::<u64>().ok()))
            .unwrap_or(0)
    };
    let socket_errors: u64 = output
        .lines()
        .find(|line| line.contains("Socket errors"))
        .map(|line| line.split_whitespace().filter_map(|word| word.trim_end_matches(',').parse::<u64>().ok()).sum())
        .unwrap_or(0);
    let failed = output
        .lines()
        .find(|line| line.contains("Non-2xx"))
        .and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or(0);
    (number("requests in"), failed + socket_errors)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_under_load_promotes_a_good_revision_and_rolls_back_those_that_fail_or_drop_a_fifth() {
    let test = "a_canary_under_load_promotes_a_good_revision_and_rolls_back_those_that_fail_or_drop_a_fifth";
    let (Some(haproxy), Some(wrk), Some(python)) =
        (counterpart::find("haproxy", test), counterpart::find("wrk", test), counterpart::find("python3", test))
    else {
        return;
    };
    // A version manager's stand-in for python would leave a shell between the host and the service.
    let real = Command::new(&python).args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    let python = String::from_utf8(real.stdout).unwrap().trim().to_owned();
    let setup = Setup::new();
    let folder = setup.folder.path().to_owned();
    let (port, first) = (free_port(), free_port());
    let service = folder.join("service.py");
    std::fs::write(&service, SERVICE).unwrap();
    let _services = Services(service.clone());
    let setup = setup.config(&format!(
        "[instances.\"haproxy/web\"]\nplugin = \"haproxy\"\n\
         [instances.\"haproxy/web\".config]\nsocket = \"{socket}\"\nbackend = \"web\"\n\
         slots = [\"s1\", \"s2\", \"s3\", \"s4\", \"s5\", \"s6\", \"s7\", \"s8\"]\nprogram = \"{python}\"\n\
         arguments = [\"{service}\", \"{{port}}\", \"{{revision}}\"]\nports = {{ from = {first}, to = {last} }}\n\
         health-path = \"/healthz\"\ndrain-seconds = 5\nstop-grace-seconds = 2\n\
         [instances.\"haproxy/web\".grants]\nkv = true\ntcp = [\"unix:{socket}\"]\n\
         process = [{{ program = \"{python}\", arguments = [\"{service}\", \"*\", \"*\"] }}]\n\
         [instances.\"canary/web\"]\nplugin = \"canary\"\n\
         [services.web]\ntarget = \"haproxy/web\"\nstrategy = \"canary/web\"\nreplicas = 2\n\
         [services.web.config]\nsteps = [{{ weight = 20, hold-seconds = 2 }}, {{ weight = 50, hold-seconds = 2 }}]\n\
         analysis = {{ max-failure-ratio = 0.05, min-responses = 20 }}\n",
        socket = folder.join("haproxy.sock").display(),
        service = service.display(),
        last = first.saturating_add(40),
    ));
    let _haproxy = start_haproxy(&haproxy, &folder, port);
    let daemon = setup.start().await;
    let initial = deploy(&daemon, "good-1").await;
    assert_eq!(initial["state"], "succeeded", "{initial:#}\n{}", daemon.log());

    let url = format!("http://127.0.0.1:{port}/");
    let load = |seconds: u32| {
        let mut command = Command::new(&wrk);
        command.args(["-t", "1", "-c", "4", "-d", &format!("{seconds}s"), &url]).stdout(Stdio::piped());
        tokio::task::spawn_blocking(move || String::from_utf8(command.output().unwrap().stdout).unwrap())
    };
    let running = load(20);
    let good = deploy(&daemon, "good-2").await;
    assert_eq!(good["state"], "succeeded", "{good:#}\n{}", daemon.log());
    let (responses, failed) = wrk_counts(&running.await.unwrap());
    counterpart::say(&format!("good revision: {responses} responses, {failed} failed"));
    assert!(responses > 500, "that was no load: {responses}");
    assert_eq!(failed, 0, "a good deployment fails no request");

    for revision in ["bad-3", "drop-4"] {
        let running = load(20);
        let bad = deploy(&daemon, revision).await;
        assert_eq!(bad["state"], "rolled-back", "{bad:#}\n{}", daemon.log());
        assert!(bad["error"].as_str().unwrap().contains("responses failed"), "the figures are the reason: {bad:#}");
        // It was found out at its first share of the traffic: the second one was never given.
        let moves = bad["moves"].as_array().unwrap();
        let weights: Vec<_> = moves.iter().filter(|made| made["decided"]["move"] == "weight").collect();
        assert_eq!(weights.len(), 1, "{moves:#?}");
        assert_eq!(weights[0]["decided"]["percent"], 20);
        let (responses, failed) = wrk_counts(&running.await.unwrap());
        counterpart::say(&format!(
            "{revision}: {responses} responses to clients, {failed} of them failed ({:.2} %)",
            100.0 * failed as f64 / responses as f64
        ));
        assert!(failed > 0, "the bad revision had traffic");
        // Left alone, a fifth of a fifth would have failed, 4 %.
        assert!((failed as f64) < 0.02 * responses as f64, "{failed} of {responses} failed: it was found out too late");
    }
    let service = daemon
        .items("/api/v1/services")
        .await
        .into_iter()
        .find(|service| service["service"] == "web" || service["name"] == "web");
    assert!(service.unwrap().to_string().contains("good-2"), "the good one is still the stable revision");
    // What went wrong is an incident, and the replicas that are left are watched.
    let incident = eventually("the incident", Duration::from_secs(30), async || {
        let of = |incident: &Value| incident["members"][0]["labels"]["service"] == "web";
        daemon.items("/api/v1/incidents").await.into_iter().find(of)
    })
    .await;
    assert_eq!((&incident["state"], &incident["severity"]), (&json!("open"), &json!("medium")), "{incident:#}");
    let up = eventually("the replicas' series", Duration::from_secs(60), async || {
        let samples = daemon.items("/api/v1/metrics/latest?metric=service_replica_up&label=revision=good-2").await;
        (samples.len() == 2).then_some(samples)
    })
    .await;
    assert!(up.iter().all(|sample| sample["value"] == 1.0 && sample["labels"]["service"] == "web"), "{up:#?}");
    assert!(daemon.latest("metric=service_replica_responses_total&label=revision=good-2").await.unwrap() > 0.0);
    // Answers come from the stable revision again.
    let body = daemon.http().get(&url).send().await.unwrap().text().await.unwrap();
    assert_eq!(body, "good-2");
}

/// The host leaves deployed processes running when it ends. Ends those of this test: only they have its script's path.
struct Services(std::path::PathBuf);

impl Drop for Services {
    fn drop(&mut self) {
        let _ = Command::new("pkill").arg("-KILL").arg("-f").arg(&self.0).status();
    }
}
