//! Plugins change while the host runs.

use crate::harness::guest::{bundled, install, variant};
use crate::harness::receiver::Receiver;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

async fn plugin(daemon: &Daemon, name: &str) -> Option<Value> {
    daemon.items("/api/v1/plugins").await.into_iter().find(|plugin| plugin["name"] == name)
}

async fn digest(daemon: &Daemon, name: &str) -> String {
    plugin(daemon, name).await.unwrap()["digest"].as_str().unwrap().to_owned()
}

async fn changed_from(daemon: &Daemon, name: &str, old: &str) -> String {
    eventually("another digest", SOON, async || {
        plugin(daemon, name).await.map(|p| p["digest"].as_str().unwrap().to_owned()).filter(|digest| digest != old)
    })
    .await
}

#[tokio::test]
async fn a_file_replaces_the_bundled_version_and_its_removal_brings_that_back() {
    let daemon = Setup::new().start().await;
    let folder = daemon.setup.plugins_dir();
    let original = digest(&daemon, "threshold").await;
    install(&folder, "threshold.wasm", &variant(&bundled("threshold"), 1));
    let first = changed_from(&daemon, "threshold", &original).await;
    install(&folder, "threshold.wasm", &variant(&bundled("threshold"), 2));
    let second = changed_from(&daemon, "threshold", &first).await;
    assert_ne!(second, original);
    std::fs::remove_file(folder.join("threshold.wasm")).unwrap();
    assert_eq!(changed_from(&daemon, "threshold", &second).await, original);
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_version_running_and_says_why() {
    let daemon = Setup::new().start().await;
    let folder = daemon.setup.plugins_dir();
    let original = digest(&daemon, "threshold").await;
    install(&folder, "threshold.wasm", &variant(&bundled("threshold"), 1));
    let good = changed_from(&daemon, "threshold", &original).await;
    let truncated = &bundled("threshold")[..20_000];
    for (bytes, reason) in
        [(truncated, ""), (b"not wasm at all".as_slice(), ""), (b"\0asm\x01\0\0\0".as_slice(), "component")]
    {
        install(&folder, "threshold.wasm", bytes);
        let status = eventually("a reason", SOON, async || {
            let answer = daemon.post("/api/v1/plugins/reload", &json!({})).await;
            let all = answer["items"].as_array().unwrap().clone();
            all.into_iter()
                .find(|p| p["name"] == "threshold" && p["reason"].as_str().is_some_and(|text| text.contains(reason)))
        })
        .await;
        assert_eq!(status["digest"].as_str().unwrap(), good, "the old version goes on: {status}");
        assert_ne!(status["state"], "refused", "{status}");
    }
}

#[tokio::test]
async fn half_written_temporary_and_linked_files_are_handled() {
    let daemon = Setup::new().start().await;
    let folder = daemon.setup.plugins_dir();
    let original = digest(&daemon, "threshold").await;
    let bytes = variant(&bundled("threshold"), 7);
    for name in ["threshold.wasm~", ".threshold.wasm.swp", "#threshold.wasm#", "threshold.wasm.tmp", "4913"] {
        std::fs::write(folder.join(name), &bytes).unwrap();
    }
    daemon.post("/api/v1/plugins/reload", &json!({})).await;
    assert_eq!(digest(&daemon, "threshold").await, original, "editors' files are not plugins");
    // Half of it, a pause, the rest: the whole is what gets loaded.
    std::fs::write(folder.join("threshold.wasm"), &bytes[..bytes.len() / 2]).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    std::fs::write(folder.join("threshold.wasm"), &bytes).unwrap();
    let written = changed_from(&daemon, "threshold", &original).await;
    // A link, and a link that points elsewhere later.
    let releases = daemon.setup.folder.path().join("releases");
    std::fs::create_dir(&releases).unwrap();
    std::fs::write(releases.join("one"), variant(&bundled("threshold"), 8)).unwrap();
    std::fs::write(releases.join("two"), variant(&bundled("threshold"), 9)).unwrap();
    let link = |target: &str| {
        std::os::unix::fs::symlink(releases.join(target), folder.join(".link")).unwrap();
        std::fs::rename(folder.join(".link"), folder.join("threshold.wasm")).unwrap();
    };
    link("one");
    let linked = changed_from(&daemon, "threshold", &written).await;
    link("two");
    changed_from(&daemon, "threshold", &linked).await;
}

/// 1,000 samples a second through threshold to webhook, while both plugins are swapped ten times each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_received_are_the_keys_expected_while_versions_are_swapped_twenty_times_under_load() {
    const SERIES: usize = 200;
    let hook = Receiver::start().await;
    let setup = Setup::new().config(&format!(
        "[instances.\"webhook/test\"]\nplugin = \"webhook\"\nconfig = {{ url = \"{0}/hook\" }}\ngrants = {{ http = [\"{0}\"] }}\n\
         [instances.\"threshold/load\"]\nplugin = \"threshold\"\nconfig = {{ raise = 10.0 }}\n\
         [rules.load]\ndetector = \"threshold/load\"\nselect = {{ metric = \"load_test\" }}\nevery = \"100ms\"\nfor = \"0s\"\nwindow = \"1m\"\n\
         [routes.test]\nevents = [\"alert.firing\"]\nlabels = {{ alertname = \"load\" }}\nnotify = [\"webhook/test\"]\n",
        hook.url()
    ));
    let daemon = setup.start().await;
    let folder = daemon.setup.plugins_dir();
    let swaps = async {
        for number in 0..20 {
            let name = if number % 2 == 0 { "threshold" } else { "webhook" };
            install(&folder, &format!("{name}.wasm"), &variant(&bundled(name), number));
            tokio::time::sleep(Duration::from_millis(480)).await;
        }
    };
    // Ten seconds, ten posts of 100 samples each second; series n rises above the limit in post n / 2.
    let samples = async {
        let begin = tokio::time::Instant::now();
        for post in 0..100_usize {
            let batch: Vec<Value> = (0..100)
                .map(|n| {
                    let series = (post % 2) * 100 + n;
                    let value = if post >= series / 2 { 20.0 } else { 1.0 };
                    json!({"name": "load_test", "labels": {"series": series.to_string()}, "value": value})
                })
                .collect();
            daemon.post("/api/v1/metrics", &Value::Array(batch)).await;
            tokio::time::sleep_until(begin + Duration::from_millis(100) * u32::try_from(post + 1).unwrap()).await;
        }
    };
    tokio::join!(swaps, samples);
    let keys = || {
        hook.received().iter().map(|received| received.header("idempotency-key").to_owned()).collect::<BTreeSet<_>>()
    };
    eventually("a webhook for every series", Duration::from_secs(40), async || (keys().len() >= SERIES).then_some(()))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let expected: BTreeSet<String> = daemon
        .all("/api/v1/notifications")
        .await
        .iter()
        .filter(|notification| notification["instance"] == "webhook/test")
        .map(|notification| notification["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(expected.len(), SERIES, "one notification per series that rose");
    assert_eq!(keys(), expected);
    let mut digests = BTreeSet::new();
    let mut after = 0;
    loop {
        let page = daemon.get(&format!("/api/v1/events?type=effect.done&limit=500&after={after}")).await;
        let items = page["items"].as_array().unwrap();
        for event in items {
            digests.insert(event["plugin"]["digest"].as_str().expect("every attempt names one digest").to_owned());
        }
        match items.last() {
            Some(last) => after = last["offset"].as_u64().unwrap(),
            None => break,
        }
    }
    assert!(digests.len() > 3, "the attempts ran on several versions: {digests:?}");
}
