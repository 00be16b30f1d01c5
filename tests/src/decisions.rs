//! What was decided is asked again of another version, and a candidate decides beside the one in use.

use crate::harness::guest::{bundled, louder_threshold, sha256, variant};
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::process::Output;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// Judges a series that is over its level, every 200 ms.
const CONFIG: &str = "[instances.\"threshold/default\"]\nplugin = \"threshold\"\njournal = { keep = \"1h\", max-bytes = 1000000 }\n\
    [rules.load]\ndetector = \"threshold/default\"\nselect = { metric = \"custom_load\" }\nevery = \"200ms\"\nconfig = { raise = 90 }\n";

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {} {}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })
}

/// So many decisions are kept of it.
async fn kept(daemon: &Daemon, decisions: u64) -> u64 {
    eventually("decisions are kept", SOON, async || {
        let journals = daemon.items("/api/v1/journals?plugin=threshold").await;
        journals.first().and_then(|journal| journal["decisions"].as_u64()).filter(|kept| *kept >= decisions)
    })
    .await
}

async fn start() -> Daemon {
    let daemon = Setup::new().config(CONFIG).start().await;
    daemon.post("/api/v1/metrics", &json!([{"name": "custom_load", "labels": {"host": "a"}, "value": 97.0}])).await;
    eventually("the alert", SOON, async || {
        daemon.items("/api/v1/alerts").await.into_iter().find(|alert| alert["rule"] == "load")
    })
    .await;
    daemon
}

#[tokio::test]
async fn a_replay_tells_what_another_version_would_have_decided_also_after_a_restart() {
    let daemon = start().await;
    kept(&daemon, 10).await;
    let (same, other) = (
        daemon.setup.file("same.wasm", &variant(&bundled("threshold"), 3)),
        daemon.setup.file("other.wasm", &louder_threshold()),
    );
    let run = |daemon: &Daemon, arguments: &[&str]| {
        let mut all = vec!["plugin", "replay", "threshold", "--with"];
        all.extend(arguments);
        daemon.setup.run(&all)
    };
    let output = run(&daemon, &[same.to_str().unwrap(), "--json"]);
    let report = json(&output);
    assert!(output.status.success(), "{report:#}");
    assert!(report["decisions"].as_u64().unwrap() >= 10, "{report:#}");
    assert_eq!((&report["same"], &report["differ"]), (&report["decisions"], &json!(0)), "{report:#}");
    assert_eq!(report["instances"], json!(["threshold/default"]));

    // The past outlives the daemon.
    let daemon = daemon.stop().0.start().await;
    let output = run(&daemon, &[other.to_str().unwrap(), "--since", "1h", "--samples", "1", "--json"]);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    let (decisions, differ) = (report["decisions"].as_u64().unwrap(), report["differ"].as_u64().unwrap());
    assert!(decisions >= 10 && (1..=decisions).contains(&differ), "{report:#}");
    let sample = &report["samples"][0];
    assert_eq!(sample["then"]["decision"][0]["reason"], "is 97, above 90", "{report:#}");
    assert_eq!(sample["now"]["decision"][0]["reason"], "is 97, ABOVE 90");
    assert_eq!(sample["config"]["raise"], json!(90));
    assert_eq!(sample["plugin"]["digest"], sha256(&bundled("threshold")));

    let people = String::from_utf8(run(&daemon, &[other.to_str().unwrap()]).stdout).unwrap();
    assert!(
        people.contains("was asked what threshold/default was asked, from 20") && people.contains("differ"),
        "{people}"
    );
    // Of another kind it can be asked nothing, and a question that was not put is no answer.
    let strategy = daemon.setup.file("strategy.wasm", &bundled("canary"));
    let nothing = run(&daemon, &[strategy.to_str().unwrap()]);
    let said = String::from_utf8(nothing.stdout).unwrap();
    assert_eq!(nothing.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing was compared") && said.contains("not asked"), "{said}");
    let refused = daemon.setup.run(&["plugin", "replay", "canary", "--with", other.to_str().unwrap()]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && error.contains("no decision of `canary` is kept"), "{error}");
    let table = String::from_utf8(daemon.setup.run(&["plugin", "journal"]).stdout).unwrap();
    assert!(table.contains("threshold/default"), "{table}");
}

#[tokio::test]
async fn a_candidate_decides_beside_the_version_in_use_survives_a_restart_and_takes_its_place() {
    let daemon = start().await;
    let candidate = daemon.setup.file("candidate.wasm", &louder_threshold());
    let shadow = |daemon: &Daemon, arguments: &[&str]| {
        let mut all = vec!["plugin", "shadow", "threshold"];
        all.extend(arguments);
        daemon.setup.run(&all)
    };
    let output = shadow(&daemon, &["--with", candidate.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let differs = async |daemon: &Daemon| {
        eventually("a disagreement", SOON, async || {
            let shadow = daemon.items("/api/v1/shadows").await.pop()?;
            (shadow["differ"].as_u64()? > 0).then_some(shadow)
        })
        .await
    };
    let report = differs(&daemon).await;
    assert_eq!(report["samples"][0]["now"]["decision"][0]["reason"], "is 97, ABOVE 90", "{report:#}");
    assert_eq!(report["active"]["digest"], sha256(&bundled("threshold")));
    eventually("the event", SOON, async || {
        daemon
            .items("/api/v1/events?type=plugin.shadow-differs")
            .await
            .into_iter()
            .find(|e| e["subject"] == "threshold")
    })
    .await;

    let daemon = daemon.stop().0.start().await;
    let people = async || String::from_utf8(shadow(&daemon, &[]).stdout).unwrap();
    differs(&daemon).await;
    let told = people().await;
    assert!(told.contains("is asked beside version") && told.contains("ABOVE"), "{told}");
    let table = String::from_utf8(daemon.setup.run(&["plugin", "shadow"]).stdout).unwrap();
    assert!(table.contains("threshold") && table.contains("asked"), "{table}");

    let promoted = json(&daemon.setup.run(&["plugin", "promote", "threshold", "--json"]));
    assert_eq!(
        (&promoted["file"], &promoted["plugin"]["digest"]),
        (&json!("threshold.wasm"), &json!(sha256(&louder_threshold())))
    );
    assert_eq!(std::fs::read(daemon.setup.plugins_dir().join("threshold.wasm")).unwrap(), louder_threshold());
    let lock = std::fs::read_to_string(daemon.setup.data_dir().join("plugins.lock")).unwrap();
    assert!(lock.contains(&sha256(&louder_threshold())), "{lock}");
    let instance = daemon.get("/api/v1/instances/threshold/default").await;
    assert_eq!(instance["plugin"]["digest"], sha256(&louder_threshold()), "{instance:#}");
    assert!(daemon.items("/api/v1/shadows").await.is_empty());
    let gone = shadow(&daemon, &["--stop"]);
    let error = String::from_utf8(gone.stderr).unwrap();
    assert!(!gone.status.success() && error.contains("`threshold` has no candidate"), "{error}");
}
