//! Collectors and the alerts that come of them, over real targets.

use crate::harness::receiver::Receiver;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::Value;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

async fn alert(daemon: &Daemon, rule: &str, instance: &str) -> Value {
    eventually(&format!("{rule} fires for {instance}"), SOON, async || {
        let of = |alert: &Value| {
            alert["rule"] == rule && alert["labels"]["instance"] == instance && alert["state"] == "firing"
        };
        daemon.items("/api/v1/alerts").await.into_iter().find(of)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hangs_is_measured_as_down_and_its_collectors_stay_in_use() {
    let target = Receiver::start().await;
    target.hold("/");
    let collector = |plugin: &str| {
        format!(
            "[instances.\"{plugin}/hangs\"]\nplugin = \"{plugin}\"\nevery = \"200ms\"\nlimits = {{ deadline = \"1s\" }}\n\
             config = {{ url = \"{0}/\", timeout-ms = 60000 }}\ngrants = {{ http = [\"{0}\"] }}\n",
            target.url()
        )
    };
    let daemon =
        Setup::new().config(&format!("{}{}", collector("http-probe"), collector("prometheus-scrape"))).start().await;
    for (instance, metric, duration) in [
        ("http-probe/hangs", "probe_success", "probe_duration_seconds"),
        ("prometheus-scrape/hangs", "up", "scrape_duration_seconds"),
    ] {
        // More often than it takes to be quarantined for misbehaviour.
        let asked =
            |usage: &Value| usage["calls"].as_u64().unwrap().saturating_sub(usage["in_flight"].as_u64().unwrap());
        let shown = eventually("seven calls", SOON, async || {
            Some(daemon.get(&format!("/api/v1/instances/{instance}")).await).filter(|shown| asked(&shown["usage"]) >= 7)
        })
        .await;
        assert_eq!(shown["state"], "active", "{shown:#}");
        assert_eq!(shown["usage"]["failures"], serde_json::json!({}), "{shown:#}");
        assert_eq!(daemon.latest(&format!("metric={metric}&label=instance={instance}")).await, Some(0.0));
        let seconds = daemon.latest(&format!("metric={duration}&label=instance={instance}")).await.unwrap();
        assert!(seconds > 0.5, "{seconds}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_can_not_collect_makes_an_alert_without_any_set_up() {
    let setup = Setup::new().config(
        "[instances.\"http-probe/denied\"]\nplugin = \"http-probe\"\nevery = \"200ms\"\n\
         config = { url = \"http://127.0.0.1:9/\" }\ngrants = { http = [\"http://127.0.0.1:10\"] }\n\
         [rules.collector-down]\nevery = \"200ms\"\nfor = \"0s\"\n",
    );
    let daemon = setup.start().await;
    let alert = alert(&daemon, "collector-down", "http-probe/denied").await;
    assert_eq!(alert["summary"], "http-probe/denied can't collect", "{alert:#}");
    let alerts = daemon.items("/api/v1/alerts").await;
    assert!(alerts.iter().all(|alert| alert["labels"]["instance"] != "system/local"), "{alerts:#?}");
}
