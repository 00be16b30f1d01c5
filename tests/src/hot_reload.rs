//! Plugins change while the host runs.

use crate::harness::counterpart::say;
use crate::harness::guest::{bundled, install, renumbered, sha256, variant};
use crate::harness::receiver::Receiver;
use crate::harness::{Daemon, Setup, eventually};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

const SOON: Duration = Duration::from_secs(20);

async fn plugin(daemon: &Daemon, name: &str) -> Option<Value> {
    daemon.items("/api/v1/plugins").await.into_iter().find(|plugin| plugin["name"] == name)
}

/// Waits until the version with these bytes is in use, and no other is loaded in its place.
async fn in_use(daemon: &Daemon, name: &str, bytes: &[u8]) -> Value {
    let expected = sha256(bytes);
    eventually(&format!("{name} {expected}"), SOON, async || {
        plugin(daemon, name).await.filter(|plugin| plugin["digest"] == expected)
    })
    .await
}

/// Its first calls may still be watched.
fn runs(plugin: &Value) -> bool {
    plugin["state"] == "active" || plugin["state"] == "probation"
}

async fn events(daemon: &Daemon, event_type: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = daemon.get(&format!("/api/v1/events?type={event_type}&limit=500&after={after}")).await;
        let items = page["items"].as_array().unwrap();
        all.extend(items.iter().cloned());
        match items.last() {
            Some(last) => after = last["offset"].as_u64().unwrap(),
            None => return all,
        }
    }
}

#[tokio::test]
async fn a_file_replaces_the_bundled_version_and_its_removal_brings_that_back() {
    let daemon = Setup::new().start().await;
    let folder = daemon.setup.plugins_dir();
    let original = bundled("threshold");
    in_use(&daemon, "threshold", &original).await;
    for number in [1, 2] {
        let bytes = variant(&original, number);
        install(&folder, "threshold.wasm", &bytes);
        in_use(&daemon, "threshold", &bytes).await;
    }
    std::fs::remove_file(folder.join("threshold.wasm")).unwrap();
    in_use(&daemon, "threshold", &original).await;
}

#[tokio::test]
async fn the_lock_file_names_what_is_dropped_into_the_folder_as_long_as_it_lies_there() {
    let daemon = Setup::new().start().await;
    let lock = daemon.setup.data_dir().join("plugins.lock");
    assert!(!lock.exists(), "there is nothing to name");
    let wave = variant(&bundled("threshold"), 9);
    install(&daemon.setup.plugins_dir(), "wave.wasm", &wave);
    let named = async |wanted: bool, names: &str| {
        eventually("the lock file", SOON, async || {
            let text = std::fs::read_to_string(&lock).unwrap_or_default();
            (text.contains(names) == wanted && text.contains("version = 1")).then_some(())
        })
        .await;
    };
    named(true, &sha256(&wave)).await;
    // While no host runs, too.
    let (setup, _, _) = daemon.stop();
    let tide = variant(&bundled("availability"), 9);
    install(&setup.plugins_dir(), "tide.wasm", &tide);
    let daemon = setup.start().await;
    named(true, &sha256(&tide)).await;
    std::fs::remove_file(daemon.setup.plugins_dir().join("wave.wasm")).unwrap();
    named(false, "wave.wasm").await;
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_version_running_and_says_why() {
    let daemon = Setup::new().start().await;
    let folder = daemon.setup.plugins_dir();
    let original = bundled("threshold");
    let (mut garbled, middle) = (original.clone(), original.len() / 2);
    garbled[middle..middle + 64].fill(0xff);
    let broken: [(&[u8], &str); 5] = [
        (&original[..20_000], "it ends in the middle of a section"),
        (b"not wasm at all", "it is not a WebAssembly component"),
        (b"\0asm\x01\0\0\0", "it is a core module"),
        (b"", "it is not a whole component"),
        (&garbled, "it can't be compiled"),
    ];
    for (number, (bytes, reason)) in (1..).zip(broken) {
        // A good one in between, without a reason: what stands there afterwards is of the file at hand.
        let good = variant(&original, number);
        install(&folder, "threshold.wasm", &good);
        let status = eventually("a good version", SOON, async || {
            plugin(&daemon, "threshold").await.filter(|p| p["digest"] == sha256(&good) && p["reason"].is_null())
        })
        .await;
        assert!(runs(&status), "{status}");
        install(&folder, "threshold.wasm", bytes);
        let status = eventually(reason, SOON, async || {
            plugin(&daemon, "threshold").await.filter(|plugin| plugin["reason"].is_string())
        })
        .await;
        assert!(status["reason"].as_str().unwrap().contains(reason), "{status}");
        assert!(status["digest"] == sha256(&good) && runs(&status), "the old version goes on: {status}");
        let instance = daemon.get("/api/v1/instances/threshold/default").await;
        assert_eq!((&instance["plugin"]["digest"], &instance["state"]), (&json!(sha256(&good)), &json!("active")));
    }
    let refusals = events(&daemon, "plugin.refused").await;
    assert_eq!(refusals.len(), 5, "{refusals:#?}");
}

#[tokio::test]
async fn half_written_temporary_and_linked_files_are_handled() {
    let daemon = Setup::new().start().await;
    let folder = daemon.setup.plugins_dir();
    let bytes = variant(&bundled("threshold"), 7);
    for name in ["threshold.wasm~", ".threshold.wasm.swp", "#threshold.wasm#", "threshold.wasm.tmp", "4913"] {
        std::fs::write(folder.join(name), &bytes).unwrap();
    }
    // Answers when everything that is there is in use, or refused.
    daemon.post("/api/v1/plugins/reload", &json!({})).await;
    let status = plugin(&daemon, "threshold").await.unwrap();
    assert_eq!(status["digest"], sha256(&bundled("threshold")), "editors' files are not plugins");
    // Half of it, a pause in which the watcher looks more than once, the rest: the whole is what gets loaded.
    std::fs::write(folder.join("threshold.wasm"), &bytes[..bytes.len() / 2]).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    std::fs::write(folder.join("threshold.wasm"), &bytes).unwrap();
    in_use(&daemon, "threshold", &bytes).await;
    // A link, and a link that points elsewhere later.
    let releases = daemon.setup.folder.path().join("releases");
    std::fs::create_dir(&releases).unwrap();
    for (name, number) in [("one", 8), ("two", 9)] {
        let bytes = variant(&bundled("threshold"), number);
        std::fs::write(releases.join(name), &bytes).unwrap();
        std::os::unix::fs::symlink(releases.join(name), folder.join(".link")).unwrap();
        std::fs::rename(folder.join(".link"), folder.join("threshold.wasm")).unwrap();
        in_use(&daemon, "threshold", &bytes).await;
    }
    let refusals = events(&daemon, "plugin.refused").await;
    assert!(refusals.is_empty(), "none of them was ever refused: {refusals:#?}");
}

/// A detector and a notifier of the test's own, with every alert told over a webhook to `hook`.
fn told_by_webhook(hook: &Receiver) -> Setup {
    Setup::new().config(&format!(
        "[instances.\"webhook/test\"]\nplugin = \"webhook\"\n\
         config = {{ url = \"{0}/hook\", timeout-ms = 20000 }}\ngrants = {{ http = [\"{0}\"] }}\ngranted-to = [\"file:webhook.wasm\"]\nlimits = {{ deadline = \"25s\" }}\n\
         [instances.\"threshold/load\"]\nplugin = \"threshold\"\nconfig = {{ raise = 10.0 }}\n\
         [rules.load]\ndetector = \"threshold/load\"\nselect = {{ metric = \"load_test\" }}\nevery = \"100ms\"\nfor = \"0s\"\nwindow = \"1m\"\n\
         [routes.test]\nevents = [\"alert.firing\"]\nlabels = {{ alertname = \"load\" }}\nnotify = [\"webhook/test\"]\n",
        hook.url()
    ))
}

fn sample(series: usize, value: f64) -> Value {
    json!({"name": "load_test", "labels": {"series": series.to_string()}, "value": value})
}

/// Twenty versions, of two plugins by turns: `(plugin, version, bytes)`.
fn versions() -> Vec<(&'static str, String, Vec<u8>)> {
    let make = |number: usize| {
        let name = if number.is_multiple_of(2) { "threshold" } else { "webhook" };
        let version = format!("{}.{}.7", 1 + number / 10, number % 10);
        (name, version.clone(), renumbered(&bundled(name), &version))
    };
    (0..20).map(make).collect()
}

/// A thousand samples a second until `stop`; two more series rise above the limit with each post. `risen` is how many rose. Gives how many
/// samples a second it really was.
async fn a_thousand_samples_a_second(daemon: &Daemon, stop: &AtomicBool, risen: &AtomicUsize) -> f64 {
    const SAMPLES: usize = 100;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    // The plan does not wait for answers: what one that takes long holds up is posted at once behind it. One after another they go all
    // the same, since no series may be low again after it was high.
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    tick.tick().await;
    let (begin, mut posts) = (Instant::now(), 0_usize);
    loop {
        posts += 1;
        // A window of a hundred that moves on: each series is low for a while, and then high to its end.
        let rising = 2 * posts;
        let half = SAMPLES / 2;
        let (from, to) = (rising.max(half) - half, rising.max(half) + half);
        let batch = (from..to).map(|series| sample(series, if series < rising { 20.0 } else { 1.0 })).collect();
        daemon.post("/api/v1/metrics", &Value::Array(batch)).await;
        risen.store(rising, Ordering::SeqCst);
        // So that there are as many intervals as posts.
        tick.tick().await;
        if stop.load(Ordering::SeqCst) {
            return (posts * SAMPLES) as f64 / begin.elapsed().as_secs_f64();
        }
    }
}

/// Swaps both plugins ten times each; each version is waited for until it has done something. In between one file is deleted, which
/// brings the bundled version back, and one is broken, which leaves the version before at work. Around each swap of the webhook the
/// receiver refuses a delivery for a while, which is then tried again on another version.
async fn swap(daemon: &Daemon, folder: &Path, hook: &Receiver, versions: &[(&'static str, String, Vec<u8>)]) {
    for (number, (name, version, bytes)) in versions.iter().enumerate() {
        if number == 10 {
            std::fs::remove_file(folder.join("webhook.wasm")).unwrap();
            in_use(daemon, "webhook", &bundled("webhook")).await;
        }
        if number == 15 {
            let before = plugin(daemon, "threshold").await.unwrap();
            install(folder, "threshold.wasm", &bundled("threshold")[..20_000]);
            let refused = eventually("the refusal", SOON, async || {
                plugin(daemon, "threshold").await.filter(|plugin| plugin["reason"].is_string())
            })
            .await;
            assert!(refused["digest"] == before["digest"] && runs(&refused), "the old version goes on: {refused}");
        }
        if *name == "webhook" {
            hook.answer_once(503, Some(5));
            hook.answer_once(503, None);
        }
        install(folder, &format!("{name}.wasm"), bytes);
        in_use(daemon, name, bytes).await;
        eventually(&format!("work of {name} {version}"), SOON, async || match *name {
            "webhook" => {
                hook.received().iter().any(|r| r.header("quarterdeck-plugin-version") == version).then_some(())
            }
            _ => {
                let page = daemon.get("/api/v1/events?type=alert.firing&newest=true&limit=20").await;
                let digest = sha256(bytes);
                page["items"].as_array().unwrap().iter().any(|e| e["plugin"]["digest"] == digest).then_some(())
            }
        })
        .await;
    }
}

/// 1,000 samples a second through threshold to webhook, while both plugins are swapped ten times each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_received_are_the_keys_expected_while_versions_are_swapped_twenty_times_under_load() {
    let hook = Receiver::start().await;
    let daemon = told_by_webhook(&hook).start().await;
    let folder = daemon.setup.plugins_dir();
    let versions = versions();
    let (stop, risen) = (AtomicBool::new(false), AtomicUsize::new(0));
    let swaps = async {
        swap(&daemon, &folder, &hook, &versions).await;
        stop.store(true, Ordering::SeqCst);
    };
    let ((), rate) = tokio::join!(swaps, a_thousand_samples_a_second(&daemon, &stop, &risen));
    let risen = risen.load(Ordering::SeqCst);
    say(&format!(
        "MEASURED: {rate:.0} samples a second, while both plugins were swapped ten times each (wanted: 1,000)"
    ));
    assert!(rate >= 900.0, "that was no load: {rate:.0} samples a second");

    // Every series that rose became one alert, every alert one notification, and every notification arrived under its key.
    let fired = eventually("an alert for every series", SOON, async || {
        let fired = events(&daemon, "alert.firing").await;
        (fired.len() >= risen).then_some(fired)
    })
    .await;
    let series: BTreeSet<usize> =
        fired.iter().map(|event| event["data"]["labels"]["series"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!((series, fired.len()), ((0..risen).collect(), risen));
    let notifications = eventually("the end of every delivery", SOON, async || {
        let all = daemon.all("/api/v1/notifications").await;
        let own: Vec<Value> = all.into_iter().filter(|told| told["instance"] == "webhook/test").collect();
        (own.len() >= risen && own.iter().all(|told| told["state"] != "pending")).then_some(own)
    })
    .await;
    let of_instance = |told: &Value| told["instance"] == "webhook/test";
    let ids: BTreeSet<&str> = notifications.iter().map(|told| told["id"].as_str().unwrap()).collect();
    assert_eq!((notifications.len(), ids.len()), (risen, risen), "one notification per series that rose");
    assert!(notifications.iter().all(|told| told["state"] == "delivered"));
    let received = hook.received();
    let keys: BTreeSet<&str> = received.iter().map(|received| received.header("idempotency-key")).collect();
    assert_eq!(keys, ids);

    // Each attempt is one request of one version that was in use, and the last one's digest is that of the version that the receiver saw.
    let version_of = |digest: &Value| versions.iter().find(|(_, _, bytes)| *digest == sha256(bytes));
    let mut seen: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for received in &received {
        let version = received.header("quarterdeck-plugin-version");
        seen.entry(received.header("idempotency-key")).or_default().push(version);
    }
    let (done, failed) = (events(&daemon, "effect.done").await, events(&daemon, "effect.failed").await);
    let done: Vec<&Value> = done.iter().filter(|done| of_instance(&done["data"])).collect();
    assert_eq!((done.len(), failed.len()), (risen, 0));
    for done in &done {
        let digest = &done["plugin"]["digest"];
        let versions = &seen[done["data"]["effect"].as_str().unwrap()];
        assert_eq!(done["data"]["attempts"], versions.len(), "an attempt was not one request: {done:#}");
        let named = version_of(digest).map_or(done["plugin"]["version"].as_str().unwrap(), |(_, version, _)| version);
        assert_eq!(*versions.last().unwrap(), named, "the digest is another version's: {done:#}");
        assert!(digest.as_str().unwrap().starts_with("sha256:"));
    }
    let known: BTreeSet<&str> =
        versions.iter().filter(|(name, ..)| *name == "webhook").map(|(_, version, _)| &**version).collect();
    let is_known = |version: &&str| known.contains(*version) || *version == env!("CARGO_PKG_VERSION");
    assert!(seen.values().flatten().all(is_known), "{seen:?}");
    let again = seen.values().filter(|versions| versions.len() > 1);
    assert!(again.clone().count() >= 10, "deliveries that were refused come again");
    let across = again.filter(|versions| versions.iter().any(|version| *version != versions[0]));
    assert!(across.count() > 0, "none was tried again on another version: {seen:?}");
    // All twenty were really used: webhook's by what the receiver saw, threshold's by who judged the alerts.
    let used_at_receiver: BTreeSet<&str> = seen.values().flatten().copied().collect();
    let judged: BTreeSet<&str> = fired.iter().map(|event| event["plugin"]["digest"].as_str().unwrap()).collect();
    for (name, version, bytes) in &versions {
        match *name {
            "webhook" => assert!(used_at_receiver.contains(version.as_str()), "{version} of {used_at_receiver:?}"),
            _ => assert!(judged.contains(sha256(bytes).as_str()), "{version} judged nothing"),
        }
    }
}

/// The receiver holds a delivery while the version is swapped: it ends on the version that it began with, and says so; what begins
/// meanwhile runs on the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_flight_ends_on_the_version_that_it_began_with() {
    let hook = Receiver::start().await;
    let daemon = told_by_webhook(&hook).start().await;
    let folder = daemon.setup.plugins_dir();
    let [old, new] = ["1.0.7", "2.0.7"].map(|version| (version, renumbered(&bundled("webhook"), version)));
    install(&folder, "webhook.wasm", &old.1);
    in_use(&daemon, "webhook", &old.1).await;
    hook.hold("/hook");
    let received = async |count: usize| {
        eventually("a delivery", SOON, async || (hook.received().len() == count).then(|| hook.received())).await
    };
    daemon.post("/api/v1/metrics", &json!([sample(1, 20.0)])).await;
    received(1).await;
    install(&folder, "webhook.wasm", &new.1);
    in_use(&daemon, "webhook", &new.1).await;
    daemon.post("/api/v1/metrics", &json!([sample(2, 20.0)])).await;
    let received = received(2).await;
    let versions = received.iter().map(|received| received.header("quarterdeck-plugin-version").to_owned());
    assert_eq!(versions.collect::<Vec<_>>(), [old.0, new.0]);
    hook.release();
    let done = eventually("both ends", SOON, async || {
        let done = events(&daemon, "effect.done").await;
        let done: Vec<Value> = done.into_iter().filter(|done| done["data"]["instance"] == "webhook/test").collect();
        (done.len() == 2).then_some(done)
    })
    .await;
    for (received, bytes) in received.iter().zip([&old.1, &new.1]) {
        let own = done.iter().find(|done| done["data"]["effect"] == received.header("idempotency-key")).unwrap();
        assert_eq!(own["plugin"]["digest"], sha256(bytes), "{own:#}");
        assert_eq!(own["data"]["attempts"], 1, "{own:#}");
    }
    assert_eq!(hook.received().len(), 2, "nothing was sent twice");
    eventually("the old version retired", SOON, async || {
        let retired = events(&daemon, "plugin.retired").await;
        retired.iter().any(|event| event["data"]["digest"] == sha256(&old.1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_is_moved_away_is_told_of_once_until_it_is_back() {
    let daemon = Setup::new().start().await;
    let folder = daemon.setup.plugins_dir();
    let away = folder.with_file_name("plugins-away");
    let times = |what: &str| daemon.log().matches(what).count();
    for round in 1..3 {
        std::fs::rename(&folder, &away).unwrap();
        for _ in 0..3 {
            daemon.post("/api/v1/plugins/reload", &json!({})).await;
        }
        assert_eq!(times("the plugins folder can't be read"), round, "{}", daemon.log());
        std::fs::rename(&away, &folder).unwrap();
        for _ in 0..3 {
            daemon.post("/api/v1/plugins/reload", &json!({})).await;
        }
        assert_eq!(times("the plugins folder can be read again"), round, "{}", daemon.log());
    }
}
