//! What opens incidents beside alerts: findings of scans, and objectives that are missed.

use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

/// The incident with a member of that label, once it is in that state.
async fn incident(daemon: &Daemon, label: &str, value: &str, state: &str) -> Value {
    eventually(&format!("an incident with {label}={value} that is {state}"), SOON, async || {
        daemon.items("/api/v1/incidents").await.into_iter().find(|incident| {
            let members = incident["members"].as_array().unwrap();
            incident["state"] == state && members.iter().any(|member| member["labels"][label] == value)
        })
    })
    .await
}

#[tokio::test]
async fn a_secret_in_a_file_opens_an_incident_and_its_removal_resolves_it() {
    let setup = Setup::new();
    let folder = setup.folder.path().join("repository");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("app.env");
    // In two parts, so that nobody's scanner finds it here.
    std::fs::write(&file, format!("AWS_ACCESS_KEY_ID={}{}\n", "AKIA", "Q3EGRIK7XN2LWZ5T")).unwrap();
    let path = folder.display();
    let setup = setup.config(&format!("[scans.repository]\nrules = [\"secrets/default\"]\npaths = [\"{path}\"]\n"));
    let daemon = setup.start().await;
    let subject = file.display().to_string();
    daemon.post("/api/v1/scans", &json!({"name": "repository"})).await;
    let opened = incident(&daemon, "subject", &subject, "open").await;
    assert_eq!(opened["members"][0]["labels"]["scan"], "repository", "{opened:#}");
    std::fs::write(&file, "AWS_ACCESS_KEY_ID=from-the-vault\n").unwrap();
    daemon.post("/api/v1/scans", &json!({"name": "repository"})).await;
    let resolved = incident(&daemon, "subject", &subject, "resolved").await;
    assert_eq!((&resolved["id"], &resolved["resolved_by"]), (&opened["id"], &json!("host")));
}

#[tokio::test]
async fn an_objective_that_is_missed_opens_an_incident_and_its_recovery_resolves_it() {
    let setup = Setup::new().config(
        "[slos.shop]\ncalculator = \"availability/default\"\nselect = { metric = \"shop_up\" }\nwindow = \"1h\"\n\
         config = { target = 0.9 }\nminimum-samples = 1\n",
    );
    let daemon = setup.start().await;
    let now = || {
        quarterdeck_model::Timestamp::from_millis(
            i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap(),
        )
    };
    daemon.post("/api/v1/metrics", &json!([{"name": "shop_up", "labels": {}, "value": 0.0, "at": now()}])).await;
    let opened = incident(&daemon, "slo", "shop", "open").await;
    assert_eq!(opened["severity"], "high", "{opened:#}");
    let end = now();
    let good: Vec<Value> = (0..100)
        .map(
            |n| json!({"name": "shop_up", "labels": {}, "value": 1.0, "at": end.minus(quarterdeck_model::Span::from_millis(n * 20))}),
        )
        .collect();
    daemon.post("/api/v1/metrics", &json!(good)).await;
    let resolved = incident(&daemon, "slo", "shop", "resolved").await;
    assert_eq!(resolved["id"], opened["id"]);
}
