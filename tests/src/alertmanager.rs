//! Alertmanager's own clients against the daemon: `amtool`, and a real Prometheus that posts alerts. At the end a webhook is told.

use crate::harness::counterpart::find;
use crate::harness::receiver::Receiver;
use crate::harness::web::free_port;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Told at once, to a webhook at `/hook`.
fn config(hook: &Receiver) -> String {
    format!(
        "built-ins = false\n\
         [instances.\"log/default\"]\nplugin = \"log\"\n\
         [instances.\"webhook/ops\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{0}/hook\" }}\n\
         grants = {{ http = [\"{0}\"] }}\n\
         [alerting.route]\nreceiver = \"ops\"\ngroup-by = [\"alertname\"]\ngroup-wait = \"0s\"\ngroup-interval = \"1s\"\n\
         [[alerting.route.routes]]\nmatchers = [\"team=quiet\"]\nreceiver = \"nobody\"\n\
         [alerting.receivers.ops]\nnotify = [\"webhook/ops\"]\n[alerting.receivers.nobody]\n",
        hook.url()
    )
}

/// What the webhook was told: payloads of Alertmanager's webhook.
fn told(hook: &Receiver) -> Vec<Value> {
    let payload = |body: &[u8]| {
        let message: Value = serde_json::from_slice(body).unwrap();
        // The notifier sends the message around it.
        if message["data"]["groupKey"].is_string() { message["data"].clone() } else { message }
    };
    hook.received().iter().map(|received| payload(&received.body)).filter(|told| told["alerts"].is_array()).collect()
}

fn names(payload: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let alerts = payload["alerts"].as_array().unwrap().iter();
    alerts.map(|alert| (text(&alert["labels"]["alertname"]), text(&alert["status"]))).collect()
}

/// `amtool`, with the token.
struct Amtool {
    program: PathBuf,
    url: String,
    access: PathBuf,
}

impl Amtool {
    fn of(program: PathBuf, daemon: &Daemon) -> Self {
        let access = daemon.setup.folder.path().join("amtool.yml");
        std::fs::write(&access, format!("authorization:\n  credentials: {}\n", daemon.token)).unwrap();
        Amtool { program, url: format!("{}/alertmanager", daemon.url), access }
    }

    /// Its standard output, or its standard error where it fails.
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.program)
            .arg(format!("--alertmanager.url={}", self.url))
            .arg(format!("--http.config.file={}", self.access.display()))
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.run(&[arguments, &["-o", "json"]].concat()).unwrap();
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {printed}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amtool_asks_and_changes_alerts_and_silences_as_it_does_alertmanagers() {
    let test = "amtool_asks_and_changes_alerts_and_silences_as_it_does_alertmanagers";
    let Some(program) = find("amtool", test) else { return };
    let hook = Receiver::start().await;
    let daemon = Setup::new().config(&config(&hook)).start().await;
    let amtool = Amtool::of(program, &daemon);

    amtool.run(&["alert", "add", "alertname=Down", "job=api", "--annotation=summary=it is down"]).unwrap();
    let payload = eventually("word of it", SOON, async || told(&hook).first().cloned()).await;
    assert_eq!(names(&payload), [("Down".to_owned(), "firing".to_owned())]);
    assert_eq!(payload["alerts"][0]["fingerprint"], "c89fba827b26e2d5");
    assert_eq!(payload["version"], "4");
    let alerts = amtool.json(&["alert", "query", "alertname=Down"]);
    assert_eq!((&alerts[0]["labels"]["job"], &alerts[0]["status"]["state"]), (&json!("api"), &json!("active")));
    assert_eq!(amtool.json(&["alert", "query", "job=~other"]).as_array().map(Vec::len), Some(0));
    // It is an alert of this host as well, and the host says why somebody was told.
    let why = daemon.command_line(&["alert", "why", "c89fba827b26e2d5"]);
    let why = String::from_utf8(why.stdout).unwrap();
    assert!(why.starts_with("told to ops\n") && why.contains("route {} (receiver ops): taken"), "{why}");

    let id = amtool.run(&["silence", "add", "-a", "ann", "-c", "work", "-d", "1h", "job=api"]).unwrap();
    let id = id.trim();
    let silences = amtool.json(&["silence", "query"]);
    assert_eq!((&silences[0]["id"], &silences[0]["createdBy"]), (&json!(id), &json!("ann")));
    assert_eq!(amtool.json(&["alert", "query"]).as_array().map(Vec::len), Some(0), "silenced ones are left out");
    assert_eq!(amtool.json(&["alert", "query", "--silenced"])[0]["status"]["silencedBy"], json!([id]));
    let updated = amtool.run(&["silence", "update", "-d", "2h", "-c", "more work", id]).unwrap();
    assert!(updated.contains("more work"), "{updated}");
    amtool.run(&["silence", "expire", id]).unwrap();
    assert_eq!(amtool.json(&["silence", "query"]).as_array().map(Vec::len), Some(0));
    assert_eq!(amtool.json(&["silence", "query", "--expired"])[0]["comment"], "more work");
    assert_eq!(amtool.json(&["alert", "query"]).as_array().map(Vec::len), Some(1));

    // The routes that the daemon shows are read by Alertmanager's own code.
    assert_eq!(amtool.run(&["config", "routes", "test", "alertname=x"]).unwrap().trim(), "ops");
    assert_eq!(amtool.run(&["config", "routes", "test", "team=quiet"]).unwrap().trim(), "nobody");

    let refused = amtool.run(&["silence", "add", "-a", "ann", "-c", "work", "job=~"]).unwrap_err();
    assert!(refused.contains("at least one matcher must not match the empty string"), "{refused}");
    let without = Command::new(&amtool.program)
        .args(["--alertmanager.url", &amtool.url, "alert", "add", "alertname=x"])
        .output()
        .unwrap();
    assert!(!without.status.success(), "what changes anything needs the token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_alertmanager_routes_here_as_alertmanagers_own_code_routes_by_it() {
    let Some(program) = find("amtool", "a_file_of_alertmanager_routes_here_as_alertmanagers_own_code_routes_by_it")
    else {
        return;
    };
    let setup = Setup::new().config("built-ins = false\n[alerting]\nfile = \"alertmanager.yml\"\n");
    let file = "route:\n  receiver: root\n  group_by: [alertname]\n  routes:\n  \
                - match: {team: db}\n    receiver: db\n    continue: true\n    routes:\n    \
                - match_re: {severity: critical|page}\n      receiver: pager\n  \
                - matchers: ['team=~\"db|web\"', 'zone!=\"test\"']\n    receiver: web\n  \
                - matchers: ['{kind=\"a,b\"}']\n    receiver: kind\n\
                receivers:\n- name: root\n- name: db\n- name: pager\n- name: web\n- name: kind\n";
    setup.write("alertmanager.yml", file);
    let path = setup.config_dir().join("alertmanager.yml");
    let daemon = setup.start().await;
    let amtool = Amtool::of(program, &daemon);
    for labels in [
        &["team=db"][..],
        &["team=db", "severity=page"],
        &["team=db", "severity=pages", "zone=test"],
        &["team=web"],
        &["team=web", "zone=test"],
        &["kind=a,b"],
        &["other=x"],
    ] {
        let ours = amtool.run(&[&["config", "routes", "test"], labels].concat()).unwrap();
        let output = Command::new(&amtool.program)
            .args(["config", "routes", "test", "--config.file"])
            .arg(&path)
            .args(labels)
            .output()
            .unwrap();
        assert_eq!(ours, String::from_utf8(output.stdout).unwrap(), "{labels:?}");
        // And what is told follows the same routes.
        let sent: serde_json::Map<String, Value> = labels
            .iter()
            .filter_map(|label| label.split_once('='))
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        daemon.post("/alertmanager/api/v2/alerts", &json!([{"labels": sent}])).await;
        let filter: Vec<String> = labels
            .iter()
            .filter_map(|label| label.split_once('='))
            .map(|(name, value)| format!("filter={name}%3D%22{value}%22"))
            .collect();
        let shown = daemon.get(&format!("/alertmanager/api/v2/alerts?{}", filter.join("&"))).await;
        let same = shown.as_array().unwrap().iter().find(|alert| alert["labels"] == json!(sent)).unwrap();
        let receivers: Vec<&str> =
            same["receivers"].as_array().unwrap().iter().map(|receiver| receiver["name"].as_str().unwrap()).collect();
        assert_eq!(receivers.join(","), ours.trim(), "{labels:?}");
    }
}

/// A real Prometheus, which ends with the test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A page with one metric.
async fn door(is_open: Arc<AtomicBool>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let page = move || {
        let status = if is_open.load(Ordering::SeqCst) { 200 } else { 500 };
        async move { (axum::http::StatusCode::from_u16(status).unwrap(), "door 1\n") }
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(page)).await.unwrap() });
    address
}

/// Evaluates one rule each second over what it scrapes, and sends what it makes to the daemon.
fn start_prometheus(program: &Path, folder: &Path, daemon: &Daemon, door: SocketAddr, rule: &str) -> Prometheus {
    std::fs::create_dir_all(folder).unwrap();
    let port = free_port();
    let target = daemon.url.strip_prefix("http://").unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: [rules.yml]\n\
         scrape_configs:\n- job_name: door\n  static_configs: [{{targets: [\"{door}\"]}}]\n\
         alerting:\n  alertmanagers:\n  - path_prefix: /alertmanager\n    static_configs: [{{targets: [\"{target}\"]}}]\n    \
         authorization: {{credentials: {}}}\n",
        daemon.token
    );
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    std::fs::write(folder.join("rules.yml"), rule).unwrap();
    let log = std::fs::File::create(folder.join("prometheus.log")).unwrap();
    let child = Command::new(program)
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Prometheus(child)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_posts_an_alert_and_its_end_and_a_webhook_is_told_of_both() {
    let test = "a_real_prometheus_posts_an_alert_and_its_end_and_a_webhook_is_told_of_both";
    let Some(program) = find("prometheus", test) else { return };
    let hook = Receiver::start().await;
    let daemon = Setup::new().config(&config(&hook)).start().await;
    let folder = daemon.setup.folder.path().join("prometheus");
    // What it scrapes: up as long as it answers.
    let is_open = Arc::new(AtomicBool::new(true));
    let door = door(is_open.clone()).await;
    let rule = "groups:\n- name: g\n  rules:\n  - alert: Up\n    expr: up{job=\"door\"} == 1\n    \
                labels: {severity: critical}\n    annotations: {summary: \"{{ $labels.job }} is up\"}\n";
    let _prometheus = start_prometheus(&program, &folder, &daemon, door, rule);
    let first = eventually("word of the alert", SOON, async || told(&hook).first().cloned()).await;
    assert_eq!(names(&first), [("Up".to_owned(), "firing".to_owned())]);
    assert_eq!(first["alerts"][0]["annotations"]["summary"], "door is up");
    let alert = daemon.items("/api/v1/alerts").await.remove(0);
    assert_eq!((&alert["severity"], &alert["state"]), (&json!("critical"), &json!("firing")));
    assert!(alert["posted"]["generator_url"].as_str().unwrap().contains("/graph"), "{alert}");

    is_open.store(false, Ordering::SeqCst);
    let end = eventually("word of its end", SOON, async || {
        told(&hook).into_iter().find(|payload| payload["status"] == "resolved")
    })
    .await;
    assert_eq!(names(&end), [("Up".to_owned(), "resolved".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_was_accepted_is_told_once_though_the_daemon_is_killed_at_once() {
    let hook = Receiver::start().await;
    let mut daemon = Setup::new().config(&config(&hook)).start().await;
    for round in 0..3 {
        let sent = json!([{"labels": {"alertname": format!("Round{round}")}}]);
        daemon.post("/alertmanager/api/v2/alerts", &sent).await;
        daemon = daemon.kill().start().await;
    }
    let rounds = (0..3).map(|round| (format!("Round{round}"), "firing".to_owned())).collect::<Vec<_>>();
    eventually("word of all of them", SOON, async || {
        let told: Vec<_> = told(&hook).iter().flat_map(names).collect();
        rounds.iter().all(|round| told.contains(round)).then_some(())
    })
    .await;
    // A delivery that a kill interrupted is tried again, under the same key: no alert has two of those.
    let mut keys: Vec<(String, String)> = hook
        .received()
        .iter()
        .map(|received| {
            let message: Value = serde_json::from_slice(&received.body).unwrap();
            (message["title"].to_string(), received.header("idempotency-key").to_owned())
        })
        .collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3, "{keys:?}");
}
