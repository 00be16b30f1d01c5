//! Plugins that misbehave cost themselves the call and nobody else anything.

use crate::harness::guest::{build, bundled, install};
use crate::harness::{Setup, eventually};
use serde_json::Value;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_misbehaviour_gives_a_clear_state_and_reason_while_the_host_serves() {
    let mut text = String::new();
    for behaviour in ["trap", "loop", "allocate", "recurse", "giant-result", "ok"] {
        text.push_str(&format!(
            "[instances.\"hostile/{behaviour}\"]\nplugin = \"hostile\"\nevery = \"200ms\"\nconfig = {{ behaviour = \"{behaviour}\" }}\n\
             limits = {{ deadline = \"300ms\", memory-bytes = 33554432 }}\n"
        ));
    }
    let setup = Setup::new().config(&text);
    install(&setup.plugins_dir(), "hostile.wasm", &build("hostile"));
    let daemon = setup.start().await;
    for (behaviour, code) in [
        ("trap", "trapped"),
        ("loop", "deadline"),
        ("allocate", "out-of-memory"),
        ("recurse", "trapped"),
        ("giant-result", "limited"),
    ] {
        let instance = eventually(behaviour, SOON, async || {
            let instance = daemon.get(&format!("/api/v1/instances/hostile/{behaviour}")).await;
            let failures = instance["usage"]["failures"].as_object().unwrap().clone();
            failures.keys().any(|key| code.is_empty() || key == code).then_some(instance)
        })
        .await;
        assert!(!instance["usage"]["last_error"].as_str().unwrap().is_empty(), "{instance:#}");
    }
    let quarantined = eventually("quarantine", SOON, async || {
        let instance = daemon.get("/api/v1/instances/hostile/trap").await;
        (instance["state"] == "quarantined").then_some(instance)
    })
    .await;
    assert!(quarantined["reason"].as_str().unwrap().contains("trap"), "{quarantined:#}");
    let good = daemon.get("/api/v1/instances/hostile/ok").await;
    assert_eq!(good["state"], "active", "{good:#}");
    assert!(good["usage"]["calls"].as_u64().unwrap() > 0);
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let begin = Instant::now();
        daemon.get("/healthz").await;
        slowest = slowest.max(begin.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "the host serves meanwhile: {slowest:?}");
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_with_the_reason() {
    let setup = Setup::new();
    let folder = setup.plugins_dir();
    install(&folder, "text.wasm", b"hello");
    install(&folder, "core-module.wasm", b"\0asm\x01\0\0\0");
    install(&folder, "empty.wasm", b"");
    install(&folder, "empty-component.wasm", b"\0asm\x0d\0\x01\0");
    install(&folder, "cut.wasm", &bundled("system")[..30_000]);
    let daemon = setup.start().await;
    for name in ["text", "core-module", "empty-component", "cut"] {
        let plugin = eventually(name, SOON, async || {
            daemon.items("/api/v1/plugins").await.into_iter().find(|plugin| plugin["name"] == name)
        })
        .await;
        assert_eq!(plugin["state"], "refused", "{plugin}");
        assert!(plugin["reason"].as_str().unwrap().len() > 10, "{plugin}");
    }
    let core: Value = daemon.get("/api/v1/plugins/core-module").await;
    assert!(core["reason"].as_str().unwrap().contains("component"), "{core}");
}
