//! Files on their way into use: one waits for none of the others, and what the machine is to blame for is tried again.

use crate::testing::guests::{Collector, Does, UNTIL_100, collector};
use crate::testing::{Bench, eventually, one, spec};
use crate::{Bundled, Compiler};
use quarterdeck_model::kind::collector::Collector as _;
use quarterdeck_model::plugin::{InstanceName, InstanceState, PluginState, PluginStatus, Registry};
use quarterdeck_model::{Span, Timestamp};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_millis(5_000);

/// A folder with these components in the cache, compiled.
async fn compiled(components: Vec<Vec<u8>>) -> TempDir {
    let bench = Bench::with(components).await;
    bench.shutdown(Duration::from_secs(5)).await;
    let folder = tempfile::tempdir().unwrap();
    fs::rename(bench.folder.path().join("cache"), folder.path().join("cache")).unwrap();
    folder
}

/// A compiler for whatever is not in the cache: what the shell makes of it.
fn shell(program: &Path, script: &str) -> Compiler {
    Compiler::Child {
        program: program.to_owned(),
        arguments: vec!["-c".to_owned(), format!("cat > /dev/null; {script}")],
        memory_bytes: 1 << 30,
        timeout: Duration::from_secs(600),
    }
}

/// One that takes as long as the file is there, and has an objection then.
fn held(hold: &Path) -> Compiler {
    fs::write(hold, "").unwrap();
    let script = format!("while [ -e '{}' ]; do sleep 0.02; done; echo no >&2; exit 1", hold.display());
    shell(Path::new("/bin/sh"), &script)
}

/// Passes the first look, so that it comes to the compiler.
fn empty_component() -> Vec<u8> {
    wat::parse_str("(component)").unwrap()
}

fn state(bench: &Bench, plugin: &str, state: PluginState) -> Option<PluginStatus> {
    bench.status(plugin).filter(|status| status.state == state)
}

#[tokio::test]
async fn a_file_that_is_slow_to_compile_holds_up_nothing_else() {
    let (good, bad) = (collector("guest", "1.0.0", Does::Well), collector("guest", "2.0.0", Does::Trap));
    let folder = compiled(vec![good.clone(), bad.clone()]).await;
    let hold = folder.path().join("hold");
    let bench = Bench::start(folder, Vec::new(), |options| options.compiler = held(&hold)).await;
    bench.drop_in("slow.wasm", &empty_component());
    let slow = eventually("the slow one", || state(&bench, "slow", PluginState::Loading)).await;
    assert_eq!((slow.source.as_str(), slow.reason), ("slow.wasm", None));
    assert!(bench.awaited().is_empty(), "it was not there at the start");

    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    let on = async |version: &str| {
        let look = || bench.instance(&name)?.plugin.filter(|plugin| plugin.version == version);
        eventually(&format!("version {version}"), look).await;
    };
    bench.drop_in("guest.wasm", &good);
    on("1.0.0").await;
    bench.collect(&name, NOW).await.unwrap();
    bench.drop_in("guest.wasm", &bad);
    on("2.0.0").await;
    for _ in 0..3 {
        bench.collect(&name, NOW).await.unwrap_err();
    }
    on("1.0.0").await;
    fs::remove_file(bench.plugins_dir().join("guest.wasm")).unwrap();
    eventually("the end", || bench.status("guest").is_none().then_some(())).await;

    state(&bench, "slow", PluginState::Loading).expect("it is still on its way");
    fs::remove_file(hold).unwrap();
    let slow = eventually("the verdict", || state(&bench, "slow", PluginState::Refused)).await;
    assert_eq!(slow.reason.unwrap(), "it can't be compiled: no");
}

#[tokio::test]
async fn what_is_there_at_the_start_is_waited_for_until_it_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    fs::write(folder.path().join("plugins/slow.wasm"), empty_component()).unwrap();
    let hold = folder.path().join("hold");
    let bench = Bench::start(folder, Vec::new(), |options| options.compiler = held(&hold)).await;
    assert_eq!(bench.awaited(), ["slow.wasm"]);
    state(&bench, "slow", PluginState::Loading).expect("it is on its way");
    fs::remove_file(hold).unwrap();
    eventually("the end of that", || bench.awaited().is_empty().then_some(())).await;
    state(&bench, "slow", PluginState::Refused).expect("it is refused");
}

#[tokio::test]
async fn a_reload_does_not_wait_for_ever_for_a_compiler() {
    let folder = tempfile::tempdir().unwrap();
    let hold = folder.path().join("hold");
    let bench = Bench::start(folder, Vec::new(), |options| options.compiler = held(&hold)).await;
    bench.drop_in("slow.wasm", &empty_component());
    let statuses = tokio::time::timeout(Duration::from_secs(120), bench.reload()).await.unwrap();
    assert_eq!(statuses[0].state, PluginState::Loading);
    fs::remove_file(hold).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_does_not_wait_for_ever_for_a_file_that_grows() {
    let bench = Bench::with(Vec::new()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut file = fs::File::create(bench.plugins_dir().join("growing.wasm")).unwrap();
    file.write_all(&empty_component()).unwrap();
    let growing = tokio::task::spawn_blocking({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                // Of a section that is never whole.
                file.write_all(&[1, 0xff, 0xff, 0xff, 0x7f]).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    tokio::time::timeout(Duration::from_secs(120), bench.reload()).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    growing.await.unwrap();
}

/// A compiler that is not there yet: its program, and the host that wants it.
async fn without_compiler(component: &[u8], bundled: bool) -> (PathBuf, Bench) {
    let folder = compiled(vec![component.to_vec()]).await;
    // What the compiler is to make of it.
    let aot = folder.path().join("cache/aot");
    let files = fs::read_dir(&aot).unwrap().map(|entry| entry.unwrap().path());
    let artefacts: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "cwasm")).collect();
    let artefact = folder.path().join("artefact");
    fs::rename(&artefacts[0], &artefact).unwrap();
    let program = folder.path().join("compiler");
    let compiler = shell(&program, &format!("cat '{}'", artefact.display()));
    let bundle = if bundled { vec![component.to_vec()] } else { Vec::new() };
    let bench = Bench::start(folder, bundle, |options| options.compiler = compiler).await;
    (program, bench)
}

#[tokio::test]
async fn what_no_compiler_could_be_started_for_is_tried_again_by_itself() {
    let component = collector("guest", "1.0.0", Does::Well);
    let (program, bench) = without_compiler(&component, false).await;
    bench.drop_in("file.wasm", &component);
    let refused = eventually("the refusal", || state(&bench, "file", PluginState::Refused)).await;
    let reason = refused.reason.unwrap();
    assert!(reason.contains("the compiler's process can't be started"), "{reason}");
    symlink("/bin/sh", program).unwrap();
    eventually("another try", || state(&bench, "guest", PluginState::Active)).await;
    assert!(bench.status("file").is_none());
    assert_eq!(bench.events("plugin.refused").len(), 1, "the same reason is said once");
}

#[tokio::test]
async fn a_bundled_plugin_is_tried_again_too() {
    let component = collector("guest", "1.0.0", Does::Well);
    let (program, bench) = without_compiler(&component, true).await;
    let refused = state(&bench, "bundled", PluginState::Refused).unwrap();
    assert!(refused.reason.unwrap().contains("the compiler's process can't be started"));
    symlink("/bin/sh", program).unwrap();
    let back = eventually("another try", || state(&bench, "guest", PluginState::Active)).await;
    assert_eq!(back.source, "bundled");
    assert!(bench.status("bundled").is_none());
}

/// A host with one bundled plugin that is not compiled and that no instance names, and what the compiler waits for.
async fn with_one_for_later(component: &[u8]) -> (PathBuf, Bench) {
    let folder = compiled(vec![component.to_vec()]).await;
    let aot = folder.path().join("cache/aot");
    let files = fs::read_dir(&aot).unwrap().map(|entry| entry.unwrap().path());
    let compiled: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "cwasm")).collect();
    let (artefact, hold) = (folder.path().join("artefact"), folder.path().join("hold"));
    fs::rename(&compiled[0], &artefact).unwrap();
    fs::write(&hold, "").unwrap();
    let script = format!("while [ -e '{}' ]; do sleep 0.02; done; cat '{}'", hold.display(), artefact.display());
    let bench = Bench::start(folder, Vec::new(), |options| {
        options.compiler = shell(Path::new("/bin/sh"), &script);
        options.bundled = vec![Bundled::new("guest", component.to_vec())];
        options.bundled_first = Some(BTreeSet::from(["another".to_owned()]));
    });
    (hold, bench.await)
}

#[tokio::test]
async fn a_bundled_plugin_that_no_instance_names_is_compiled_after_the_start() {
    let (hold, bench) = with_one_for_later(&collector("guest", "1.0.0", Does::Well)).await;
    let loading = state(&bench, "guest", PluginState::Loading).expect("the start has not waited for it");
    assert_eq!(loading.source, "bundled");
    assert!(bench.awaited().is_empty(), "readiness does not wait for it either");
    tokio::time::timeout(Duration::from_secs(10), bench.reload()).await.expect("nor does a reload");
    fs::remove_file(hold).unwrap();
    eventually("its turn", || state(&bench, "guest", PluginState::Active)).await;
}

#[tokio::test]
async fn whoever_configures_an_instance_of_a_bundled_plugin_gets_it_compiled() {
    let (hold, bench) = with_one_for_later(&collector("guest", "1.0.0", Does::Well)).await;
    let name = InstanceName::from("guest/one");
    let instances = [name.as_str()];
    let mut configuring = Box::pin(bench.use_plugin(&instances, "guest"));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut configuring).await;
    assert!(early.is_err(), "it waits for the compiler");
    fs::remove_file(hold).unwrap();
    configuring.await;
    bench.collect(&name, NOW).await.expect("it is in use at once");
}

/// After these the next try by itself is minutes away.
async fn refuse_often(bench: &Bench) {
    for _ in 0..8 {
        bench.reload().await;
        state(bench, "file", PluginState::Refused).expect("it is refused");
    }
}

#[tokio::test]
async fn a_reload_tries_at_once_what_was_refused_for_a_passing_reason() {
    let component = collector("guest", "1.0.0", Does::Well);
    let (program, bench) = without_compiler(&component, false).await;
    bench.drop_in("file.wasm", &component);
    refuse_often(&bench).await;
    symlink("/bin/sh", program).unwrap();
    bench.reload().await;
    state(&bench, "guest", PluginState::Active).expect("it is in use");
}

#[tokio::test]
async fn a_change_of_a_files_permissions_is_another_try() {
    let component = collector("guest", "1.0.0", Does::Well);
    let (program, bench) = without_compiler(&component, false).await;
    bench.drop_in("file.wasm", &component);
    refuse_often(&bench).await;
    symlink("/bin/sh", program).unwrap();
    fs::set_permissions(bench.plugins_dir().join("file.wasm"), fs::Permissions::from_mode(0o640)).unwrap();
    eventually("another try", || state(&bench, "guest", PluginState::Active)).await;
}

#[tokio::test]
async fn a_file_that_can_not_be_looked_at_is_refused_until_it_can() {
    let bench = Bench::with(Vec::new()).await;
    let file = bench.plugins_dir().join("guest.wasm");
    // A link to itself: no user, however mighty, can follow it.
    symlink(&file, &file).unwrap();
    let refused = eventually("the refusal", || state(&bench, "guest", PluginState::Refused)).await;
    let reason = refused.reason.unwrap();
    assert!(reason.contains("it can't be read"), "{reason}");
    bench.drop_in("guest.wasm", &collector("guest", "1.0.0", Does::Well));
    eventually("the file", || state(&bench, "guest", PluginState::Active)).await;
}

#[tokio::test]
async fn what_the_content_is_refused_for_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let tries = folder.path().join("tries");
    let script = format!("echo try >> '{}'; echo no >&2; exit 1", tries.display());
    let compiler = shell(Path::new("/bin/sh"), &script);
    let bench = Bench::start(folder, Vec::new(), |options| options.compiler = compiler).await;
    bench.drop_in("file.wasm", &empty_component());
    refuse_often(&bench).await;
    assert_eq!(fs::read_to_string(&tries).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn a_compiler_that_was_killed_has_said_nothing_of_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let tries = folder.path().join("tries");
    let compiler = shell(Path::new("/bin/sh"), &format!("echo try >> '{}'; kill -9 $$", tries.display()));
    let bench = Bench::start(folder, Vec::new(), |options| options.compiler = compiler).await;
    bench.drop_in("file.wasm", &empty_component());
    bench.reload().await;
    let reason = state(&bench, "file", PluginState::Refused).unwrap().reason.unwrap();
    assert!(reason.contains("compiling needed more memory or time than it is given"), "{reason}");
    let tried = || fs::read_to_string(&tries).ok().filter(|text| text.lines().count() >= 3);
    eventually("more tries", tried).await;
}

#[tokio::test]
async fn a_description_that_took_too_long_is_asked_for_again() {
    let bench = Bench::with(Vec::new()).await;
    bench.drop_in("file.wasm", &Collector { describe: UNTIL_100, clock: true, ..Collector::default() }.build());
    bench.reload().await;
    let reason = state(&bench, "file", PluginState::Refused).unwrap().reason.unwrap();
    assert!(reason.contains("`describe` failed: the call took longer"), "{reason}");
    bench.clock.advance(Span::from_secs(100));
    eventually("another try", || state(&bench, "guest", PluginState::Active)).await;
}

#[tokio::test]
async fn a_configuration_that_could_not_be_checked_in_time_is_checked_again() {
    let bench = Bench::with(vec![Collector { validate: UNTIL_100, clock: true, ..Collector::default() }.build()]).await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    let status = bench.instance(&name).unwrap();
    assert_eq!(status.state, InstanceState::Misconfigured);
    let reason = status.reason.unwrap();
    assert!(reason.contains("the plugin could not check it: the call took longer"), "{reason}");
    let problems = bench.check(&one(name.as_str(), spec("guest"))).await;
    assert_eq!(problems, [], "which says nothing about the configuration");
    bench.clock.advance(Span::from_secs(100));
    let is_active = || (bench.instance(&name).unwrap().state == InstanceState::Active).then_some(());
    eventually("another check", is_active).await;
    bench.collect(&name, NOW).await.unwrap();
}

#[tokio::test]
async fn an_instance_stays_on_its_version_until_the_new_one_could_check_its_configuration() {
    let bench = Bench::with(vec![collector("guest", "1.0.0", Does::Well)]).await;
    let name = InstanceName::from("guest/one");
    bench.use_plugin(&[name.as_str()], "guest").await;
    let newer = Collector { version: "2.0.0", validate: UNTIL_100, clock: true, ..Collector::default() }.build();
    bench.drop_in("guest.wasm", &newer);
    bench.reload().await;
    let status = bench.instance(&name).unwrap();
    assert_eq!((status.state, status.plugin.unwrap().version.as_str()), (InstanceState::Active, "1.0.0"));
    assert!(status.reason.unwrap().contains("stays on version 1.0.0"));
    bench.clock.advance(Span::from_secs(100));
    let newer = || bench.instance(&name)?.plugin.filter(|plugin| plugin.version == "2.0.0");
    eventually("another check", newer).await;
}
