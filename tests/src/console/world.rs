//! A host with something to see on every page, and a browser that is signed in.

use crate::harness::browser::Browser;
use crate::harness::receiver::Receiver;
use crate::harness::{Daemon, Setup, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Names as somebody chooses them who wants a page to do something else.
pub(super) const MARKUP: &str = "<img src=x onerror=document.title='taken'>";
pub(super) const BACKWARDS: &str = "\u{202e}gnp.exe";

/// Alerts are told to a webhook; a program can be run; the shop has an objective, a probe of nothing, and a secret in its files.
pub(super) fn config(folder: &std::path::Path, hook: &Receiver) -> String {
    let repository = folder.join("repository");
    std::fs::create_dir_all(&repository).unwrap();
    // In two parts, so that nobody's scanner finds it here.
    std::fs::write(repository.join("app.env"), format!("AWS_ACCESS_KEY_ID={}{}\n", "AKIA", "Q3EGRIK7XN2LWZ5T"))
        .unwrap();
    format!(
        "[instances.\"webhook/ops\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{hook}/hook\" }}\n\
         grants = {{ http = [\"{hook}\"] }}\n\
         [instances.\"command/shell\"]\nplugin = \"command\"\nconfig = {{ program = \"/bin/sh\" }}\n\
         grants = {{ exec = [{{ program = \"/bin/sh\", arguments = [\"-c\", \"*\"] }}] }}\n\
         [alerting.route]\nreceiver = \"ops\"\ngroup-by = [\"alertname\"]\ngroup-wait = \"0s\"\ngroup-interval = \"1s\"\n\
         [alerting.receivers.ops]\nnotify = [\"webhook/ops\"]\n\
         [runbooks.restart-shop]\ntitle = \"Restart the shop\"\n\
         steps = [{{ name = \"restart\", action = \"command/shell\", timeout = \"30s\", \
         with = {{ arguments = [\"-c\", \"echo stopping; sleep 1; echo started\"] }} }}]\n\
         [slos.shop]\ncalculator = \"availability/default\"\nselect = {{ metric = \"shop_up\" }}\nwindow = \"1h\"\n\
         config = {{ target = 0.9 }}\nminimum-samples = 1\n\
         [scans.repository]\nrules = [\"secrets/default\"]\npaths = [\"{repository}\"]\n",
        hook = hook.url(),
        repository = repository.display(),
    )
}

pub(super) struct World {
    pub(super) daemon: Daemon,
    _hook: Receiver,
}

impl World {
    pub(super) async fn start() -> World {
        let hook = Receiver::start().await;
        let setup = Setup::new();
        let config = config(setup.folder.path(), &hook);
        let daemon = setup.config(&config).start().await;
        World { daemon, _hook: hook }
    }

    /// Makes alerts fire, a run run, a scan find something, and waits for the incident.
    pub(super) async fn with_data() -> World {
        let world = World::start().await;
        let daemon = &world.daemon;
        alert(daemon, "DiskFull", &json!({"severity": "critical", "host": "db-1"})).await;
        alert(daemon, MARKUP, &json!({"severity": "warning", "team": BACKWARDS, "long": "x".repeat(10_000)})).await;
        let values: Vec<Value> = (0..30_u32)
            .map(|n| json!({"name": "shop_up", "labels": {"path": MARKUP}, "value": f64::from(n % 3)}))
            .collect();
        for value in values {
            daemon.post("/api/v1/metrics", &json!([value])).await;
        }
        daemon.post("/api/v1/scans", &json!({"name": "repository"})).await;
        daemon.post("/api/v1/runs", &json!({"runbook": "restart-shop"})).await;
        event(daemon, MARKUP).await;
        eventually("incidents of both alerts", SOON, async || {
            let open = daemon.items("/api/v1/incidents").await;
            (open.iter().filter(|incident| incident["state"] == "open").count() >= 2).then_some(())
        })
        .await;
        world
    }

    /// A browser on the first page, signed in by a link of the command line; `None` where it is missing.
    pub(super) async fn browser(&self, test: &str) -> Option<Browser> {
        let browser = Browser::start(test).await?;
        let link = self.daemon.command_line(&["console"]);
        assert!(link.status.success(), "{}", String::from_utf8_lossy(&link.stderr));
        browser.go(String::from_utf8(link.stdout).unwrap().trim()).await;
        browser.run("document.querySelector('main form button').click()", &[]).await;
        browser.shows("Sign out").await;
        Some(browser)
    }

    pub(super) fn at(&self, path: &str) -> String {
        format!("{}/console{path}", self.daemon.url)
    }
}

/// Fires an alert, as Prometheus does it.
pub(super) async fn alert(daemon: &Daemon, name: &str, labels: &Value) {
    let mut labels = labels.clone();
    labels["alertname"] = json!(name);
    let alert = json!([{"labels": labels, "annotations": {"summary": format!("{name} is bad")}}]);
    daemon.post("/alertmanager/api/v2/alerts", &alert).await;
}

pub(super) async fn event(daemon: &Daemon, subject: &str) {
    let event = json!({"type": "custom.test", "subject": subject});
    let (status, answer) = daemon.call(Method::POST, "/api/v1/events", Some(&event)).await;
    assert!(status.is_success(), "{status} {answer:#}");
}
