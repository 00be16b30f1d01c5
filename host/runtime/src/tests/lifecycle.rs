//! Probation, shutdown, a start from the cache.

use crate::testing::guests::{Does, collector};
use crate::testing::{Bench, eventually};
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::collector::Collector;
use quarterdeck_model::plugin::{CallError, CallFailed, InstanceName, PluginState, Registry};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(5_000);

#[tokio::test]
async fn a_new_version_that_keeps_trapping_gives_way_to_the_last_good_one() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    bench.reload().await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    bench.drop_in("guest.wasm", &collector("guest", "2.0.0", Does::Trap));
    bench.reload().await;
    let status = bench.status("guest").unwrap();
    assert_eq!((status.version.as_str(), status.state), ("2.0.0", PluginState::Probation));
    for _ in 0..3 {
        bench.collect(&name, NOW).await.unwrap_err();
    }
    let back = eventually("the good version", || bench.status("guest").filter(|s| s.version == "1.0.0")).await;
    assert_eq!(back.state, PluginState::Active);
    let reason = back.reason.unwrap();
    assert!(reason.contains("`guest.wasm` was rolled back: 3 of its first 3 calls misbehaved"), "{reason}");
    let works = || (bench.instance(&name).unwrap().plugin.unwrap().version == "1.0.0").then_some(());
    eventually("the instance", works).await;
    bench.collect(&name, NOW).await.unwrap();
    let event = bench.event("plugin.rolled-back").await.event;
    assert_eq!(
        (event.data["from"]["version"].as_str(), event.data["to"]["version"].as_str()),
        (Some("2.0.0"), Some("1.0.0"))
    );

    // The bad content does not come back by itself; a repaired one is taken up.
    bench.reload().await;
    assert_eq!(bench.status("guest").unwrap().version, "1.0.0");
    bench.drop_in("guest.wasm", &collector("guest", "2.0.1", Does::Well));
    bench.reload().await;
    assert_eq!(bench.status("guest").unwrap().version, "2.0.1");
}

#[tokio::test]
async fn a_version_that_behaves_passes_and_is_remembered_across_a_restart() {
    let bench = Bench::with(vec![collector("guest", "0.9.0", Does::Well)]).await;
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    bench.reload().await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    for _ in 0..20 {
        bench.collect(&name, NOW).await.unwrap();
    }
    eventually("the verdict", || bench.status("guest").filter(|s| s.state == PluginState::Active)).await;
    let good = bench.folder.path().join("cache/components/good.json");
    let trusted = || {
        let ledger: Value = serde_json::from_slice(&fs::read(&good).ok()?).ok()?;
        ledger["good"]["guest"].is_string().then_some(())
    };
    eventually("the ledger", trusted).await;

    // The daemon is started again, without the bundled one, over a file that turned bad meanwhile.
    bench.shutdown(Duration::from_secs(5)).await;
    bench.drop_in("guest.wasm", &collector("guest", "2.0.0", Does::Trap));
    let again = started_again(bench).await;
    again.use_plugin(&[name.as_str()], "guest").await;
    assert_eq!(again.status("guest").unwrap().state, PluginState::Probation);
    for _ in 0..3 {
        again.collect(&name, NOW).await.unwrap_err();
    }
    let back = eventually("the good version", || again.status("guest").filter(|s| s.version == "1.0.0")).await;
    assert_eq!(back.source, "component store");
}

#[tokio::test]
async fn a_host_that_shares_machine_code_with_another_one_shares_nothing_else() {
    let bench = Bench::with(vec![collector("guest", "0.9.0", Does::Well)]).await;
    let (first, second) = (collector("guest", "1.0.0", Does::Well), collector("guest", "2.0.0", Does::Well));
    bench.drop_in("guest.wasm", &first);
    bench.reload().await;
    let components = bench.folder.path().join("cache/components");
    let held = || {
        let mut names: Vec<_> = fs::read_dir(&components).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        (names, fs::read(components.join("good.json")).unwrap())
    };
    let before = held();
    let aot = bench.folder.path().join("cache/aot");
    let compiled = || fs::read_dir(&aot).unwrap().count();
    let compiled_before = compiled();

    let share = |options: &mut crate::Options| options.artefacts_dir = Some(aot.clone());
    let other = Bench::start(tempfile::tempdir().unwrap(), Vec::new(), share).await;
    other.drop_in("guest.wasm", &first);
    other.reload().await;
    assert_eq!(other.status("guest").unwrap().version, "1.0.0");
    assert_eq!(compiled(), compiled_before, "it was compiled already");
    assert!(!other.folder.path().join("cache/aot").exists());
    // A version proves itself there, and a file goes away.
    other.drop_in("guest.wasm", &second);
    other.reload().await;
    let name = InstanceName::from("guest/one");
    other.use_plugin(&[name.as_str()], "guest").await;
    for _ in 0..20 {
        other.collect(&name, NOW).await.unwrap();
    }
    let ledger = other.folder.path().join("cache/components/good.json");
    let trusted = || {
        let ledger: Value = serde_json::from_slice(&fs::read(&ledger).ok()?).ok()?;
        ledger["good"]["guest"].is_string().then_some(())
    };
    eventually("the other's ledger", trusted).await;
    fs::remove_file(other.plugins_dir().join("guest.wasm")).unwrap();
    other.reload().await;
    assert_eq!(held(), before);

    bench.drop_in("guest.wasm", &second);
    bench.reload().await;
    let status = bench.status("guest").unwrap();
    assert_eq!((status.version.as_str(), status.state), ("2.0.0", PluginState::Probation));
}

/// Over the same folders, without anything bundled.
pub(super) async fn started_again(bench: Bench) -> Bench {
    bench.shutdown(Duration::from_secs(5)).await;
    let folder = tempfile::tempdir().unwrap();
    fs::rename(bench.folder.path().join("cache"), folder.path().join("cache")).unwrap();
    fs::rename(bench.plugins_dir(), folder.path().join("plugins")).unwrap();
    Bench::start(folder, Vec::new(), |_| {}).await
}

#[tokio::test]
async fn a_file_that_is_broken_at_the_start_gives_way_to_what_it_held_before() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("mine.wasm", &collector("guest", "1.0.0", Does::Well));
    bench.reload().await;
    bench.drop_in("mine.wasm", b"oops");
    let bench = started_again(bench).await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    bench.collect(&name, NOW).await.unwrap();
    let status = bench.status("guest").unwrap();
    assert_eq!((status.version.as_str(), status.state), ("1.0.0", PluginState::Active));
    assert_eq!(status.source, "component store");
    let reason = status.reason.unwrap();
    assert!(reason.contains("`mine.wasm` was refused: it is not a WebAssembly component"), "{reason}");

    // Once more, so that the broken file is not taken for what it held; then it is mended.
    let bench = started_again(bench).await;
    assert_eq!(bench.status("guest").unwrap().version, "1.0.0");
    bench.drop_in("mine.wasm", &collector("guest", "1.0.1", Does::Well));
    bench.reload().await;
    let status = bench.status("guest").unwrap();
    assert_eq!((status.version.as_str(), status.source.as_str(), status.reason), ("1.0.1", "mine.wasm", None));

    // What was removed while the host was down does not come back, not even for a broken file of the name.
    bench.shutdown(Duration::from_secs(5)).await;
    fs::remove_file(bench.plugins_dir().join("mine.wasm")).unwrap();
    let bench = started_again(bench).await;
    bench.drop_in("mine.wasm", b"oops");
    bench.reload().await;
    assert!(bench.status("guest").is_none());
    assert_eq!(bench.status("mine").unwrap().state, PluginState::Refused);
}

#[tokio::test]
async fn a_file_that_was_rolled_back_and_breaks_gives_way_to_the_good_version() {
    let bench = Bench::with(Vec::new()).await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    bench.reload().await;
    bench.drop_in("guest.wasm", &collector("guest", "2.0.0", Does::Trap));
    bench.reload().await;
    for _ in 0..3 {
        bench.collect(&name, NOW).await.unwrap_err();
    }
    eventually("the good version", || bench.status("guest").filter(|s| s.version == "1.0.0")).await;
    bench.shutdown(Duration::from_secs(5)).await;
    bench.drop_in("guest.wasm", b"oops");
    let bench = started_again(bench).await;
    assert_eq!(bench.status("guest").unwrap().version, "1.0.0");
}

#[tokio::test]
async fn a_shutdown_waits_for_calls_in_flight_and_begins_none() {
    let bench = Bench::with(vec![collector("looper", "1.0.0", Does::Loop)]).await;
    let name = InstanceName::from("looper/one");
    bench.use_plugin(&[name.as_str()], "looper").await;
    let (looping, ()) = tokio::join!(bench.collect(&name, NOW), async {
        eventually("the call", || (bench.instance(&name).unwrap().usage.in_flight == 1).then_some(())).await;
        bench.shutdown(Duration::from_secs(5)).await;
    });
    assert!(matches!(looping, Err(CallFailed { error: CallError::Deadline { .. }, .. })), "{looping:?}");
    assert_eq!(bench.collect(&name, NOW).await.unwrap_err().error, CallError::Cancelled);
}

#[tokio::test]
async fn a_component_is_compiled_once_and_loaded_from_the_cache_afterwards() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    bench.reload().await;
    let aot = bench.folder.path().join("cache/aot");
    let artefact = || {
        let files = fs::read_dir(&aot).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|e| e == "cwasm")).collect::<Vec<_>>()
    };
    let before = artefact();
    assert_eq!(before.len(), 1);
    // A file that is written anew is another one.
    let written = fs::metadata(&before[0]).unwrap().ino();
    fs::remove_file(bench.plugins_dir().join("guest.wasm")).unwrap();
    bench.reload().await;
    eventually("the end", || bench.status("guest").is_none().then_some(())).await;
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    bench.reload().await;
    assert_eq!(bench.status("guest").unwrap().state, PluginState::Active);
    assert_eq!((artefact(), fs::metadata(&before[0]).unwrap().ino()), (before.clone(), written));
}

#[tokio::test]
async fn calls_of_an_instance_that_was_removed_still_count() {
    let bench = Bench::with(vec![collector("guest", "1.0.0", Does::Well), collector("bad", "1.0.0", Does::Trap)]).await;
    let (good, bad) = (InstanceName::from("guest/one"), InstanceName::from("bad/one"));
    bench.use_plugin(&[good.as_str()], "guest").await;
    bench.collect(&good, NOW).await.unwrap();
    bench.collect(&good, NOW).await.unwrap();
    bench.use_plugin(&[bad.as_str()], "bad").await;
    assert!(bench.instance(&good).is_none());
    bench.collect(&bad, NOW).await.unwrap_err();
    let calls = bench.runtime.calls();
    assert_eq!((calls.made, calls.failed), (3, 1));
}
