//! The plugins folder while the host runs: nothing here calls `reload`, the watcher has to notice.

use crate::runtime::Request;
use crate::testing::guests::{Does, collector};
use crate::testing::{Bench, eventually, one, spec};
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::collector::Collector;
use quarterdeck_model::plugin::{CallError, InstanceName, InstanceState, Kind, PluginState, Registry};
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const NOW: Timestamp = Timestamp::from_millis(5_000);

const VERSIONS: [&str; 20] = [
    "1.0.0", "1.0.1", "1.0.2", "1.0.3", "1.0.4", "1.0.5", "1.0.6", "1.0.7", "1.0.8", "1.0.9", "1.1.0", "1.1.1",
    "1.1.2", "1.1.3", "1.1.4", "1.1.5", "1.1.6", "1.1.7", "1.1.8", "1.1.9",
];

async fn in_use(bench: &Bench, version: &str) {
    let look = || bench.status("guest").filter(|status| status.version == version);
    eventually(&format!("version {version}"), look).await;
}

#[tokio::test]
async fn a_file_is_taken_up_replaced_and_retired() {
    let bench = Bench::with(Vec::new()).await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    assert_eq!(bench.instance(&name).unwrap().state, InstanceState::MissingPlugin);
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    in_use(&bench, "1.0.0").await;
    let active = || (bench.instance(&name).unwrap().state == InstanceState::Active).then_some(());
    eventually("the instance", active).await;
    bench.drop_in("guest.wasm", &collector("guest", "2.0.0", Does::Well));
    in_use(&bench, "2.0.0").await;
    fs::remove_file(bench.plugins_dir().join("guest.wasm")).unwrap();
    eventually("the end", || bench.status("guest").is_none().then_some(())).await;
    let missing = || (bench.instance(&name).unwrap().state == InstanceState::MissingPlugin).then_some(());
    eventually("the instance", missing).await;
    for event_type in ["plugin.loaded", "plugin.replaced", "plugin.retired"] {
        bench.event(event_type).await;
    }
}

/// As `vim` does it (the old file moved to a backup, the new one written, the backup deleted), and as a careless script does
/// (deleted, then written).
#[tokio::test]
async fn a_file_that_is_moved_away_or_deleted_before_the_new_one_is_there_leaves_no_gap() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    in_use(&bench, "1.0.0").await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    let file = bench.plugins_dir().join("guest.wasm");
    for (version, by_backup) in [("1.0.1", true), ("1.0.2", false)] {
        let backup = bench.plugins_dir().join("guest.wasm~");
        if by_backup {
            fs::rename(&file, &backup).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }
        // Long enough for the watcher to have looked, with calls all the time.
        for _ in 0..20 {
            bench.collect(&name, NOW).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        fs::write(&file, collector("guest", version, Does::Well)).unwrap();
        eventually("the new version", || {
            let status = bench.status("guest").expect("it is never without a version");
            (status.version == version).then_some(())
        })
        .await;
        bench.collect(&name, NOW).await.unwrap();
        // It may be there or not.
        let _ = fs::remove_file(backup);
    }
    assert!(bench.events("plugin.retired").len() <= 2 && bench.events("plugin.loaded").len() == 1);
}

#[tokio::test]
async fn twenty_swaps_under_calls_lose_none() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("guest.wasm", &collector("guest", VERSIONS[0], Does::Well));
    in_use(&bench, VERSIONS[0]).await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let caller = tokio::spawn({
        let (runtime, name) = (Arc::clone(&bench.runtime), name.clone());
        let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
        async move {
            while !stop.load(Ordering::Relaxed) {
                let called = runtime.collect(&name, NOW).await.unwrap();
                assert!(VERSIONS.contains(&called.plugin.version.as_str()));
                calls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(std::time::Duration::from_micros(500)).await;
            }
        }
    });
    for version in &VERSIONS[1..] {
        bench.drop_in("guest.wasm", &collector("guest", version, Does::Well));
        in_use(&bench, version).await;
        let at_least = calls.load(Ordering::Relaxed) + 3;
        let bound = || {
            let status = bench.instance(&name).unwrap();
            (status.plugin.unwrap().version == *version && calls.load(Ordering::Relaxed) > at_least).then_some(())
        };
        eventually("calls on it", bound).await;
    }
    stop.store(true, Ordering::Relaxed);
    caller.await.unwrap();
    eventually("retired versions", || (bench.events("plugin.retired").len() == 19).then_some(())).await;
}

#[tokio::test]
async fn a_file_that_is_written_slowly_is_never_refused() {
    let bench = Bench::with(Vec::new()).await;
    let bytes = collector("guest", "1.0.0", Does::Well);
    let mut file = fs::File::create(bench.plugins_dir().join("guest.wasm")).unwrap();
    for part in bytes.chunks(bytes.len() / 6) {
        file.write_all(part).unwrap();
        file.flush().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(90)).await;
    }
    drop(file);
    in_use(&bench, "1.0.0").await;
    assert_eq!(bench.events("plugin.refused").len(), 0);
}

#[tokio::test]
async fn temporary_files_are_left_alone() {
    let bench = Bench::with(Vec::new()).await;
    for file in [".guest.wasm.swp", "guest.wasm~", "#guest.wasm#", "guest.wasm.tmp", "guest.wasm.part", ".guest.wasm"] {
        bench.drop_in(file, &collector("guest", "1.0.0", Does::Well));
    }
    bench.reload().await;
    assert!(Registry::plugins(&*bench.runtime).is_empty());
}

#[tokio::test]
async fn a_link_is_followed_and_its_new_target_noticed() {
    let bench = Bench::with(Vec::new()).await;
    let elsewhere = tempfile::tempdir().unwrap();
    for version in ["1.0.0", "2.0.0"] {
        fs::write(elsewhere.path().join(version), collector("guest", version, Does::Well)).unwrap();
    }
    let link = bench.plugins_dir().join("guest.wasm");
    std::os::unix::fs::symlink(elsewhere.path().join("1.0.0"), &link).unwrap();
    in_use(&bench, "1.0.0").await;
    let new = bench.folder.path().join("new-link");
    std::os::unix::fs::symlink(elsewhere.path().join("2.0.0"), &new).unwrap();
    fs::rename(new, link).unwrap();
    in_use(&bench, "2.0.0").await;
}

#[tokio::test]
async fn a_file_stands_in_for_the_bundled_plugin_as_long_as_it_is_there() {
    let bench = Bench::with(vec![collector("guest", "1.0.0", Does::Well)]).await;
    assert_eq!(bench.status("guest").unwrap().source, "bundled");
    bench.drop_in("mine.wasm", &collector("guest", "1.1.0", Does::Well));
    in_use(&bench, "1.1.0").await;
    assert_eq!(bench.status("guest").unwrap().source, "mine.wasm");
    fs::remove_file(bench.plugins_dir().join("mine.wasm")).unwrap();
    in_use(&bench, "1.0.0").await;
}

#[tokio::test]
async fn of_two_files_of_one_name_the_newer_one_wins() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("a.wasm", &collector("guest", "1.0.0", Does::Well));
    in_use(&bench, "1.0.0").await;
    bench.drop_in("b.wasm", &collector("guest", "2.0.0", Does::Well));
    in_use(&bench, "2.0.0").await;
    bench.drop_in("a.wasm", &collector("guest", "3.0.0", Does::Well));
    in_use(&bench, "3.0.0").await;
}

#[tokio::test]
async fn calls_in_flight_end_on_the_version_they_began_with() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Loop));
    in_use(&bench, "1.0.0").await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    let looping = tokio::spawn({
        let (runtime, name) = (Arc::clone(&bench.runtime), name.clone());
        async move { runtime.collect(&name, NOW).await }
    });
    eventually("the call", || (bench.instance(&name).unwrap().usage.in_flight == 1).then_some(())).await;
    bench.drop_in("guest.wasm", &collector("guest", "2.0.0", Does::Well));
    bench.reload().await;
    let called = bench.collect(&name, NOW).await.unwrap();
    assert_eq!(called.plugin.version, "2.0.0");
    looping.await.unwrap().unwrap_err();
    let retired = bench.event("plugin.retired").await.event;
    assert_eq!(retired.data["version"], "1.0.0");
    assert!(bench.status("guest").is_some_and(|status| status.state != PluginState::Draining));
}

#[tokio::test]
async fn a_failure_names_the_version_that_it_ran_on_though_another_is_in_use_by_then() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    in_use(&bench, "1.0.0").await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    let mut limits = spec("guest");
    limits.limits.deadline = quarterdeck_model::Span::from_secs(20);
    bench.configure(one(name.as_str(), limits)).await;
    let (began, begun) = tokio::sync::oneshot::channel();
    let (release, released) = tokio::sync::oneshot::channel();
    let call = tokio::spawn({
        let (runtime, name) = (Arc::clone(&bench.runtime), name.clone());
        async move {
            let request = Request::new(Kind::Collector, &name);
            // Written in the call: only there is it inferred to take a guest of any lifetime.
            runtime
                .act::<(), _>(request, |_, _, _| {
                    Box::pin(async move {
                        let _ = began.send(());
                        let _ = released.await;
                        Ok(Err(CallError::Other { message: "no".to_owned() }))
                    })
                })
                .await
        }
    });
    begun.await.unwrap();
    bench.drop_in("guest.wasm", &collector("guest", "2.0.0", Does::Well));
    in_use(&bench, "2.0.0").await;
    let newer = || bench.instance(&name)?.plugin.filter(|plugin| plugin.version == "2.0.0");
    eventually("the instance on the new version", newer).await;
    release.send(()).unwrap();
    let failed = call.await.unwrap().unwrap_err();
    assert_eq!(failed.error, CallError::Other { message: "no".to_owned() });
    assert_eq!(failed.plugin.unwrap().version, "1.0.0");
    let nobody = bench.act(Request::new(Kind::Notifier, &name), |_, _, _| Box::pin(async { Ok(Ok(())) })).await;
    assert_eq!(nobody.unwrap_err().plugin, None, "it never came to a plugin");
}
