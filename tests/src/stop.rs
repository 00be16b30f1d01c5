//! A stop in order with work in flight: within five seconds, and what did not end goes on at the next start.

use crate::harness::receiver::Receiver;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
const AT_MOST: Duration = Duration::from_secs(5);

/// A delivery, a step that may be repeated, one that may not, and a scan: each asks `target`, and would wait for it for long.
fn setup(target: &Receiver) -> Setup {
    let url = target.url();
    let slow = "limits = { deadline = \"25s\" }";
    let step = |path: &str, idempotent: bool| {
        format!(
            "steps = [{{ name = \"only\", action = \"http/step\", idempotent = {idempotent}, \
             with = {{ url = \"{url}{path}\", method = \"POST\", timeout-seconds = 20 }} }}]\n"
        )
    };
    Setup::new().config(&format!(
        "built-ins = false\n\
         [instances.\"webhook/test\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{url}/hook\", timeout-ms = 20000 }}\n\
         grants = {{ http = [\"{url}\"] }}\n{slow}\n\
         [instances.\"http/step\"]\nplugin = \"http\"\ngrants = {{ http = [\"{url}\"] }}\n{slow}\n\
         [instances.\"http-headers/default\"]\nplugin = \"http-headers\"\n{slow}\n\
         [routes.test]\nevents = [\"custom.told\"]\nnotify = [\"webhook/test\"]\n\
         [scans.page]\nrules = [\"http-headers/default\"]\nurls = [\"{url}/page\"]\n\
         [runbooks.repeated]\ntitle = \"Repeated\"\n{}\
         [runbooks.once]\ntitle = \"Once\"\n{}",
        step("/repeated", true),
        step("/once", false),
    ))
}

fn asked(target: &Receiver, path: &str) -> Vec<String> {
    let all = target.received().into_iter().filter(|received| received.path == path);
    all.map(|received| received.header("idempotency-key").to_owned()).collect()
}

async fn delivered(daemon: &Daemon) -> Value {
    eventually("the delivery", SOON, async || {
        daemon.items("/api/v1/notifications").await.into_iter().find(|told| told["state"] == "delivered")
    })
    .await
}

async fn ended(daemon: &Daemon, path: &str, id: &str) -> Value {
    eventually("an end", SOON, async || {
        let document = daemon.get(&format!("{path}/{id}")).await;
        document["finished_at"].is_string().then_some(document)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_within_a_stop_goes_on_at_the_next_start() {
    let target = Receiver::start().await;
    let daemon = setup(&target).start().await;
    target.hold("/");
    daemon.post("/api/v1/events", &json!({"type": "custom.told", "subject": "a", "data": {}})).await;
    let id = |started: Value| started["id"].as_str().unwrap().to_owned();
    let repeated = id(daemon.post("/api/v1/runs", &json!({"runbook": "repeated"})).await);
    let once = id(daemon.post("/api/v1/runs", &json!({"runbook": "once"})).await);
    let scan = id(daemon.post("/api/v1/scans", &json!({"name": "page"})).await);
    eventually("all four in flight", SOON, async || {
        ["/hook", "/repeated", "/once", "/page"].iter().all(|path| asked(&target, path).len() == 1).then_some(())
    })
    .await;
    let (setup, took, well) = daemon.stop();
    assert!(well && took < AT_MOST, "took {took:?}\n{}", setup.log());

    target.release();
    let daemon = setup.start().await;
    let notification = delivered(&daemon).await;
    let key = notification["id"].as_str().unwrap().to_owned();
    assert_eq!(asked(&target, "/hook"), [key.clone(), key], "the same delivery, once more");
    let run = ended(&daemon, "/api/v1/runs", &repeated).await;
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let keys = asked(&target, "/repeated");
    assert!(keys.len() == 2 && keys[0] == keys[1] && !keys[0].is_empty(), "the same step, once more: {keys:?}");
    let run = ended(&daemon, "/api/v1/runs", &once).await;
    assert_eq!((&run["state"], &run["steps"][0]["state"]), (&json!("failed"), &json!("unknown")), "{run:#}");
    assert_eq!(asked(&target, "/once").len(), 1, "what must not run twice did not");
    // A scan begins anew when it is asked for; the one that was cut off says so.
    let cut_off = ended(&daemon, "/api/v1/scans", &scan).await;
    assert_eq!((&cut_off["state"], &cut_off["errors"]), (&json!("failed"), &json!(["interrupted"])), "{cut_off:#}");
    let again = id(daemon.post("/api/v1/scans", &json!({"name": "page"})).await);
    assert_eq!(ended(&daemon, "/api/v1/scans", &again).await["state"], "succeeded");
}

/// What hangs in one part takes nothing from the others: no more work begins, and the store is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_holds_up_neither_the_flows_nor_the_store() {
    let target = Receiver::start().await;
    let (setup, url) = (setup(&target), target.url());
    let step = |name: &str| {
        format!(
            "[[steps]]\nname = \"{name}\"\naction = \"http/step\"\nidempotent = false\n\
             with = {{ url = \"{url}/{name}\", method = \"POST\", timeout-seconds = 20 }}\n"
        )
    };
    setup.write("runbooks/two.toml", &format!("title = \"Two\"\n{}{}", step("first"), step("second")));
    let hangs = format!(
        "plugin = \"http-probe\"\nevery = \"500ms\"\nconfig = {{ url = \"{url}/hangs\", timeout-ms = 20000 }}\n\
         grants.http = [\"{url}\"]\nlimits.deadline = \"25s\"\n"
    );
    setup.write("instances/http-probe/hangs.toml", &hangs);
    let daemon = setup.start().await;
    target.hold("/");
    let run = daemon.post("/api/v1/runs", &json!({"runbook": "two"})).await["id"].as_str().unwrap().to_owned();
    eventually("both in flight", SOON, async || {
        ["/first", "/hangs"].iter().all(|path| !asked(&target, path).is_empty()).then_some(())
    })
    .await;
    let stopping = tokio::task::spawn_blocking(move || daemon.stop());
    // The step's answer comes when the stop is under way; the collector's never does.
    tokio::time::sleep(Duration::from_secs(1)).await;
    target.hold("/hangs");
    let (setup, took, well) = stopping.await.unwrap();
    let log = setup.log();
    assert!(well && took < AT_MOST, "took {took:?}\n{log}");
    assert!(log.contains("the store is closed"), "{log}");
    assert_eq!(asked(&target, "/second").len(), 0, "nothing begins during a stop");
    target.release();
    let daemon = setup.start().await;
    let run = ended(&daemon, "/api/v1/runs", &run).await;
    assert_eq!(run["state"], "succeeded", "{run:#}");
    assert_eq!((asked(&target, "/first").len(), asked(&target, "/second").len()), (1, 1), "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_within_a_stop_is_written_down_and_not_done_again() {
    let target = Receiver::start().await;
    let daemon = setup(&target).start().await;
    target.hold("/");
    daemon.post("/api/v1/events", &json!({"type": "custom.told", "subject": "a", "data": {}})).await;
    let run = daemon.post("/api/v1/runs", &json!({"runbook": "once"})).await;
    let run = run["id"].as_str().unwrap().to_owned();
    eventually("both in flight", SOON, async || {
        ["/hook", "/once"].iter().all(|path| asked(&target, path).len() == 1).then_some(())
    })
    .await;
    let stopping = tokio::task::spawn_blocking(move || daemon.stop());
    // The target answers only when the stop is under way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!stopping.is_finished(), "it does not wait for what is in flight");
    target.release();
    let (setup, took, well) = stopping.await.unwrap();
    assert!(well && took < AT_MOST, "took {took:?}\n{}", setup.log());
    let daemon = setup.start().await;
    assert_eq!(delivered(&daemon).await["attempts"], 1);
    let run = ended(&daemon, "/api/v1/runs", &run).await;
    assert_eq!(run["state"], "succeeded", "{run:#}");
    assert_eq!((asked(&target, "/hook").len(), asked(&target, "/once").len()), (1, 1), "nothing was done twice");
}
