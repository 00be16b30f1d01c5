//! A host with something to see on every page, and a browser that is signed in.

use crate::harness::browser::Browser;
use crate::harness::guest::{bundled, louder_threshold, variant};
use crate::harness::receiver::Receiver;
use crate::harness::web::{self, Haproxy, Services, deploy, free_port, free_slots, start_haproxy};
use crate::harness::{Daemon, Setup, counterpart, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// Names as somebody chooses them who wants a page to do something else.
pub(super) const MARKUP: &str = "<img src=x onerror=document.title='taken'>";
pub(super) const BACKWARDS: &str = "\u{202e}gnp.exe";

/// Alerts are told to a webhook; a program can be run; the shop has an objective, a probe of nothing, and a secret in its files. What
/// `custom.lost` is told to refuses it.
pub(super) fn config(folder: &std::path::Path, hook: &Receiver, refuses: &Receiver) -> String {
    let repository = folder.join("repository");
    std::fs::create_dir_all(&repository).unwrap();
    // In two parts, so that nobody's scanner finds it here.
    std::fs::write(repository.join("app.env"), format!("AWS_ACCESS_KEY_ID={}{}\n", "AKIA", "Q3EGRIK7XN2LWZ5T"))
        .unwrap();
    format!(
        "[instances.\"webhook/ops\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{hook}/hook\" }}\n\
         grants = {{ http = [\"{hook}\"] }}\n\
         [instances.\"webhook/lost\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{refuses}/hook\" }}\n\
         grants = {{ http = [\"{refuses}\"] }}\n\
         [routes.lost]\nevents = [\"custom.lost\"]\nnotify = [\"webhook/lost\"]\n\
         [instances.\"http-probe/shop\"]\nplugin = \"http-probe\"\nevery = \"1h\"\nconfig = {{ url = \"{hook}/\" }}\n\
         grants = {{ http = [\"{hook}\"] }}\n\
         [rules.load]\ndetector = \"threshold/default\"\nselect = {{ metric = \"custom_load\" }}\nevery = \"200ms\"\n\
         config = {{ raise = 90 }}\n\
         [instances.\"command/shell\"]\nplugin = \"command\"\nconfig = {{ program = \"/bin/sh\" }}\n\
         grants = {{ exec = [{{ program = \"/bin/sh\", arguments = [\"-c\", \"*\"] }}] }}\n\
         [alerting.route]\nreceiver = \"ops\"\ngroup-by = [\"alertname\"]\ngroup-wait = \"0s\"\ngroup-interval = \"1s\"\n\
         [alerting.receivers.ops]\nnotify = [\"webhook/ops\"]\n\
         [runbooks.restart-shop]\ntitle = \"Restart the shop\"\n\
         steps = [{{ name = \"restart\", action = \"command/shell\", timeout = \"30s\", \
         with = {{ arguments = [\"-c\", \"echo stopping; sleep 1; echo started\"] }} }}]\n\
         [runbooks.wait-long]\ntitle = \"Wait for long\"\n\
         steps = [{{ name = \"wait\", action = \"command/shell\", timeout = \"300s\", \
         with = {{ arguments = [\"-c\", \"echo waiting; sleep 200\"] }} }}]\n\
         [slos.shop]\ncalculator = \"availability/default\"\nselect = {{ metric = \"shop_up\" }}\nwindow = \"1h\"\n\
         config = {{ target = 0.9 }}\nminimum-samples = 1\n\
         [scans.repository]\nrules = [\"secrets/default\"]\npaths = [\"{repository}\"]\n",
        hook = hook.url(),
        refuses = refuses.url(),
        repository = repository.display(),
    )
}

pub(super) struct World {
    pub(super) daemon: Daemon,
    _hook: Receiver,
    /// What gets `custom.lost`.
    pub(super) refuses: Receiver,
    /// Behind and below the service, where there is one. What runs for it outlives the host.
    _service: Option<(Haproxy, Services)>,
}

impl World {
    pub(super) async fn start() -> World {
        World::start_with(Setup::new(), "", None).await
    }

    async fn start_with(setup: Setup, more: &str, service: Option<(Haproxy, Services)>) -> World {
        let (hook, refuses) = (Receiver::start().await, Receiver::start().await);
        refuses.answer(400);
        let config = config(setup.folder.path(), &hook, &refuses) + more;
        let daemon = setup.config(&config).start().await;
        World { daemon, _hook: hook, refuses, _service: service }
    }

    /// The same with a service `web`, whose deployments wait for a person as long as nobody asks it anything; `None` where a counterpart
    /// is missing.
    pub(super) async fn with_service(test: &str) -> Option<World> {
        let (haproxy, python) = (counterpart::find("haproxy", test)?, counterpart::find("python3", test)?);
        let (setup, python) = (Setup::new(), web::real(&python));
        let folder = setup.folder.path().to_owned();
        let script = web::write_service(&folder);
        let steps = "steps = [{ weight = 20, hold-seconds = 1 }]\nanalysis = { inconclusive-limit = 1 }\n";
        let more = web::config(&folder, &python, &script, free_slots(), "canary", 1, steps);
        let behind = start_haproxy(&haproxy, &folder, free_port());
        let world = World::start_with(setup, &more, Some((behind, Services(script)))).await;
        let first = deploy(&world.daemon, "good-1").await;
        assert_eq!(first["state"], "succeeded", "{first:#}\n{}", world.daemon.log());
        Some(world)
    }

    /// And with something on every page: a deployment that waits, what was given up on, a candidate that decides otherwise, a version that
    /// waits for its grants.
    pub(super) async fn with_everything(test: &str) -> Option<World> {
        let world = World::with_service(test).await?;
        world.fill().await;
        world.daemon.post("/api/v1/deployments", &json!({"service": "web", "revision": "good-2"})).await;
        eventually("the pause", SOON, async || {
            let deployments = world.daemon.items("/api/v1/deployments").await;
            deployments.iter().any(|deployment| deployment["state"] == "paused").then_some(())
        })
        .await;
        world.lose("what was lost").await;
        world.shadow().await;
        world.send_component("plugin-files/http-probe.wasm", variant(&bundled("http-probe"), 81)).await;
        Some(world)
    }

    /// Pages of what is seldom there, and what each must show.
    pub(super) async fn full_pages(&self) -> Vec<(String, &'static str)> {
        let first = async |list: &str| self.daemon.items(list).await.remove(0);
        let (deployment, letter) = (first("/api/v1/deployments").await, first("/api/v1/dead-letters").await);
        let process = first("/api/v1/processes").await;
        let id = |object: &Value| object["id"].as_str().unwrap().to_owned();
        vec![
            ("/console/services/web".to_owned(), "is under way"),
            (format!("/console/deployments/{}", id(&deployment)), "Abort and roll back"),
            (format!("/console/processes/{}", id(&process)), "What it printed"),
            (format!("/console/dead-letters/{}", id(&letter)), "As it was"),
            ("/console/plugins/threshold".to_owned(), "Newest differences"),
            ("/console/instances/http-probe/shop".to_owned(), "A version waits for a grant"),
            ("/console/plugin-files".to_owned(), "http-probe.wasm"),
        ]
    }

    /// Makes a dead letter.
    pub(super) async fn lose(&self, subject: &str) {
        let event = json!({"type": "custom.lost", "subject": subject});
        self.daemon.post("/api/v1/events", &event).await;
        eventually("what was given up on", SOON, async || self.daemon.items("/api/v1/dead-letters").await.pop()).await;
    }

    /// A detector that says its reasons in other letters, beside the one in use, until they have differed.
    pub(super) async fn shadow(&self) {
        self.send_component("shadows/threshold", louder_threshold()).await;
        self.daemon
            .post("/api/v1/metrics", &json!([{"name": "custom_load", "labels": {"host": MARKUP}, "value": 97.0}]))
            .await;
        self.differs().await;
    }

    pub(super) async fn differs(&self) {
        eventually("a disagreement", SOON, async || {
            let shadow = self.daemon.items("/api/v1/shadows").await.pop()?;
            (shadow["differ"].as_u64()? > 0).then_some(())
        })
        .await;
    }

    async fn send_component(&self, path: &str, bytes: Vec<u8>) {
        let put = self.daemon.http().put(format!("{}/api/v1/{path}", self.daemon.url)).bearer_auth(&self.daemon.token);
        let answer = put.header("content-type", "application/wasm").body(bytes).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    /// Makes alerts fire, a run run, a scan find something, and waits for the incident.
    pub(super) async fn with_data() -> World {
        let world = World::start().await;
        world.fill().await;
        world
    }

    async fn fill(&self) {
        let daemon = &self.daemon;
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
