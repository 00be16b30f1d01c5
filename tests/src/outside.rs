//! A crate outside the workspace, with nothing but the SDK, adds a plugin of every kind; the host runs it.

use crate::harness::guest::{build, install};
use crate::harness::{Setup, eventually};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn the_host_loads_a_component_of_every_kind_from_outside_and_runs_it() {
    let setup = Setup::new().config(
        "[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"200ms\"\ngrants = { kv = true }\ngranted-to = [\"file:outside.wasm\"]\n\
         [rules.outside]\ndetector = \"outside/all\"\nselect = { metric = \"outside_value\" }\nevery = \"200ms\"\n\
         [correlation]\ncorrelator = \"outside/all\"\nminimum-severity = \"info\"\n\
         [routes.outside]\nevents = [\"alert.firing\"]\nnotify = [\"outside/all\"]\n\
         [scans.outside]\nrules = [\"outside/all\"]\npaths = [\"{{config.dir}}\"]\n\
         [services.outside]\ntarget = \"outside/all\"\nstrategy = \"outside/all\"\nreplicas = 1\n\
         [slos.outside]\ncalculator = \"outside/all\"\nselect = { metric = \"outside_value\" }\n\
         [runbooks.outside]\ntitle = \"Outside\"\nsteps = [{ name = \"only\", action = \"outside/all\" }]\n",
    );
    setup.write("empty.txt", "");
    install(&setup.plugins_dir(), "outside.wasm", &build("outside"));
    let daemon = setup.start().await;
    let soon = Duration::from_secs(30);
    let plugin = daemon.get("/api/v1/plugins/outside").await;
    assert_eq!(plugin["kinds"].as_array().unwrap().len(), 9, "{plugin:#}");
    let value = eventually("collector", soon, async || daemon.latest("metric=outside_value").await).await;
    assert_eq!(value, 42.0);
    let alert = eventually("detector", soon, async || {
        daemon.items("/api/v1/alerts").await.into_iter().find(|alert| alert["rule"] == "outside")
    })
    .await;
    assert_eq!((&alert["reason"], &alert["plugin"]["name"]), (&json!("is above 10"), &json!("outside")), "{alert:#}");
    let bit = eventually("derived sample", soon, async || daemon.latest("metric=outside_bit").await).await;
    assert_eq!(bit, 1.0);
    let incident = eventually("correlator", soon, async || {
        daemon.items("/api/v1/incidents").await.into_iter().find(|incident| {
            incident["members"].as_array().unwrap().iter().any(|member| member["labels"]["alertname"] == "outside")
        })
    })
    .await;
    assert_eq!(incident["key"], "everything", "the key that this plugin gives: {incident:#}");
    let told = eventually("notifier", soon, async || {
        daemon
            .items("/api/v1/notifications")
            .await
            .into_iter()
            .find(|n| n["instance"] == "outside/all" && n["state"] == "delivered")
    })
    .await;
    let receipts =
        daemon.items(&format!("/api/v1/events?type=effect.done&subject={}", told["id"].as_str().unwrap())).await;
    assert_eq!(receipts.len(), 1, "{receipts:#?}");
    assert_eq!(receipts[0]["data"]["outputs"]["told"], told["title"], "{receipts:#?}");
    assert_eq!(receipts[0]["plugin"]["name"], "outside", "{receipts:#?}");
    let scan = daemon.command_line(&["scan", "outside", "--json"]);
    let scan: serde_json::Value = serde_json::from_slice(&scan.stdout).unwrap();
    assert_eq!(scan["scan"]["state"], "succeeded", "{scan:#}");
    let findings = scan["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "the one empty file: {scan:#}");
    assert_eq!(
        (&findings[0]["rule"], &findings[0]["plugin"]["name"]),
        (&json!("outside/empty-file"), &json!("outside"))
    );
    assert!(findings[0]["subject"].as_str().unwrap().ends_with("empty.txt"), "{scan:#}");
    let run = daemon.command_line(&["runbook", "run", "outside", "--json"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    let run: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let step = &run["steps"][0];
    assert_eq!((&step["outputs"]["answer"], &step["plugin"]["name"]), (&json!("42"), &json!("outside")), "{run:#}");
    let slo = eventually("calculator", soon, async || {
        daemon.items("/api/v1/slos").await.into_iter().find(|slo| slo["name"] == "outside" && slo["state"] == "met")
    })
    .await;
    let attained = &slo["attainment"]["adjusted"];
    assert!(attained["total"].as_f64().unwrap() >= 1.0 && attained["total"] == attained["good"], "{slo:#}");
    assert_eq!((&attained["attained"], &slo["plugin"]["name"]), (&json!(1.0), &json!("outside")), "{slo:#}");
    let started = daemon.post("/api/v1/deployments", &json!({"service": "outside", "revision": "r1"})).await;
    let path = format!("/api/v1/deployments/{}", started["id"].as_str().unwrap());
    let ended = eventually("strategy and target", soon, async || {
        let deployment = daemon.get(&path).await;
        deployment["finished_at"].is_string().then_some(deployment)
    })
    .await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    let moves = ended["moves"].as_array().unwrap();
    assert!(moves.len() >= 3, "start, weight, complete: {ended:#}");
    assert!(
        moves.iter().all(|m| m["reason"] == "all at once" && m["plugin"]["name"] == "outside"),
        "strategy: {ended:#}"
    );
    let replica = &ended["replicas"][0];
    assert_eq!((&replica["revision"], &replica["phase"]), (&json!("r1"), &json!("healthy")), "target: {ended:#}");
    assert_eq!(daemon.get("/api/v1/services/outside").await["current"]["stable"], "r1");
}
