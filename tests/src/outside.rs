//! A crate outside the workspace, with nothing but the SDK, adds a plugin of every kind; the host runs it.

use crate::harness::guest::{build, install};
use crate::harness::{Setup, eventually};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn the_host_loads_a_component_of_every_kind_from_outside_and_runs_it() {
    let setup = Setup::new().config(
        "[instances.\"outside/all\"]\nplugin = \"outside\"\nevery = \"200ms\"\ngrants = { kv = true }\n\
         [rules.outside]\ndetector = \"outside/all\"\nselect = { metric = \"outside_value\" }\nevery = \"200ms\"\n\
         [correlation]\ncorrelator = \"outside/all\"\nminimum-severity = \"info\"\n\
         [routes.outside]\nevents = [\"alert.firing\"]\nnotify = [\"outside/all\"]\n\
         [scans.outside]\nrules = [\"outside/all\"]\npaths = [\"{{config.dir}}\"]\n\
         [services.outside]\ntarget = \"outside/all\"\nstrategy = \"outside/all\"\nreplicas = 1\n\
         [slos.outside]\ncalculator = \"outside/all\"\nselect = { metric = \"outside_value\" }\n\
         [runbooks.outside]\ntitle = \"Outside\"\nsteps = [{ name = \"only\", action = \"outside/all\" }]\n",
    );
    install(&setup.plugins_dir(), "outside.wasm", &build("outside"));
    let daemon = setup.start().await;
    let soon = Duration::from_secs(30);
    let plugin = daemon.get("/api/v1/plugins/outside").await;
    assert_eq!(plugin["kinds"].as_array().unwrap().len(), 9, "{plugin:#}");
    eventually("collector", soon, async || daemon.latest("metric=outside_value").await).await;
    eventually("detector and correlator", soon, async || {
        daemon.items("/api/v1/incidents").await.into_iter().find(|incident| {
            incident["members"].as_array().unwrap().iter().any(|member| member["labels"]["alertname"] == "outside")
        })
    })
    .await;
    eventually("notifier", soon, async || {
        daemon
            .items("/api/v1/notifications")
            .await
            .into_iter()
            .find(|n| n["instance"] == "outside/all" && n["state"] == "delivered")
    })
    .await;
    let scan = daemon.command_line(&["scan", "outside", "--json"]);
    let scan: serde_json::Value = serde_json::from_slice(&scan.stdout).unwrap();
    assert_eq!(scan["scan"]["state"], "succeeded", "{scan:#}");
    let run = daemon.command_line(&["runbook", "run", "outside"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    eventually("calculator", soon, async || {
        daemon
            .items("/api/v1/slos")
            .await
            .into_iter()
            .find(|slo| slo["name"] == "outside" && !slo["attainment"].is_null() && slo["error"].is_null())
    })
    .await;
    let started = daemon.post("/api/v1/deployments", &json!({"service": "outside", "revision": "r1"})).await;
    let path = format!("/api/v1/deployments/{}", started["id"].as_str().unwrap());
    let ended = eventually("strategy and target", soon, async || {
        let deployment = daemon.get(&path).await;
        deployment["finished_at"].is_string().then_some(deployment)
    })
    .await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
}
